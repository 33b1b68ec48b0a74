//! DEL: the veth, then the addresses. Everything that is gone already is fine; failures are collected.
//!
//! Deleting the host's end takes the pod's end with it. A pod that the reference plugin attached has
//! another name there: its end is deleted in its namespace. The kernel waits for readers of the link
//! (25 ms), which is nearly all that a DEL costs.

use super::links::LinkOwner;
use super::{Invocation, addressing, kernel_error, pod};
use crate::config::NetworkConfig;
use crate::crash;
use crate::types::CniError;
use netstate::{Kernel, LinkKind, NetNs, Op};

/// Detaches a container.
pub(super) fn del(config: &NetworkConfig, invocation: &Invocation) -> Result<(), CniError> {
    let unlinked = delete_link(config, invocation);
    // While its link is there the container may use its address: nobody else may get it.
    let released = match &unlinked {
        Ok(()) => addressing::release(config, invocation),
        Err(_) => Ok(()),
    };
    unlinked.and(released)
}

fn delete_link(config: &NetworkConfig, invocation: &Invocation) -> Result<(), CniError> {
    let mut kernel = Kernel::open().map_err(kernel_error("the host's network namespace"))?;
    if delete_host_end(&mut kernel, config, invocation)? {
        return Ok(());
    }
    match pod::open_for_del(&invocation.netns)? {
        Some(netns) => delete_pod_end(&netns, &invocation.ifname),
        None => Ok(()),
    }
}

/// Whether it was there. A link of that name with another owner's alias is left alone.
fn delete_host_end(
    kernel: &mut Kernel,
    config: &NetworkConfig,
    invocation: &Invocation,
) -> Result<bool, CniError> {
    let owner = LinkOwner {
        network: &config.name,
        container_id: &invocation.container_id,
        ifname: &invocation.ifname,
    };
    let name = owner.host_name();
    let link = kernel.route.link(&name).map_err(kernel_error(format!("veth {name}")))?;
    let ours = |link: &netstate::Link| {
        link.kind == LinkKind::Veth && link.alias.as_ref().is_none_or(|alias| *alias == owner.alias())
    };
    if !link.as_ref().is_some_and(ours) {
        return Ok(false);
    }
    kernel
        .apply_all(&[Op::DeleteLink(name.as_str().into())])
        .map_err(kernel_error(format!("veth {name}")))?;
    crash::point("del: the veth is gone");
    Ok(true)
}

/// Only a veth: whatever else has the name in there was not made by a plugin like this one.
fn delete_pod_end(netns: &NetNs, ifname: &str) -> Result<(), CniError> {
    let object = || format!("{ifname} in the container");
    let mut kernel = Kernel::open_in(netns).map_err(kernel_error(object()))?;
    let link = kernel.route.link(ifname).map_err(kernel_error(object()))?;
    if link.is_some_and(|link| link.kind == LinkKind::Veth) {
        kernel.apply_all(&[Op::DeleteLink(ifname.into())]).map_err(kernel_error(object()))?;
        crash::point("del: the container's end is gone");
    }
    Ok(())
}
