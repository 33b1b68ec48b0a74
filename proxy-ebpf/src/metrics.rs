//! Metrics: kube-proxy's names where they mean the same, and `weft_proxy_…` for what a back end counts itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

use crate::backend::{Backend, Counted};
use crate::table::{Policy, PortId, ServiceTable, TableChanges};

/// `traffic_policy` of `…_no_local_endpoints_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TrafficPolicy {
    traffic_policy: &'static str,
}

/// The daemon's metrics.
#[derive(Clone, Debug)]
pub struct ProxyMetrics {
    sync_duration: Histogram,
    full_sync_duration: Histogram,
    partial_sync_duration: Histogram,
    programming_duration: Histogram,
    last_sync: Gauge<f64, AtomicU64>,
    last_queued: Gauge<f64, AtomicU64>,
    service_changes: Counter,
    endpoint_changes: Counter,
    no_local_endpoints: Family<TrafficPolicy, Gauge>,
    /// Service ports that the back end could not write.
    failed: Counter,
    /// Broken documents of the source, now.
    source_problems: Gauge,
}

/// kube-proxy's buckets: 1 ms to 16 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl ProxyMetrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> ProxyMetrics {
        let metrics = ProxyMetrics {
            sync_duration: seconds(),
            full_sync_duration: seconds(),
            partial_sync_duration: seconds(),
            programming_duration: seconds(),
            last_sync: Gauge::default(),
            last_queued: Gauge::default(),
            service_changes: Counter::default(),
            endpoint_changes: Counter::default(),
            no_local_endpoints: Family::default(),
            failed: Counter::default(),
            source_problems: Gauge::default(),
        };
        let rules = registry.sub_registry_with_prefix("kubeproxy_sync_proxy_rules");
        rules.register("duration_seconds", "Time of a change to the datapath", metrics.sync_duration.clone());
        rules.register("last_timestamp_seconds", "Last change to the datapath", metrics.last_sync.clone());
        let queued = metrics.last_queued.clone();
        rules.register("last_queued_timestamp_seconds", "Last time a change was seen", queued);
        rules.register("service_changes", "Service changes", metrics.service_changes.clone());
        rules.register("endpoint_changes", "Endpoint changes", metrics.endpoint_changes.clone());
        let none = metrics.no_local_endpoints.clone();
        rules.register("no_local_endpoints", "Service ports with policy Local and no endpoint here", none);
        let kubeproxy = registry.sub_registry_with_prefix("kubeproxy");
        let full = metrics.full_sync_duration.clone();
        kubeproxy.register("sync_full_proxy_rules_duration_seconds", "Time of a whole table", full);
        let partial = metrics.partial_sync_duration.clone();
        kubeproxy.register("sync_partial_proxy_rules_duration_seconds", "Time of differences", partial);
        let programming = metrics.programming_duration.clone();
        kubeproxy.register(
            "network_programming_duration_seconds",
            "From an endpoint's change to here",
            programming,
        );
        let ours = registry.sub_registry_with_prefix("weft_proxy");
        ours.register(
            "failed_service_ports",
            "Service ports that could not be written",
            metrics.failed.clone(),
        );
        ours.register("source_problems", "Broken documents of the source", metrics.source_problems.clone());
        metrics
    }

    /// A change was seen.
    pub fn queued(&self, services: u64, endpoints: u64, problems: usize) {
        self.service_changes.inc_by(services);
        self.endpoint_changes.inc_by(endpoints);
        self.source_problems.set(problems as i64);
        self.last_queued.set(unix_now());
    }

    /// A change is in the datapath.
    pub fn synced(&self, took: Duration, full: bool, failed: usize) {
        self.sync_duration.observe(took.as_secs_f64());
        let kind = if full { &self.full_sync_duration } else { &self.partial_sync_duration };
        kind.observe(took.as_secs_f64());
        self.failed.inc_by(failed as u64);
        self.last_sync.set(unix_now());
    }

    /// An endpoint changed so long ago.
    pub fn programmed(&self, since: Duration) {
        self.programming_duration.observe(since.as_secs_f64());
    }

    /// Counts service ports without local endpoints; in proportion to the changes after the first table.
    pub fn local(&self, table: &ServiceTable, changes: &TableChanges, full: bool) {
        let none = |port: &crate::ServicePort, inside: bool| {
            let local = |f: &crate::Frontend| (if inside { f.inside } else { f.outside }) == Policy::Local;
            port.local.is_empty() && port.any_endpoint && port.frontends.iter().any(local)
        };
        for (inside, traffic_policy) in [(true, "internal"), (false, "external")] {
            let gauge = self.no_local_endpoints.get_or_create(&TrafficPolicy { traffic_policy });
            let count =
                |port: Option<&crate::ServicePort>| i64::from(port.is_some_and(|port| none(port, inside)));
            if full {
                gauge.set(table.ports.values().map(|port| count(Some(port))).sum());
            } else {
                let change = |c: &crate::PortChange| count(c.after.as_deref()) - count(c.before.as_deref());
                gauge.inc_by(changes.ports.iter().map(change).sum());
            }
        }
    }
}

