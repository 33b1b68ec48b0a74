//! The writer: one thread through which every change goes.
//!
//! ```text
//! requests ─▶ queue ─▶ take all that wait ─▶ apply to index and redb ─▶ log, one fsync ─▶ publish, answer all
//!                          ▲                                                    │
//!                          └──── leases that end, rows to remove ◀──────────────┘
//! ```
//!
//! Group commit: what arrives during one fsync shares the next. Nothing is answered, shown to readers or sent to
//! watchers before it is durable. Rows that compaction frees go in small batches between requests. Cost per batch:
//! one fsync, and a few µs for each request.

mod apply;
mod batch;
pub mod job;

use crate::error::{Error, Result};
use crate::lease::{Clock, Leases};
use crate::mvcc::revision::Revision;
use crate::proto::{alarm_action, alarm_type};
use crate::storage::log::Log;
use crate::storage::meta::{self, Fact, META};
use crate::store::{Loaded, Store};
pub use apply::listed;
use apply::{apply, bit, refuse, time_left};
use batch::Batch;
use job::{Job, Settle, settle};
use redb::Durability;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Requests in one batch at most.
const MOST_JOBS: usize = 512;

/// Requests that may wait, as etcd's bound on what is proposed and not applied.
const MOST_WAITING: usize = 5_000;

/// Rows removed at once.
const ROWS_AT_ONCE: usize = 1_000;

/// Leases ended at once.
const LEASES_AT_ONCE: usize = 1_000;

/// How long after a refusal the disk is tried again.
const DISK_AGAIN: Duration = Duration::from_secs(1);

/// Durations of commits, told to whoever measures.
pub type Observe = Box<dyn Fn(Duration) + Send>;

/// The way to the writer.
#[derive(Debug)]
pub struct Writer {
    queue: Sender<Job>,
    waiting: Arc<AtomicUsize>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(store: Arc<Store>, loaded: Loaded, quota: u64, observe: Observe) -> std::io::Result<Writer> {
        let (queue, jobs) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let mut work = Work::of(store, loaded, quota, waiting.clone(), observe);
        let thread = thread::Builder::new().name("etcd-writer".into()).spawn(move || work.run(&jobs))?;
        Ok(Writer { queue, waiting, thread: std::sync::Mutex::new(Some(thread)) })
    }

