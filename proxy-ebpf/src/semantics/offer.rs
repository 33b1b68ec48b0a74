//! What is kept of a Service: what the semantics read, and nothing else.
//!
//! A Service as the API has it costs more than a kilobyte, most of it for fields that no rule reads. What it
//! says is judged where its meaning is made (`service.rs`, `frontends.rs`), which quote it: texts that are judged
//! there are kept as they are.

use crate::{Policy, Protocol};
use k8s_openapi::api::core::v1::{
    LoadBalancerIngress, Service, ServicePort, ServiceSpec, ServiceStatus, SessionAffinityConfig,
};
use k8s_openapi::jiff::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Services and slices with one of these labels are another proxy's, or no proxy's: kube-proxy does not list them
/// (`cmd/kube-proxy/app/server.go`).
pub(crate) const LEFT_ALONE_LABELS: [&str; 2] =
    ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"];
/// The annotation that `loadBalancerSourceRanges` once was.
const SOURCE_RANGES_ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// A Service, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub(crate) namespace: Option<Arc<str>>,
    pub(crate) name: Arc<str>,
    pub(crate) created: Option<Timestamp>,
    /// What it offers, or why it is not ours to proxy.
    pub(crate) spec: Result<Spec, Box<str>>,
}

/// What a service that is ours to proxy says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) type_: Type,
    pub(crate) internal: Policy,
    pub(crate) external: Policy,
    pub(crate) affinity: Option<Affinity>,
    pub(crate) health_check_node_port: Option<i32>,
    pub(crate) cluster_ips: Texts,
    pub(crate) external_ips: Texts,
    /// The addresses of its load balancer that packets come to.
    pub(crate) ingress: Texts,
    pub(crate) source_ranges: Texts,
    pub(crate) ports: Box<[Port]>,
}

/// Addresses or networks, as they were written.
pub(crate) type Texts = Box<[Box<str>]>;

/// A service's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    ClusterIp,
    NodePort,
    LoadBalancer,
    /// One that there is not.
    Other(Box<str>),
}

/// `sessionAffinity: ClientIP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Affinity {
    pub(crate) seconds: Option<i32>,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    /// Empty for one without a name.
    pub(crate) name: Arc<str>,
    pub(crate) number: i32,
    /// 0 for none.
    pub(crate) node_port: i32,
    /// Its protocol, or what else it says.
    pub(crate) protocol: Result<Protocol, Box<str>>,
}

impl From<Service> for Offer {
    fn from(service: Service) -> Offer {
        let Service { metadata, spec, status } = service;
        let annotations = metadata.annotations.unwrap_or_default();
        let spec = proxied(&metadata.labels.unwrap_or_default(), spec);
        Offer {
            namespace: metadata.namespace.map(Into::into),
            name: metadata.name.unwrap_or_default().into(),
            created: metadata.creation_timestamp.map(|time| time.0),
            spec: spec.map(|spec| kept(spec, status, &annotations)).map_err(Into::into),
        }
    }
}

/// The spec of a service that is ours to proxy, or why it is not.
fn proxied(labels: &BTreeMap<String, String>, spec: Option<ServiceSpec>) -> Result<ServiceSpec, String> {
    for label in LEFT_ALONE_LABELS {
        if let Some(value) = labels.get(label) {
            return Err(format!("label {label}={value}"));
        }
    }
    let spec = spec.ok_or("it has no spec")?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return Err("type ExternalName".to_owned());
    }
    Ok(spec)
}

fn kept(spec: ServiceSpec, status: Option<ServiceStatus>, annotations: &BTreeMap<String, String>) -> Spec {
    let ingress = status.and_then(|status| status.load_balancer).and_then(|balancer| balancer.ingress);
    let one_ip = spec.cluster_ip;
    let cluster_ips = spec.cluster_ips.filter(|all| !all.is_empty());
    let cluster_ips = cluster_ips.unwrap_or_else(|| one_ip.into_iter().collect());
    Spec {
        type_: spec.type_.map_or(Type::ClusterIp, Type::from),
        internal: policy(spec.internal_traffic_policy.as_deref()),
        external: policy(spec.external_traffic_policy.as_deref()),
        affinity: affinity(spec.session_affinity.as_deref(), spec.session_affinity_config),
        health_check_node_port: spec.health_check_node_port,
        cluster_ips: cluster_ips.into_iter().filter(|ip| !ip.is_empty()).map(Into::into).collect(),
        external_ips: spec.external_ips.into_iter().flatten().map(Into::into).collect(),
        ingress: ingress.into_iter().flatten().filter_map(virtual_ip).collect(),
        source_ranges: source_ranges(&spec.load_balancer_source_ranges.unwrap_or_default(), annotations),
        ports: spec.ports.into_iter().flatten().map(Port::from).collect(),
    }
}

fn policy(text: Option<&str>) -> Policy {
    if text == Some("Local") { Policy::Local } else { Policy::Cluster }
}

fn affinity(kind: Option<&str>, config: Option<SessionAffinityConfig>) -> Option<Affinity> {
    let client_ip = config.and_then(|config| config.client_ip);
    let seconds = client_ip.and_then(|client_ip| client_ip.timeout_seconds);
    kind.filter(|kind| *kind == "ClientIP").map(|_| Affinity { seconds })
}

/// The address of an ingress, unless it has none, or the load balancer ends connections itself (`ipMode: Proxy`).
fn virtual_ip(ingress: LoadBalancerIngress) -> Option<Box<str>> {
    let ends = ingress.ip_mode.is_some_and(|mode| mode != "VIP");
    ingress.ip.filter(|ip| !ends && !ip.is_empty()).map(Into::into)
}

fn source_ranges(given: &[String], annotations: &BTreeMap<String, String>) -> Texts {
    let texts: Vec<&str> = match annotations.get(SOURCE_RANGES_ANNOTATION) {
        Some(legacy) if given.is_empty() => legacy.split(',').collect(),
        _ => given.iter().map(String::as_str).collect(),
    };
    texts.into_iter().map(str::trim).filter(|text| !text.is_empty()).map(Into::into).collect()
}

impl From<ServicePort> for Port {
    fn from(port: ServicePort) -> Port {
        Port {
            name: port.name.unwrap_or_default().into(),
            number: port.port,
            node_port: port.node_port.unwrap_or_default(),
            protocol: match port.protocol.as_deref().unwrap_or("TCP") {
                "TCP" => Ok(Protocol::Tcp),
                "UDP" => Ok(Protocol::Udp),
                "SCTP" => Ok(Protocol::Sctp),
                other => Err(other.into()),
            },
        }
    }
}

impl From<String> for Type {
    fn from(text: String) -> Type {
        match text.as_str() {
            "ClusterIP" => Type::ClusterIp,
            "NodePort" => Type::NodePort,
            "LoadBalancer" => Type::LoadBalancer,
            _ => Type::Other(text.into()),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::ClusterIp => "ClusterIP",
            Type::NodePort => "NodePort",
            Type::LoadBalancer => "LoadBalancer",
            Type::Other(text) => text,
        })
    }
}
