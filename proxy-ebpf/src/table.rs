//! The service table: what services mean on this node, as plain values. Back ends write it down.
//!
//! ```text
//! ServiceTable
//!   ports: PortId ─► ServicePort                     one per service, port and family
//!                      frontends: where it is reached, and which endpoints each side of the node gets
//!                      cluster, local: the endpoints
//!   health_checks: healthCheckNodePort ─► count of local endpoints
//! ```
//!
//! Scales with the number of services and endpoints; a change concerns one service at a time.

use ipnetwork::IpNetwork;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A transport protocol of a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A service's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A service port in one family: what a back end gives one number to. Its texts are shared by all copies, of which the
/// table, the tracker and the back end keep several for each port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId {
    /// The service.
    pub service: Arc<ServiceName>,
    /// The name of the port; empty for an only port without a name.
    pub port: Arc<str>,
    /// Its protocol.
    pub protocol: Protocol,
    /// The family of its frontends and endpoints.
    pub family: Family,
}

/// Where connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    /// The pod's address.
    pub address: IpAddr,
    /// The pod's port.
    pub port: u16,
    /// Whether the pod is on this node.
    pub local: bool,
}

/// What kind of address a frontend has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FrontendKind {
    /// A cluster IP.
    ClusterIp,
    /// A port on the node's addresses.
    NodePort,
    /// An ingress IP of a load balancer.
    LoadBalancer,
    /// One of `externalIPs`.
    ExternalIp,
}

/// Which of a service port's endpoints take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Policy {
    /// Those of the whole cluster.
    Cluster,
    /// Those of this node.
    Local,
}

/// Where a service port is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Frontend {
    /// What kind of address it is.
    pub kind: FrontendKind,
    /// The address; `None` for a NodePort.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// The endpoints for clients on this node.
    pub inside: Policy,
    /// The endpoints for clients elsewhere.
    pub outside: Policy,
    /// The client's address is kept (`externalTrafficPolicy: Local`).
    pub keep_source: bool,
    /// Sources that may come in by it; empty for all.
    pub source_ranges: Vec<IpNetwork>,
}

/// An endpoint of the slices that gets no connections, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its address and port, as the slice has them.
    pub endpoint: String,
    /// Why, in a few words.
    pub reason: String,
}

/// A service port in one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicePort {
    /// Where it is reached; in order, each once, and in no other service port.
    pub frontends: Vec<Frontend>,
    /// The endpoints under [`Policy::Cluster`], sorted, each once.
    pub cluster: Vec<Endpoint>,
    /// The endpoints under [`Policy::Local`], sorted, each once.
    pub local: Vec<Endpoint>,
    /// Whether there is any usable endpoint in the cluster: without, clients are refused; with, those whose policy has none are
    /// dropped.
    pub any_endpoint: bool,
    /// How many seconds after its last connection a client keeps its endpoint (`sessionAffinity: ClientIP`).
    pub affinity: Option<u32>,
    /// Endpoints without connections.
    pub left_out: Vec<LeftOut>,
    /// Frontends that it would have, and what keeps it from having them.
    pub refused: Vec<String>,
}

/// A service's node-local health, for load balancers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The service.
    pub service: ServiceName,
    /// How many endpoints it has on this node.
    pub local_endpoints: usize,
}

/// What services mean on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceTable {
    /// All service ports; shared with the changes that lead to them.
    pub ports: BTreeMap<PortId, Arc<ServicePort>>,
    /// By `healthCheckNodePort`.
    pub health_checks: BTreeMap<u16, HealthCheck>,
    /// Services without service ports, and why (headless, ExternalName, another proxy's).
    pub left_alone: BTreeMap<Arc<ServiceName>, String>,
}

/// One changed service port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortChange {
    /// Which.
    pub id: PortId,
    /// What it was.
    pub before: Option<Arc<ServicePort>>,
    /// What it is.
    pub after: Option<Arc<ServicePort>>,
}

/// What changed from one table to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableChanges {
    /// The service ports that differ, those that lose a frontend before those that gain it.
    pub ports: Vec<PortChange>,
    /// Health checks that differ; `None` for one that is gone.
    pub health_checks: BTreeMap<u16, Option<HealthCheck>>,
    /// The node's addresses changed .
    pub node: bool,
}

impl ServicePort {
    /// The endpoints under a policy.
    pub fn endpoints(&self, policy: Policy) -> &[Endpoint] {
        match policy {
            Policy::Cluster => &self.cluster,
            Policy::Local => &self.local,
        }
    }
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        })
    }
}

impl PartialEq<ServiceName> for Arc<ServiceName> {
    fn eq(&self, other: &ServiceName) -> bool {
        **self == *other
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.port.is_empty() { "" } else { ":" };
        write!(f, "{}{colon}{} {} {}", self.service, self.port, self.protocol, self.family)
    }
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{} {}", self.kind, SocketAddr::new(address, self.port)),
            None => write!(f, "{} {}", self.kind, self.port),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", SocketAddr::new(self.address, self.port), if self.local { " (local)" } else { "" })
    }
}

impl fmt::Display for FrontendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FrontendKind::ClusterIp => "ClusterIP",
            FrontendKind::NodePort => "NodePort",
            FrontendKind::LoadBalancer => "LoadBalancer",
            FrontendKind::ExternalIp => "externalIP",
        })
    }
}
