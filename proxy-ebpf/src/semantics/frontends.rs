//! Where a service port is reached: cluster IP, NodePort, load balancer IPs and external IPs of one family.
//!
//! The traffic policies are kube-proxy's: a cluster IP follows `internalTrafficPolicy` for everyone; the others
//! follow `externalTrafficPolicy` for clients elsewhere only, since for pods and processes of this node the way
//! outside and back in is cut short, to all endpoints.

use super::endpoints::unusable;
use super::node::NodeView;
use super::offer::{Port, Spec, Type};
use crate::{Family, Frontend, FrontendKind, Policy};
use ipnetwork::IpNetwork;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What all ports of a service have in common in one family.
#[derive(Debug)]
pub(crate) struct Reach {
    family: Family,
    /// By kind, address; without the port.
    addresses: Vec<(FrontendKind, IpAddr)>,
    node_ports: bool,
    internal: Policy,
    external: Policy,
    source_ranges: Vec<IpNetwork>,
    /// What is refused whatever the port.
    pub(crate) refused: Vec<String>,
}

/// What may be a service's address, or why it may not.
pub(crate) fn service_address(kind: FrontendKind, text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| format!("{kind} {text}: not an IP address"))?;
    match unusable(address) {
        Some(reason) => Err(format!("{kind} {text}: {reason}")),
        None => Ok(address),
    }
}

impl Reach {
    /// Where a service with this cluster IP is reached, in the family of the cluster IP.
    pub(crate) fn new(spec: &Spec, cluster_ip: IpAddr, node: &NodeView) -> Reach {
        let mut reach = Reach {
            family: Family::of(cluster_ip),
            addresses: vec![(FrontendKind::ClusterIp, cluster_ip)],
            node_ports: matches!(spec.type_, Type::NodePort | Type::LoadBalancer),
            internal: spec.internal,
            external: spec.external,
            source_ranges: Vec::new(),
            refused: Vec::new(),
        };
        if spec.type_ == Type::LoadBalancer {
            reach.source_ranges = reach.ranges(spec);
        }
        for text in &spec.ingress {
            reach.add_ingress(text, &spec.type_);
        }
        for text in &spec.external_ips {
            if node.external_ips_enabled {
                reach.add(FrontendKind::ExternalIp, text);
            } else if text.parse().map_or(reach.family == Family::V4, |ip| Family::of(ip) == reach.family) {
                reach.refused.push(format!(
                    "externalIP {text}: external IPs are off, --enable-external-ips turns them on"
                ));
            }
        }
        reach
    }

    /// The frontends of a port, in order and each once, and its NodePort where that is not a port.
    pub(crate) fn frontends(&self, port: &Port, number: u16) -> (Vec<Frontend>, Vec<String>) {
        let mut seen = BTreeSet::new();
        let mut frontends: Vec<Frontend> = self
            .addresses
            .iter()
            .filter(|(_, address)| seen.insert(*address))
            .map(|&(kind, address)| self.frontend(kind, Some(address), number))
            .collect();
        let mut refused = Vec::new();
        if self.node_ports && port.node_port != 0 {
            match port_number(port.node_port) {
                Some(node_port) => frontends.push(self.frontend(FrontendKind::NodePort, None, node_port)),
                None => refused.push(format!("NodePort {}: not in 1 to 65535", port.node_port)),
            }
        }
        frontends.sort_unstable();
        (frontends, refused)
    }

    fn frontend(&self, kind: FrontendKind, address: Option<IpAddr>, port: u16) -> Frontend {
        let (inside, outside) = match kind {
            FrontendKind::ClusterIp => (self.internal, self.internal),
            _ => (Policy::Cluster, self.external),
        };
        Frontend {
            kind,
            address,
            port,
            inside,
            outside,
            keep_source: kind != FrontendKind::ClusterIp && self.external == Policy::Local,
            source_ranges: match kind {
                FrontendKind::LoadBalancer => self.source_ranges.clone(),
                _ => Vec::new(),
            },
        }
    }

    fn add_ingress(&mut self, text: &str, type_: &Type) {
        if *type_ == Type::LoadBalancer {
            self.add(FrontendKind::LoadBalancer, text);
        } else {
            self.refused.push(format!("LoadBalancer {text}: the service's type is {type_}"));
        }
    }

    /// Adds an address of this family. One that is none is told of in each family.
    fn add(&mut self, kind: FrontendKind, text: &str) {
        match service_address(kind, text) {
            Ok(address) if Family::of(address) == self.family => self.addresses.push((kind, address)),
            Ok(_) => {}
            Err(reason) => self.refused.push(reason),
        }
    }

    /// The source ranges of this family. Where there are ranges and none of this family, one that no packet comes
    /// from (the unspecified address alone): nobody may pass.
    fn ranges(&mut self, spec: &Spec) -> Vec<IpNetwork> {
        let mut ranges = Vec::new();
        for text in &spec.source_ranges {
            match text.parse::<IpNetwork>() {
                Ok(range) if text.contains('/') => ranges.push(range),
                _ => self
                    .refused
                    .push(format!("loadBalancerSourceRanges {text}: not a network, such as 10.0.0.0/8")),
            }
        }
        ranges.retain(|range| Family::of(range.ip()) == self.family);
        if ranges.is_empty() && !spec.source_ranges.is_empty() {
            ranges.push(nobody(self.family));
        }
        ranges.iter_mut().for_each(|range| *range = masked(*range));
        ranges.sort_unstable();
        ranges.dedup();
        ranges
    }
}

pub(crate) fn port_number(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|&number| number != 0)
}

/// The range of a family that denies everyone: no packet has the unspecified address as its source.
fn nobody(family: Family) -> IpNetwork {
    match family {
        Family::V4 => IpNetwork::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        Family::V6 => IpNetwork::from(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    }
}

/// The network without the bits of a host in it.
fn masked(range: IpNetwork) -> IpNetwork {
    IpNetwork::new(range.network(), range.prefix()).unwrap_or(range)
}
