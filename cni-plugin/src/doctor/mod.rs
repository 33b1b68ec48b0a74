//! `weft cni doctor`: what is wrong with this node's container networking, and what to do about each.
//!
//! ```text
//!  /etc/cni/net.d        networks   which list a runtime picks, what it passes over and why
//!  /opt/cni/bin          binaries   what each type resolves to: ours, another, nothing
//!  results, sandboxes    owners     which attachments still live
//!    ├─ host-local's     reservations   addresses whose container is gone
//!    └─ the kernel       links          our links whose container is gone
//!  subnet.env, kernel    bridges    addresses of an earlier subnet
//!  /proc/sys             sysctls    forwarding; bridged packets for kube-proxy
//! ```
//!
//! Reads, and changes nothing; [`fix`] then removes what is ours and surely abandoned. Cost grows with the node's
//! links, results and reservations.

mod binaries;
mod bridges;
mod links;
mod networks;
mod owners;
mod repair;
mod report;
mod reservations;
mod sysctls;

pub use repair::fix;
pub use report::{Finding, Report};

use crate::config::{DATA_DIR, SUBNET_FILE};
use netstate::Kernel;
use owners::Owners;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where to look.
#[derive(Debug, Clone)]
pub struct Places {
    /// Networks.
    pub conf_dir: PathBuf,
    /// Plugins, in the order in which they are looked for.
    pub bin_dirs: Vec<PathBuf>,
    /// libcni's directory, which holds `results`; containerd, CRI-O and our runtime use the same.
    pub cache_dir: PathBuf,
    /// host-local's reservations, beside those that lists name.
    pub data_dir: PathBuf,
    /// The node's subnet, as the overlay wrote it.
    pub subnet_file: PathBuf,
    /// containerd's pods: one directory each.
    pub sandboxes: PathBuf,
    /// The kernel's statistics, with the time of the last boot.
    pub stat: PathBuf,
    /// Where kube-proxy says its mode (`/proxyMode`).
    pub proxy: SocketAddr,
}

impl Default for Places {
    fn default() -> Self {
        Places {
            conf_dir: "/etc/cni/net.d".into(),
            bin_dirs: vec!["/opt/cni/bin".into()],
            cache_dir: "/var/lib/cni".into(),
            data_dir: DATA_DIR.into(),
            subnet_file: SUBNET_FILE.into(),
            sandboxes: "/run/containerd/io.containerd.grpc.v1.cri/sandboxes".into(),
            stat: "/proc/stat".into(),
            proxy: SocketAddr::from(([127, 0, 0, 1], 10249)),
        }
    }
}

/// Looks at everything, in the calling thread's network namespace.
pub fn examine(places: &Places) -> Report {
    let mut report = Report::default();
    let picked = networks::examine(places, &mut report);
    binaries::examine(places, picked.as_ref(), &mut report);
    let mut kernel = match Kernel::open() {
        Ok(kernel) => kernel,
        Err(error) => {
            report.find("kernel", "the host's network namespace", error, "run it as root on the node itself");
            return report;
        }
    };
    let links = match kernel.route.links() {
        Ok(links) => links,
        Err(error) => {
            report.find("kernel", "links", error, "run it as root on the node itself");
            return report;
        }
    };
    let owners = Owners::read(places, picked.as_ref(), &links, &mut report);
    reservations::examine(places, picked.as_ref(), &owners, &mut report);
    links::examine(&mut kernel, &links, &owners, &mut report);
    bridges::examine(places, picked.as_ref(), &mut kernel, &links, &owners, &mut report);
    sysctls::examine(places, picked.as_ref(), &mut report);
    report
}
