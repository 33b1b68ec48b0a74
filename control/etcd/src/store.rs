//! The store: what is on disk, the index over it, and the revision up to which both are durable.
//!
//! ```text
//! reader:  index (read lock) ─ published revision ─ redb snapshot ─ rows           any number, side by side
//! writer:  index (write lock, per operation) ─ redb transaction ─ fsync ─ publish  one thread: crate::write
//! ```
//!
//! The order in [`Store::view`] is what makes a view whole: the revision is read before the snapshot is taken, so
//! every row that the index names at it is in the snapshot; the compaction is read after, so rows that the snapshot
//! lacks are never asked for.

use crate::error::{Error, Result, StartError};
use crate::lease::{Clock, LEASE, Leases};
use crate::mvcc::index::{Change, Index, Last};
use crate::mvcc::range::{self, Window};
use crate::mvcc::recent::Recent;
use crate::mvcc::revision::RowKey;
use crate::mvcc::rows::{self, KEY};
use crate::proto::{RangeRequest, RangeResponse, ResponseHeader};
use crate::storage::log::{self, Log};
use crate::storage::meta::{self, FORMAT, Fact, META};
use crate::storage::{Opened, Place};
use prost::Message;
use prost::bytes::Bytes;
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend};
use std::fmt::Debug;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

/// Where the data are. Tests put a disk here that forgets what was not synced, or refuses writes.
pub trait Disk: Debug + Send + Sync {
    /// Opens the database and checks it.
    fn open(&self) -> Result<Opened, StartError>;
    /// The same, with writes kept in memory.
    fn open_held(&self) -> Result<Opened, StartError>;
    /// The log beside it, with room.
    fn log(&self) -> Box<dyn StorageBackend>;
    /// Name of the data file, for messages.
    fn path(&self) -> &Path;
    /// Its size in bytes.
    fn size(&self) -> u64;
}

impl Disk for Place {
    fn open(&self) -> Result<Opened, StartError> {
        Place::open(self)
    }

    fn open_held(&self) -> Result<Opened, StartError> {
        Place::open_held(self)
    }

    fn log(&self) -> Box<dyn StorageBackend> {
        Place::log(self)
    }

    fn path(&self) -> &Path {
        Place::path(self)
    }

    fn size(&self) -> u64 {
        Place::size(self)
    }
}

/// Who this server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Of the cluster.
    pub cluster: u64,
    /// Of the one member.
    pub member: u64,
    /// Counts starts.
    pub term: u64,
}

/// What is read from disk at the start, and again after the disk has refused something.
#[derive(Debug)]
pub struct Loaded {
    /// The index.
    pub index: Index,
    /// Leases with their keys.
    pub leases: Leases,
    /// Age of the server in ms.
    pub age: u64,
    /// Newest revision.
    pub revision: i64,
    /// Compaction that was asked for, or -1.
    pub compacted: i64,
    /// Compaction whose rows are gone, or -1.
    pub finished: i64,
    /// The log, to go on with.
    pub log: Log,
    facts: Facts,
}

#[derive(Clone, Copy, Debug)]
struct Facts {
    identity: Identity,
    alarms: u64,
    bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Store {
    disk: Box<dyn Disk>,
    db: RwLock<Option<Database>>,
    index: RwLock<Index>,
    revision: AtomicI64,
    compacted: AtomicI64,
    published: watch::Sender<i64>,
    /// Events for watchers that keep up.
    pub recent: Recent,
    identity: Identity,
    /// Bits by type.
    pub alarms: AtomicU64,
    /// Bytes of rows that are not compacted away.
    pub bytes: AtomicU64,
    /// Whether the disk takes writes.
    pub writable: AtomicBool,
}

/// A consistent look at the newest durable state.
pub struct View<'a> {
    /// The index; let go before rows are fetched, where that is possible.
    pub index: RwLockReadGuard<'a, Index>,
    /// The revisions that can be asked for.
    pub window: Window,
    rows: ReadRows<'a>,
}

/// Rows of a view.
pub struct ReadRows<'a> {
    /// The table.
    pub table: ReadOnlyTable<&'static [u8], &'static [u8]>,
    /// What else there is in the same snapshot.
    pub txn: ReadTransaction,
    // The database may be taken away once this is gone.
    _db: RwLockReadGuard<'a, Option<Database>>,
}

impl Store {
    /// Opens what is on a disk. Also gives what the writer goes on with.
    pub fn open(disk: Box<dyn Disk>) -> Result<(Store, Loaded), StartError> {
        let opened = disk.open()?;
        let damaged = |e: Error| StartError::Damaged { path: disk.path().to_owned(), why: e.to_string() };
        let log = recover(opened.db(), &*disk, true)?;
        let mut loaded = load(opened.db(), log).map_err(damaged)?;
        let store = Store {
            db: RwLock::new(Some(opened.loaded())),
            index: RwLock::default(),
            revision: AtomicI64::new(loaded.revision),
            compacted: AtomicI64::new(loaded.compacted),
            published: watch::Sender::new(loaded.revision),
            recent: Recent::default(),
            identity: loaded.facts.identity,
            alarms: AtomicU64::new(loaded.facts.alarms),
            bytes: AtomicU64::new(loaded.facts.bytes),
            writable: AtomicBool::new(true),
            disk,
        };
        *store.index_mut() = std::mem::take(&mut loaded.index);
        Ok((store, loaded))
    }

