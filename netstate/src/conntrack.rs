//! Connection tracking entries of UDP (ctnetlink): found, and deleted one by one.
//!
//! ```text
//! CTA_TUPLE_ORIG   192.0.2.7:40000 → 192.168.1.5:5353    as the client sent it
//! CTA_TUPLE_REPLY  10.1.0.5:53     → 192.0.2.7:40000     who answers: the translation's memory
//! ```
//!
//! A UDP flow keeps its translation as long as packets come, so that a client goes on talking to a pod
//! that is gone. Listing costs as much as the table has buckets, used or not (10 ms for 262144): it is done for UDP
//! ports only, and once for both address families.

use std::net::{IpAddr, SocketAddr};

use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    conntrack::{ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol, Tuple},
};
use netlink_sys::protocols::NETLINK_NETFILTER;

use crate::channel::{Answer, Channel, Request};
use crate::{Error, Result};

/// A UDP flow that is tracked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UdpFlow {
    /// Who began it.
    pub source: SocketAddr,
    /// Where it was sent.
    pub destination: SocketAddr,
    /// Who answers it: another than `destination` where that was translated.
    pub answers: SocketAddr,
    /// Whom that one answers: another than `source` where that was masqueraded.
    pub seen_as: SocketAddr,
    /// The original tuple as it came, zones and all: what it is deleted by.
    original: Vec<ConntrackAttribute>,
}

/// Looks at entries, and deletes them, in the namespace in which it was opened.
#[derive(Debug)]
pub struct Conntrack {
    channel: Channel,
}

impl Conntrack {
    /// Opens it in the calling thread's namespace.
    pub fn open() -> Result<Self> {
        Ok(Self { channel: Channel::open(NETLINK_NETFILTER)? })
    }

    /// UDP flows, of both address families, that `wanted` says yes to.
    pub fn udp_flows(&mut self, wanted: impl Fn(&UdpFlow) -> bool) -> Result<Vec<UdpFlow>> {
        let request = || message(NetfilterProtoFamily::Unspec, ConntrackMessage::Get(Vec::new()));
        self.channel.dump("conntrack entries", request, |message| read(message).filter(&wanted))
    }

    /// Deletes an entry; `false` when it is gone already.
    pub fn delete(&mut self, flow: &UdpFlow) -> Result<bool> {
        let delete = ConntrackMessage::Delete(flow.original.clone());
        let ipv6 = flow.source.is_ipv6();
        let family = if ipv6 { NetfilterProtoFamily::IPv6 } else { NetfilterProtoFamily::IPv4 };
        let request = Request::of(message(family, delete), 0);
        match self.channel.exchange(&mut [request])?.into_iter().next() {
            Some(Answer::Refused(refusal)) if refusal.errno == libc::ENOENT => Ok(false),
            Some(Answer::Refused(refusal)) => {
                let source = std::io::Error::from_raw_os_error(refusal.errno);
                Err(Error::Socket { action: "delete a conntrack entry", source })
            }
            _ => Ok(true),
        }
    }
}

fn message(family: NetfilterProtoFamily, message: ConntrackMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), message)
}

fn read(message: NetfilterMessage) -> Option<UdpFlow> {
    let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = message.inner else {
        return None;
    };
    const CTA_ZONE: u16 = 18;
    let (mut ends, mut reply, mut original) = (None, None, Vec::new());
    for attribute in attributes {
        match &attribute {
            ConntrackAttribute::CtaTupleOrig(tuple) => {
                ends = udp_ends(tuple);
                original.push(attribute);
            }
            ConntrackAttribute::CtaTupleReply(tuple) => reply = udp_ends(tuple),
            ConntrackAttribute::Other(other) if kind(other) == CTA_ZONE => original.push(attribute),
            _ => {}
        }
    }
    let ((source, destination), (answers, seen_as)) = (ends?, reply?);
    Some(UdpFlow { source, destination, answers, seen_as, original })
}

fn kind(attribute: &netlink_packet_core::DefaultNla) -> u16 {
    netlink_packet_core::Nla::kind(attribute)
}

/// Source and destination of a tuple, if it is of UDP.
fn udp_ends(tuple: &[Tuple]) -> Option<(SocketAddr, SocketAddr)> {
    let (mut source, mut destination): (Option<IpAddr>, Option<IpAddr>) = (None, None);
    let (mut source_port, mut destination_port, mut udp) = (0, 0, false);
    for part in tuple {
        match part {
            Tuple::Ip(parts) => parts.iter().for_each(|part| match part {
                IPTuple::SourceAddress(ip) => source = Some(*ip),
                IPTuple::DestinationAddress(ip) => destination = Some(*ip),
                _ => {}
            }),
            Tuple::Proto(parts) => parts.iter().for_each(|part| match part {
                ProtoTuple::Protocol(protocol) => udp = *protocol == Protocol::Udp,
                ProtoTuple::SourcePort(port) => source_port = *port,
                ProtoTuple::DestinationPort(port) => destination_port = *port,
                _ => {}
            }),
            _ => {}
        }
    }
    let ends = (SocketAddr::new(source?, source_port), SocketAddr::new(destination?, destination_port));
    udp.then_some(ends)
}