fn unix_now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Why something was dropped, as a label; in the order of `weft_proxy_abi::DROPPED_…`.
pub const REASONS: [&str; 6] =
    ["no_endpoint", "no_local_endpoint", "source_range", "no_snat_port", "map_full", "rewrite"];

/// Reads a back end's own counters when somebody asks.
pub struct BackendCollector<B>(pub Arc<Mutex<B>>);

impl<B> std::fmt::Debug for BackendCollector<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BackendCollector")
    }
}

/// One line of a metric of services: what is told apart, and how to get it.
type Line = (&'static str, fn(&Counted) -> u64);

const CONNECTIONS: [Line; 2] = [("socket", |c| c.socket_connections), ("packet", |c| c.packet_connections)];
const PACKETS: [Line; 2] = [("in", |c| c.packets_in), ("out", |c| c.packets_out)];
const BYTES: [Line; 2] = [("in", |c| c.bytes_in), ("out", |c| c.bytes_out)];

impl<B: Backend + Send + 'static> Collector for BackendCollector<B> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let backend = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counted = backend.counted().unwrap_or_default();
        for (name, help, label, lines) in [
            (
                "weft_proxy_service_connections",
                "Connections and UDP flows given an endpoint",
                "path",
                CONNECTIONS,
            ),
            ("weft_proxy_service_packets", "Packets of the packet path", "direction", PACKETS),
            ("weft_proxy_service_bytes", "Bytes of the packet path", "direction", BYTES),
        ] {
            let counter = ConstCounter::new(0_u64);
            let mut family = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            for (id, counts) in &counted {
                for (value, of) in
                    lines.iter().map(|(value, of)| (value, of(counts))).filter(|(_, of)| *of > 0)
                {
                    let labels = labels(id, label, value);
                    ConstCounter::new(of).encode(family.encode_family(&labels)?)?;
                }
            }
        }
        let counter = ConstCounter::new(0_u64);
        let help = "Packets and connections that were not let through";
        let mut family =
            encoder.encode_descriptor("weft_proxy_service_dropped", help, None, counter.metric_type())?;
        for (id, counts) in &counted {
            for (reason, of) in REASONS.iter().zip(counts.dropped).filter(|(_, of)| *of > 0) {
                ConstCounter::new(of).encode(family.encode_family(&labels(id, "reason", reason))?)?;
            }
        }
        let usage = backend.usage().unwrap_or_default();
        for (name, help, of) in [
            ("weft_proxy_map_entries", "Entries in use", (|m| m.used) as fn(&crate::MapUsage) -> u64),
            ("weft_proxy_map_capacity", "Entries that there is room for", |m| m.capacity),
        ] {
            let mut family =
                encoder.encode_descriptor(name, help, None, ConstGauge::new(0_u64).metric_type())?;
            for map in &usage {
                ConstGauge::new(of(map)).encode(family.encode_family(&[("map", map.name)])?)?;
            }
        }
        let memory = ConstGauge::new(backend.memory());
        let help = "Kernel memory of all maps";
        memory.encode(encoder.encode_descriptor(
            "weft_proxy_map_memory_bytes",
            help,
            None,
            memory.metric_type(),
        )?)
    }
}

fn labels(id: &PortId, label: &'static str, value: &str) -> [(&'static str, String); 6] {
    [
        ("namespace", id.service.namespace.clone()),
        ("service", id.service.name.clone()),
        ("port", id.port.to_string()),
        ("protocol", id.protocol.to_string()),
        ("family", id.family.to_string()),
        (label, value.to_owned()),
    ]
}
