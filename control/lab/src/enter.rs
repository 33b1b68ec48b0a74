//! Namespaces by name, and starting programs in them.
//!
//! ```text
//! /run/weft-lab/NAME/places/k8s-node1/{cgroup,uts,net,mnt}     bind mounts of /proc/PID/ns/…
//! ```
//!
//! The pins keep a place alive without a process, and `nsenter --net=… --mount=…` works with them too. A program
//! joins its cgroup first, then the namespaces, all between fork and exec: it is never seen anywhere else.

use crate::cgroup::Cgroup;
use crate::error::{Result, Tried};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// In the order of entering: the mounts last, because the others are opened by path.
const KINDS: [(&str, LinkNameSpaceType); 4] = [
    ("cgroup", LinkNameSpaceType::ControlGroup),
    ("uts", LinkNameSpaceType::HostNameAndNISDomainName),
    ("net", LinkNameSpaceType::Network),
    ("mnt", LinkNameSpaceType::Mount),
];

/// The pinned namespaces of a node, a pod or a part of the network, and its cgroup.
#[derive(Clone, Debug)]
pub struct Entrance {
    dir: PathBuf,
    cgroup: Cgroup,
}

impl Entrance {
    /// The place whose pins are in `dir`.
    pub fn new(dir: PathBuf, cgroup: Cgroup) -> Entrance {
        Entrance { dir, cgroup }
    }

    /// The file on which the network namespace is pinned.
    pub fn net(&self) -> PathBuf {
        self.dir.join("net")
    }

    /// Its cgroup.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Pins the namespaces of a process.
    pub fn pin(&self, pid: u32) -> Result<()> {
        fs::create_dir_all(&self.dir).tried(|| format!("make {}", self.dir.display()))?;
        for (kind, _) in KINDS {
            let (from, to) = (format!("/proc/{pid}/ns/{kind}"), self.dir.join(kind));
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&to)
                .tried(|| format!("make {}", to.display()))?;
            rustix::mount::mount_bind(from.as_str(), &to)
                .tried(|| format!("pin {from} to {}", to.display()))?;
        }
        Ok(())
    }

    /// Lets the namespaces go, as many as are pinned.
    pub fn unpin(&self) -> Result<()> {
        for (kind, _) in KINDS {
            let at = self.dir.join(kind);
            match rustix::mount::unmount(&at, rustix::mount::UnmountFlags::DETACH) {
                // Never pinned, or let go by one before us that did not get further.
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::INVAL) => {}
                other => other.tried(|| format!("unmount {}", at.display()))?,
            }
        }
        match fs::remove_dir_all(&self.dir) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.tried(|| format!("remove {}", self.dir.display())),
        }
    }

    /// A command that will run here.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Result<Command> {
        let mut spaces = Vec::new();
        for (kind, which) in KINDS {
            let path = self.dir.join(kind);
            spaces.push((File::open(&path).tried(|| format!("open {}", path.display()))?, which));
        }
        let mut command = Command::new(program);
        in_cgroup(&mut command, &self.cgroup)?;
        let enter = move || {
            for (space, which) in &spaces {
                move_into_link_name_space(space.as_fd(), Some(*which))?;
            }
            rustix::process::chdir("/").map_err(Into::into)
        };
        // SAFETY: between fork and exec this makes system calls on descriptors that the closure owns, and
        // neither allocates nor takes a lock.
        unsafe { command.pre_exec(enter) };
        Ok(command)
    }
}

/// Makes a command join a cgroup before anything else.
pub fn in_cgroup(command: &mut Command, cgroup: &Cgroup) -> Result<()> {
    let mut entrance = cgroup.entrance()?;
    // SAFETY: between fork and exec this is one write to a descriptor that the closure owns.
    unsafe { command.pre_exec(move || entrance.write_all(b"0")) };
    Ok(())
}

/// Makes a command outlive the terminal and the process that starts it.
pub fn detached(command: &mut Command) {
    // SAFETY: between fork and exec this is one system call.
    unsafe { command.pre_exec(|| rustix::process::setsid().map(drop).map_err(Into::into)) };
}

/// Whether a path is hidden in a node's view, which has its own /run and /var/lib.
pub fn hidden_in_nodes(path: &Path) -> bool {
    path.starts_with("/run") || path.starts_with("/var/lib") || path.starts_with("/var/run")
}
