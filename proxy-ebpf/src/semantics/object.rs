//! The objects that sources give: Services, EndpointSlices and Nodes, by key.
//!
//! An object is shared, not copied, between the source that read it and the tracker that keeps it.

use super::slice::Slice;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::fmt;
use std::sync::Arc;

/// The kinds of objects that the proxy reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
    /// `v1` Node.
    Node,
}

/// What an object is named by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its namespace; empty for a Node.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// An object.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// A Service.
    Service(Arc<Service>),
    /// An EndpointSlice.
    EndpointSlice(Arc<Slice>),
    /// A Node.
    Node(Arc<Node>),
}

/// An object's new state.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Which object.
    pub key: ObjectKey,
    /// What it is; `None` when it is deleted.
    pub object: Option<Object>,
}

impl Object {
    /// The object's key: its namespace is `default` where it should have one and has none.
    pub fn key(&self) -> ObjectKey {
        let named = |of: &ObjectMeta| (of.namespace.clone(), of.name.clone().unwrap_or_default());
        let (kind, (namespace, name)) = match self {
            Object::Service(service) => (ObjectKind::Service, named(&service.metadata)),
            Object::EndpointSlice(slice) => (
                ObjectKind::EndpointSlice,
                (slice.namespace.as_deref().map(Into::into), (*slice.name).into()),
            ),
            Object::Node(node) => (ObjectKind::Node, named(&node.metadata)),
        };
        let namespace = match kind {
            ObjectKind::Node => String::new(),
            _ => namespace.filter(|namespace| !namespace.is_empty()).unwrap_or_else(|| "default".to_owned()),
        };
        ObjectKey { kind, namespace, name }
    }
}

impl From<Service> for Object {
    fn from(service: Service) -> Object {
        Object::Service(Arc::new(service))
    }
}

impl From<EndpointSlice> for Object {
    fn from(slice: EndpointSlice) -> Object {
        Object::EndpointSlice(Arc::new(slice.into()))
    }
}

impl From<Node> for Object {
    fn from(node: Node) -> Object {
        Object::Node(Arc::new(node))
    }
}

impl From<Object> for Update {
    fn from(object: Object) -> Update {
        Update { key: object.key(), object: Some(object) }
    }
}

impl fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ObjectKind::Service => "Service",
            ObjectKind::EndpointSlice => "EndpointSlice",
            ObjectKind::Node => "Node",
        })
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "{} {}{slash}{}", self.kind, self.namespace, self.name)
    }
}
