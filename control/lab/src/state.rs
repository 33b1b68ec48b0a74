//! The lab's record of itself, and the lock that keeps two commands from changing one lab at a time.
//!
//! ```text
//! /run/weft-lab/            removed with the last lab
//!     NAME.lock             held by `up`, `down` and `pod` while they work
//!     NAME/                 a tmpfs of the lab's own, private: pins do not spread to other namespaces
//!         state.json        written before each step, replaced by rename
//!         places/PLACE/     pins of namespaces
//!         logs/             of daemons
//! ```
//!
//! Nothing that must be removed is found by way of the record alone: the cgroup and the tmpfs hold everything,
//! and both have names that follow from the lab's. So `down` works after `kill -9` of `up` at any point.

use crate::cgroup::Cgroup;
use crate::enter::Entrance;
use crate::error::{LabError, Result, Tried};
use crate::topology::Role;
use rustix::fs::{FlockOperation, flock};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const LABS: &str = "/run/weft-lab";

const LOCK_WITHIN: Duration = Duration::from_millis(500);

/// Which plugin wires the pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Plugin {
    /// weft-cni
    Weft,
    /// The reference plugins bridge and host-local
    Reference,
}

/// Where the proxies learn of services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ServicesFrom {
    /// `weft apiserver` on the first node
    Api,
    /// Files on each node
    Manifests,
}

/// What `up` was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spec {
    /// The lab's name.
    pub name: String,
    /// Number of nodes.
    pub nodes: u8,
    /// Pods on each node.
    pub pods_per_node: u16,
    /// Whether every node has a NAT interface of its own, with the same address.
    pub nat_clones: bool,
    /// Endpoints of an etcd outside of the lab; empty: one is started on the first node.
    pub etcd_endpoints: Vec<String>,
    /// Folders with CNI plugins.
    pub cni_bin_dirs: Vec<PathBuf>,
    /// The overlay's program and its first arguments.
    pub flannel: Vec<PathBuf>,
    /// An etcd in place of `weft etcd`.
    pub etcd_bin: Option<PathBuf>,
    /// This program.
    pub weft: PathBuf,
    /// Who wires the pods.
    pub plugin: Plugin,
    /// Who tells the proxies.
    pub services_from: ServicesFrom,
}

/// A program that runs for the lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// etcd, apiserver, flannel, proxy, load or relay.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

/// A namespace of the lab, made or about to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlaceState {
    /// Its host name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// By which the other places know it.
    pub addresses: Vec<IpAddr>,
    /// What runs in it.
    pub daemons: Vec<Daemon>,
}

/// A pod, wired or about to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PodState {
    /// Its name.
    pub name: String,
    /// Its node.
    pub node: String,
    /// The container id that the CNI plugins know it by.
    pub container: String,
    /// The process in it; 0 while it is being made.
    pub pid: u32,
    /// Its addresses; none while it is being made.
    pub addresses: Vec<IpAddr>,
}

/// All of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct State {
    /// What was asked for.
    pub spec: Spec,
    /// The step that `up` is at; "up" when it has ended.
    pub step: String,
    /// etcd's endpoints as the nodes see them.
    pub endpoints: Vec<String>,
    /// Whether the network's configuration in an outer etcd is ours, to be removed with the lab.
    pub owns_configuration: bool,
    /// Namespaces.
    pub places: Vec<PlaceState>,
    /// Pods.
    pub pods: Vec<PodState>,
}

/// Where a lab's things are.
#[derive(Clone, Debug)]
pub struct Home {
    name: String,
}

