//! The view that a node or pod has of the system: its mounts, made by the process that is to live in it.
//!
//! ```text
//! node   /run, /var/lib   empty and its own          pod   as its node, but
//!        /etc             the machine's, changes stay here  /sys   of its own network
//!        /etc/cni         empty and its own                 cgroup its leaf is the root
//!        /sys             of its own network
//!        cgroup v2        the node's cgroup is the root
//! ```
//!
//! `ip netns exec` would hide cgroups and bpffs by its own mount of /sys; here the cgroup mounts are kept. Mounts
//! of the machine below the hidden folders are let go, so that a lab holds no other lab's namespaces.

use crate::cgroup;
use crate::error::{Result, Tried};
use rustix::fs::CWD;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change,
    move_mount, open_tree, unmount,
};
use std::ffi::CString;
use std::fs;
use std::path::Path;

/// Folders that a node has for itself.
const OWN: [&str; 2] = ["/run", "/var/lib"];

/// Gives the calling process, already in a mount namespace of its own, a node's view.
pub fn become_node() -> Result<()> {
    cut_off()?;
    for hidden in ["/run/", "/var/lib/", "/etc/cni/"] {
        release_below(hidden)?;
    }
    for path in OWN {
        mount_new("tmpfs", path, c"mode=0755")?;
    }
    make_dirs(&["/run/netns", "/run/etc/upper", "/run/etc/work"])?;
    let overlay = c"lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work";
    mount_new("overlay", "/etc", overlay)?;
    make_dirs(&["/etc/cni"])?;
    mount_new("tmpfs", "/etc/cni", c"mode=0755")?;
    make_dirs(&["/etc/cni/net.d", "/var/lib/cni"])?;
    own_sys()
}

/// Gives the calling process, already in a mount namespace of its own, a pod's view.
pub fn become_pod() -> Result<()> {
    cut_off()?;
    own_sys()
}

/// From here on no mount is seen by, or comes from, another namespace.
fn cut_off() -> Result<()> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).tried(|| "make the mounts private".into())
}

/// Unmounts everything mounted below a folder, the deepest first.
fn release_below(folder: &str) -> Result<()> {
    let text = fs::read_to_string("/proc/self/mountinfo").tried(|| "read /proc/self/mountinfo".into())?;
    let points = text.lines().filter_map(|line| line.split(' ').nth(4)).filter(|p| p.starts_with(folder));
    for point in points.collect::<Vec<_>>().into_iter().rev() {
        let point = point.replace("\\040", " ");
        match unmount(point.as_str(), UnmountFlags::DETACH) {
            // Hidden under another mount: gone with that one.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(e) => return Err(e).tried(|| format!("unmount {point} in the node's view")),
        }
    }
    Ok(())
}

/// A /sys that shows this network namespace, with the cgroup mounts of before and our own v2 root.
fn own_sys() -> Result<()> {
    let v2 = cgroup::mount_point()?;
    let clone =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::AT_RECURSIVE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let cgroups =
        open_tree(CWD, "/sys/fs/cgroup", clone).tried(|| "copy the mounts of /sys/fs/cgroup".into())?;
    mount_new("sysfs", "/sys", c"")?;
    move_mount(&cgroups, "", CWD, "/sys/fs/cgroup", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .tried(|| "put the mounts of /sys/fs/cgroup back".into())?;
    unmount(&v2, UnmountFlags::DETACH).tried(|| format!("unmount {}", v2.display()))?;
    mount_new("cgroup2", &v2, c"")?;
    // Not every kernel has bpffs; who needs it will say so.
    let _ = mount("bpf", "/sys/fs/bpf", "bpf", MountFlags::empty(), None);
    Ok(())
}

fn mount_new(kind: &str, at: impl AsRef<Path>, options: &std::ffi::CStr) -> Result<()> {
    let at = at.as_ref();
    let options: CString = options.to_owned();
    let nothing_set = MountFlags::NOSUID | MountFlags::NODEV;
    mount(kind, at, kind, nothing_set, Some(options.as_c_str()))
        .tried(|| format!("mount {kind} on {}", at.display()))
}

fn make_dirs(paths: &[&str]) -> Result<()> {
    paths.iter().try_for_each(|path| fs::create_dir_all(path).tried(|| format!("make {path}")))
}
