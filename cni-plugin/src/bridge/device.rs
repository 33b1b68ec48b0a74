//! The bridge of a network: made on first use, then only looked at.
//!
//! One link and its addresses are read per ADD; nothing is written when it is right already. It is
//! shared by all attachments and by other programs (its name is the field's contract), so it is made
//! and corrected, never removed by DEL.

use crate::attach::{kernel_error, random_mac};
use crate::config::NetworkConfig;
use crate::crash;
use crate::types::{CniError, ErrorCode};
use netstate::{Bridge, Kernel, Link, LinkChange, LinkKind, NewLink, NewLinkKind, Op, sysctl};

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
    // Its link-local address is of a MAC that no other has. While it was checked, up to two seconds after the first
    // pod, the bridge could not ask for a neighbour, and what comes for the pod from elsewhere would wait.
    let _ = sysctl::write(&format!("net/ipv6/conf/{name}/accept_dad"), "0");
    find(kernel, name)?.ok_or_else(|| {
        let msg = format!("bridge {name} was deleted while it was being made");
        CniError::new(ErrorCode::TryAgainLater, msg, "find what deletes it; trying again makes it anew")
    })
}
