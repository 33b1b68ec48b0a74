//! The objects that sources give: Services, EndpointSlices and Nodes, by key.
//!
//! An object is shared, not copied, between the source that read it and the tracker that keeps it.

use super::offer::Offer;
use super::slice::Slice;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
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

/// What an object is named by. Its texts are shared with the object and with copies of the key, which are several.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its namespace; empty for a Node.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// An object.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// A Service.
    Service(Arc<Offer>),
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
        let named = |kind, namespace: &Option<Arc<str>>, name: &Arc<str>| {
            let namespace = namespace.clone().filter(|namespace| !namespace.is_empty());
            ObjectKey { kind, namespace: namespace.unwrap_or_else(|| "default".into()), name: name.clone() }
        };
        match self {
            Object::Service(offer) => named(ObjectKind::Service, &offer.namespace, &offer.name),
            Object::EndpointSlice(slice) => named(ObjectKind::EndpointSlice, &slice.namespace, &slice.name),
            Object::Node(node) => ObjectKey {
                kind: ObjectKind::Node,
                namespace: "".into(),
                name: node.metadata.name.as_deref().unwrap_or_default().into(),
            },
        }
    }
}

impl From<Service> for Object {
    fn from(service: Service) -> Object {
        Object::Service(Arc::new(service.into()))
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
