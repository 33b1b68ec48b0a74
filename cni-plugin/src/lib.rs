//! CNI for Weft: the plugin `weft-cni`, and the types and the caller that programs need which run plugins.
//!
//! - [`types`]: configurations, results and errors of CNI 0.1.0 to 1.1.0.
//! - [`caller`]: what a container runtime does: finds a network's configuration, runs its chain of
//!   plugins and keeps the results, in libcni's forms.

pub mod caller;
pub mod config;
mod crash;
pub mod ipam;
pub mod plugin;
pub mod types;
