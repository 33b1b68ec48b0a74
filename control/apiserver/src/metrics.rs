//! What is counted, under upstream's names.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram};
use prometheus_client::registry::Registry;

/// Labels of a request.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Request {
    /// `GET`, `LIST`, `WATCH`, …
    pub verb: String,
    /// The group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The resource.
    pub resource: &'static str,
    /// The subresource.
    pub subresource: &'static str,
    /// `cluster`, `namespace` or `resource`.
    pub scope: &'static str,
    /// Always `apiserver`.
    pub component: &'static str,
}

/// A request and how it ended.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Ended {
    /// Which.
    #[prometheus(flatten)]
    pub request: Request,
    /// The status.
    pub code: u16,
}

/// Which requests are under way.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct InFlight {
    /// `mutating` or `readOnly`.
    pub request_kind: &'static str,
}

/// Of which resource.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Resource {
    /// `deployments.apps`.
    pub resource: String,
}

/// The server's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// `apiserver_request_total`.
    pub requests: Family<Ended, Counter>,
    /// `apiserver_request_duration_seconds`.
    pub durations: Family<Request, Histogram>,
    /// `apiserver_current_inflight_requests`.
    pub in_flight: Family<InFlight, Gauge>,
    /// `apiserver_longrunning_requests`: watchers now.
    pub watchers: Family<Resource, Gauge>,
    /// `apiserver_terminated_watchers_total`: those that did not read.
    pub cut: Family<Resource, Gauge>,
    /// `apiserver_storage_objects`.
    pub objects: Family<Resource, Gauge>,
    /// `authentication_attempts`, by result.
    pub authentications: Family<Authentication, Counter>,
}

/// How an authentication ended.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Authentication {
    /// `success` or `failure`.
    pub result: &'static str,
}

/// Upstream's, shortened.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Metrics {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Family::default(),
            watchers: Family::default(),
            cut: Family::default(),
            objects: Family::default(),
            authentications: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("apiserver_request", "Requests by how they ended", metrics.requests.clone());
        registry.register(
            "apiserver_request_duration_seconds",
            "How long requests took",
            metrics.durations.clone(),
        );
        registry.register(
            "apiserver_current_inflight_requests",
            "Requests under way",
            metrics.in_flight.clone(),
        );
        registry.register("apiserver_longrunning_requests", "Watches under way", metrics.watchers.clone());
        registry.register(
            "apiserver_terminated_watchers",
            "Watchers that were cut as they did not read",
            metrics.cut.clone(),
        );
        registry.register("apiserver_storage_objects", "Objects by resource", metrics.objects.clone());
        registry.register(
            "authentication_attempts",
            "Authentications by result",
            metrics.authentications.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
