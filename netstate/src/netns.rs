//! Network namespaces: open by name, path or pid, make, pin to a file, enter.
//!
//! A namespace lives as long as a process is in it, a file descriptor is open on it or a bind mount
//! pins it. Entering is a property of one *thread*; [`NetNs::enter`] gives it back when its guard
//! drops, [`NetNs::run`] uses a thread of its own.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};

use crate::{Error, Result};

/// Where `ip netns` keeps its names.
const NAMED: &str = "/run/netns";

/// An open network namespace.
#[derive(Debug)]
pub struct NetNs {
    file: File,
    name: String,
}

/// This thread is in another namespace until this drops. Not `Send`: it belongs to the thread.
#[derive(Debug)]
pub struct Entered {
    back: NetNs,
    _this_thread: std::marker::PhantomData<*const ()>,
}

impl NetNs {
    /// The namespace of the calling thread.
    pub fn current() -> Result<Self> {
        Self::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// The namespace behind a file: `/proc/PID/ns/net` or a bind mount.
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let file =
            File::open(path).map_err(|source| Error::NetNs { name: name.clone(), action: "open", source })?;
        let fs = rustix::fs::fstatfs(&file).map_err(|e| Error::NetNs {
            name: name.clone(),
            action: "stat",
            source: e.into(),
        })?;
        const NSFS_MAGIC: u64 = 0x6e73_6673; // include/uapi/linux/magic.h
        if fs.f_type as u64 != NSFS_MAGIC {
            let source = io::Error::other("the file is no namespace (nothing is mounted on it)");
            return Err(Error::NetNs { name, action: "open", source });
        }
        Ok(Self { file, name })
    }

    /// The namespace of a process.
    pub fn of_pid(pid: u32) -> Result<Self> {
        Self::open(Path::new(&format!("/proc/{pid}/ns/net")))
    }

    /// The namespace that `ip netns` calls `name`.
    pub fn named(name: &str) -> Result<Self> {
        Self::open(&Path::new(NAMED).join(name))
    }

    /// A fresh namespace that lives as long as this value (or what it is pinned to).
    pub fn anonymous() -> Result<Self> {
        let made = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    // SAFETY: CLONE_NEWNET changes only this short-lived thread's namespace; no file
                    // descriptor table, memory or credentials are unshared.
                    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.map_err(|e| Error::NetNs {
                        name: "(new)".into(),
                        action: "unshare; it needs CAP_SYS_ADMIN (run as root)",
                        source: e.into(),
                    })?;
                    Self::current()
                })
                .join()
        });
        made.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Bind-mounts the namespace on `path`, which is created; it lives until that is unmounted.
    pub fn pin(&self, path: &Path) -> Result<()> {
        let fail = |action| {
            move |source: io::Error| Error::NetNs { name: path.display().to_string(), action, source }
        };
        OpenOptions::new().create(true).append(true).open(path).map_err(fail("create the mount point"))?;
        let from =
            PathBuf::from(format!("/proc/thread-self/fd/{}", rustix::fd::AsRawFd::as_raw_fd(&self.file)));
        rustix::mount::mount_bind(&from, path).map_err(|e| fail("bind mount")(e.into()))
    }

    /// Puts the calling thread into the namespace until the guard drops.
    pub fn enter(&self) -> Result<Entered> {
        let back = Self::current()?;
        self.set_for_thread()?;
        Ok(Entered { back, _this_thread: std::marker::PhantomData })
    }

    /// Runs `f` in the namespace, on a thread of its own. A panic goes on in the caller.
    pub fn run<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let joined = scope.spawn(|| self.set_for_thread().map(|()| f())).join();
            joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The namespace's inode number: equal for equal namespaces while both are open.
    pub fn inode(&self) -> Result<u64> {
        let meta = self.file.metadata();
        meta.map(|m| m.ino()).map_err(|source| Error::NetNs {
            name: self.name.clone(),
            action: "stat",
            source,
        })
    }

    fn set_for_thread(&self) -> Result<()> {
        move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network)).map_err(|e| {
            Error::NetNs {
                name: self.name.clone(),
                action: "enter; it needs CAP_SYS_ADMIN (run as root)",
                source: e.into(),
            }
        })
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if let Err(error) = self.back.set_for_thread() {
            // Going on in the wrong namespace would change another node's state.
            eprintln!("weft: cannot return to {}: {error}", self.back.name);
            std::process::abort();
        }
    }
}