    /// Who this is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Where the data are.
    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// The newest durable revision.
    pub fn revision(&self) -> i64 {
        self.revision.load(Ordering::Acquire)
    }

    /// The last compaction, or -1.
    pub fn compacted(&self) -> i64 {
        self.compacted.load(Ordering::Acquire)
    }

    /// How far a log of raft's would be, if there were one: every start and every transaction counts.
    pub fn raft_index(&self) -> u64 {
        self.identity.term + u64::try_from(self.revision()).unwrap_or_default()
    }

    /// A header with a revision.
    pub fn header(&self, revision: i64) -> ResponseHeader {
        let Identity { cluster, member, term } = self.identity;
        ResponseHeader { cluster_id: cluster, member_id: member, revision, raft_term: term }
    }

    /// Told of every newly durable revision.
    pub fn subscribe(&self) -> watch::Receiver<i64> {
        self.published.subscribe()
    }

    /// The index, to be changed.
    pub fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many keys there are.
    pub fn keys(&self) -> usize {
        self.index.read().unwrap_or_else(PoisonError::into_inner).live()
    }

    /// Looks at the newest durable state.
    pub fn view(&self) -> Result<View<'_>> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let current = self.revision();
        let rows = self.rows()?;
        Ok(View { index, window: Window { compacted: self.compacted(), current }, rows })
    }

    /// Rows of the newest durable state.
    pub fn rows(&self) -> Result<ReadRows<'_>> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let txn = db.as_ref().ok_or(Error::Stopped)?.begin_read().map_err(Error::disk)?;
        let table = txn.open_table(KEY).map_err(Error::disk)?;
        Ok(ReadRows { table, txn, _db: db })
    }

    /// Hands the database to the writer.
    pub fn with_db<T>(&self, run: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        run(db.as_ref().ok_or(Error::Stopped)?)
    }

    /// The same, alone: readers wait.
    pub fn with_db_alone<T>(&self, run: impl FnOnce(&mut Database) -> Result<T>) -> Result<T> {
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        run(db.as_mut().ok_or(Error::Stopped)?)
    }

    /// Makes a revision visible, with its events already in [`Store::recent`].
    pub fn publish(&self, revision: i64) {
        self.revision.store(revision, Ordering::Release);
        self.published.send_replace(revision);
    }

    /// Makes a compaction visible; before the index forgets anything.
    pub fn publish_compaction(&self, at: i64) {
        self.compacted.store(at, Ordering::Release);
        // Watchers that are behind it are to find out.
        self.published.send_modify(|_| ());
    }

    /// After the disk has refused something: opens the data anew and reads all of it again. If the disk still takes
    /// no writes, they stay away and reads go on.
    pub fn reopen(&self, writes: bool) -> Result<Loaded, StartError> {
        let mut index = self.index_mut();
        let mut slot = self.db.write().unwrap_or_else(PoisonError::into_inner);
        drop(slot.take());
        let recovered = |opened: Opened| {
            let log = recover(opened.db(), &*self.disk, false)?;
            Ok((opened, log))
        };
        let written = if writes { Some(self.disk.open().and_then(recovered)) } else { None };
        let (writable, (opened, log)) = match written {
            Some(Ok(opened)) => (true, opened),
            Some(Err(error)) => {
                tracing::error!(%error, "the data cannot be opened for writing; reads go on");
                (false, recovered(self.disk.open_held()?)?)
            }
            None => (false, recovered(self.disk.open_held()?)?),
        };
        let damaged =
            |e: Error| StartError::Damaged { path: self.disk.path().to_owned(), why: e.to_string() };
        let mut loaded = load(opened.db(), log).map_err(damaged)?;
        *slot = Some(opened.loaded());
        drop(slot);
        *index = std::mem::take(&mut loaded.index);
        self.writable.store(writable, Ordering::Release);
        self.bytes.store(loaded.facts.bytes, Ordering::Release);
        self.compacted.store(loaded.compacted, Ordering::Release);
        drop(index);
        self.recent.clear();
        self.publish(loaded.revision);
        Ok(loaded)
    }

    /// Ends: the database is closed, nothing can be read or written any more.
    pub fn close(&self) {
        drop(self.db.write().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl<'a> View<'a> {
    /// Answers a range.
    pub fn range(self, request: &RangeRequest) -> Result<RangeResponse> {
        let found = range::find(&self.index, self.window, request)?;
        drop(self.index);
        found.answer(&self.rows.table, request)
    }

    /// Answers a range with bytes, if it asks for nothing but rows in the order of their keys.
    pub fn encoded_range(
        self,
        request: &RangeRequest,
        header: impl Fn(i64) -> ResponseHeader,
    ) -> Result<Bytes> {
        if !range::is_plain(request) {
            let mut response = self.range(request)?;
            response.header = response.header.map(|h| header(h.revision));
            return Ok(response.encode_to_vec().into());
        }
        let found = range::find(&self.index, self.window, request)?;
        drop(self.index);
        let header = header(found.current());
        found.encoded(&self.rows.table, request, header)
    }

    /// Its rows.
    pub fn table(&self) -> &ReadOnlyTable<&'static [u8], &'static [u8]> {
        &self.rows.table
    }
}

/// Brings into the database what only the log has, and counts the start. After this the log begins anew.
fn recover(db: &Database, disk: &dyn Disk, starts: bool) -> Result<Log, StartError> {
    let damaged = |e: Error| StartError::Damaged { path: disk.path().to_owned(), why: e.to_string() };
    let file = disk.log();
    let seq = replay(db, &*file, disk.path(), starts).map_err(|e| match e {
        Recover::Log(error) => error,
        Recover::Database(error) => damaged(error),
    })?;
    Ok(Log::after(file, seq))
}

enum Recover {
    Log(StartError),
    Database(Error),
}

impl From<Error> for Recover {
    fn from(error: Error) -> Recover {
        Recover::Database(error)
    }
}

fn replay(db: &Database, log: &dyn StorageBackend, path: &Path, starts: bool) -> Result<u64, Recover> {
    let txn = db.begin_write().map_err(Error::disk)?;
    let known = {
        let table = txn.open_table(META).map_err(Error::disk)?;
        match meta::get(&table, Fact::Format)? {
            Some(FORMAT) => {}
            other => Err(Error::Corrupt(format!("its form is {other:?}, this program writes {FORMAT}")))?,
        }
        meta::get(&table, Fact::Seq)?.unwrap_or(0)
    };
    let found = log::read(log, path, known).map_err(Recover::Log)?;
    found.batches.iter().try_for_each(|changes| changes.apply(&txn))?;
    {
        let mut table = txn.open_table(META).map_err(Error::disk)?;
        meta::set(&mut table, Fact::Seq, found.seq)?;
        if starts {
            let term = meta::get(&table, Fact::Term)?.unwrap_or(1) + 1;
            meta::set(&mut table, Fact::Term, term)?;
        }
    }
    txn.commit().map_err(Error::disk)?;
    Ok(found.seq)
}

/// Reads everything.
fn load(db: &Database, log: Log) -> Result<Loaded> {
    let txn = db.begin_read().map_err(Error::disk)?;
    let table = txn.open_table(META).map_err(Error::disk)?;
    let number = |fact, or| meta::get(&table, fact).map(|value| value.unwrap_or(or));
    let revision_of = |fact| number(fact, 0).map(|value| if value == 0 { -1 } else { value as i64 });
    let identity = Identity {
        cluster: number(Fact::Cluster, 0)?,
        member: number(Fact::Member, 0)?,
        term: number(Fact::Term, 0)?,
    };
    let (compacted, finished) = (revision_of(Fact::ScheduledCompact)?, revision_of(Fact::FinishedCompact)?);
    let mut leases = Leases::load(&txn.open_table(LEASE).map_err(Error::disk)?)?;
    let rows = load_rows(&txn.open_table(KEY).map_err(Error::disk)?, &mut leases)?;
    let facts = Facts { identity, alarms: number(Fact::Alarms, 0)?, bytes: rows.bytes };
    let revision = rows.newest.max(compacted).max(1);
    let age = number(Fact::Clock, 0)?;
    Ok(Loaded { index: rows.index, leases, age, revision, compacted, finished, log, facts })
}

struct LoadedRows {
    index: Index,
    newest: i64,
    bytes: u64,
}

fn load_rows(table: &ReadOnlyTable<&'static [u8], &'static [u8]>, leases: &mut Leases) -> Result<LoadedRows> {
    let (mut changes, mut newest, mut bytes) = (Vec::new(), 0, 0);
    for row in table.iter().map_err(Error::disk)? {
        let (key, value) = row.map_err(Error::disk)?;
        let Some((revision, deletion)) = RowKey::read(key.value()) else {
            return Err(Error::Corrupt(format!("a row has the key {:02x?}", key.value())));
        };
        let row = rows::outline(value.value(), revision)?;
        newest = newest.max(revision.main);
        bytes += (key.value().len() + value.value().len()) as u64;
        let last = Last { created: row.created, version: row.version, lease: row.lease };
        changes.push((row.key.into(), Change { revision, deletion }, last));
    }
    let index = Index::of(changes);
    index.leased().for_each(|(key, lease)| leases.move_key(key, 0, lease));
    Ok(LoadedRows { index, newest, bytes })
}

impl Loaded {
    /// The clock of leases, which goes on from the age that was read.
    pub fn clock(&self) -> Clock {
        Clock::from(self.age)
    }
}
