//! Kinds that are served in a form of their own and stored in another: outgoing and incoming objects.
//!
//! Events are stored in the core's form and served in two groups; autoscalers are stored as `autoscaling/v2` and served
//! as `v1` as well.

mod autoscaling;
mod events;

use serde_json::Value;

use crate::kinds::Kind;

/// Whether a kind's objects are stored in another form.
pub fn is_converted(kind: &Kind) -> bool {
    matches!((kind.group, kind.version), ("events.k8s.io", _) | ("autoscaling", "v1"))
}

/// A stored object as clients of a kind get it.
pub fn outgoing(kind: &Kind, object: Value) -> Value {
    match (kind.group, kind.version) {
        ("events.k8s.io", _) => events::outgoing(object),
        ("autoscaling", "v1") => autoscaling::outgoing(object),
        _ => object,
    }
}

/// A client's object as it is stored.
pub fn incoming(kind: &Kind, object: Value) -> Value {
    match (kind.group, kind.version) {
        ("events.k8s.io", _) => events::incoming(object),
        ("autoscaling", "v1") => autoscaling::incoming(object),
        _ => object,
    }
}
