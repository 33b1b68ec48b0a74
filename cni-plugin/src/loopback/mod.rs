//! The `loopback` plugin: brings `lo` up, in the container's namespace. CNI_IFNAME does not matter.

use crate::attach::compare::differs;
use crate::attach::{kernel_error, pod};
use crate::plugin::{Call, Plugin};
use crate::types::{CniError, CniResult, ErrorCode, Interface, IpConfig};
use netstate::{Kernel, Link, LinkChange, NetNs, Op};

const LO: &str = "lo";

/// The plugin.
pub(crate) struct Loopback;

fn kernel_of(netns: &NetNs) -> Result<Kernel, CniError> {
    Kernel::open_in(netns).map_err(kernel_error("network namespace of the container"))
}

fn link(kernel: &mut Kernel) -> Result<Link, CniError> {
    kernel.route.link(LO).map_err(kernel_error(LO))?.ok_or_else(|| {
        let details = "look at the kernel's log: every network namespace has one";
        CniError::new(ErrorCode::Kernel, "the container has no lo", details)
    })
}

fn set(kernel: &mut Kernel, up: bool) -> Result<(), CniError> {
    let change = LinkChange { up: Some(up), ..LinkChange::of(LO) };
    kernel.apply_all(&[Op::ChangeLink(change)]).map_err(kernel_error("lo in the container"))
}

impl Plugin for Loopback {
    fn add(&self, call: &Call) -> Result<CniResult, CniError> {
        let netns = pod::open(&call.invocation.netns)?;
        let mut kernel = kernel_of(&netns)?;
        set(&mut kernel, true)?;
        let link = link(&mut kernel)?;
        let mut addresses = kernel.route.addresses_of(&link).map_err(kernel_error(LO))?;
        if let Some(other) = addresses.iter().find(|a| !a.net.ip().is_loopback()) {
            let msg =
                format!("lo in the container has the address {}, which is no loopback address", other.net);
            return Err(CniError::new(ErrorCode::Conflict, msg, "find what gave it to lo"));
        }
        if let Some(previous) = &call.previous {
            return Ok(previous.clone());
        }
        addresses.sort_by_key(|a| a.net.is_ipv6());
        addresses.dedup_by_key(|a| a.net.is_ipv6());
        let ip = |a: netstate::Address| IpConfig { interface: Some(0), address: a.net, gateway: None };
        let lo = Interface {
            name: LO.into(),
            mac: "00:00:00:00:00:00".into(),
            sandbox: call.invocation.netns.clone(),
            ..Interface::default()
        };
        let ips = addresses.into_iter().map(ip).collect();
        Ok(CniResult { interfaces: vec![lo], ips, ..CniResult::default() })
    }

    fn del(&self, call: &Call) -> Result<(), CniError> {
        match pod::open_for_del(&call.invocation.netns)? {
            Some(netns) => set(&mut kernel_of(&netns)?, false),
            None => Ok(()),
        }
    }

    fn check(&self, call: &Call) -> Result<(), CniError> {
        let netns = pod::open(&call.invocation.netns)?;
        match link(&mut kernel_of(&netns)?)?.up {
            true => Ok(()),
            false => Err(differs("lo in the container", "it is down")),
        }
    }

    /// Nothing is kept outside of the container's namespace.
    fn gc(&self, call: &Call) -> Result<(), CniError> {
        call.valid_attachments().map(|_| ())
    }

    fn status(&self, _: &Call) -> Result<(), CniError> {
        Ok(())
    }
}
