//! What is kept of an EndpointSlice: what the semantics read, and nothing else.
//!
//! A slice as the API has it costs some 500 bytes for each endpoint, most of them for fields that no rule reads, and
//! endpoints are most of what a proxy keeps. What a slice says is judged where a service port asks for it
//! (`endpoints.rs`): here it is only made small.

use super::endpoints::Condition;
use crate::Family;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};
use std::net::IpAddr;
use std::sync::Arc;

/// The annotation that says when the change was made that a slice follows (kube-proxy's network programming latency).
const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// The label of a slice that names its service (`discovery.k8s.io/v1`).
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// An EndpointSlice, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    pub(crate) namespace: Option<Arc<str>>,
    pub(crate) name: Arc<str>,
    /// The service that it is of, if it is one that we serve.
    pub(crate) service: Option<Box<str>>,
    /// When the change was made that it follows, as it says (RFC 3339).
    pub(crate) trigger_time: Option<Box<str>>,
    /// The family of its addresses, or what else it says.
    pub(crate) family: Result<Family, Box<str>>,
    pub(crate) ports: Box<[SlicePort]>,
    pub(crate) endpoints: Box<[Listed]>,
}

/// A port of a slice's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlicePort {
    pub(crate) name: Box<str>,
    pub(crate) protocol: Box<str>,
    pub(crate) number: Option<i32>,
}

/// An endpoint that has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The first address, or the text that is none.
    pub(crate) address: Result<IpAddr, Box<str>>,
    pub(crate) condition: Condition,
    pub(crate) node: Option<Box<str>>,
    /// The nodes and the zones that it is meant for, where it is meant for some.
    pub(crate) hints: Option<Box<Hints>>,
}

/// For whom an endpoint is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hints {
    pub(crate) nodes: Box<[Box<str>]>,
    pub(crate) zones: Box<[Box<str>]>,
}

impl From<EndpointSlice> for Slice {
    fn from(slice: EndpointSlice) -> Slice {
        let EndpointSlice { address_type, endpoints, metadata, ports } = slice;
        let mut labels = metadata.labels.unwrap_or_default();
        let foreign = super::offer::LEFT_ALONE_LABELS.iter().any(|label| labels.contains_key(*label));
        let service = labels.remove(SERVICE_NAME_LABEL).filter(|_| !foreign);
        let ports = ports.into_iter().flatten().map(|port| SlicePort {
            name: port.name.unwrap_or_default().into(),
            protocol: port.protocol.unwrap_or_else(|| "TCP".to_owned()).into(),
            number: port.port,
        });
        Slice {
            namespace: metadata.namespace.map(Into::into),
            name: metadata.name.unwrap_or_default().into(),
            service: service.map(Into::into),
            trigger_time: metadata.annotations.and_then(|mut all| all.remove(TRIGGER_TIME)).map(Into::into),
            family: match address_type.as_str() {
                "IPv4" => Ok(Family::V4),
                "IPv6" => Ok(Family::V6),
                _ => Err(address_type.into()),
            },
            ports: ports.collect(),
            endpoints: endpoints.into_iter().flatten().filter_map(listed).collect(),
        }
    }
}

fn listed(endpoint: Endpoint) -> Option<Listed> {
    let first = endpoint.addresses.into_iter().next()?;
    let hints = endpoint.hints.map(|hints| Hints {
        nodes: hints.for_nodes.into_iter().flatten().map(|node| node.name.into()).collect(),
        zones: hints.for_zones.into_iter().flatten().map(|zone| zone.name.into()).collect(),
    });
    Some(Listed {
        address: first.parse().map_err(|_| first.into()),
        condition: condition(&endpoint.conditions.unwrap_or_default()),
        node: endpoint.node_name.map(Into::into),
        hints: hints.map(Box::new),
    })
}

fn condition(said: &EndpointConditions) -> Condition {
    let (ready, serving) = (said.ready.unwrap_or(true), said.serving.unwrap_or(true));
    match (ready, said.terminating.unwrap_or(false), serving) {
        (true, ..) => Condition::Ready,
        (false, true, true) => Condition::ServingTerminating,
        (false, true, false) => Condition::Terminating,
        (false, false, _) => Condition::NotReady,
    }
}
