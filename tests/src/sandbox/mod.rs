//! Pods that a test makes by itself on a node of a lab, with whatever network configuration and host ports it wants.
//!
//! ```text
//! a thread of the test, in the node's network and mounts      a thread per pod, in its network
//!   /run/netns/NAME          the pod's namespace                port 80, TCP and UDP: "NAME CLIENT\n" to each question
//!   cni_plugin::caller       /etc/cni/FOLDER, /var/lib/cni
//! ```
//!
//! The lab's own pods are processes with a load server each and know no host ports; these cost a thread, so that hundreds
//! fit on a node, and tell which client address they see.

mod answer;
mod ask;

pub use answer::Answering;
pub use ask::{Ask, Seen, Talk, ask};

use cni_plugin::caller::{Attachment, Caller, CallerError};
use cni_plugin::types::{Attachment as Key, CniResult};
use netstate::{Kernel, LinkChange, NetNs, Op};
use rustix::mount::{UnmountFlags, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Where each pod listens.
pub const PORT: u16 = 80;
const IFNAME: &str = "eth0";
const CNI_STATE: &str = "/var/lib/cni";

/// A node, gateway or other place of a lab that is no pod.
#[derive(Clone, Debug)]
pub struct Place {
    pins: PathBuf,
}

impl Place {
    /// By the lab's name and its own.
    pub fn of(lab: &str, place: &str) -> Place {
        Place { pins: Path::new("/run/weft-lab").join(lab).join("places").join(place) }
    }

    /// Its network.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn network(&self) -> NetNs {
        NetNs::open(&self.pins.join("net")).expect("the place is there")
    }

    /// Runs something with the place's network and files, on a thread of its own.
    ///
    /// # Panics
    /// When the namespaces cannot be entered, and when `work` does.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let mounts = File::open(self.pins.join("mnt")).expect("the place is there");
        let inside = || {
            // SAFETY: only this thread, which ends with the work, gets a working directory and root of its own;
            // the kernel asks for that before a thread changes its mounts.
            unsafe { unshare_unsafe(UnshareFlags::FS) }.expect("a root of one's own");
            move_into_link_name_space(mounts.as_fd(), Some(LinkNameSpaceType::Mount)).expect("the mounts");
            work()
        };
        self.network().run(inside).expect("the network")
    }
}

/// What a runtime on a node has to call plugins with.
#[derive(Clone, Debug)]
pub struct Runtime {
    node: Place,
    folder: PathBuf,
    bin_dirs: Vec<PathBuf>,
}

