//! The gateway's addresses on the bridge, by the reference plugin's rule: IPv4 has one address; IPv6 several, whose
//! subnets do not overlap.
//!
//! A node that got another subnet (its lease ran out, it was reset and joined again) has a bridge with the address
//! of the earlier one, and the reference refuses every pod from then on. Here the bridge gets the new address
//! while no container is on it; with containers, which would lose their gateway, the error names them.

use crate::attach::addressing::Addressing;
use crate::attach::{forwarding, kernel_error};
use crate::config::{Ipam, NetworkConfig};
use crate::crash;
use crate::ipam;
use crate::types::{CniError, ErrorCode};
use ipnetwork::IpNetwork;
use netstate::{Address, Kernel, Link, LinkChange, Op};

/// How many containers an error names.
const NAMED: usize = 10;

/// What an ADD did to the addresses of a bridge where it took one away, in its order.
#[derive(Default)]
pub(super) struct Replaced(Vec<Op>);

impl Replaced {
    /// Gives the bridge its earlier addresses back, unless there is a container on it by now: of another ADD, whose
    /// gateway is the new address.
    pub fn give_back(&self, kernel: &mut Kernel, bridge: &str) {
        let backwards = self.0.iter().rev().filter_map(|op| match op {
            Op::DeleteAddress(address) => Some(Op::AddAddress(address.clone())),
            Op::AddAddress(address) => Some(Op::DeleteAddress(address.clone())),
            _ => None,
        });
        let ops: Vec<Op> = backwards.collect();
        if !ops.is_empty() && ports(kernel, bridge).is_ok_and(|ports| ports.is_empty()) {
            // Each by itself: the ADD may have failed between them. Its error is the one to report.
            drop(kernel.apply(&ops));
        }
    }
}

/// The gateway's addresses, on the bridge; forwarding of their families. Tells what it replaces before it does.
pub(super) fn ensure(
    kernel: &mut Kernel,
    config: &NetworkConfig,
    bridge: &Link,
    addressing: &Addressing,
    replaced: &mut Replaced,
) -> Result<(), CniError> {
    if addressing.bridge_addresses.is_empty() {
        return Ok(());
    }
    let name = config.bridge.as_str();
    let present = kernel.route.addresses_of(bridge).map_err(kernel_error(format!("addresses of {name}")))?;
    let mut ops = Vec::new();
    for wanted in &addressing.bridge_addresses {
        let in_the_way = in_the_way(&present, *wanted);
        if !in_the_way.is_empty() && !config.force_address {
            may_be_replaced(kernel, config, bridge, addressing, *wanted, in_the_way[0].net)?;
        }
        ops.extend(address_ops(name, &present, *wanted));
    }
    if ops.iter().any(|op| matches!(op, Op::DeleteAddress(_))) {
        replaced.0.clone_from(&ops);
    }
    if !ops.is_empty() {
        // The same MAC again marks it as chosen: see `device::make`; this bridge may be somebody else's.
        ops.push(Op::ChangeLink(LinkChange { mac: bridge.mac, ..LinkChange::of(name) }));
        kernel.apply_all(&ops).map_err(kernel_error(format!("addresses of {name}")))?;
        crash::point("bridge: it has the gateway's address");
    }
    forwarding::enable(addressing.bridge_addresses.iter().map(|net| net.ip()))
}

/// Addresses that cannot be there beside the wanted one; none where it is there already.
fn in_the_way(present: &[Address], wanted: IpNetwork) -> Vec<&Address> {
    let same_family = |a: &&Address| a.net.is_ipv4() == wanted.is_ipv4() && !a.link_scope;
    if present.iter().filter(same_family).any(|a| a.net == wanted) {
        return Vec::new();
    }
    let overlaps =
        |a: &&Address| wanted.is_ipv4() || a.net.contains(wanted.ip()) || wanted.contains(a.net.ip());
    present.iter().filter(same_family).filter(overlaps).collect()
}

/// What makes one address be there.
fn address_ops(bridge: &str, present: &[Address], wanted: IpNetwork) -> Vec<Op> {
    if present.iter().any(|a| a.net == wanted) {
        return Vec::new();
    }
    let mut ops: Vec<Op> = in_the_way(present, wanted).into_iter().cloned().map(Op::DeleteAddress).collect();
    ops.push(Op::AddAddress(Address { broadcast: true, ..Address::of(bridge, wanted) }));
    ops
}

