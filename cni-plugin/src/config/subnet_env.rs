//! The node's subnet, as the overlay wrote it.
//!
//! ```text
//! FLANNEL_NETWORK=10.244.0.0/16                 several networks are separated by commas
//! FLANNEL_SUBNET=10.244.83.1/24                 the gateway's address with the subnet's length
//! FLANNEL_IPV6_NETWORK=fd00:10:244::/48         FLANNEL_IPV6_SUBNET=fd00:10:244:53::1/64
//! FLANNEL_MTU=1450
//! FLANNEL_IPMASQ=true                           the overlay masquerades: the plugin need not
//! ```
//! Source: `WriteSubnetFile` in flannel's `pkg/subnet/subnet.go` and `loadFlannelSubnetEnv` in its CNI
//! plugin. The file is replaced by a rename, so it is read whole. It is missing until the overlay has
//! a lease, which on a starting node is the ordinary case: the error says that it will pass.

use crate::ipam::{Range, RangeSet};
use crate::types::Route;
use ipnetwork::IpNetwork;
use std::path::{Path, PathBuf};

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubnetEnv {
    /// All pods' networks, each family.
    pub networks: Vec<IpNetwork>,
    /// The node's subnets: the gateway's address and the prefix length.
    pub subnets: Vec<IpNetwork>,
    /// The MTU of pods.
    pub mtu: Option<u32>,
    /// Whether the overlay masquerades pods' traffic.
    pub ip_masq: bool,
}

/// Why the file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SubnetEnvError {
    /// It is not there yet.
    #[error("{0} does not exist: the overlay has not got this node's subnet yet")]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line of it is wrong.
    #[error("{path} has {line:?}: {why}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: String,
        /// What is wrong.
        why: String,
    },
    /// It names no subnet.
    #[error("{0} has neither FLANNEL_SUBNET nor FLANNEL_IPV6_SUBNET")]
    NoSubnet(PathBuf),
}

impl SubnetEnv {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, SubnetEnvError> {
        let text = std::fs::read_to_string(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => SubnetEnvError::Missing(path.to_path_buf()),
            _ => SubnetEnvError::Unreadable { path: path.to_path_buf(), source },
        })?;
        SubnetEnv::parse(&text, path)
    }

    /// Reads the file's text; `path` is for errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SubnetEnvError> {
        let mut env = SubnetEnv::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let Some((key, value)) = line.split_once('=') else { continue };
            env.take(key.trim(), value.trim().trim_matches('"')).map_err(|why| SubnetEnvError::Line {
                path: path.to_path_buf(),
                line: line.to_string(),
                why,
            })?;
        }
        match env.subnets.is_empty() {
            true => Err(SubnetEnvError::NoSubnet(path.to_path_buf())),
            false => Ok(env),
        }
    }

    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        let networks = || -> Result<Vec<IpNetwork>, String> {
            let each = value.split(',').filter(|text| !text.is_empty());
            each.map(|text| text.parse().map_err(|e| format!("{text:?} is not a network: {e}"))).collect()
        };
        match key {
            "FLANNEL_NETWORK" | "FLANNEL_IPV6_NETWORK" => self.networks.extend(networks()?),
            "FLANNEL_SUBNET" | "FLANNEL_IPV6_SUBNET" => self.subnets.extend(networks()?),
            "FLANNEL_MTU" => {
                let mtu: u32 = value.parse().map_err(|e| format!("not an MTU: {e}"))?;
                self.mtu = (mtu > 0).then_some(mtu);
            }
            "FLANNEL_IPMASQ" => self.ip_masq = value == "true",
            _ => {}
        }
        Ok(())
    }

    /// One range set per family: the node's subnet with its gateway.
    pub fn range_sets(&self) -> Result<Vec<RangeSet>, String> {
        let set = |subnet: &IpNetwork| {
            let network = IpNetwork::new(subnet.network(), subnet.prefix()).map_err(|e| e.to_string())?;
            let gateway = (subnet.ip() != subnet.network()).then_some(subnet.ip());
            RangeSet::new(vec![Range::new(network, None, None, gateway)?])
        };
        self.subnets.iter().map(set).collect()
    }

    /// Routes to all pods, by the gateway of the family.
    pub fn routes(&self) -> Vec<Route> {
        let served = |network: &&IpNetwork| self.subnets.iter().any(|s| s.is_ipv4() == network.is_ipv4());
        self.networks.iter().filter(served).map(|network| Route::new(*network, None)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUAL: &str = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.83.1/24\n\
        FLANNEL_IPV6_NETWORK=fd00:10:244::/48\nFLANNEL_IPV6_SUBNET=fd00:10:244:53::1/64\n\
        FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";

    fn parse(text: &str) -> Result<SubnetEnv, SubnetEnvError> {
        SubnetEnv::parse(text, Path::new("/run/flannel/subnet.env"))
    }

    #[test]
    fn a_dual_stack_file_is_read() {
        let env = parse(DUAL).unwrap();
        assert_eq!((env.mtu, env.ip_masq, env.subnets.len()), (Some(1450), true, 2));
        let sets = env.range_sets().unwrap();
        assert_eq!(sets[0].to_string(), "10.244.83.1-10.244.83.254");
        assert_eq!(sets[0].ranges()[0].gateway.to_string(), "10.244.83.1");
        assert_eq!(sets[1].ranges()[0].subnet.to_string(), "fd00:10:244:53::/64");
        let routes: Vec<String> = env.routes().iter().map(|r| r.dst.to_string()).collect();
        assert_eq!(routes, ["10.244.0.0/16", "fd00:10:244::/48"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let text = |result: Result<SubnetEnv, SubnetEnvError>| result.unwrap_err().to_string();
        assert!(text(parse("FLANNEL_SUBNET=nonsense")).contains("nonsense"));
        assert!(text(parse("FLANNEL_MTU=1450")).contains("FLANNEL_SUBNET"));
        assert!(text(parse("FLANNEL_SUBNET=10.1.0.1/24\nFLANNEL_MTU=x")).contains("FLANNEL_MTU=x"));
        assert!(
            text(SubnetEnv::read(Path::new("/nonexistent/subnet.env"))).contains("/nonexistent/subnet.env")
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(FLANNEL_(SUBNET|NETWORK|MTU|IPV6_SUBNET)=\\PC{0,30}\n){0,5}") {
            if let Ok(env) = parse(&text) {
                let _ = (env.range_sets(), env.routes());
            }
        }
    }
}
