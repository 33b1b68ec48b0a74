//! The candidates of a service port: what its slices list for it, each address and port once.
//!
//! A slice's ports are matched by name to the service's, so each slice may have another port number. As in
//! kube-proxy's `endpointslicecache.go`, only an endpoint's first address counts, `ready` and `serving` hold where
//! nothing is said, and an endpoint that is listed twice is local where either says so. Of two conditions the better
//! one counts.

use crate::{Family, LeftOut, PortId};
use k8s_openapi::api::discovery::v1::{Endpoint as Listed, EndpointPort, EndpointSlice};
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
    slices: &[&'a EndpointSlice],
    node_name: &str,
) -> (Vec<Candidate<'a>>, Vec<LeftOut>) {
    let mut found = Vec::new();
    let mut left_out = Vec::new();
    for slice in slices {
        match family_of(slice) {
            Ok(family) if family != id.family => {}
            Ok(_) => of_slice(id, slice, node_name, &mut found, &mut left_out),
            Err(reason) => leave_all_out(slice, &reason, &mut left_out),
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

fn family_of(slice: &EndpointSlice) -> Result<Family, String> {
    match slice.address_type.as_str() {
        "IPv4" => Ok(Family::V4),
        "IPv6" => Ok(Family::V6),
        other => Err(format!("address type \"{other}\" is neither IPv4 nor IPv6")),
    }
}

fn of_slice<'a>(
    id: &PortId,
    slice: &'a EndpointSlice,
    node_name: &str,
    found: &mut Vec<Candidate<'a>>,
    left_out: &mut Vec<LeftOut>,
) {
    let port = match port_number(id, slice) {
        Ok(port) => port,
        Err(reason) => return leave_all_out(slice, &reason, left_out),
    };
    for listed in slice.endpoints.iter().flatten() {
        let Some(first) = listed.addresses.first() else { continue };
        match endpoint_address(first, id.family) {
            Ok(address) => found.push(candidate(listed, SocketAddr::new(address, port), node_name)),
            Err(reason) => left_out.push(LeftOut { endpoint: format!("{first}:{port}"), reason }),
        }
    }
}

/// The slice's port that has the name and protocol of the service's port.
fn port_number(id: &PortId, slice: &EndpointSlice) -> Result<u16, String> {
    let named = |port: &&EndpointPort| port.name.as_deref().unwrap_or("") == id.port;
    let protocol = |port: &EndpointPort| port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
    let mut ports = slice.ports.iter().flatten().filter(named).peekable();
    let Some(first) = ports.peek().copied() else {
        return Err(format!("port name \"{}\" is not in the slice", id.port));
    };
    let Some(port) = ports.find(|port| protocol(port) == id.protocol.to_string()) else {
        return Err(format!("port \"{}\" is {} in the slice, not {}", id.port, protocol(first), id.protocol));
    };
    let Some(number) = port.port else {
        return Err(format!("port \"{}\" has no number in the slice", id.port));
    };
    u16::try_from(number)
        .ok()
        .filter(|&number| number != 0)
        .ok_or_else(|| format!("port number {number} is not in 1 to 65535"))
}

fn endpoint_address(text: &str, family: Family) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| "not an IP address".to_owned())?;
    if Family::of(address) != family {
        return Err(format!("not an {family} address, and the slice is of {family}"));
    }
    match unusable(address) {
        Some(reason) => Err(reason.to_owned()),
        None => Ok(address),
    }
}

fn candidate<'a>(listed: &'a Listed, address: SocketAddr, node_name: &str) -> Candidate<'a> {
    let said = listed.conditions.as_ref();
    let ready = said.and_then(|c| c.ready).unwrap_or(true);
    let serving = said.and_then(|c| c.serving).unwrap_or(true);
    let terminating = said.and_then(|c| c.terminating).unwrap_or(false);
    let condition = match (ready, terminating, serving) {
        (true, ..) => Condition::Ready,
        (false, true, true) => Condition::ServingTerminating,
        (false, true, false) => Condition::Terminating,
        (false, false, _) => Condition::NotReady,
    };
    let hints = listed.hints.as_ref();
    Candidate {
        address,
        condition,
        remote: listed.node_name.as_deref() != Some(node_name),
        node: listed.node_name.as_deref(),
        node_hints: hints
            .iter()
            .flat_map(|h| h.for_nodes.iter().flatten())
            .map(|n| n.name.as_str())
            .collect(),
        zone_hints: hints
            .iter()
            .flat_map(|h| h.for_zones.iter().flatten())
            .map(|z| z.name.as_str())
            .collect(),
    }
}

fn leave_all_out(slice: &EndpointSlice, reason: &str, left_out: &mut Vec<LeftOut>) {
    let addresses = slice.endpoints.iter().flatten().filter_map(|listed| listed.addresses.first());
    left_out
        .extend(addresses.map(|address| LeftOut { endpoint: address.clone(), reason: reason.to_owned() }));
}
