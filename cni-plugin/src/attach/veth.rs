//! The veth pair of an attachment: made, waited for, deleted.
//!
//! Deleting the host's end takes the container's with it. A container that a reference plugin attached has
//! another name there: its end is deleted in its namespace. The kernel waits for readers of the link
//! (25 ms), which is nearly all that a DEL costs.

use super::links::LinkOwner;
use super::{kernel_error, pod, random_mac, running};
use crate::crash;
use crate::plugin::Call;
use crate::types::{CniError, ErrorCode, Interface};
use netstate::{
    BridgePort, DevName, Kernel, Link, LinkChange, LinkKind, Mac, NetNs, NetNsTarget, NewLink, NewLinkKind,
    Op, VethPeer,
};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// A veth pair that is to be made.
pub(crate) struct Pair {
    host: NewLink,
    host_mac: Mac,
    pod_mac: Mac,
    alias: String,
    container: String,
}

impl Pair {
    /// The pair of a call's attachment, with its host's end in a bridge or in none.
    pub fn new(
        call: &Call,
        netns: &NetNs,
        mtu: Option<u32>,
        pod_mac: Option<Mac>,
        bridge: Option<&str>,
    ) -> Result<Self, CniError> {
        let owner = LinkOwner::of(call);
        // Chosen here and not by the kernel, so that neither end needs to be asked for it.
        let (host_mac, pod_mac) = (random_mac()?, pod_mac.map_or_else(random_mac, Ok)?);
        let peer = VethPeer {
            name: call.invocation.ifname.as_str().into(),
            mac: Some(pod_mac),
            mtu,
            netns: Some(NetNsTarget::Fd(netns.as_fd().as_raw_fd())),
        };
        let host = NewLink {
            mac: Some(host_mac),
            mtu,
            up: true,
            master: bridge.map(DevName::from),
            ..NewLink::of(owner.host_name(), NewLinkKind::Veth(peer))
        };
        Ok(Pair { host, host_mac, pod_mac, alias: owner.alias(), container: owner.container_id.to_string() })
    }

    /// The host's end.
    pub fn host(&self) -> &DevName {
        &self.host.name
    }

    /// Makes both ends.
    pub fn make(&self, kernel: &mut Kernel, call: &Call) -> Result<(), CniError> {
        kernel.apply_all(&[Op::AddLink(self.host.clone())]).map_err(|error| match error.errno() {
            Some(libc::EEXIST) => {
                let (container, ifname) = (&self.container, &call.invocation.ifname);
                let msg =
                    format!("container {container} already has {ifname}, or is attached to {}", call.name);
                CniError::new(ErrorCode::Conflict, msg, "call DEL for it first, or use another CNI_IFNAME")
            }
            _ => kernel_error(format!("veth of container {}", self.container))(error),
        })
    }

    /// What the kernel does not take while it makes a link.
    pub fn finish(&self, kernel: &mut Kernel, port: Option<BridgePort>) -> Result<(), CniError> {
        let change =
            LinkChange { alias: Some(self.alias.clone()), port, ..LinkChange::of(self.host.name.clone()) };
        kernel.apply_all(&[Op::ChangeLink(change)]).map_err(kernel_error(format!("veth {}", self.host.name)))
    }

    /// Waits until the host's end is running: the kernel notices a moment after the container's end is up, and
    /// only then a bridge forwards. As the reference plugin does, in finer steps.
    pub fn wait_until_running(&self, kernel: &mut Kernel) -> Result<Link, CniError> {
        let name = &self.host.name;
        const STEPS: u32 = 14; // 0.1, 0.2, 0.4 … 820 ms: 1.6 seconds in all
        for step in 0..STEPS {
            match running::is_running(name)? {
                true => return self.link(kernel),
                false => std::thread::sleep(Duration::from_micros(100 << step)),
            }
        }
        let msg = format!("the veth {name} did not come up within a second, or was deleted meanwhile");
        let details = format!("look at `ip -d link show {name}`, and at the bridge that it is in");
        Err(CniError::new(ErrorCode::Kernel, msg, details))
    }

    /// The host's end as it is.
    pub fn link(&self, kernel: &mut Kernel) -> Result<Link, CniError> {
        let name = &self.host.name;
        let link = kernel.route.link(name).map_err(kernel_error(format!("veth {name}")))?;
        link.ok_or_else(|| {
            let msg = format!("the veth {name} was deleted while it was being made");
            CniError::new(ErrorCode::Kernel, msg, "find what deletes it; trying again makes it anew")
        })
    }

    /// Both ends as a result tells them: the host's, the container's.
    pub fn interfaces(&self, call: &Call, mtu: u32) -> [Interface; 2] {
        let end = |name: &str, mac: Mac, sandbox: &str| Interface {
            name: name.to_string(),
            mac: mac.to_string(),
            mtu: Some(mtu),
            sandbox: sandbox.to_string(),
            ..Interface::default()
        };
        let Call { invocation, .. } = call;
        [end(&self.host.name, self.host_mac, ""), end(&invocation.ifname, self.pod_mac, &invocation.netns)]
    }

    /// Takes both ends away again; the error that made this necessary is the one to report.
    pub fn unmake(&self, kernel: &mut Kernel) {
        let _ = kernel.apply_all(&[Op::DeleteLink(self.host.name.clone())]);
    }
}

/// Deletes the pair of a call's attachment, whoever made it.
pub(crate) fn delete(call: &Call) -> Result<(), CniError> {
    let mut kernel = Kernel::open().map_err(kernel_error("the host's network namespace"))?;
    if delete_host_end(&mut kernel, call)? {
        return Ok(());
    }
    match pod::open_for_del(&call.invocation.netns)? {
        Some(netns) => delete_pod_end(&netns, &call.invocation.ifname),
        None => Ok(()),
    }
}

/// Whether it was there. A link of that name with another owner's alias is left alone.
fn delete_host_end(kernel: &mut Kernel, call: &Call) -> Result<bool, CniError> {
    let owner = LinkOwner::of(call);
    let name = owner.host_name();
    let link = kernel.route.link(&name).map_err(kernel_error(format!("veth {name}")))?;
    let ours = |link: &Link| {
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
