//! The proxy's loop: what the source says goes through the tracker to the back end; what the kernel says makes it look
//! again.
//!
//! ```text
//! source ─ batch ─► tracker ─ changes ─► back end           each batch, in proportion to it
//! links, addresses changed, or 30 s passed ─► back end looks at the node
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use netstate::{Monitor, Topic};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use crate::backend::{Applied, Backend, MapUsage};
use crate::metrics::ProxyMetrics;
use crate::semantics::{NodeOptions, Object, ObjectKind, Tracker, Update};
use crate::source::{Batch, Source};
use crate::table::{HealthCheck, PortChange, PortId, ServiceTable, TableChanges};

/// How often the node is looked at without an event.
const RESYNC: Duration = Duration::from_secs(30);
/// How long events of links and addresses are gathered.
const SETTLE: Duration = Duration::from_millis(20);
/// A table that is so full is told in the log.
const NEARLY_FULL: f64 = 0.95;

/// What the daemon's listeners show.
#[derive(Clone, Debug, Default)]
pub struct ProxyStatus {
    /// When the datapath was last known to be what the source says.
    pub last_updated: Option<SystemTime>,
    /// Why it is not, if it is not.
    pub behind: Option<String>,
    /// `healthCheckNodePort`s.
    pub health_checks: BTreeMap<u16, HealthCheck>,
}

/// Runs until `shutdown`. The datapath stays as it is when the daemon goes.
pub async fn run<S: Source, B: Backend>(
    mut source: S,
    backend: Arc<Mutex<B>>,
    node: NodeOptions,
    metrics: ProxyMetrics,
    status: watch::Sender<ProxyStatus>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), B::Error>
where
    B::Error: From<netstate::Error>,
{
    let mut proxy = Proxy {
        tracker: Tracker::new(node),
        backend,
        metrics,
        status,
        started: false,
        failed: BTreeMap::new(),
        told: None,
    };
    // SAFETY: the monitor owns its descriptor, which nothing else closes, and is dropped with the registration.
    let monitor = unsafe { AsyncFd::register(Monitor::open(&[Topic::Links, Topic::Addresses])?) };
    let mut monitor = monitor
        .map_err(|source| netstate::Error::Socket { action: "wait for events", source: source.into() })?;
    let mut resync = tokio::time::interval(RESYNC);
    resync.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    resync.tick().await;
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            batch = source.next() => proxy.take(batch)?,
            ready = monitor.readable_mut() => {
                let mut ready = ready.map_err(|source| netstate::Error::Socket { action: "wait for events", source })?;
                tokio::time::sleep(SETTLE).await;
                ready.get_inner_mut().drain()?;
                ready.clear_ready();
                proxy.look_at_node();
            }
            _ = resync.tick() => {
                proxy.look_at_node();
                proxy.warn_of_full_tables();
            }
        }
    }
}

struct Proxy<B> {
    tracker: Tracker,
    backend: Arc<Mutex<B>>,
    metrics: ProxyMetrics,
    status: watch::Sender<ProxyStatus>,
    started: bool,
    /// Service ports that the back end could not write; tried again at each look.
    failed: BTreeMap<PortId, String>,
    /// The last thing that was wrong with the node, told once.
    told: Option<String>,
}

impl<B: Backend> Proxy<B> {
    fn backend(&self) -> MutexGuard<'_, B> {
        // A collector that panicked has only read.
        self.backend.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a batch to the datapath.
    fn take(&mut self, batch: Batch) -> Result<(), B::Error> {
        let seen = Instant::now();
        batch.problems.iter().for_each(|problem| tracing::warn!(%problem, "a document is left as it was"));
        let count = |kind| batch.updates.iter().filter(|update| update.key.kind == kind).count() as u64;
        let (services, endpoints) = (count(ObjectKind::Service), count(ObjectKind::EndpointSlice));
        self.metrics.queued(services, endpoints, batch.problems.len());
        let triggers = triggers(&batch.updates);
        let changes = self.tracker.apply(batch.updates);
        let full = !self.started;
        let applied = if full { self.start()? } else { self.apply(&changes)? };
        if batch.complete {
            self.backend().retire(self.tracker.table())?;
        }
        self.metrics.synced(seen.elapsed(), full, applied.failed.len());
        self.metrics.local(self.tracker.table(), &changes, full);
        let now = SystemTime::now();
        triggers
            .into_iter()
            .filter_map(|at| now.duration_since(at).ok())
            .for_each(|since| self.metrics.programmed(since));
        if full {
            give_memory_back();
            self.tell_start(&applied, seen.elapsed());
        } else if !changes.ports.is_empty() {
            tracing::info!(ports = changes.ports.len(), took = ?seen.elapsed(), "services changed");
        }
        changes.ports.iter().for_each(|change| drop(self.failed.remove(&change.id)));
        self.failed.extend(applied.failed);
        self.tell_status();
        Ok(())
    }