    /// Asks, and waits for the answer.
    pub async fn ask<T>(&self, job: impl FnOnce(job::Answer<T>) -> Job) -> Result<T> {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MOST_WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::TooManyRequests);
        }
        let (answer, outcome) = oneshot::channel();
        self.queue.send(job(answer)).map_err(|_| Error::Stopped)?;
        outcome.await.map_err(|_| Error::Stopped)?
    }

    /// Ends the thread once all that waited is done.
    pub fn stop(&self) {
        let (answer, _) = oneshot::channel();
        drop(self.queue.send(Job::Stop(answer)));
        let thread = self.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(thread) = thread {
            drop(thread.join());
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Work {
    store: Arc<Store>,
    leases: Leases,
    clock: Clock,
    /// Age that is on disk.
    noted_age: u64,
    compacted: i64,
    /// Rows to remove, and who waits for that.
    removal: VecDeque<(Revision, bool)>,
    removal_waiters: Vec<oneshot::Sender<()>>,
    finished: i64,
    log: Log,
    quota: u64,
    waiting: Arc<AtomicUsize>,
    observe: Observe,
    /// When the disk refused last.
    refused_at: Option<Instant>,
    stopping: Vec<job::Answer<()>>,
}

/// What a batch leaves to be done after its commit.
#[derive(Default)]
struct After {
    settles: Vec<Settle>,
    compactions: Vec<oneshot::Sender<()>>,
    defragment: Vec<job::Answer<()>>,
    stop: Vec<job::Answer<()>>,
    alarms: Option<u64>,
}

impl Work {
    fn of(
        store: Arc<Store>,
        loaded: Loaded,
        quota: u64,
        waiting: Arc<AtomicUsize>,
        observe: Observe,
    ) -> Work {
        let mut work = Work {
            clock: loaded.clock(),
            noted_age: loaded.age,
            compacted: loaded.compacted,
            finished: loaded.finished,
            leases: loaded.leases,
            log: loaded.log,
            store,
            removal: VecDeque::new(),
            removal_waiters: Vec::new(),
            quota,
            waiting,
            observe,
            refused_at: None,
            stopping: Vec::new(),
        };
        work.resume_compaction();
        work
    }

    fn run(&mut self, jobs: &Receiver<Job>) {
        while let Some(batch) = self.next(jobs) {
            self.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
            if self.refused_at.is_some_and(|at| at.elapsed() >= DISK_AGAIN) {
                self.reopen(true);
            }
            if let Err(error) = self.batch(batch) {
                self.disk_refused(&error);
            }
            if !self.stopping.is_empty() {
                break;
            }
        }
        self.note_age();
        self.store.close();
        self.stopping.drain(..).for_each(|answer| drop(answer.send(Ok(()))));
    }

    /// Waits for work; an empty batch is for leases and rows. `None`: nobody can ask any more.
    fn next(&self, jobs: &Receiver<Job>) -> Option<Vec<Job>> {
        let first = match jobs.recv_timeout(self.patience()) {
            Ok(job) => job,
            Err(RecvTimeoutError::Timeout) => return Some(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => return None,
        };
        let mut batch = vec![first];
        while batch.len() < MOST_JOBS
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        Some(batch)
    }

    /// How long there is nothing to do without being asked.
    fn patience(&self) -> Duration {
        if self.refused_at.is_some() {
            return DISK_AGAIN;
        }
        if self.compacted > self.finished {
            return Duration::ZERO;
        }
        let now = self.clock.now();
        let expiry = self.leases.next_expiry().map(|at| at.saturating_sub(now));
        let tick = self.leases.tick(now).map(|lag| (self.noted_age + lag).saturating_sub(now));
        let next = expiry.into_iter().chain(tick).min();
        Duration::from_millis(next.unwrap_or(60_000).clamp(1, 60_000))
    }

    /// Applies, commits, publishes, answers.
    fn batch(&mut self, jobs: Vec<Job>) -> Result<()> {
        let store = self.store.clone();
        let mut after = After::default();
        let applied = store.with_db(|db| self.commit(db, jobs, &mut after));
        let failed = applied.as_ref().err();
        if failed.is_none() {
            self.published(&mut after);
        }
        after.settles.into_iter().for_each(|settle| settle(failed));
        for answer in after.defragment {
            let done = store.with_db_alone(|db| {
                while db.compact().map_err(Error::disk)? {}
                Ok(())
            });
            drop(answer.send(done));
        }
        self.stopping.append(&mut after.stop);
        applied?;
        if self.log.is_full() { store.with_db(|db| self.checkpoint(db)) } else { Ok(()) }
    }

    fn commit(&mut self, db: &redb::Database, jobs: Vec<Job>, after: &mut After) -> Result<()> {
        if !self.store.writable.load(Ordering::Acquire) {
            jobs.into_iter().for_each(|job| self.look(job, after));
            return Ok(());
        }
        let mut txn = db.begin_write().map_err(Error::disk)?;
        let mut batch = Batch::of(&self.store, &txn, &mut self.leases, self.clock, self.compacted)?;
        let quota = self.quota;
        let mut fatal = None;
        for job in jobs {
            fatal = match fatal {
                None => apply(&mut batch, job, quota, after).err(),
                some => {
                    refuse(job, &Error::Stopped, after);
                    some
                }
            };
        }
        if let Some(error) = fatal {
            return Err(error);
        }
        batch.expire(LEASES_AT_ONCE)?;
        let rows: Vec<_> = self.removal.iter().take(ROWS_AT_ONCE).copied().collect();
        let ends = rows.len() == self.removal.len()
            && self.compacted > self.finished
            && batch.compacted == self.compacted;
        if !rows.is_empty() {
            batch.remove_rows(&rows)?;
        }
        if ends {
            batch.note(Fact::FinishedCompact, self.compacted as u64)?;
        }
        if let Some(alarms) = after.alarms {
            batch.note(Fact::Alarms, alarms)?;
        }
        let age = batch.now();
        let due = batch.leases().tick(age).is_some_and(|lag| age >= self.noted_age + lag);
        if batch.is_empty() && !due {
            return Ok(());
        }
        batch.note(Fact::Clock, age)?;
        let (revision, compacted) = (batch.revision, batch.compacted);
        let done = batch.end();
        let start = Instant::now();
        self.log.append(&done.changes).map_err(|e| Error::disk(redb::Error::Io(e)))?;
        txn.set_durability(Durability::None).map_err(Error::disk)?;
        txn.commit().map_err(Error::disk)?;
        (self.observe)(start.elapsed());

        self.noted_age = age;
        self.store.bytes.fetch_add(done.grown as u64, Ordering::Relaxed);
        self.removal.drain(..rows.len());
        if ends {
            self.finished = self.compacted;
            self.tell_removed();
        }
        if !done.transactions.is_empty() {
            self.store.recent.add(done.transactions);
            self.store.publish(revision);
        }
        self.compacted = compacted;
        Ok(())
    }

    /// After a commit: what it allows.
    fn published(&mut self, after: &mut After) {
        if let Some(alarms) = after.alarms {
            self.store.alarms.store(alarms, Ordering::Release);
        }
        if self.compacted > self.store.compacted() {
            self.store.publish_compaction(self.compacted);
            self.resume_compaction();
        }
        self.removal_waiters.append(&mut after.compactions);
        if self.compacted <= self.finished {
            self.tell_removed();
        }
    }

    fn tell_removed(&mut self) {
        for waiter in self.removal_waiters.drain(..) {
            // A compaction need not be waited for.
            let _ = waiter.send(());
        }
    }

    /// Lets the index forget, and lists the rows that are to go.
    fn resume_compaction(&mut self) {
        if self.compacted > self.finished {
            let gone = self.store.index_mut().compact(self.compacted);
            self.removal.extend(gone.into_iter().map(|change| (change.revision, change.deletion)));
        }
    }

    /// While the disk takes no writes: looking is answered, the rest refused.
    fn look(&mut self, job: Job, after: &mut After) {
        let now = self.clock.now();
        let alarms = self.store.alarms.load(Ordering::Acquire);
        after.settles.push(match job {
            Job::TimeToLive(id, keys, answer) => settle(answer, time_left(&self.leases, now, id, keys)),
            Job::Leases(answer) => settle(answer, Ok(self.leases.ids().collect())),
            Job::KeepAlive(id, answer) => {
                // It counts as long as this process lives, which is better than to let the lease end.
                let ttl = self.leases.get(id).filter(|l| l.expiry > now).map(|l| l.ttl);
                if let Some(ttl) = ttl {
                    self.leases.set(id, ttl, crate::lease::expiry(now, ttl));
                }
                settle(answer, ttl.ok_or(Error::LeaseNotFound))
            }
            Job::Alarm(request, answer) if request.action == alarm_action::GET => {
                settle(answer, Ok(listed(&self.store, request.alarm)))
            }
            other => {
                let full = alarms & bit(alarm_type::NOSPACE) != 0;
                let error =
                    if full { Error::NoSpace } else { Error::Storage("it refused earlier ones".into()) };
                return refuse(other, &error, after);
            }
        });
    }

    /// The disk refused a batch: everything is read anew, so that memory is what is on disk.
    fn disk_refused(&mut self, error: &Error) {
        tracing::error!(file = %self.store.disk().path().display(), %error, "the disk refused a write");
        let full = matches!(error, Error::DiskFull);
        if full {
            self.store.alarms.fetch_or(bit(alarm_type::NOSPACE), Ordering::AcqRel);
        }
        // A full disk still takes what needs no more room: deletions and compaction, which make some.
        self.reopen(full);
    }

    fn reopen(&mut self, writes: bool) {
        match self.store.reopen(writes) {
            Ok(loaded) => {
                let now = self.clock.now().max(loaded.age);
                self.leases = loaded.leases;
                self.log = loaded.log;
                self.clock = Clock::from(now);
                self.compacted = loaded.compacted;
                self.finished = loaded.finished;
                self.removal.clear();
                self.resume_compaction();
                let writable = self.store.writable.load(Ordering::Acquire);
                self.refused_at = (!writable).then(Instant::now);
                if writable {
                    tracing::info!(file = %self.store.disk().path().display(), "the data file is open for writing again");
                }
            }
            Err(error) => {
                tracing::error!(%error, "the data cannot be read any more");
                self.refused_at = Some(Instant::now());
            }
        }
    }

    /// The database takes for good what so far only the log has.
    fn checkpoint(&mut self, db: &redb::Database) -> Result<()> {
        let txn = db.begin_write().map_err(Error::disk)?;
        {
            let mut table = txn.open_table(META).map_err(Error::disk)?;
            meta::set(&mut table, Fact::Seq, self.log.seq())?;
            meta::set(&mut table, Fact::Clock, self.clock.now())?;
        }
        txn.commit().map_err(Error::disk)?;
        self.log.restart();
        Ok(())
    }

    /// At the end, so that no lease loses or gains time.
    fn note_age(&mut self) {
        if self.store.writable.load(Ordering::Acquire) {
            let store = self.store.clone();
            if let Err(error) = store.with_db(|db| self.checkpoint(db)) {
                tracing::warn!(%error, "leases may live a little longer after the next start");
            }
        }
    }
}
