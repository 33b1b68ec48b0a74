//! What one service means by itself: its ports in each family, with every frontend that it wants.
//!
//! Whether it gets them is a matter between services: see the claims.

use super::claims::{Claim, Claimant};
use super::endpoints::{Condition, candidates};
use super::frontends::{Reach, port_number, service_address};
use super::node::NodeView;
use super::offer::{Offer, Port, Spec, Type};
use super::slice::Slice;
use super::topology::{Uses, categorize};
use crate::{Family, FrontendKind, HealthCheck, Policy, PortId, Protocol, ServiceName, ServicePort};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// Seconds that a client keeps its endpoint unless the service says otherwise (`DefaultClientIPServiceAffinitySeconds`).
const DEFAULT_AFFINITY_SECONDS: u32 = 10_800;
/// The most that the API allows (`MaxClientIPServiceAffinitySeconds`).
const MAX_AFFINITY_SECONDS: i32 = 86_400;

/// A service port, and who wants its frontends.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) id: PortId,
    pub(crate) claimant: Claimant,
    pub(crate) port: ServicePort,
}

/// What a service means by itself.
#[derive(Debug, Default)]
pub(crate) struct Meaning {
    pub(crate) ports: Vec<Wanted>,
    pub(crate) health_check: Option<(u16, Claimant, HealthCheck)>,
    pub(crate) left_alone: Option<String>,
}

impl Meaning {
    /// All that it wants for itself alone.
    pub(crate) fn claims(&self) -> BTreeSet<(Claim, Claimant)> {
        let of_port = |wanted: &Wanted| -> Vec<_> {
            let claim = |frontend| (Claim::of(&wanted.id, frontend), wanted.claimant.clone());
            wanted.port.frontends.iter().map(claim).collect()
        };
        let health = self.health_check.iter().map(|(port, who, _)| (Claim::HealthCheck(*port), who.clone()));
        self.ports.iter().flat_map(of_port).chain(health).collect()
    }
}

/// What a service means on a node, with these slices of it.
pub(crate) fn meaning(name: &Arc<ServiceName>, offer: &Offer, slices: &[&Slice], node: &NodeView) -> Meaning {
    let left_alone = |reason| Meaning { left_alone: Some(reason), ..Meaning::default() };
    let spec = match &offer.spec {
        Ok(spec) => spec,
        Err(reason) => return left_alone(reason.to_string()),
    };
    let mut refused = Vec::new();
    let cluster_ips = match cluster_ips(spec, &mut refused) {
        Ok(cluster_ips) => cluster_ips,
        Err(reason) => return left_alone(reason),
    };
    let ports = named_ports(spec, &mut refused);
    if ports.is_empty() {
        refused.insert(0, "it has no ports".to_owned());
        return left_alone(refused.join("; "));
    }
    let affinity = affinity(spec, &mut refused);
    let mut meaning = Meaning::default();
    let mut local_endpoints = 0;
    for cluster_ip in cluster_ips {
        let reach = Reach::new(spec, cluster_ip, node);
        let mut local_ready = BTreeSet::new();
        for &(index, port, protocol) in &ports {
            let id = PortId {
                service: name.clone(),
                port: port.name.clone(),
                protocol,
                family: Family::of(cluster_ip),
            };
            let mut built = service_port(&id, port, &reach, slices, node, &mut local_ready);
            built.affinity = affinity;
            built.refused.extend(refused.iter().cloned());
            meaning.ports.push(Wanted { id, claimant: claimant(name, offer, index), port: built });
        }
        local_endpoints = local_endpoints.max(local_ready.len());
    }
    meaning.health_check = health_check_port(spec).map(|port| {
        let check = HealthCheck { service: (**name).clone(), local_endpoints };
        (port, claimant(name, offer, 0), check)
    });
    meaning
}

