//! The `bandwidth` plugin: limits what a container receives and sends, behind a plugin that made it a veth.
//!
//! ```text
//!            host                                              container
//!  ─► veth, root 1: tbf (ingressRate) ──────────────────────────► eth0
//!  ◄─ ifb bwp…, root 1: tbf (egressRate) ◄─ redirect ─ veth, ingress ffff: ◄─ eth0
//! ```
//!
//! A qdisc limits what leaves a device. What the container receives leaves the veth; what it sends comes in
//! there, so it is redirected to an ifb, out of which it leaves a second time. Names, qdiscs and numbers are the
//! reference's ([`rates`]). Nothing that grows with the node is listed but by GC.

mod attached;
mod config;
mod kernel_options;
mod rates;
mod shape;

use crate::attach::compare::differs;
use crate::attach::links::{LinkOwner, alias_prefix};
use crate::attach::{kernel_error, random_mac};
use crate::caller::Cache;
use crate::crash;
use crate::plugin::{Call, Plugin};
use crate::types::{Attachment, CniError, CniResult, Interface};
use attached::{Record, RecordFile, ifb_name};
use config::{Limit, Limits, Subnets};
use netstate::tc::{Handle, Hook, Qdisc, Verdict};
use netstate::{Kernel, Link, LinkKind, NewLink, NewLinkKind, Op};
use std::collections::HashSet;

/// The plugin.
pub(crate) struct Bandwidth;

/// Packets that may wait at an ifb: what its own length is at least, as in newer releases of the reference.
const IFB_QUEUE: u32 = 1000;
/// Where libcni keeps results.
const CACHE_DIR: &str = "/var/lib/cni";

/// Operations that belong together: the first makes the object, and `undo` unmakes it.
struct Step {
    object: String,
    ops: Vec<Op>,
    undo: Op,
    done: &'static str,
}

impl Plugin for Bandwidth {
    fn add(&self, call: &Call) -> Result<CniResult, CniError> {
        let limits = Limits::read(call)?;
        let mut result = call.required_previous()?.clone();
        let Some(limits) = limits else { return Ok(result) };
        let mut kernel = host_kernel()?;
        let host = attached::host_link(&mut kernel, call, &result)?;
        refuse_others(&mut kernel, &host, &limits)?;
        let ifb = limits.egress.map(|_| new_ifb(call, &host)).transpose()?;
        let record = RecordFile::of(call, &attached::attachment(call))?;
        let known = record.read()?.is_some();
        let Attachment { container_id, ifname } = attached::attachment(call);
        record.write(&Record {
            container_id,
            ifname,
            ifb: ifb.as_ref().map(|ifb| ifb.name.to_string()),
            host: host.name.to_string(),
            host_index: host.index,
            root: limits.ingress.is_some(),
        })?;
        crash::point("bandwidth: what is going to be made is recorded");
        if let Err(error) = make(&mut kernel, steps(&host, ifb.as_ref(), &limits)) {
            // An attachment that was there before this call keeps its record.
            if !known {
                let _ = record.remove();
            }
            return Err(error);
        }
        let mac = |ifb: &NewLink| ifb.mac.map(|mac| mac.to_string()).unwrap_or_default();
        let interface =
            |ifb: NewLink| Interface { name: ifb.name.to_string(), mac: mac(&ifb), ..Interface::default() };
        result.interfaces.extend(ifb.map(interface));
        Ok(result)
    }

    fn del(&self, call: &Call) -> Result<(), CniError> {
        remove(&mut host_kernel()?, call, &attached::attachment(call))
    }

    fn check(&self, call: &Call) -> Result<(), CniError> {
        let limits = Limits::read(call)?;
        let previous = call.required_previous()?;
        let Some(limits) = limits else { return Ok(()) };
        let mut kernel = host_kernel()?;
        let host = attached::host_link(&mut kernel, call, previous)?;
        if let Some(limit) = limits.ingress {
            shape::check(&mut kernel, &host, limit, &limits.subnets)?;
        }
        match limits.egress {
            Some(limit) => check_egress(&mut kernel, call, &host, limit, &limits.subnets),
            None => Ok(()),
        }
    }

