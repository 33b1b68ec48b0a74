//! Service semantics: what Services, EndpointSlices and this Node mean, as a [`ServiceTable`].
//!
//! ```text
//! Offer ───┐  service.rs: ports, affinity, left alone    frontends.rs: where a port is reached
//! Slices ──┼► endpoints.rs: candidates of a port         topology.rs: which of them get connections
//! Node ────┘                                                       │ Meaning: a service by itself
//!                                      claims.rs: whose a frontend is when two services want it
//!                                      tracker.rs: the table, kept up to date; order.rs: in which order
//! ```
//!
//! The rules are kube-proxy's (`pkg/proxy/serviceport.go`, `endpointslicecache.go`, `topology.go` of Kubernetes
//! 1.33 and later). All but the claims concern one service at a time, so a change costs what its service costs.

mod claims;
mod endpoints;
mod frontends;
mod node;
mod object;
mod offer;
mod order;
mod service;
mod slice;
mod topology;
mod tracker;

#[cfg(test)]
mod tests;

pub use node::{NodeOptions, NodePortAddresses, NodePortAddressesError, NodeView};
pub use object::{Object, ObjectKey, ObjectKind, Update};
pub use offer::Offer;
pub use slice::Slice;
pub use tracker::Tracker;

use crate::ServiceTable;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

impl ServiceTable {
    /// What these services and slices mean on a node. Of two objects with one name, the later counts.
    pub fn build(services: &[Service], slices: &[EndpointSlice], node: &NodeView) -> ServiceTable {
        let mut tracker = Tracker::with_node(node.clone());
        let services = services.iter().cloned().map(Object::from);
        let slices = slices.iter().cloned().map(Object::from);
        tracker.apply(services.chain(slices).map(Update::from).collect());
        tracker.into_table()
    }
}
