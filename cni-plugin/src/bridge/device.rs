//! The bridge of a network: made on first use, then only looked at.
//!
//! One link and its addresses are read per ADD; nothing is written when it is right already. It is
//! shared by all attachments and by other programs (its name is the field's contract), so it is made
//! and corrected, never removed by DEL.

use crate::attach::addressing::Addressing;
use crate::attach::{forwarding, kernel_error, random_mac};
use crate::config::NetworkConfig;
use crate::crash;
use crate::types::{CniError, ErrorCode};
use ipnetwork::IpNetwork;
use netstate::{Address, Bridge, Kernel, Link, LinkChange, LinkKind, NewLink, NewLinkKind, Op, sysctl};

/// The bridge, up; made if it was not there.
pub(super) fn ensure(
    kernel: &mut Kernel,
    config: &NetworkConfig,
    mtu: Option<u32>,
) -> Result<Link, CniError> {
    let name = config.bridge.as_str();
    let link = match find(kernel, name)? {
        Some(link) => link,
        None => make(kernel, name, mtu)?,
    };
    if !matches!(link.kind, LinkKind::Bridge(_)) {
        let msg = format!("the link {name} exists and is not a bridge");
        let details =
            format!("set \"bridge\" in the network's file to another name, or `ip link delete {name}`");
        return Err(CniError::new(ErrorCode::Conflict, msg, details));
    }
    let change = LinkChange {
        up: (!link.up).then_some(true),
        promiscuous: (config.promisc && !link.promiscuous).then_some(true),
        ..LinkChange::of(name)
    };
    if change != LinkChange::of(name) {
        kernel.apply_all(&[Op::ChangeLink(change)]).map_err(kernel_error(format!("bridge {name}")))?;
        crash::point("bridge: it is up");
    }
    Ok(link)
}

fn find(kernel: &mut Kernel, name: &str) -> Result<Option<Link>, CniError> {
    kernel.route.link(name).map_err(kernel_error(format!("bridge {name}")))
}

fn make(kernel: &mut Kernel, name: &str, mtu: Option<u32>) -> Result<Link, CniError> {
    // With a MAC of its own from the start: a bridge without one takes its lowest port's, which changes
    // as pods come and go, and every pod's neighbour entry of the gateway is wrong then.
    let link = NewLink {
        mac: Some(random_mac()?),
        mtu,
        up: true,
        ..NewLink::of(name, NewLinkKind::Bridge(Bridge::default()))
    };
    let alias = LinkChange { alias: Some(netstate::owned_alias("cni", name)), ..LinkChange::of(name) };
    match kernel.apply_all(&[Op::AddLink(link), Op::ChangeLink(alias)]) {
        // Another ADD was quicker.
        Err(error) if error.errno() == Some(libc::EEXIST) => {}
        made => made.map_err(kernel_error(format!("bridge {name}")))?,
    }
    crash::point("bridge: it is made");
    // We own the routes of this link; a router's advertisement must not add any. No IPv6: no such key.
    let _ = sysctl::write(&format!("net/ipv6/conf/{name}/accept_ra"), "0");
    find(kernel, name)?.ok_or_else(|| {
        let msg = format!("bridge {name} was deleted while it was being made");
        CniError::new(ErrorCode::TryAgainLater, msg, "find what deletes it; trying again makes it anew")
    })
}

/// The gateway's addresses, on the bridge; forwarding of their families.
pub(super) fn ensure_gateway(
    kernel: &mut Kernel,
    config: &NetworkConfig,
    bridge: &Link,
    addressing: &Addressing,
) -> Result<(), CniError> {
    if addressing.bridge_addresses.is_empty() {
        return Ok(());
    }
    let name = config.bridge.as_str();
    let present = kernel.route.addresses_of(bridge).map_err(kernel_error(format!("addresses of {name}")))?;
    let mut ops = Vec::new();
    for wanted in &addressing.bridge_addresses {
        ops.extend(address_ops(name, &present, *wanted, config.force_address)?);
    }
    if !ops.is_empty() {
        // The same MAC again marks it as chosen: see `make`; this bridge may be somebody else's.
        ops.push(Op::ChangeLink(LinkChange { mac: bridge.mac, ..LinkChange::of(name) }));
        kernel.apply_all(&ops).map_err(kernel_error(format!("addresses of {name}")))?;
        crash::point("bridge: it has the gateway's address");
    }
    forwarding::enable(addressing.bridge_addresses.iter().map(|net| net.ip()))
}

/// What makes one address be there, by the reference plugin's rule: IPv4 has one address; IPv6 several,
/// whose subnets do not overlap.
fn address_ops(
    bridge: &str,
    present: &[Address],
    wanted: IpNetwork,
    force: bool,
) -> Result<Vec<Op>, CniError> {
    let same_family = |a: &&Address| a.net.is_ipv4() == wanted.is_ipv4() && !a.link_scope;
    if present.iter().filter(same_family).any(|a| a.net == wanted) {
        return Ok(Vec::new());
    }
    let overlaps =
        |a: &&Address| wanted.is_ipv4() || a.net.contains(wanted.ip()) || wanted.contains(a.net.ip());
    let in_the_way: Vec<&Address> = present.iter().filter(same_family).filter(overlaps).collect();
    if let (Some(other), false) = (in_the_way.first(), force) {
        let msg = format!("{bridge:?} already has an IP address different from {wanted}: {}", other.net);
        let details = format!(
            "if {} is of an earlier subnet of this node, delete it with `ip addr delete {} dev {bridge}` \
             or set \"forceAddress\": true in the network's file",
            other.net, other.net
        );
        return Err(CniError::new(ErrorCode::Conflict, msg, details));
    }
    let mut ops: Vec<Op> = in_the_way.into_iter().cloned().map(Op::DeleteAddress).collect();
    ops.push(Op::AddAddress(Address { broadcast: true, ..Address::of(bridge, wanted) }));
    Ok(ops)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ops(present: &[&str], wanted: &str, force: bool) -> Result<Vec<String>, CniError> {
        let present: Vec<Address> = present.iter().map(|a| Address::of("cni0", a.parse().unwrap())).collect();
        let ops = address_ops("cni0", &present, wanted.parse().unwrap(), force)?;
        Ok(ops.iter().map(|op| format!("{op:?}").split('(').next().unwrap_or_default().to_string()).collect())
    }

    #[test]
    fn the_right_address_is_left_alone_and_a_missing_one_added() {
        assert!(ops(&["10.1.0.1/24"], "10.1.0.1/24", false).unwrap().is_empty());
        assert_eq!(ops(&[], "10.1.0.1/24", false).unwrap(), ["AddAddress"]);
        assert_eq!(ops(&["10.1.0.1/24"], "fd00::1/64", false).unwrap(), ["AddAddress"]);
        assert_eq!(ops(&["fd01::1/64"], "fd00::1/64", false).unwrap(), ["AddAddress"]);
    }

    #[test]
    fn a_different_address_is_refused_with_both_named_or_replaced() {
        for (present, wanted) in
            [("10.2.0.1/24", "10.1.0.1/24"), ("10.1.0.1/16", "10.1.0.1/24"), ("fd00::2/64", "fd00::1/64")]
        {
            let error = ops(&[present], wanted, false).unwrap_err();
            assert_eq!(error.code, 102);
            assert!(error.msg.contains(present) && error.msg.contains(wanted), "{error}");
            assert!(error.details.contains("forceAddress"), "{error}");
            assert_eq!(ops(&[present], wanted, true).unwrap(), ["DeleteAddress", "AddAddress"]);
        }
    }
}
