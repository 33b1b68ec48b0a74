//! The service proxy: Services and EndpointSlices in, a [`ServiceTable`] by one pure function, and back ends that
//! write it down.
//!
//! ```text
//! source (files; an API later) ─ objects ─► semantics ─ ServiceTable, changes ─► back end (eBPF; others later)
//! ```

mod backend;
pub mod ebpf;
mod explain;
mod metrics;
mod semantics;
mod table;

pub use backend::{Applied, Backend, Counted, MapUsage};
pub use explain::Programmed;
pub use metrics::{BackendCollector, ProxyMetrics};
pub use semantics::{
    NodeOptions, NodePortAddresses, NodePortAddressesError, NodeView, Object, ObjectKey, ObjectKind, Tracker,
    Update,
};
pub use table::{
    Endpoint, Family, Frontend, FrontendKind, HealthCheck, LeftOut, Policy, PortChange, PortId, Protocol,
    ServiceName, ServicePort, ServiceTable, TableChanges,
};
