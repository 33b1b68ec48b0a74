//! What the overlay tells Prometheus.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// A kind of object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    /// `link`, `address`, `route`, `neighbour`, `fdb`, `table`, `sysctl`.
    pub kind: &'static str,
}

/// The overlay's metrics; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// Nodes whose pods are reached.
    pub peers: Gauge,
    /// Leases that cannot be programmed.
    pub rejected: Gauge,
    /// Unix time at which our lease was last renewed.
    pub renewed_at: Gauge<f64, AtomicU64>,
    /// 1 while the state answers.
    pub state_up: Gauge,
    /// What was put right although no lease had changed.
    pub repairs: Family<Kind, Counter>,
    /// Operations that the kernel refused.
    pub netlink_errors: Family<Kind, Counter>,
    /// Looks at the whole kernel state.
    pub looks: Counter,
    /// Requests to the state that failed.
    pub state_errors: Counter,
    /// Answers of the kernel that were lost.
    pub lost_answers: Counter,
}

impl Metrics {
    /// Registers all metrics under `weft_flannel_`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let r = registry.sub_registry_with_prefix("weft_flannel");
        r.register("peers", "Nodes whose pods are reached through the overlay", metrics.peers.clone());
        r.register(
            "rejected_leases",
            "Leases that cannot be programmed; the log says why",
            metrics.rejected.clone(),
        );
        r.register(
            "lease_renewed_timestamp_seconds",
            "When this node's lease was last renewed",
            metrics.renewed_at.clone(),
        );
        r.register("state_up", "1 while the state answers", metrics.state_up.clone());
        r.register("repairs", "Objects put right although no lease had changed", metrics.repairs.clone());
        r.register("netlink_errors", "Operations that the kernel refused", metrics.netlink_errors.clone());
        r.register("looks", "Looks at the whole kernel state", metrics.looks.clone());
        r.register("state_errors", "Requests to the state that failed", metrics.state_errors.clone());
        r.register(
            "netlink_lost_answers",
            "Answers lost to a full receive buffer",
            metrics.lost_answers.clone(),
        );
        metrics
    }
}
