//! Which plugin is called: told by the name of the file, as the reference plugins are ten programs.
//!
//! `weft-cni` itself is a whole chain in one process. A name that is none of the reference plugins' (a
//! renamed copy of the binary) is `weft-cni`, too; one of a reference plugin that is not in here is refused.

use super::Call;
use crate::types::{CniError, CniResult, ErrorCode};
use crate::{
    bandwidth, bridge, chain, firewall, flannel, host_local, loopback, portmap, ptp, static_ipam, tuning,
};
use std::path::Path;

/// The verbs of a plugin. VERSION is the same for all.
pub(crate) trait Plugin {
    /// Attaches, and answers with the result that is to be printed.
    fn add(&self, call: &Call) -> Result<CniResult, CniError>;
    /// Undoes ADD. What is gone already is no error; neither `prevResult` nor `runtimeConfig` need be there.
    fn del(&self, call: &Call) -> Result<(), CniError>;
    /// Compares what ADD made, changing nothing.
    fn check(&self, call: &Call) -> Result<(), CniError>;
    /// Removes what no valid attachment has.
    fn gc(&self, call: &Call) -> Result<(), CniError>;
    /// Whether an ADD would be served now.
    fn status(&self, call: &Call) -> Result<(), CniError>;
}

/// The names under which the binary may be installed.
pub const PERSONALITIES: [&str; 11] = [
    "weft-cni",
    "bridge",
    "host-local",
    "static",
    "ptp",
    "loopback",
    "portmap",
    "bandwidth",
    "tuning",
    "firewall",
    "flannel",
];

/// Reference plugins that are not in here.
const ELSEWHERE: [&str; 9] =
    ["dhcp", "dummy", "host-device", "ipvlan", "macvlan", "sbr", "tap", "vlan", "vrf"];

/// The plugin of a type, if it is one of ours.
pub(crate) fn of_type(name: &str) -> Option<&'static dyn Plugin> {
    Some(match name {
        "weft-cni" => &chain::Chain,
        "bridge" => &bridge::Bridge::REFERENCE,
        "host-local" => &host_local::HostLocal,
        "static" => &static_ipam::Static,
        "ptp" => &ptp::Ptp,
        "loopback" => &loopback::Loopback,
        "portmap" => &portmap::Portmap,
        "bandwidth" => &bandwidth::Bandwidth,
        "tuning" => &tuning::Tuning,
        "firewall" => &firewall::Firewall,
        "flannel" => &flannel::Flannel,
        _ => return None,
    })
}

/// The plugin that a file's name stands for.
pub(super) fn of_file(path: &str) -> Result<&'static dyn Plugin, CniError> {
    let name = Path::new(path).file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    if ELSEWHERE.contains(&name.as_ref()) {
        let msg = format!("weft-cni is installed as {name:?}, and that plugin is not in it");
        let details =
            format!("install the reference plugin of this name; ours are {}", PERSONALITIES.join(", "));
        return Err(CniError::new(ErrorCode::InvalidEnvironment, msg, details));
    }
    Ok(of_type(&name).unwrap_or(&chain::Chain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_plugin_and_none_of_those_that_are_elsewhere() {
        assert!(PERSONALITIES.iter().all(|name| of_type(name).is_some()));
        assert!(ELSEWHERE.iter().all(|name| of_type(name).is_none()));
    }
}
