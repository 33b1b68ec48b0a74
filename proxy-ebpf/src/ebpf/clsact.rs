//! Packet programs as filters of the clsact qdisc, for kernels before 6.6, which have no tcx.
//!
//! A filter belongs to the interface, so it outlives the daemon without a pin. Ours have a priority and a handle of
//! their own: a start replaces them in place, and a removal finds them. The qdisc stays when they go, as it may be
//! another program's.

use std::io;

use aya::programs::SchedClassifier;
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcAttachType, TcError, TcHandle, qdisc_add_clsact,
};

use super::sys::AttachType;

/// Priority of our filters: before those of shapers, which may end the walk for a packet that they classify. Nobody
/// else's number, as one priority has one kind of filter.
const PRIORITY: u16 = 0x57;
/// Handle of our filters.
const HANDLE: u32 = 1;

/// Puts a program at an interface's hook, in place of ours that is there.
pub fn put(program: &mut SchedClassifier, dev: &str, attach_type: AttachType) -> io::Result<()> {
    match qdisc_add_clsact(dev) {
        Err(error) if !exists(&error) => return Err(io::Error::other(error.to_string())),
        _ => {}
    }
    let side = side(attach_type);
    let handle = TcHandle::from(HANDLE);
    let options = TcAttachOptions::Netlink(NlOptions { priority: PRIORITY, handle, ..NlOptions::default() });
    let attached = match program.attach_with_options(dev, side, options) {
        Ok(attached) => attached,
        // One of ours is there: in its place.
        Err(_) => {
            let there = SchedClassifierLink::attached(dev, side, PRIORITY, handle, None)?;
            program.attach_to_link(there).map_err(|e| io::Error::other(e.to_string()))?
        }
    };
    // The filter stays when we go.
    std::mem::forget(program.take_link(attached).map_err(|e| io::Error::other(e.to_string()))?);
    Ok(())
}

/// Takes our filters off an interface, if they are there.
pub fn remove(dev: &str) {
    [AttachType::TcxIngress, AttachType::TcxEgress].into_iter().for_each(|side| remove_from(dev, side));
}

/// Takes our filter off an interface's hook, if it is there.
pub fn remove_from(dev: &str, attach_type: AttachType) {
    // Dropped, a link is detached; where no filter is ours, the kernel says so, and nothing is done.
    drop(SchedClassifierLink::attached(dev, side(attach_type), PRIORITY, TcHandle::from(HANDLE), None));
}

fn side(attach_type: AttachType) -> TcAttachType {
    if attach_type == AttachType::TcxIngress { TcAttachType::Ingress } else { TcAttachType::Egress }
}

fn exists(error: &TcError) -> bool {
    matches!(error, TcError::NetlinkError(error) if error.raw_os_error() == Some(libc::EEXIST))
}
