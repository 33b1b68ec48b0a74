//! The service proxy: Services and EndpointSlices in, a [`ServiceTable`] by one pure function, and back ends that
//! write it down.
//!
//! ```text
//! source (files; an API later) ─ objects ─► semantics ─ ServiceTable, changes ─► back end (eBPF; others later)
//! ```

mod explain;
mod semantics;
mod source;
mod table;

pub use explain::{Explanation, Programmed, ProgrammedFrontend, explain, explain_desired, frontend_key};
pub use semantics::{
    NodeOptions, NodePortAddresses, NodePortAddressesError, NodeView, Object, ObjectKey, ObjectKind, Tracker,
    Update,
};
pub use source::{Batch, ManifestSource, OpenError, Parsed, Problem, Source, parse};
pub use table::{
    Endpoint, Family, Frontend, FrontendKind, HealthCheck, LeftOut, Policy, PortChange, PortId, Protocol,
    ServiceName, ServicePort, ServiceTable, TableChanges,
};
