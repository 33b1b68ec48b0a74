//! The candidates of a service port: what its slices list for it, each address and port once.
//!
//! A slice's ports are matched by name to the service's, so each slice may have another port number. As in
//! kube-proxy's `endpointslicecache.go`, only an endpoint's first address counts, `ready` and `serving` hold where
//! nothing is said, and an endpoint that is listed twice is local where either says so. Of two conditions the better
//! one counts.

use super::slice::{Listed, Slice, SlicePort};
use crate::{Family, LeftOut, PortId};
use std::net::{IpAddr, SocketAddr};

/// Whether an endpoint can get connections, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Condition {
    /// Ready.
    Ready,
    /// Going away and still serving: a last resort.
    ServingTerminating,
    /// Going away, and not serving any more.
    Terminating,
    /// Not ready.
    NotReady,
}

/// An endpoint that a slice lists for a service port. The order is that in which duplicates are preferred.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) condition: Condition,
    pub(crate) remote: bool,
    pub(crate) node: Option<&'a str>,
    pub(crate) node_hints: Vec<&'a str>,
    pub(crate) zone_hints: Vec<&'a str>,
}

/// The candidates of a service port, by address and each once, and what cannot be one.
pub(crate) fn candidates<'a>(
    id: &PortId,
    slices: &[&'a Slice],
    node_name: &str,
) -> (Vec<Candidate<'a>>, Vec<LeftOut>) {
    let mut found = Vec::new();
    let mut left_out = Vec::new();
    for slice in slices {
        match &slice.family {
            Ok(family) if *family != id.family => {}
            Ok(_) => of_slice(id, slice, node_name, &mut found, &mut left_out),
            Err(other) => {
                let reason = format!("address type \"{other}\" is neither IPv4 nor IPv6");
                leave_all_out(slice, &reason, &mut left_out);
            }
        }
    }
    found.sort_unstable();
    found.dedup_by(|again, kept| {
        let same = again.address == kept.address;
        kept.remote &= again.remote || !same;
        same
    });
    (found, left_out)
}

/// Why an address cannot be one of a service or an endpoint, by the rules of the API
/// (`ValidateNonSpecialIP` in `pkg/apis/core/validation`).
pub(crate) fn unusable(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    match () {
        () if address.is_unspecified() => Some("is the unspecified address"),
        () if address.is_loopback() => Some("is a loopback address"),
        () if address.is_multicast() => Some("is a multicast address"),
        () if link_local => Some("is a link-local address"),
        () if broadcast => Some("is the broadcast address"),
        () if mapped => Some("is an IPv4 address written as IPv6"),
        () => None,
    }
}

fn of_slice<'a>(
    id: &PortId,
    slice: &'a Slice,
    node_name: &str,
    found: &mut Vec<Candidate<'a>>,
    left_out: &mut Vec<LeftOut>,
) {
    let port = match port_number(id, slice) {
        Ok(port) => port,
        Err(reason) => return leave_all_out(slice, &reason, left_out),
    };
    for listed in &slice.endpoints {
        match endpoint_address(listed, id.family) {
            Ok(address) => found.push(candidate(listed, SocketAddr::new(address, port), node_name)),
            Err(reason) => left_out.push(LeftOut { endpoint: format!("{}:{port}", text(listed)), reason }),
        }
    }
}

/// The slice's port that has the name and protocol of the service's port.
fn port_number(id: &PortId, slice: &Slice) -> Result<u16, String> {
    let named = |port: &&SlicePort| *port.name == *id.port;
    let mut ports = slice.ports.iter().filter(named).peekable();
    let Some(first) = ports.peek().copied() else {
        return Err(format!("port name \"{}\" is not in the slice", id.port));
    };
    let Some(port) = ports.find(|port| *port.protocol == *id.protocol.to_string()) else {
        return Err(format!("port \"{}\" is {} in the slice, not {}", id.port, first.protocol, id.protocol));
    };
    let Some(number) = port.number else {
        return Err(format!("port \"{}\" has no number in the slice", id.port));
    };
    u16::try_from(number)
        .ok()
        .filter(|&number| number != 0)
        .ok_or_else(|| format!("port number {number} is not in 1 to 65535"))
}

fn endpoint_address(listed: &Listed, family: Family) -> Result<IpAddr, String> {
    let address = listed.address.as_ref().copied().map_err(|_| "not an IP address".to_owned())?;
    if Family::of(address) != family {
        return Err(format!("not an {family} address, and the slice is of {family}"));
    }
    match unusable(address) {
        Some(reason) => Err(reason.to_owned()),
        None => Ok(address),
    }
}

fn candidate<'a>(listed: &'a Listed, address: SocketAddr, node_name: &str) -> Candidate<'a> {
    let hints = listed.hints.as_deref();
    Candidate {
        address,
        condition: listed.condition,
        remote: listed.node.as_deref() != Some(node_name),
        node: listed.node.as_deref(),
        node_hints: hints.iter().flat_map(|hints| hints.nodes.iter().map(AsRef::as_ref)).collect(),
        zone_hints: hints.iter().flat_map(|hints| hints.zones.iter().map(AsRef::as_ref)).collect(),
    }
}

fn text(listed: &Listed) -> String {
    listed.address.as_ref().map_or_else(ToString::to_string, ToString::to_string)
}

fn leave_all_out(slice: &Slice, reason: &str, left_out: &mut Vec<LeftOut>) {
    let all = slice.endpoints.iter();
    left_out.extend(all.map(|listed| LeftOut { endpoint: text(listed), reason: reason.to_owned() }));
}