    fn gc(&self, call: &Call) -> Result<(), CniError> {
        let valid = call.valid_attachments()?;
        let mut kernel = host_kernel()?;
        let stale = attached::recorded(call)?.into_iter().filter(|recorded| !valid.contains(recorded));
        // All are tried; the first failure is reported.
        let removed: Vec<_> = stale.map(|attachment| remove(&mut kernel, call, &attachment)).collect();
        let swept = sweep(&mut kernel, call, &valid);
        removed.into_iter().chain([swept]).collect()
    }

    fn status(&self, call: &Call) -> Result<(), CniError> {
        let limits = Limits::read(call)?;
        attached::can_record(call)?;
        kernel_options::available(limits.is_some_and(|limits| limits.subnets != Subnets::All))
    }
}

fn host_kernel() -> Result<Kernel, CniError> {
    Kernel::open().map_err(kernel_error("the host's network namespace"))
}

/// What hangs at the host's end already is not ours to replace, nor, after it is recorded, for DEL to delete.
fn refuse_others(kernel: &mut Kernel, host: &Link, limits: &Limits) -> Result<(), CniError> {
    let hooks = [(Hook::Root, limits.ingress.is_some()), (Hook::Ingress, limits.egress.is_some())];
    for (hook, _) in hooks.into_iter().filter(|(_, needed)| *needed) {
        if let Some(found) = kernel.route.qdisc_of(host, hook).map_err(kernel_error(&host.name))? {
            return Err(kernel_options::taken(&host.name, format!("it has the qdisc {found}")));
        }
    }
    Ok(())
}

fn new_ifb(call: &Call, host: &Link) -> Result<NewLink, CniError> {
    let name = ifb_name(&call.name, &call.invocation.container_id);
    Ok(NewLink {
        mac: Some(random_mac()?),
        mtu: Some(host.mtu),
        up: true,
        alias: Some(LinkOwner::of(call).alias()),
        txqlen: Some(host.txqlen.max(IFB_QUEUE)),
        ..NewLink::of(name, NewLinkKind::Ifb)
    })
}

/// In an order in which no packet passes unlimited or is redirected to nowhere.
fn steps(host: &Link, ifb: Option<&NewLink>, limits: &Limits) -> Vec<Step> {
    let mut steps = Vec::new();
    if let (Some(ifb), Some(limit)) = (ifb, limits.egress) {
        let mut ops = vec![Op::AddLink(ifb.clone())];
        ops.extend(shape::ops(&ifb.name, limit, &limits.subnets));
        let undo = Op::DeleteLink(ifb.name.clone());
        steps.push(Step { object: ifb.name.to_string(), ops, undo, done: "bandwidth: the ifb limits" });
        let redirect = kernel_options::redirection(&host.name, &ifb.name);
        steps.push(Step {
            object: host.name.to_string(),
            ops: vec![Op::AddQdisc(Qdisc::ingress(host.name.clone())), Op::AddFilter(redirect)],
            undo: Op::DeleteQdisc { dev: host.name.clone(), hook: Hook::Ingress },
            done: "bandwidth: what the container sends goes to the ifb",
        });
    }
    if let Some(limit) = limits.ingress {
        steps.push(Step {
            object: host.name.to_string(),
            ops: shape::ops(&host.name, limit, &limits.subnets),
            undo: Op::DeleteQdisc { dev: host.name.clone(), hook: Hook::Root },
            done: "bandwidth: the host's end limits",
        });
    }
    steps
}

/// Does all steps, or none: what was made is undone backwards, and what others made stays.
fn make(kernel: &mut Kernel, steps: Vec<Step>) -> Result<(), CniError> {
    let mut undo = Vec::new();
    for step in steps {
        for (at, op) in step.ops.iter().enumerate() {
            if let Err(error) = kernel.apply_all(std::slice::from_ref(op)) {
                undo.reverse();
                // The first error is the one to report; what cannot be undone here, DEL undoes.
                let _ = kernel.apply(&undo);
                return Err(kernel_options::refused(op, &step.object, error));
            }
            if at == 0 {
                undo.push(step.undo.clone());
                crash::point("bandwidth: a part of it is made");
            }
        }
        crash::point(step.done);
    }
    Ok(())
}

