//! The lab's cgroup v2 subtree: which processes are the lab's, and the one way to end them all.
//!
//! ```text
//! <v2 mount>/weft-lab.NAME/          everything the lab started
//!                k8s-node1/          the root of the node's cgroup namespace; its daemons
//!                    pods/pod1/      a pod
//! ```
//!
//! Membership is inherited and cannot be forgotten, so `down` needs no list of processes and can hit no
//! stranger whose process id was used again. Works on pure v2 hosts and on hybrid ones, where v2 holds no
//! controllers but still holds processes.

use crate::error::{LabError, Result, Tried};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long killed processes may take to be gone.
const GONE: Duration = Duration::from_secs(10);

/// A directory of the cgroup v2 file system.
#[derive(Clone, Debug)]
pub struct Cgroup {
    path: PathBuf,
}

/// Where cgroup v2 is mounted.
pub fn mount_point() -> Result<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").tried(|| "read /proc/self/mountinfo".into())?;
    v2_mount(&text).ok_or(LabError::NoCgroup)
}

/// Finds the v2 mount in mountinfo: `ID PARENT MAJ:MIN ROOT POINT OPTIONS… - TYPE SOURCE OPTIONS`.
fn v2_mount(mountinfo: &str) -> Option<PathBuf> {
    let line = mountinfo.lines().find(|line| {
        line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next()) == Some("cgroup2")
    })?;
    line.split(' ').nth(4).map(PathBuf::from)
}

impl Cgroup {
    /// The whole lab's, which may not exist yet.
    pub fn of_lab(name: &str) -> Result<Cgroup> {
        Ok(Cgroup { path: mount_point()?.join(format!("weft-lab.{name}")) })
    }

    /// The one with this directory.
    pub fn at(path: PathBuf) -> Cgroup {
        Cgroup { path }
    }

    /// One below.
    pub fn child(&self, name: &str) -> Cgroup {
        Cgroup { path: self.path.join(name) }
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it, with its parents.
    pub fn create(&self) -> Result<()> {
        fs::create_dir_all(&self.path).tried(|| format!("make the cgroup {}", self.path.display()))
    }

    /// The file that a process writes 0 to in order to join.
    pub fn entrance(&self) -> Result<fs::File> {
        let path = self.path.join("cgroup.procs");
        fs::OpenOptions::new().write(true).open(&path).tried(|| format!("open {}", path.display()))
    }

    /// Kills every process in it and below and removes it, if it is there.
    pub fn remove(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            // Killed again each time: a process that was being started may have joined since.
            match fs::write(self.path.join("cgroup.kill"), "1") {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
                other => other.tried(|| format!("kill the processes of {}", self.path.display()))?,
            }
            match remove_tree(&self.path) {
                Err(e) if start.elapsed() > GONE => {
                    return Err(e).tried(|| format!("remove the cgroup {}", self.path.display()));
                }
                Err(_) => thread::sleep(Duration::from_millis(5)),
                Ok(()) => return Ok(()),
            }
        }
    }
}

/// Removes directories from the leaves up: the files in them are the kernel's and go with them.
fn remove_tree(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn finds_v2_on_hybrid_and_pure_hosts() {
        let hybrid = "30 24 0:26 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n\
            31 24 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(v2_mount(hybrid).unwrap(), Path::new("/sys/fs/cgroup/unified"));
        let pure = "31 24 0:27 / /sys/fs/cgroup rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw\n";
        assert_eq!(v2_mount(pure).unwrap(), Path::new("/sys/fs/cgroup"));
        assert_eq!(v2_mount("1 2 0:1 / / rw - ext4 /dev/vda rw\n"), None);
    }

    #[test]
    fn removing_ends_what_runs_in_it() {
        let group = Cgroup::of_lab(&format!("test-{}", std::process::id())).unwrap();
        let leaf = group.child("node").child("pod");
        leaf.create().expect("needs root: run `cargo xtask test`");
        let mut sleeper = Command::new("sleep").arg("100").spawn().unwrap();
        fs::write(leaf.path().join("cgroup.procs"), sleeper.id().to_string()).unwrap();
        // Reaped by another thread, as a process of `up` is by init once `up` is gone.
        let reaper = thread::spawn(move || sleeper.wait().unwrap());
        group.remove().unwrap();
        assert!(!reaper.join().unwrap().success());
        assert!(!group.path().exists());
        group.remove().unwrap();
    }
}
