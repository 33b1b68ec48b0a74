//! UDP flows that remember where a port led before.
//!
//! A UDP client's entry in connection tracking keeps its translation while packets come: without this, a
//! resolver's client would go on asking the pod that is gone, and one that asked while the table was flushed would go on
//! asking the node itself. Only flows to exactly the mapped port of an
//! address of this node are forgotten; a pod's own questions to the same port elsewhere are not. TCP and
//! SCTP notice by themselves.

use super::config::Protocol;
use super::mapping::Mapping;
use netstate::{Conntrack, RouteSocket, UdpFlow};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

/// What happened to the mappings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// They lead to a container now: who answers from elsewhere is the one before.
    New,
    /// They lead nowhere: who answers is the container that goes.
    Gone,
}

/// Forgets them, in one look at the tracked flows however many mappings there are. A flow that stays delays one client
/// by half a minute at most, so a failure is told and is none of the call.
pub(super) fn forget(mappings: &[Mapping], when: When) {
    let udp = mappings.iter().filter(|m| m.protocol == Protocol::Udp);
    let mut by_port: HashMap<u16, Vec<&Mapping>> = HashMap::new();
    udp.for_each(|mapping| by_port.entry(mapping.host_port).or_default().push(mapping));
    if !by_port.is_empty()
        && let Err(error) = forget_at(&by_port, when)
    {
        eprintln!("portmap: UDP flows of before may go on to the old container: {error}");
    }
}

fn forget_at(by_port: &HashMap<u16, Vec<&Mapping>>, when: When) -> netstate::Result<()> {
    let mut conntrack = Conntrack::open()?;
    let flows = conntrack.udp_flows(|flow| {
        let of_port = by_port.get(&flow.destination.port());
        of_port.is_some_and(|mappings| mappings.iter().any(|mapping| is_stale(mapping, flow, when)))
    })?;
    if flows.is_empty() {
        return Ok(());
    }
    let (mut route, mut local) = (RouteSocket::open()?, HashMap::<IpAddr, bool>::new());
    for flow in flows {
        let ip = flow.destination.ip();
        let here = match local.get(&ip) {
            Some(here) => *here,
            None => *local.entry(ip).or_insert(route.is_local(ip)?),
        };
        if here {
            conntrack.delete(&flow)?;
        }
    }
    Ok(())
}

fn is_stale(mapping: &Mapping, flow: &UdpFlow, when: When) -> bool {
    let target = SocketAddr::new(mapping.container_ip, mapping.container_port);
    let at = mapping.host_ip.is_none_or(|ip| ip == flow.destination.ip());
    at && flow.destination.is_ipv6() == target.is_ipv6() && (flow.answers == target) == (when == When::Gone)
}