    fn start(&mut self) -> Result<Applied, B::Error> {
        let applied = self.backend().start(self.tracker.table(), self.tracker.node())?;
        self.started = true;
        Ok(applied)
    }

    fn apply(&mut self, changes: &TableChanges) -> Result<Applied, B::Error> {
        let applied = self.backend().apply(changes)?;
        if changes.node {
            self.look_at_node();
        }
        Ok(applied)
    }

    fn look_at_node(&mut self) {
        if !self.started {
            return;
        }
        let looked = self.backend().look_at_node(self.tracker.node());
        let wrong = looked.err().map(|error| error.to_string());
        if let Some(error) = wrong.as_ref().filter(|_| wrong != self.told) {
            tracing::error!(%error, "the node is not as it should be; trying again");
        }
        self.told = wrong;
        self.retry();
        self.tell_status();
    }

    /// Tries to write what did not fit.
    fn retry(&mut self) {
        let table = self.tracker.table();
        let change =
            |id: &PortId| PortChange { id: id.clone(), before: None, after: table.ports.get(id).cloned() };
        let ports: Vec<PortChange> = self.failed.keys().map(change).collect();
        if ports.is_empty() {
            return;
        }
        let applied = self.backend().apply(&TableChanges { ports, ..TableChanges::default() });
        if let Ok(applied) = applied {
            self.failed = applied.failed.into_iter().collect();
        }
    }

    fn warn_of_full_tables(&self) {
        let usage = self.backend().usage();
        for map in usage.into_iter().flatten().filter(nearly_full) {
            let MapUsage { name, used, capacity, flag, evicts } = map;
            let then = if evicts { "the oldest entries go" } else { "new services are not programmed" };
            tracing::warn!(
                "map {name} has {used} of {capacity} entries; when it is full {then}: raise --{flag}"
            );
        }
    }

    fn tell_start(&self, applied: &Applied, took: Duration) {
        let backend = self.backend();
        let table = self.tracker.table();
        let megabytes = backend.memory() as f64 / 1e6;
        tracing::info!(
            mode = backend.mode(),
            service_ports = table.ports.len(),
            failed = applied.failed.len(),
            ?took,
            "services are in the datapath; its maps take {megabytes:.1} MB"
        );
        for (id, port) in &table.ports {
            if let Some(why) = backend.unsupported(id, port) {
                tracing::warn!(service = %id, "left out: {why}");
            }
        }
    }

    fn tell_status(&self) {
        let unwritten = self.failed.iter().next().map(|(id, why)| format!("{id}: {why}"));
        let behind = self.told.clone().or(unwritten);
        let health_checks = self.tracker.table().health_checks.clone();
        self.status.send_modify(|status| {
            status.last_updated = behind.is_none().then(SystemTime::now).or(status.last_updated);
            status.behind = behind;
            status.health_checks = health_checks;
        });
    }
}

/// Hands the memory that reading everything took back to the kernel; the allocator would keep it for more of the same.
fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes no memory of ours.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn nearly_full(map: &MapUsage) -> bool {
    map.used as f64 >= map.capacity as f64 * NEARLY_FULL
}

/// When the objects of a batch say that they changed.
fn triggers(updates: &[Update]) -> Vec<SystemTime> {
    let annotated = updates.iter().filter_map(|update| match &update.object {
        Some(Object::EndpointSlice(slice)) => slice.trigger_time.as_deref(),
        _ => None,
    });
    annotated.filter_map(|text| text.parse::<jiff::Timestamp>().ok()).map(SystemTime::from).collect()
}

/// The table that a source gives now, and what is wrong in it, for those who only look: `explain`.
pub async fn table_of<S: Source>(mut source: S, node: NodeOptions) -> (ServiceTable, Vec<String>) {
    let batch = source.next().await;
    let mut tracker = Tracker::new(node);
    tracker.apply(batch.updates);
    (tracker.table().clone(), batch.problems.iter().map(ToString::to_string).collect())
}