impl Home {
    /// Of the lab with this name, which becomes part of paths and of cgroup names.
    pub fn of(name: &str) -> Result<Home> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || name.len() > 40 || !name.chars().all(fits) {
            let why = format!("{name:?}: up to 40 lower-case letters, digits and '-'");
            return Err(LabError::Flag { flag: "--name", why });
        }
        Ok(Home { name: name.to_owned() })
    }

    /// The lab's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder.
    pub fn dir(&self) -> PathBuf {
        Path::new(LABS).join(&self.name)
    }

    /// The log of a daemon.
    pub fn log(&self, place: &str, daemon: &str) -> PathBuf {
        self.dir().join("logs").join(format!("{place}-{daemon}.log"))
    }

    /// The cgroup of everything that it started.
    pub fn cgroup(&self) -> Result<Cgroup> {
        Cgroup::of_lab(&self.name)
    }

    /// The way into a place that is no pod.
    pub fn place(&self, place: &str) -> Result<Entrance> {
        Ok(Entrance::new(self.dir().join("places").join(place), self.cgroup()?.child(place)))
    }

    /// The way into a pod.
    pub fn pod(&self, node: &str, pod: &str) -> Result<Entrance> {
        let cgroup = self.cgroup()?.child(node).child("pods").child(pod);
        Ok(Entrance::new(self.dir().join("places").join(pod), cgroup))
    }

    /// Makes the folder and the tmpfs on it; one that is there is an error.
    pub fn create(&self) -> Result<()> {
        let dir = self.dir();
        if dir.exists() || self.cgroup()?.path().exists() {
            return Err(LabError::Exists(self.name.clone()));
        }
        fs::create_dir(&dir).tried(|| format!("make {}", dir.display()))?;
        mount("weft-lab", &dir, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=0755"))
            .tried(|| format!("mount a tmpfs on {}", dir.display()))?;
        mount_change(&dir, MountPropagationFlags::PRIVATE)
            .tried(|| format!("make {} private", dir.display()))?;
        fs::create_dir(dir.join("logs")).tried(|| format!("make {}/logs", dir.display()))
    }

    /// Unmounts and removes everything below and at the folder, if it is there.
    pub fn remove(&self) -> Result<()> {
        let dir = self.dir();
        let text = fs::read_to_string("/proc/self/mountinfo").tried(|| "read /proc/self/mountinfo".into())?;
        let points = text.lines().filter_map(|line| line.split(' ').nth(4).map(Path::new));
        for point in points.filter(|p| p.starts_with(&dir)).collect::<Vec<_>>().into_iter().rev() {
            unmount(point, UnmountFlags::DETACH).tried(|| format!("unmount {}", point.display()))?;
        }
        match fs::remove_dir_all(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.tried(|| format!("remove {}", dir.display())),
        }
    }

    /// Reads the record.
    pub fn load(&self) -> Result<State> {
        let path = self.dir().join("state.json");
        match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(LabError::Absent(self.name.clone())),
            Err(e) => Err(e).tried(|| format!("read {}", path.display())),
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|source| LabError::Form { what: path.display().to_string(), source }),
        }
    }

    /// Writes the record.
    pub fn save(&self, state: &State) -> Result<()> {
        let (path, new) = (self.dir().join("state.json"), self.dir().join("state.json.new"));
        let form = |source| LabError::Form { what: path.display().to_string(), source };
        let text = serde_json::to_vec_pretty(state).map_err(form)?;
        fs::write(&new, text).tried(|| format!("write {}", new.display()))?;
        fs::rename(&new, &path).tried(|| format!("write {}", path.display()))
    }

    /// Takes the lock, or says that another command has it. Waits a little: a program that a killed command was
    /// about to start may hold it for a moment longer.
    pub fn lock(&self) -> Result<Lock> {
        let path = Path::new(LABS).join(format!("{}.lock", self.name));
        let start = Instant::now();
        loop {
            fs::create_dir_all(LABS).tried(|| format!("make {LABS}"))?;
            let file = match File::create(&path) {
                // The last lab went between the two lines above.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other.tried(|| format!("make {}", path.display()))?,
            };
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                if start.elapsed() > LOCK_WITHIN {
                    return Err(LabError::Busy(self.name.clone()));
                }
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            let ours = file.metadata().tried(|| format!("look at {}", path.display()))?.ino();
            // Else it was removed by its last holder after we opened it.
            if fs::metadata(&path).is_ok_and(|m| m.ino() == ours) {
                return Ok(Lock { path, _file: file });
            }
        }
    }
}

/// The right to change a lab.
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Of no use without the lab, and in nobody's way if it stays; so is the folder, unless others are in it.
        drop(fs::remove_file(&self.path));
        drop(fs::remove_dir(LABS));
    }
}

impl State {
    /// The way into a node, a pod or another place by name.
    pub fn entrance(&self, home: &Home, name: &str) -> Result<Entrance> {
        if let Some(pod) = self.pods.iter().find(|p| p.name == name) {
            return home.pod(&pod.node, &pod.name);
        }
        if self.places.iter().any(|p| p.name == name) {
            return home.place(name);
        }
        let have = self.places.iter().map(|p| &p.name).chain(self.pods.iter().map(|p| &p.name));
        Err(LabError::NoPlace { lab: home.name.clone(), name: name.into(), have: have.cloned().collect() })
    }

    /// The nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &PlaceState> {
        self.places.iter().filter(|p| p.role == Role::Node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_parts_of_paths_and_are_checked() {
        assert_eq!(Home::of("weft").unwrap().dir(), Path::new("/run/weft-lab/weft"));
        for bad in ["", "../x", "A", "a b", &"x".repeat(41)] {
            assert!(matches!(Home::of(bad), Err(LabError::Flag { .. })), "{bad}");
        }
    }

    #[test]
    fn a_lock_is_held_once_and_leaves_nothing() {
        let home = Home::of(&format!("lock-{}", std::process::id())).unwrap();
        let lock = home.lock().expect("needs root: run `cargo xtask test`");
        assert!(matches!(home.lock(), Err(LabError::Busy(_))));
        drop(lock);
        assert!(!Path::new(LABS).join(format!("{}.lock", home.name())).exists());
        drop(home.lock().unwrap());
    }
}
