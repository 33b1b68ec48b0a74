//! CNI for Weft: the plugin `weft-cni`, and the types and the caller that programs need which run plugins.
//!
//! - [`plugin`]: the frame of every plugin; each has a module of its name.
//! - [`types`]: configurations, results and errors of CNI 0.1.0 to 1.1.0.
//! - [`doctor`]: what is wrong with a node's networks, and what to do about it.
//! - [`caller`]: what a container runtime does: finds a network's configuration, runs its chain of
//!   plugins and keeps the results, in libcni's forms.

mod attach;
mod bandwidth;
mod bridge;
pub mod caller;
mod chain;
mod claims;
pub mod config;
mod crash;
pub mod doctor;
pub mod firewall;
mod flannel;
pub mod heal;
mod host_local;
pub mod ipam;
mod iptables;
mod lock;
mod loopback;
pub mod plugin;
pub mod portmap;
mod ptp;
mod record;
mod static_ipam;
mod tuning;
pub mod types;