/// Refuses unless the bridge is a container network's and nobody is on it. Lists the node's links, in this one case.
fn may_be_replaced(
    kernel: &mut Kernel,
    config: &NetworkConfig,
    bridge: &Link,
    addressing: &Addressing,
    wanted: IpNetwork,
    other: IpNetwork,
) -> Result<(), CniError> {
    let name = config.bridge.as_str();
    let ports = ports(kernel, name).map_err(kernel_error(format!("addresses of {name}")))?;
    // Any other name may be a bridge that its owner gave this address for a reason.
    let is_ours = name == "cni0" || bridge.alias == Some(netstate::owned_alias("cni", name));
    if ports.is_empty() && is_ours {
        return Ok(());
    }
    let msg = format!("{name:?} already has an IP address different from {wanted}: {other}");
    let by_hand = format!(
        "delete it with `ip addr delete {other} dev {name}` or set \"forceAddress\": true in the network's file"
    );
    let details = match ports.is_empty() {
        true => format!("the bridge is not ours; if {other} is of an earlier subnet of this node, {by_hand}"),
        false => format!(
            "{other} is the gateway of what is on the bridge: {}; delete these pods, and the next one gets the bridge \
             a new address, or {by_hand}",
            on_the_bridge(config, addressing, &ports, other)
        ),
    };
    Err(CniError::new(ErrorCode::Conflict, msg, details))
}

/// The ports of a bridge, out of all of the node's links.
fn ports(kernel: &mut Kernel, bridge: &str) -> netstate::Result<Vec<Link>> {
    let mut links = kernel.route.links()?;
    let index = links.iter().find(|link| *link.name == *bridge).map(|link| link.index);
    links.retain(|link| index.is_some() && link.master == index);
    Ok(links)
}

/// Containers by our alias, else ports by name; and who has an address of the earlier subnet.
fn on_the_bridge(
    config: &NetworkConfig,
    addressing: &Addressing,
    ports: &[Link],
    other: IpNetwork,
) -> String {
    let container = |link: &Link| {
        let owner = link.alias.as_deref()?.strip_prefix("weft:cni:")?;
        let (rest, ifname) = owner.rsplit_once('/')?;
        let (_, container_id) = rest.rsplit_once('/')?;
        Some((container_id.to_owned(), ifname.to_owned()))
    };
    let known: Vec<(String, String)> = ports.iter().filter_map(container).collect();
    let mut names: Vec<String> =
        known.iter().map(|(id, ifname)| format!("container {id} ({ifname})")).collect();
    names.extend(
        ports.iter().filter(|link| container(link).is_none()).map(|link| format!("port {}", link.name)),
    );
    if let Ipam::HostLocal(block) = &config.ipam {
        let reserved = ipam::reservations(&block.data_dir.join(&config.name)).into_iter();
        let earlier = reserved.filter(|r| other.contains(r.ip) && !addressing.taken.contains(&r.ip));
        let untold = earlier.filter(|r| !known.iter().any(|(id, _)| *id == r.key.container_id));
        names.extend(untold.map(|r| format!("container {} with {}", r.key.container_id, r.ip)));
    }
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    match more {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(present: &[&str], wanted: &str) -> Vec<String> {
        let present: Vec<Address> = present.iter().map(|a| Address::of("cni0", a.parse().unwrap())).collect();
        let ops = address_ops("cni0", &present, wanted.parse().unwrap());
        ops.iter().map(|op| format!("{op:?}").split('(').next().unwrap_or_default().to_string()).collect()
    }

    #[test]
    fn the_right_address_is_left_alone_and_a_missing_one_added() {
        assert!(ops(&["10.1.0.1/24"], "10.1.0.1/24").is_empty());
        assert_eq!(ops(&[], "10.1.0.1/24"), ["AddAddress"]);
        assert_eq!(ops(&["10.1.0.1/24"], "fd00::1/64"), ["AddAddress"]);
        assert_eq!(ops(&["fd01::1/64"], "fd00::1/64"), ["AddAddress"]);
    }

    #[test]
    fn a_different_address_is_replaced() {
        for (present, wanted) in
            [("10.2.0.1/24", "10.1.0.1/24"), ("10.1.0.1/16", "10.1.0.1/24"), ("fd00::2/64", "fd00::1/64")]
        {
            assert_eq!(ops(&[present], wanted), ["DeleteAddress", "AddAddress"]);
        }
    }
}
