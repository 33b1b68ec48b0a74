//! Subnet leases in etcd and the VXLAN overlay, in flannel's formats.
//!
//! ```text
//!   etcd  …/config ──► NetworkConfig ─┐
//!         …/subnets/ ─► leases ─► peers ──► desired() ──► netstate::plan ──► kernel
//!   uplink (interface, MTU) ──────────┘         ▲                             │
//!         ▲                                     └────── "look again" ◄────────┘
//!   own lease: acquire, renew, keep equal to the device        flannel.<VNI>, routes, neighbours, FDB
//! ```
//!
//! | file | concept |
//! | --- | --- |
//! | `config` | flannel's network configuration |
//! | `lease` | keys and values below `subnets/` |
//! | `subnet` | which subnet to take |
//! | `peers` | which leases can be programmed, and why others cannot |
//! | `uplink` | which interface carries the overlay, and the evidence |
//! | `identity` | two machines must not both be this node |
//! | `store` | all that is asked of etcd |
//! | `acquire` | how a node comes to its lease |
//! | `desired` | the kernel state that follows from all this |
//! | `masquerade` | the nftables table `weft-flannel` |
//! | `dataplane` | looks, plans, applies |
//! | `daemon` | one loop over events |
//! | `subnet_env` | the file that CNI plugins read |
//!
//! Work per event: a lease that changes costs three netlink messages in one send; a look costs a
//! list of the node's routes, neighbours and FDB entries (about 6 µs per peer).

mod acquire;
pub mod config;
mod daemon;
mod dataplane;
mod desired;
mod error;
mod follow;
mod identity;
pub mod lease;
mod masquerade;
mod metrics;
pub mod peers;
mod setup;
mod store;
pub mod subnet;
pub mod subnet_env;
mod uplink;

pub use daemon::{Health, run};
pub use desired::{DesiredInput, desired};
pub use error::{Conflict, Error};
pub use metrics::Metrics;
pub use uplink::{Choice, Uplink, choose};

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

/// How the daemon runs: flanneld's flags, as values.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where flannel keeps its keys: `/coreos.com/network`.
    pub etcd_prefix: String,
    /// The addresses of the state, for the choice of the interface.
    pub endpoints: Vec<IpAddr>,
    /// `--iface`: names or addresses, the first that fits.
    pub iface: Vec<String>,
    /// `--iface-regex`: asked after `iface`.
    pub iface_regex: Vec<regex::Regex>,
    /// `--iface-can-reach`.
    pub iface_can_reach: Option<IpAddr>,
    /// `--public-ip`.
    pub public_ip: Option<Ipv4Addr>,
    /// `--public-ipv6`.
    pub public_ipv6: Option<Ipv6Addr>,
    /// `--ip-masq`.
    pub ip_masq: bool,
    /// `--subnet-file`.
    pub subnet_file: PathBuf,
    /// `--subnet-lease-renew-margin`.
    pub renew_margin: Duration,
    /// `--take-over`: take a lease that another node made for our public IP.
    pub take_over: bool,
    /// What this node calls itself: its host name.
    pub node_name: String,
    /// The kernel's boot id.
    pub boot_id: String,
    /// The machine id: with the public IP it makes the VTEP's MAC.
    pub machine_id: String,
}