/// Removes what an attachment has, as its record tells, or by the name of its ifb.
fn remove(kernel: &mut Kernel, call: &Call, attachment: &Attachment) -> Result<(), CniError> {
    let Attachment { container_id, ifname } = attachment;
    let file = RecordFile::of(call, attachment)?;
    let record = file.read()?;
    if let Some(record) = &record {
        let host = kernel.route.link(&record.host).map_err(kernel_error(&record.host))?;
        if let Some(host) = host.filter(|host| host.index == record.host_index) {
            let delete = |hook| Op::DeleteQdisc { dev: host.name.clone(), hook };
            let mut ops = Vec::new();
            ops.extend(record.ifb.is_some().then(|| delete(Hook::Ingress)));
            ops.extend(record.root.then(|| delete(Hook::Root)));
            kernel.apply_all(&ops).map_err(kernel_error(&host.name))?;
            crash::point("bandwidth: the host's end is as it was");
        }
    }
    let name = ifb_name(&call.name, container_id);
    let alias = LinkOwner { network: &call.name, container_id, ifname }.alias();
    let link = kernel.route.link(&name).map_err(kernel_error(&name))?;
    // One of another interface of the same container has its alias; the reference's has none.
    let is_its = |link: &Link| link.alias.as_ref().is_none_or(|found| *found == alias);
    if link.is_some_and(|link| is_ifb(&link) && is_its(&link)) {
        kernel.apply_all(&[Op::DeleteLink(name.as_str().into())]).map_err(kernel_error(&name))?;
        crash::point("bandwidth: the ifb is deleted");
    }
    file.remove()?;
    crash::point("bandwidth: the record is removed");
    Ok(())
}

fn is_ifb(link: &Link) -> bool {
    link.kind == LinkKind::Other("ifb".into())
}

/// Deletes ifbs of this network that no record tells of: ours by their alias; the reference's, which have only a
/// name, where libcni's cache still knows whose they were.
fn sweep(kernel: &mut Kernel, call: &Call, valid: &[Attachment]) -> Result<(), CniError> {
    let alias = |a: &Attachment| {
        LinkOwner { network: &call.name, container_id: &a.container_id, ifname: &a.ifname }.alias()
    };
    let aliases: HashSet<String> = valid.iter().map(alias).collect();
    let names: HashSet<String> = valid.iter().map(|a| ifb_name(&call.name, &a.container_id)).collect();
    let cached = Cache::new(CACHE_DIR.into()).attachments().unwrap_or_default();
    let known: HashSet<String> = cached
        .iter()
        .filter(|cached| cached.network == call.name)
        .map(|cached| ifb_name(&call.name, &cached.attachment.container_id))
        .collect();
    let prefix = alias_prefix(&call.name);
    let is_stale = |link: &Link| match &link.alias {
        Some(alias) => alias.starts_with(&prefix) && !aliases.contains(alias),
        None => known.contains(&*link.name) && !names.contains(&*link.name),
    };
    let links = kernel.route.links().map_err(kernel_error("links"))?;
    let stale = links.into_iter().filter(|link| is_ifb(link) && is_stale(link));
    let ops: Vec<Op> = stale.map(|link| Op::DeleteLink(link.name)).collect();
    kernel.apply(&ops).into_iter().collect::<Result<(), _>>().map_err(kernel_error("stale ifb"))
}

/// The ifb limits, and all that the container sends goes there.
fn check_egress(
    kernel: &mut Kernel,
    call: &Call,
    host: &Link,
    limit: Limit,
    subnets: &Subnets,
) -> Result<(), CniError> {
    let name = ifb_name(&call.name, &call.invocation.container_id);
    let ifb = kernel.route.link(&name).map_err(kernel_error(&name))?;
    let ifb = ifb.filter(is_ifb).ok_or_else(|| differs(&name, "the ifb does not exist"))?;
    if !ifb.up {
        return Err(differs(&name, "the ifb is down"));
    }
    shape::check(kernel, &ifb, limit, subnets)?;
    let targets = std::slice::from_ref(&ifb);
    let object = format!("filters of {}", host.name);
    // Where no ingress qdisc is, the list is refused.
    let qdisc = kernel.route.qdisc_of(host, Hook::Ingress).map_err(kernel_error(&object))?;
    let filters = match qdisc {
        None => Vec::new(),
        Some(_) => {
            kernel.route.filters_of(host, Handle::INGRESS_QDISC, targets).map_err(kernel_error(&object))?
        }
    };
    let wanted = Verdict::Redirect(ifb.name.clone());
    match filters.iter().any(|filter| filter.verdict == wanted) {
        true => Ok(()),
        false => Err(differs(&host.name, format!("what the container sends does not go to {name}"))),
    }
}
