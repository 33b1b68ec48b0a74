//! A disk of a server's own that can become full or read-only.
//!
//! It is a small file system in memory, mounted for the thread of one test alone (and the servers that it starts): no
//! other process sees it, and it goes with the thread. So a test must start its server from the same thread.

use super::server::Server;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::fs;
use std::path::PathBuf;

/// A disk below a server's data.
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// Mounts one where a server that was not started yet will have its data.
    ///
    /// # Panics
    /// When we are not root.
    pub fn below(server: &Server, megabytes: u32) -> Disk {
        Disk::at(server.data_dir(), megabytes)
    }

    /// Mounts one where there is nothing yet.
    ///
    /// # Panics
    /// When we are not root.
    pub fn at(at: PathBuf, megabytes: u32) -> Disk {
        crate::need_root();
        // SAFETY: only the mounts of this thread become its own; no file descriptor is affected.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.expect("mounts of our own");
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .expect("private mounts");
        fs::create_dir(&at).expect("a folder");
        let size = std::ffi::CString::new(format!("size={megabytes}m,mode=700")).expect("no zero");
        mount("tmpfs", &at, "tmpfs", MountFlags::empty(), size.as_c_str()).expect("a file system in memory");
        Disk { at }
    }

    /// Lets a file take some of the room.
    ///
    /// # Panics
    /// When there is less.
    pub fn take(&self, megabytes: usize) {
        fs::write(self.at.join("taken"), vec![1; megabytes << 20]).expect("room");
    }

    /// Gives it back.
    ///
    /// # Panics
    /// When it was not taken.
    pub fn free(&self) {
        fs::remove_file(self.at.join("taken")).expect("what was taken");
    }

    /// Makes it read-only, or writable again. The kernel refuses while a file is open for writing.
    ///
    /// # Panics
    /// When it is in use.
    pub fn read_only(&self, is: bool) {
        let flags = if is { MountFlags::RDONLY } else { MountFlags::empty() };
        mount_remount(&self.at, flags, c"").expect("nobody writes there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The server may still use it; a folder that something is mounted on could not be removed.
        if let Err(e) = unmount(&self.at, UnmountFlags::DETACH) {
            eprintln!("{} stays mounted: {e}", self.at.display());
        }
    }
}
