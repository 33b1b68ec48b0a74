//! Links: a program at a cgroup's hook or an interface's, pinned so that it stays when the daemon goes.
//!
//! A link that is there gets the new program in place of the old one in one step. A link whose cgroup or interface is
//! gone, or is another one, is taken away.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::error::EbpfError;
use super::pins::{Pins, remove};
use super::sys::{self, AttachType, Holds};

/// The programs of a cgroup, and their hooks.
pub const CGROUP: [(&str, AttachType); 10] = [
    ("connect4", AttachType::Connect4),
    ("connect6", AttachType::Connect6),
    ("sendmsg4", AttachType::Sendmsg4),
    ("sendmsg6", AttachType::Sendmsg6),
    ("recvmsg4", AttachType::Recvmsg4),
    ("recvmsg6", AttachType::Recvmsg6),
    ("getpeername4", AttachType::Getpeername4),
    ("getpeername6", AttachType::Getpeername6),
    ("bind4", AttachType::Bind4),
    ("bind6", AttachType::Bind6),
];

/// The programs of an interface, by whether it has an Ethernet header.
pub const INTERFACE: [(AttachType, &str, &str); 2] =
    [(AttachType::TcxIngress, "ingress", "ingress_l3"), (AttachType::TcxEgress, "egress", "egress_l3")];

/// The magic number of cgroup v2 (include/uapi/linux/magic.h).
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// A cgroup v2 folder.
pub fn open_cgroup(path: &Path) -> Result<File, EbpfError> {
    let refuse = |why: String| EbpfError::Cgroup { path: path.to_owned(), why };
    let folder = File::open(path).map_err(|e| refuse(e.to_string()))?;
    let found = rustix::fs::fstatfs(folder.as_fd()).map_err(|e| refuse(e.to_string()))?;
    if found.f_type == CGROUP2_MAGIC {
        Ok(folder)
    } else {
        Err(refuse("it is on another file system".to_owned()))
    }
}

/// Puts a program at a cgroup's hook.
pub fn at_cgroup(
    pins: &Pins,
    cgroup: &File,
    (name, attach_type): (&'static str, AttachType),
    program: BorrowedFd<'_>,
) -> Result<(), EbpfError> {
    let fail = |source: io::Error| EbpfError::Attach {
        program: name,
        target: "the cgroup of --cgroup-root".to_owned(),
        source,
        next: "the kernel needs CONFIG_CGROUP_BPF, and this hook (Linux 5.8)",
    };
    let id = cgroup.metadata().map_err(fail)?.ino();
    let make = || sys::link_cgroup(program, cgroup.as_fd(), attach_type);
    put(pins, &format!("cgroup-{name}"), Holds::Cgroup(id), program, make).map_err(fail).map(drop)
}

/// What became of a program that was put at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// It is there by a link that was not.
    Made,
    /// It took another program's place.
    Updated,
    /// This kernel has no tcx.
    NoTcx,
}

/// Puts a program at an interface's tcx hook.
pub fn at_interface(
    pins: &Pins,
    index: u32,
    attach_type: AttachType,
    program: BorrowedFd<'_>,
) -> io::Result<Attached> {
    let make = || sys::link_tcx(program, index, attach_type);
    match put(pins, &of_interface(index, attach_type), Holds::Interface(index), program, make) {
        // Before 6.6 the attach type is unknown.
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(Attached::NoTcx),
        done => done,
    }
}

fn of_interface(index: u32, attach_type: AttachType) -> String {
    let side = if attach_type == AttachType::TcxIngress { "ingress" } else { "egress" };
    format!("tcx-{index}-{side}")
}

/// Updates the link of that name, or makes it.
fn put(
    pins: &Pins,
    name: &str,
    holds: Holds,
    program: BorrowedFd<'_>,
    make: impl FnOnce() -> io::Result<std::os::fd::OwnedFd>,
) -> io::Result<Attached> {
    let path = pins.link(name);
    match sys::get(&path) {
        Ok(link) if sys::holds(link.as_fd())? == Some(holds) => {
            return sys::update(link.as_fd(), program).map(|()| Attached::Updated);
        }
        Ok(_) => std::fs::remove_file(&path)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    sys::pin(make()?.as_fd(), &path).map(|()| Attached::Made)
}

/// Takes away links of interfaces that are not among these.
pub fn keep_interfaces(pins: &Pins, indexes: &[u32]) -> Result<(), EbpfError> {
    for name in pins.link_names() {
        let Some(index) = name.strip_prefix("tcx-").and_then(|rest| rest.split('-').next()) else { continue };
        if !index.parse().is_ok_and(|index: u32| indexes.contains(&index)) {
            remove(&pins.link(&name))?;
        }
    }
    Ok(())
}
