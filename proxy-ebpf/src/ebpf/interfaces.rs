//! Which interfaces get the packet programs, and what SNAT takes there. Pure.
//!
//! The node's own interfaces are those with an address of more than the link: uplinks, bridges with pods behind them,
//! tunnels. A veth without an address is a pod's cable, and a bridge's port is the bridge's affair.

use std::net::IpAddr;

use netstate::{Address, LinkKind, State};
use weft_proxy_abi as abi;

use super::row::address;

/// An interface that gets the programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub dev: String,
    /// Packets have an Ethernet header here.
    pub ethernet: bool,
    /// What the programs shall know of it.
    pub value: abi::Interface,
}

/// How interfaces are told apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Only these; empty for all of the node's own.
    pub names: Vec<String>,
    /// Pods are behind the bridge of this name (`--pod-bridge-interface`).
    pub pod_bridge: Option<String>,
    /// Pods are behind interfaces whose names begin so (`--pod-interface-name-prefix`).
    pub pod_prefix: Option<String>,
}

/// The interfaces, by index.
pub fn attachments(state: &State, chosen: &Chosen, node: &[IpAddr]) -> Vec<Attachment> {
    let own = state.links.iter().filter(|link| !link.loopback && link.master.is_none());
    own.filter_map(|link| {
        let addresses: Vec<&Address> =
            state.addresses.iter().filter(|a| a.dev == link.name && !a.link_scope).collect();
        let named = chosen.names.iter().any(|name| **name == *link.name);
        if !named && (!chosen.names.is_empty() || addresses.is_empty()) {
            return None;
        }
        let inside = match (&chosen.pod_bridge, &chosen.pod_prefix) {
            (None, None) => matches!(link.kind, LinkKind::Bridge(_)),
            (bridge, prefix) => {
                bridge.as_deref() == Some(&*link.name)
                    || prefix.as_deref().is_some_and(|prefix| link.name.starts_with(prefix))
            }
        };
        // A tunnel without an address of a family takes the node's.
        let of = |v4: bool| {
            let here = addresses.iter().map(|a| a.net.ip()).find(|ip| ip.is_ipv4() == v4);
            here.or_else(|| node.iter().copied().find(|ip| ip.is_ipv4() == v4)).map_or([0; 16], address)
        };
        let flags = if inside { abi::INSIDE } else { 0 };
        Some(Attachment {
            index: link.index,
            dev: link.name.to_string(),
            ethernet: link.mac.is_some(),
            value: abi::Interface { v4: of(true), v6: of(false), flags, zero: 0 },
        })
    })
    .collect()
}
