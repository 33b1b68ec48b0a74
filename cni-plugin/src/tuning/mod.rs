//! The `tuning` plugin: sets sysctls and the link's attributes in a container, behind the plugin that made it.
//!
//! ```text
//!  ADD    backup ► sysctls ► MAC, MTU, promiscuous, all-multicast, queue length
//!  DEL    the link's attributes from the backup (`backup.rs`)
//! ```
//!
//! Cost: one link is read and changed, in one message each; nothing is listed but by GC.

mod backup;
mod config;
mod sysctls;

use crate::attach::compare::differs;
use crate::attach::{kernel_error, pod};
use crate::crash;
use crate::plugin::{Call, Plugin};
use crate::record;
use crate::types::{CniError, CniResult, ErrorCode};
use backup::{Backup, BackupFile};
use config::{Settings, data_dir};
use netstate::{Kernel, Link, LinkChange, NetNs, Op};

/// The plugin.
pub(crate) struct Tuning;

impl Plugin for Tuning {
    fn add(&self, call: &Call) -> Result<CniResult, CniError> {
        let settings = served(call)?;
        let mut result = call.required_previous()?.clone();
        let netns = pod::open(&call.invocation.netns)?;
        set(call, &netns, &settings)?;
        let ifname = &call.invocation.ifname;
        // A host's interface may have the same name.
        for interface in result.interfaces.iter_mut().filter(|i| i.name == *ifname && !i.sandbox.is_empty()) {
            if let Some(mac) = settings.mac {
                interface.mac = mac.to_string();
            }
            interface.mtu = settings.mtu.or(interface.mtu);
        }
        Ok(result)
    }

    fn del(&self, call: &Call) -> Result<(), CniError> {
        let file = BackupFile::of(call, data_dir(&call.raw)?);
        if let (Some(backup), Some(netns)) = (file.read()?, pod::open_for_del(&call.invocation.netns)?) {
            restore(&netns, &call.invocation.ifname, &backup)?;
            crash::point("tuning: the link is as it was");
        }
        file.remove()
    }

    fn check(&self, call: &Call) -> Result<(), CniError> {
        let settings = served(call)?;
        call.required_previous()?;
        let netns = pod::open(&call.invocation.netns)?;
        sysctls::check(&netns, &call.invocation.ifname, &settings.sysctls)?;
        let link = link(&mut inside(&netns)?, &call.invocation.ifname)?;
        let object = format!("{} in the container", call.invocation.ifname);
        compare(&link, &settings).map_err(|why| differs(object, why))
    }

    fn gc(&self, call: &Call) -> Result<(), CniError> {
        let valid = call.valid_attachments()?;
        // All are tried; the first failure is reported.
        let stale = backup::stale(call, data_dir(&call.raw)?, &valid)?;
        let removed: Vec<_> = stale.iter().map(BackupFile::remove).collect();
        removed.into_iter().collect()
    }

    fn status(&self, call: &Call) -> Result<(), CniError> {
        served(call)?;
        record::make_dir(&data_dir(&call.raw)?)
    }
}

/// What is asked for, if all of it is served here.
fn served(call: &Call) -> Result<Settings, CniError> {
    let settings = Settings::read(call)?;
    data_dir(&call.raw)?;
    let ifname = match call.invocation.ifname.as_str() {
        "" => "eth0", // STATUS has none
        ifname => ifname,
    };
    settings.sysctls.keys().try_for_each(|key| sysctls::path_of(key, ifname).map(|_| ()))?;
    if !settings.sysctls.is_empty() {
        sysctls::allowed(settings.sysctls.keys())?;
    }
    Ok(settings)
}

fn inside(netns: &NetNs) -> Result<Kernel, CniError> {
    Kernel::open_in(netns).map_err(kernel_error("network namespace of the container"))
}

fn link(kernel: &mut Kernel, ifname: &str) -> Result<Link, CniError> {
    let link = kernel.route.link(ifname).map_err(kernel_error(format!("{ifname} in the container")))?;
    link.ok_or_else(|| {
        let msg = format!("there is no {ifname} in the container to be tuned");
        let details = "put tuning behind the plugin that makes the interface";
        CniError::new(ErrorCode::InvalidConfig, msg, details)
    })
}

/// Sets everything, or nothing.
fn set(call: &Call, netns: &NetNs, settings: &Settings) -> Result<(), CniError> {
    let ifname = &call.invocation.ifname;
    let mut kernel = inside(netns)?;
    let mut kept = None;
    if settings.changes_link() {
        let file = BackupFile::of(call, data_dir(&call.raw)?);
        let backup = Backup::of(&link(&mut kernel, ifname)?, settings);
        let earlier = file.keep(backup.clone())?;
        kept = Some((file, backup, earlier));
    }
    let written = sysctls::write(netns, ifname, &settings.sysctls);
    if written.is_ok() {
        crash::point("tuning: the sysctls are set");
    }
    let done = written.and_then(|written| {
        let changed = change(&mut kernel, ifname, settings);
        changed.inspect_err(|_| sysctls::undo(netns, &written))
    });
    if let (Err(_), Some((file, backup, earlier))) = (&done, kept) {
        // The first error is the one to report; what cannot be undone here, DEL undoes.
        let _ = restore(netns, ifname, &backup);
        let _ = file.restore(earlier.as_ref());
    }
    done
}

fn change(kernel: &mut Kernel, ifname: &str, settings: &Settings) -> Result<(), CniError> {
    if !settings.changes_link() {
        return Ok(());
    }
    let change = LinkChange {
        mac: settings.mac,
        mtu: settings.mtu,
        promiscuous: settings.promiscuous.then_some(true),
        all_multicast: settings.all_multicast,
        txqlen: settings.txqlen,
        ..LinkChange::of(ifname)
    };
    kernel
        .apply_all(&[Op::ChangeLink(change)])
        .map_err(kernel_error(format!("{ifname} in the container")))?;
    crash::point("tuning: the link is changed");
    Ok(())
}

/// Gives a link its former attributes. What the kernel refuses stays as it is, as in the reference: the link goes
/// next, and a DEL that fails for it would keep the pod for ever.
fn restore(netns: &NetNs, ifname: &str, backup: &Backup) -> Result<(), CniError> {
    let mut kernel = inside(netns)?;
    let ops: Vec<Op> = backup.changes(ifname).into_iter().map(Op::ChangeLink).collect();
    let _ = kernel.apply(&ops);
    Ok(())
}

fn compare(link: &Link, settings: &Settings) -> Result<(), String> {
    let found = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
    if let Some(mac) = settings.mac.filter(|mac| link.mac != Some(*mac)) {
        return Err(format!("its MAC is {found}, configured is {mac}"));
    }
    if settings.promiscuous != link.promiscuous {
        return Err(format!(
            "promiscuous mode is {}, configured is {}",
            link.promiscuous, settings.promiscuous
        ));
    }
    if let Some(mtu) = settings.mtu.filter(|mtu| link.mtu != *mtu) {
        return Err(format!("its MTU is {}, configured is {mtu}", link.mtu));
    }
    if let Some(on) = settings.all_multicast.filter(|on| link.all_multicast != *on) {
        return Err(format!("all-multicast mode is {}, configured is {on}", link.all_multicast));
    }
    match settings.txqlen.filter(|packets| link.txqlen != *packets) {
        Some(packets) => Err(format!("its queue length is {}, configured is {packets}", link.txqlen)),
        None => Ok(()),
    }
}
