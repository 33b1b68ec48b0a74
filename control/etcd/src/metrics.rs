//! What is counted, under etcd's names.

use crate::store::Store;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::atomic::Ordering;

/// Counters and gauges of one server. Counters get their `_total` when they are printed.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// `etcd_mvcc_range_total`.
    pub ranges: Counter,
    /// `etcd_mvcc_put_total`.
    pub puts: Counter,
    /// `etcd_mvcc_delete_total`.
    pub deletes: Counter,
    /// `etcd_mvcc_txn_total`.
    pub txns: Counter,
    /// `etcd_debugging_mvcc_watch_stream_total`.
    pub watch_streams: Gauge,
    /// `etcd_debugging_mvcc_watcher_total`.
    pub watchers: Gauge,
    /// `etcd_debugging_mvcc_events_total`.
    pub watch_events: Counter,
    /// Pieces of history that were read from disk for watchers that began in the past or fell behind.
    pub slow_watch_pieces: Counter,
    /// `etcd_disk_backend_commit_duration_seconds`.
    pub commits: Histogram,
    keys: Gauge,
    db_bytes: Gauge,
    db_bytes_in_use: Gauge,
    quota_bytes: Gauge,
    revision: Gauge,
    compacted: Gauge,
    writes: Gauge,
    writable: Gauge,
}

impl Metrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry, quota: u64) -> Metrics {
        let metrics = Metrics {
            ranges: Counter::default(),
            puts: Counter::default(),
            deletes: Counter::default(),
            txns: Counter::default(),
            watch_streams: Gauge::default(),
            watchers: Gauge::default(),
            watch_events: Counter::default(),
            slow_watch_pieces: Counter::default(),
            commits: Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
            keys: Gauge::default(),
            db_bytes: Gauge::default(),
            db_bytes_in_use: Gauge::default(),
            quota_bytes: Gauge::default(),
            revision: Gauge::default(),
            compacted: Gauge::default(),
            writes: Gauge::default(),
            writable: Gauge::default(),
        };
        metrics.quota_bytes.set(i64::try_from(quota).unwrap_or(i64::MAX));
        metrics.register_counters(registry);
        metrics.register_gauges(registry);
        metrics
    }

    fn register_counters(&self, registry: &mut Registry) {
        let counters = [
            ("etcd_mvcc_range", "Ranges answered", &self.ranges),
            ("etcd_mvcc_put", "Keys put, alone or in transactions", &self.puts),
            ("etcd_mvcc_delete", "Deletions, alone or in transactions", &self.deletes),
            ("etcd_mvcc_txn", "Transactions", &self.txns),
            ("etcd_debugging_mvcc_events", "Events sent to watchers", &self.watch_events),
            (
                "weft_etcd_slow_watch_pieces",
                "Pieces of history read from disk for watchers",
                &self.slow_watch_pieces,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let (name, help) = ("etcd_disk_backend_commit_duration_seconds", "Duration of commits, with fsync");
        registry.register(name, help, self.commits.clone());
    }

    fn register_gauges(&self, registry: &mut Registry) {
        // One member is always its own leader.
        let leads = Gauge::default();
        leads.set(1_i64);
        let gauges = [
            ("etcd_server_has_leader", "Whether there is a leader", &leads),
            ("etcd_server_is_leader", "Whether this is the leader", &leads),
            ("etcd_server_quota_backend_bytes", "Quota", &self.quota_bytes),
            ("etcd_server_proposals_committed_total", "Transactions made durable, and starts", &self.writes),
            ("etcd_debugging_mvcc_keys_total", "Keys", &self.keys),
            ("etcd_debugging_mvcc_watch_stream_total", "Watch streams", &self.watch_streams),
            ("etcd_debugging_mvcc_watcher_total", "Watches", &self.watchers),
            ("etcd_debugging_mvcc_current_revision", "Newest revision", &self.revision),
            ("etcd_debugging_mvcc_compact_revision", "Last compaction", &self.compacted),
            ("etcd_mvcc_db_total_size_in_bytes", "Size of the data file", &self.db_bytes),
            ("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of rows in it", &self.db_bytes_in_use),
            ("weft_etcd_writable", "Whether the disk takes writes", &self.writable),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
    }

    /// Brings up to date what is only looked at.
    pub fn refresh(&self, store: &Store) {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.keys.set(store.keys() as i64);
        self.db_bytes.set(signed(store.disk().size()));
        self.db_bytes_in_use.set(signed(store.bytes.load(Ordering::Relaxed)));
        self.revision.set(store.revision());
        self.compacted.set(store.compacted());
        self.writes.set(signed(store.raft_index()));
        self.writable.set(i64::from(store.writable.load(Ordering::Relaxed)));
    }
}
