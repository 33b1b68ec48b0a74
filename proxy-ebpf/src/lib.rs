//! The service proxy: Services and EndpointSlices in, a [`ServiceTable`] by one pure function, and back ends that
//! write it down.
//!
//! ```text
//! source (files; an API later) ─ objects ─► semantics ─ ServiceTable, changes ─► back end (eBPF; others later)
//! ```

mod backend;
mod daemon;
pub mod ebpf;
mod explain;
mod metrics;
mod semantics;
mod source;
mod table;

pub use backend::{Applied, Backend, Counted, MapUsage};
pub use daemon::{ProxyStatus, run, table_of};
pub use explain::{Explanation, Programmed, ProgrammedFrontend, explain, explain_desired, frontend_key};
pub use metrics::{BackendCollector, ProxyMetrics};
pub use semantics::{
    NodeOptions, NodePortAddresses, NodePortAddressesError, NodeView, Object, ObjectKey, ObjectKind, Offer,
    Slice, Tracker, Update,
};
pub use source::{ApiSource, Batch, ManifestSource, OpenError, Parsed, Problem, Source, parse};
pub use table::{
    Endpoint, Family, Frontend, FrontendKind, HealthCheck, LeftOut, Policy, PortChange, PortId, Protocol,
    ServiceName, ServicePort, ServiceTable, TableChanges,
};
