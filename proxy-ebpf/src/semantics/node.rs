//! This node, as service semantics see it: its name, zone and addresses, and which of them answer NodePorts.

use crate::Family;
use ipnetwork::IpNetwork;
use k8s_openapi::api::core::v1::Node;
use std::net::IpAddr;
use std::str::FromStr;

/// The label of a node's zone (`k8s.io/api/core/v1/well_known_labels.go`).
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// Which addresses answer NodePorts (`--nodeport-addresses`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// The node's first address of each family.
    #[default]
    Primary,
    /// The machine's addresses inside one of these networks.
    Networks(Vec<IpNetwork>),
}

/// What is not a value of `--nodeport-addresses`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is neither \"primary\" nor a network: give \"primary\", or networks such as 10.0.0.0/8,fd00::/8"
)]
pub struct NodePortAddressesError(String);

/// What the operator says about this node. What its Node object says counts more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeOptions {
    /// The node's name.
    pub name: String,
    /// Its zone, while no Node object names one.
    pub zone: Option<String>,
    /// Its addresses, while no Node object names any.
    pub addresses: Vec<IpAddr>,
    /// Which addresses answer NodePorts.
    pub node_port_addresses: NodePortAddresses,
    /// Whether `externalIPs` of services are frontends (`--enable-external-ips`).
    pub external_ips_enabled: bool,
}

/// This node, as the table is computed for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeView {
    /// Its name: an endpoint is local when its `nodeName` is this.
    pub name: String,
    /// Its zone.
    pub zone: Option<String>,
    /// Its addresses, the preferred first.
    pub addresses: Vec<IpAddr>,
    /// Which addresses answer NodePorts.
    pub node_port_addresses: NodePortAddresses,
    /// Whether `externalIPs` of services are frontends.
    pub external_ips_enabled: bool,
}

impl NodeView {
    /// The node by its options and, where there is one, its Node object: the addresses are its internal ones, then
    /// its external ones, as kube-proxy takes them.
    pub fn new(options: &NodeOptions, node: Option<&Node>) -> NodeView {
        let addresses = node.map(addresses_of).unwrap_or_default();
        NodeView {
            name: options.name.clone(),
            zone: node.and_then(zone_of).or_else(|| options.zone.clone()),
            addresses: if addresses.is_empty() { options.addresses.clone() } else { addresses },
            node_port_addresses: options.node_port_addresses.clone(),
            external_ips_enabled: options.external_ips_enabled,
        }
    }

    /// Which of the machine's addresses answer NodePorts, in order. With [`NodePortAddresses::Primary`] the machine's
    /// own list does not matter; with networks, a loopback address answers only where a network covers it.
    pub fn answers_node_ports(&self, local: &[IpAddr]) -> Vec<IpAddr> {
        match &self.node_port_addresses {
            NodePortAddresses::Primary => [Family::V4, Family::V6]
                .into_iter()
                .filter_map(|family| self.addresses.iter().copied().find(|&ip| Family::of(ip) == family))
                .collect(),
            NodePortAddresses::Networks(networks) => {
                let inside = |ip: &IpAddr| networks.iter().any(|network| network.contains(*ip));
                let mut answering: Vec<IpAddr> = local.iter().copied().filter(inside).collect();
                answering.sort_unstable();
                answering.dedup();
                answering
            }
        }
    }
}

fn zone_of(node: &Node) -> Option<String> {
    let zone = node.metadata.labels.as_ref()?.get(ZONE_LABEL)?;
    Some(zone.clone()).filter(|zone| !zone.is_empty())
}

fn addresses_of(node: &Node) -> Vec<IpAddr> {
    let listed = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let of_type = |kind: &'static str| {
        listed.clone().filter(move |address| address.type_ == kind).filter_map(|a| a.address.parse().ok())
    };
    of_type("InternalIP").chain(of_type("ExternalIP")).collect()
}

impl FromStr for NodePortAddresses {
    type Err = NodePortAddressesError;

    fn from_str(text: &str) -> Result<NodePortAddresses, NodePortAddressesError> {
        if text.trim() == "primary" {
            return Ok(NodePortAddresses::Primary);
        }
        let network =
            |part: &str| part.trim().parse().map_err(|_| NodePortAddressesError(part.trim().to_owned()));
        text.split(',').map(network).collect::<Result<_, _>>().map(NodePortAddresses::Networks)
    }
}
