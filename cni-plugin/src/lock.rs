//! A lock file, held (flock) while a call works: by the reference plugins on the same files, too.

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Waits for the lock, whose file is made if need be; it is let go with the descriptor. The error comes with what
/// was tried.
pub(crate) fn exclusive(path: &Path, mode: u32) -> Result<OwnedFd, (&'static str, io::Error)> {
    let flags = OFlags::CREATE | OFlags::RDONLY | OFlags::CLOEXEC;
    let lock = rustix::fs::open(path, flags, Mode::from_raw_mode(mode))
        .map_err(|errno| ("open the lock", errno.into()))?;
    // A signal must not look like a lock that was not to be had.
    while let Err(errno) = rustix::fs::flock(&lock, FlockOperation::LockExclusive) {
        if errno != Errno::INTR {
            return Err(("lock", errno.into()));
        }
    }
    Ok(lock)
}