/// A service port, and the local ready addresses added to those of the service's other ports.
fn service_port(
    id: &PortId,
    port: &Port,
    reach: &Reach,
    slices: &[&Slice],
    node: &NodeView,
    local_ready: &mut BTreeSet<IpAddr>,
) -> ServicePort {
    let (frontends, mut refused) = match port_number(port.number) {
        Some(number) => reach.frontends(port, number),
        None => (Vec::new(), vec![format!("port {}: not in 1 to 65535", port.number)]),
    };
    refused.extend(reach.refused.iter().cloned());
    let uses = |policy| frontends.iter().any(|f| f.inside == policy || f.outside == policy);
    let uses = Uses { cluster: uses(Policy::Cluster), local: uses(Policy::Local) };
    let (candidates, mut left_out) = candidates(id, slices, &node.name);
    let here = candidates.iter().filter(|c| !c.remote && c.condition == Condition::Ready);
    local_ready.extend(here.map(|c| c.address.ip()));
    let sorted = categorize(&candidates, uses, node);
    left_out.extend(sorted.left_out);
    ServicePort {
        frontends,
        cluster: sorted.cluster,
        local: sorted.local,
        any_endpoint: sorted.any_endpoint,
        affinity: None,
        left_out,
        refused,
    }
}

fn claimant(name: &Arc<ServiceName>, offer: &Offer, index: usize) -> Claimant {
    Claimant { created: offer.created, service: name.clone(), index }
}

/// The cluster IP of each family, the preferred family first.
fn cluster_ips(spec: &Spec, refused: &mut Vec<String>) -> Result<Vec<IpAddr>, String> {
    if spec.cluster_ips.iter().any(|text| **text == *"None") {
        return Err("headless (clusterIP None)".to_owned());
    }
    let mut found: Vec<IpAddr> = Vec::new();
    for text in &spec.cluster_ips {
        match service_address(FrontendKind::ClusterIp, text) {
            Ok(ip) if found.iter().any(|other| Family::of(*other) == Family::of(ip)) => {
                refused.push(format!("ClusterIP {text}: a second {} cluster IP", Family::of(ip)));
            }
            Ok(ip) => found.push(ip),
            Err(reason) => refused.push(reason),
        }
    }
    match found.is_empty() {
        true if refused.is_empty() => Err("it has no cluster IP".to_owned()),
        true => Err(refused.join("; ")),
        false => Ok(found),
    }
}

/// The ports with a protocol that there is, each name and protocol once, with their index.
fn named_ports<'a>(spec: &'a Spec, refused: &mut Vec<String>) -> Vec<(usize, &'a Port, Protocol)> {
    let mut seen = BTreeSet::new();
    let mut ports = Vec::new();
    for (index, port) in spec.ports.iter().enumerate() {
        let (name, number) = (&port.name, port.number);
        let protocol = match &port.protocol {
            Ok(protocol) => *protocol,
            Err(other) => {
                refused.push(format!("port {number} \"{name}\": protocol {other} is none of TCP, UDP, SCTP"));
                continue;
            }
        };
        if seen.insert((name, protocol)) {
            ports.push((index, port, protocol));
        } else {
            refused.push(format!("port {number}: a second {protocol} port named \"{name}\""));
        }
    }
    ports
}

fn affinity(spec: &Spec, refused: &mut Vec<String>) -> Option<u32> {
    let Some(seconds) = spec.affinity?.seconds else {
        return Some(DEFAULT_AFFINITY_SECONDS);
    };
    match u32::try_from(seconds) {
        Ok(valid @ 1..) if seconds <= MAX_AFFINITY_SECONDS => Some(valid),
        _ => {
            refused.push(format!(
                "sessionAffinityConfig.clientIP.timeoutSeconds {seconds}: not in 1 to {MAX_AFFINITY_SECONDS}, \
                 {DEFAULT_AFFINITY_SECONDS} is used"
            ));
            Some(DEFAULT_AFFINITY_SECONDS)
        }
    }
}

/// The port for load balancers' health checks, where the service has them (`NeedsHealthCheck` in `pkg/api/v1/service`).
fn health_check_port(spec: &Spec) -> Option<u16> {
    let local = spec.external == Policy::Local;
    let balanced = spec.type_ == Type::LoadBalancer;
    spec.health_check_node_port.filter(|_| local && balanced).and_then(port_number)
}
