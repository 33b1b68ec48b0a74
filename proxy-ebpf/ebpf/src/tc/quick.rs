//! The ends of a plain packet, read without a helper call: what others' traffic is told by.
//!
//! Plain is IPv4 without options or IPv6 without extension headers, whole, with TCP or UDP, and with its headers in
//! the linear part. Nothing is verified here: who passes a packet on such a look leaves it untouched, and whatever
//! may concern us is read again, with all checks, as a [`super::packet::Packet`].

use weft_proxy_abi::{TCP, UDP};

use super::packet::family;
use super::skb::Skb;

/// Where IPv4's fragment field says "whole": the flag of more fragments and the offset are 0.
const FRAGMENT_BE: u16 = 0x3fff_u16.to_be();

/// An IPv4 header without options (RFC 791, section 3.1) and the ports.
#[repr(C)]
struct Ipv4 {
    version_length: u8,
    service: u8,
    length_id: [u16; 2],
    fragment_be: u16,
    ttl: u8,
    protocol: u8,
    checksum_addresses: [u16; 5],
    source_be: u16,
    destination_be: u16,
}

/// An IPv6 header (RFC 8200, section 3) and the ports.
#[repr(C)]
struct Ipv6 {
    version_class_label: [u16; 2],
    length_be: u16,
    next: u8,
    hops: u8,
    addresses: [u16; 16],
    source_be: u16,
    destination_be: u16,
}

/// Protocol and ports of a packet.
pub struct Ends {
    pub protocol: u8,
    pub source_be: u16,
    pub destination_be: u16,
    l4: u32,
}

impl Ends {
    /// The ends of the packet whose IP header is at `l3`, if it is plain.
    #[inline(always)]
    pub fn of(skb: Skb, l3: u32) -> Option<Ends> {
        let ends = if family(skb)? { Ends::of_v6(skb, l3)? } else { Ends::of_v4(skb, l3)? };
        if matches!(ends.protocol, TCP | UDP) { Some(ends) } else { None }
    }

    #[inline(always)]
    fn of_v4(skb: Skb, l3: u32) -> Option<Ends> {
        let ip: &Ipv4 = skb.linear(l3)?;
        if ip.version_length != 0x45 || ip.fragment_be & FRAGMENT_BE != 0 {
            return None;
        }
        let (protocol, source_be, destination_be) = (ip.protocol, ip.source_be, ip.destination_be);
        Some(Ends { protocol, source_be, destination_be, l4: l3 + 20 })
    }

    #[inline(always)]
    fn of_v6(skb: Skb, l3: u32) -> Option<Ends> {
        let ip: &Ipv6 = skb.linear(l3)?;
        let (protocol, source_be, destination_be) = (ip.next, ip.source_be, ip.destination_be);
        Some(Ends { protocol, source_be, destination_be, l4: l3 + 40 })
    }

    /// TCP's flags (RFC 9293, section 3.1).
    #[inline(always)]
    pub fn flags(&self, skb: Skb) -> Option<u8> {
        skb.linear::<u8>(self.l4 + 13).copied()
    }
}