impl Runtime {
    /// Writes a network's list into a folder of the node's /etc/cni.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn of(node: &Place, folder: &str, list: &Value, bin_dirs: &[PathBuf]) -> Runtime {
        let folder = Path::new("/etc/cni").join(folder);
        node.run(|| {
            fs::create_dir_all(&folder).expect("the folder is made");
            fs::write(folder.join("10.conflist"), list.to_string()).expect("the list is written");
        });
        Runtime { node: node.clone(), folder, bin_dirs: bin_dirs.to_vec() }
    }

    /// Makes a pod whose ports 80 are host ports, of all addresses of the node.
    ///
    /// # Panics
    /// When the namespace cannot be made or a plugin refuses.
    pub fn add(&self, name: &str, host_ports: &[u16]) -> Sandbox {
        let attachment = attachment(name, host_ports);
        let netns = NetNs::anonymous().expect("a namespace");
        let (result, answering) = self.node.run(|| {
            netns.pin(Path::new(&attachment.netns)).expect("the namespace has a name");
            netns.run(loopback_up).expect("the namespace");
            let added = self.call(|caller, network| caller.add(&network, &attachment));
            let result: CniResult = added.unwrap_or_else(|e| panic!("ADD of {name}: {e}"));
            (result, Answering::start(name, &netns, PORT))
        });
        let addresses = result.ips.iter().map(|ip| ip.address.ip()).collect();
        Sandbox { attachment, netns, addresses, answering }
    }

    /// CHECK.
    pub fn check(&self, pod: &Sandbox) -> Result<(), CallerError> {
        self.node.run(|| self.call(|caller, network| caller.check(&network, &pod.attachment)))
    }

    /// DEL, and the pod's end.
    ///
    /// # Panics
    /// When a plugin refuses.
    pub fn del(&self, pod: Sandbox) {
        let Sandbox { attachment, answering, netns, .. } = pod;
        let name = &attachment.container_id;
        drop((answering, netns));
        self.node.run(|| {
            let deleted = self.call(|caller, network| caller.del(&network, &attachment));
            deleted.unwrap_or_else(|e| panic!("DEL of {name}: {e}"));
            forget_name(Path::new(&attachment.netns));
        });
    }

    /// The pod's end without DEL, of which the runtime remembers nothing: what it left is for GC of the plugins.
    ///
    /// # Panics
    /// When what the runtime remembers cannot be removed.
    pub fn lose(&self, pod: Sandbox) {
        let Sandbox { attachment, answering, netns, .. } = pod;
        drop((answering, netns));
        self.node.run(|| {
            forget_name(Path::new(&attachment.netns));
            let forgotten = self.call(|caller, network| caller.cache().remove(&network.name, &attachment));
            forgotten.expect("the cached result is a file");
        });
    }

    /// GC: all containers that are there.
    ///
    /// # Panics
    /// When a plugin refuses.
    pub fn gc(&self, valid: &[&str]) {
        let key = |id: &&str| Key { container_id: (*id).to_owned(), ifname: IFNAME.into() };
        let valid: Vec<Key> = valid.iter().map(key).collect();
        let collected = self.node.run(|| self.call(|caller, network| caller.gc(&network, &valid)));
        collected.unwrap_or_else(|e| panic!("GC: {e}"));
    }

    /// Calls in the node's namespaces, in which the calling thread is.
    fn call<T>(
        &self,
        call: impl FnOnce(Caller, cni_plugin::caller::NetworkList) -> Result<T, CallerError>,
    ) -> Result<T, CallerError> {
        let caller = Caller::new(&self.folder, &self.bin_dirs, CNI_STATE);
        let network = caller.default_network()?;
        call(caller, network)
    }
}

fn attachment(name: &str, host_ports: &[u16]) -> Attachment {
    let mapping = |protocol: &'static str| move |port: &u16| json!({"hostPort": port, "containerPort": PORT, "protocol": protocol});
    let mappings: Vec<Value> =
        ["tcp", "udp"].into_iter().flat_map(|p| host_ports.iter().map(mapping(p))).collect();
    Attachment {
        container_id: name.into(),
        netns: format!("/run/netns/{name}"),
        ifname: IFNAME.into(),
        capability_args: [("portMappings".to_owned(), Value::from(mappings))].into_iter().collect(),
        ..Attachment::default()
    }
}

fn loopback_up() {
    let mut up = LinkChange::of("lo");
    up.up = Some(true);
    Kernel::open().and_then(|mut kernel| kernel.apply_all(&[Op::ChangeLink(up)])).expect("lo is up");
}

fn forget_name(path: &Path) {
    unmount(path, UnmountFlags::DETACH).expect("the namespace had a name");
    fs::remove_file(path).expect("the name is a file");
}

/// A pod of the test's own; it answers until it is dropped.
#[derive(Debug)]
pub struct Sandbox {
    attachment: Attachment,
    netns: NetNs,
    addresses: Vec<IpAddr>,
    answering: Answering,
}

impl Sandbox {
    /// Its name, which is its container's id.
    pub fn name(&self) -> &str {
        &self.attachment.container_id
    }

    /// Its network.
    pub fn network(&self) -> &NetNs {
        &self.netns
    }

    /// Its address of a family.
    ///
    /// # Panics
    /// When it has none.
    pub fn address(&self, ipv6: bool) -> IpAddr {
        *self.addresses.iter().find(|ip| ip.is_ipv6() == ipv6).expect("an address of the family")
    }
}
