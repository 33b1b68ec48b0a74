//! The calls of bpf(2) that aya has no entrance for: links that are pinned and updated by path, and counting a map.
//!
//! Formats: `union bpf_attr` and `struct bpf_link_info` in include/uapi/linux/bpf.h. The kernel takes a shorter
//! attribute than its own as if the rest were zero.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const OBJ_PIN: libc::c_long = 6;
const OBJ_GET: libc::c_long = 7;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const MAP_LOOKUP_BATCH: libc::c_long = 24;
const LINK_CREATE: libc::c_long = 28;
const LINK_UPDATE: libc::c_long = 29;

/// `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum AttachType {
    Bind4 = 8,
    Bind6 = 9,
    Connect4 = 10,
    Connect6 = 11,
    Sendmsg4 = 14,
    Sendmsg6 = 15,
    Recvmsg4 = 19,
    Recvmsg6 = 20,
    Getpeername4 = 29,
    Getpeername6 = 30,
    TcxIngress = 46,
    TcxEgress = 47,
}

/// What a link holds to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A cgroup, by its number (the inode of its folder); 0 when it is gone.
    Cgroup(u64),
    /// An interface, by its index; 0 when it is gone.
    Interface(u32),
}

fn bpf<T>(command: libc::c_long, attribute: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: the attribute is valid for its size, and what it points to is valid by the callers below.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, attribute, size_of::<T>()) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done as libc::c_int) }
}

fn owned(descriptor: libc::c_int) -> OwnedFd {
    // SAFETY: the kernel has just given it to us.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

#[repr(C)]
struct Object {
    path: u64,
    descriptor: u32,
    flags: u32,
}

fn path_of(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Opens what is pinned at a path.
pub fn get(path: &Path) -> io::Result<OwnedFd> {
    let path = path_of(path)?;
    bpf(OBJ_GET, &mut Object { path: path.as_ptr() as u64, descriptor: 0, flags: 0 }).map(owned)
}

/// Pins a link, map or program at a path.
pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = path_of(path)?;
    let descriptor = object.as_raw_fd() as u32;
    bpf(OBJ_PIN, &mut Object { path: path.as_ptr() as u64, descriptor, flags: 0 }).map(drop)
}

#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    zero: u32,
    expected_revision: u64,
}

/// Links a program to an interface's tcx hook (kernel 6.6), after those that are there.
pub fn link_tcx(program: BorrowedFd<'_>, index: u32, attach_type: AttachType) -> io::Result<OwnedFd> {
    link(program, index, attach_type)
}

/// Links a program to a cgroup's hook (kernel 5.7), beside those that are there.
pub fn link_cgroup(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    attach_type: AttachType,
) -> io::Result<OwnedFd> {
    link(program, cgroup.as_raw_fd() as u32, attach_type)
}

fn link(program: BorrowedFd<'_>, target: u32, attach_type: AttachType) -> io::Result<OwnedFd> {
    let program = program.as_raw_fd() as u32;
    let attach_type = attach_type as u32;
    let mut attribute =
        LinkCreate { program, target, attach_type, flags: 0, relative: 0, zero: 0, expected_revision: 0 };
    bpf(LINK_CREATE, &mut attribute).map(owned)
}

#[repr(C)]
struct LinkUpdate {
    link: u32,
    program: u32,
    flags: u32,
    old_program: u32,
}

/// Puts another program into a link: no packet or call finds none in between.
pub fn update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let (link, program) = (link.as_raw_fd() as u32, program.as_raw_fd() as u32);
    bpf(LINK_UPDATE, &mut LinkUpdate { link, program, flags: 0, old_program: 0 }).map(drop)
}

#[repr(C)]
struct Info {
    descriptor: u32,
    length: u32,
    info: u64,
}

#[repr(C)]
#[derive(Default)]
struct LinkInfo {
    kind: u32,
    id: u32,
    program: u32,
    zero: u32,
    union: [u64; 4],
}

const LINK_TYPE_CGROUP: u32 = 3;
const LINK_TYPE_TCX: u32 = 11;

/// What a link holds to; `None` for a link of another kind.
pub fn holds(link: BorrowedFd<'_>) -> io::Result<Option<Holds>> {
    let mut found = LinkInfo::default();
    let (descriptor, length) = (link.as_raw_fd() as u32, size_of::<LinkInfo>() as u32);
    bpf(OBJ_GET_INFO_BY_FD, &mut Info { descriptor, length, info: (&raw mut found) as u64 })?;
    Ok(match found.kind {
        LINK_TYPE_CGROUP => Some(Holds::Cgroup(found.union[0])),
        LINK_TYPE_TCX => Some(Holds::Interface(found.union[0] as u32)),
        _ => None,
    })
}

#[repr(C)]
struct Batch {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Visits all entries of a hash map, a few thousand by a call (kernel 5.6).
///
/// Entries that come or go meanwhile may be visited or not. Keys and values are in chunks of their sizes.
pub fn visit(
    map: impl AsFd,
    (key_size, value_size): (usize, usize),
    mut each: impl FnMut(&[u8], &[u8]),
) -> io::Result<()> {
    const AT_ONCE: u32 = 4096;
    let mut keys = vec![0_u8; AT_ONCE as usize * key_size];
    let mut values = vec![0_u8; AT_ONCE as usize * value_size];
    // The kernel keeps the number of a bucket here, of at least four bytes and at most a key.
    let mut place = vec![0_u8; key_size.max(8)];
    let mut first = true;
    loop {
        let at = place.as_mut_ptr() as u64;
        let mut attribute = Batch {
            from: if first { 0 } else { at },
            to: at,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: AT_ONCE,
            map: map.as_fd().as_raw_fd() as u32,
            element_flags: 0,
            flags: 0,
        };
        let done = bpf(MAP_LOOKUP_BATCH, &mut attribute);
        let end = match done {
            Ok(_) => false,
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => true,
            Err(e) => return Err(e),
        };
        let entries = keys.chunks_exact(key_size).zip(values.chunks_exact(value_size));
        entries.take(attribute.count as usize).for_each(|(key, value)| each(key, value));
        if end {
            return Ok(());
        }
        first = false;
    }
}
