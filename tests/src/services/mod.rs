//! The behaviour of services as a table: who dials what, and what must come of it.
//!
//! ```text
//! Table ── services ──► manifests of all nodes, at once        names, cluster IPs, NodePorts of their own
//!       └─ cases ─────► one `weft lab load dial` per client    results are judged case by case
//! Bed ─── the lab, its pods' addresses, the back end under test
//! ```
//!
//! Nothing in a case speaks of how the proxy works: every back end is put under the same table. Scales with the
//! number of dials, as all cases share a lab, its manifests, and one process for each client.

mod bed;
mod case;
mod cases_affinity;
mod cases_bind;
mod cases_cluster_ip;
mod cases_endpoints;
mod cases_node_port;
mod cases_outside;
mod cases_policy;
mod changes;
mod daemon;
mod hold;
mod manifest;
mod table;

pub use bed::{Backend, Bed, NODES, PODS};
pub use case::{Case, Dial, Dialled, Expect, Seen, Way};
pub use changes::CHANGES;
pub use daemon::{Daemon, HEALED};
pub use hold::Hold;
pub use manifest::{End, Service};
pub use table::Table;

/// All cases that need nothing but dialling.
pub fn all(bed: &Bed) -> Table {
    let mut table = Table::default();
    cases_cluster_ip::add(&mut table, bed);
    cases_node_port::add(&mut table, bed);
    cases_policy::add(&mut table, bed);
    cases_outside::add(&mut table, bed);
    cases_endpoints::add(&mut table, bed);
    cases_affinity::add(&mut table, bed);
    cases_bind::add(&mut table, bed);
    table
}
