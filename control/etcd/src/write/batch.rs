//! One batch of writes: a redb transaction, and what goes into the index and to watchers with it.
//!
//! An operation takes the index's write lock, checks, and only then changes; so what is refused has changed nothing,
//! and the only failure halfway is the disk's. That one ends the batch: the transaction is dropped, and the writer
//! reads everything anew.

use crate::error::{Error, Result};
use crate::keys::KeyRange;
use crate::lease::{self, Clock, Leases};
use crate::mvcc::index::{Index, Last, Row};
use crate::mvcc::range::{self, Window};
use crate::mvcc::recent::Transaction;
use crate::mvcc::revision::{Revision, RowKey};
use crate::mvcc::rows::{self, KEY};
use crate::proto::{
    DeleteRangeRequest, DeleteRangeResponse, Event, KeyValue, PutRequest, PutResponse, RangeRequest,
    RangeResponse, ResponseHeader, TxnRequest, TxnResponse,
};
use crate::storage::change::Changes;
use crate::storage::meta::{self, Fact, META};
use crate::store::Store;
use crate::txn::{self, State};
use prost::Message;
use redb::{Table, WriteTransaction};
use std::sync::RwLockWriteGuard;

/// What a batch has come to, apart from what is on disk.
#[derive(Debug, Default)]
pub struct Done {
    /// What watchers are told once it is durable.
    pub transactions: Vec<Transaction>,
    /// How much the rows have grown, in bytes.
    pub grown: i64,
    /// All of it, for the log.
    pub changes: Changes,
}

/// Tables of a transaction, and what the batch has come to.
pub struct Batch<'a> {
    store: &'a Store,
    rows: Table<'a, &'static [u8], &'static [u8]>,
    leases_on_disk: Table<'a, i64, (i64, u64)>,
    meta: Table<'a, &'static str, u64>,
    leases: &'a mut Leases,
    clock: Clock,
    /// The newest revision, not yet durable.
    pub revision: i64,
    /// The last compaction, not yet durable.
    pub compacted: i64,
    /// The rest.
    pub done: Done,
}

impl<'a> Batch<'a> {
    /// Opens the tables.
    pub fn of(
        store: &'a Store,
        txn: &'a WriteTransaction,
        leases: &'a mut Leases,
        clock: Clock,
        compacted: i64,
    ) -> Result<Batch<'a>> {
        Ok(Batch {
            store,
            rows: txn.open_table(KEY).map_err(Error::disk)?,
            leases_on_disk: txn.open_table(lease::LEASE).map_err(Error::disk)?,
            meta: txn.open_table(META).map_err(Error::disk)?,
            leases,
            clock,
            revision: store.revision(),
            compacted,
            done: Done::default(),
        })
    }

    /// Puts a key.
    pub fn put(&mut self, request: &PutRequest) -> Result<PutResponse> {
        if request.lease != 0 {
            self.living(request.lease)?;
        }
        self.operation(|op| {
            op.check_put(request)?;
            op.put(request)
        })
    }

    /// Deletes keys.
    pub fn delete(&mut self, request: &DeleteRangeRequest) -> Result<DeleteRangeResponse> {
        self.operation(|op| op.delete(request))
    }

    /// Executes a transaction.
    pub fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse> {
        self.operation(|op| txn::execute(op, request))
    }

    fn operation<T>(&mut self, run: impl FnOnce(&mut Operation<'_, 'a>) -> Result<T>) -> Result<T> {
        let store = self.store;
        let mut operation =
            Operation { index: store.index_mut(), main: self.revision + 1, events: Vec::new(), batch: self };
        let outcome = run(&mut operation);
        let Operation { main, events, batch, .. } = operation;
        if !events.is_empty() {
            batch.revision = main;
            batch.done.transactions.push(Transaction::of(main, events));
        }
        outcome
    }

    /// Makes a lease.
    pub fn grant(&mut self, id: i64, ttl: i64) -> Result<(i64, i64)> {
        let ttl = lease::granted(ttl)?;
        let id = if id == 0 { self.free_id() } else { id };
        if self.leases.get(id).is_some() {
            return Err(Error::LeaseExists);
        }
        self.write_lease(id, ttl)?;
        Ok((id, ttl))
    }

    fn free_id(&self) -> i64 {
        loop {
            let id = rand::random::<i64>() & i64::MAX;
            if id != 0 && self.leases.get(id).is_none() {
                return id;
            }
        }
    }

    /// Gives a lease its whole time again.
    pub fn keep_alive(&mut self, id: i64) -> Result<i64> {
        let ttl = self.living(id)?.ttl;
        self.write_lease(id, ttl)?;
        Ok(ttl)
    }

    /// A lease that has not ended.
    pub fn living(&self, id: i64) -> Result<&lease::Lease> {
        let lease = self.leases.get(id).filter(|lease| lease.expiry > self.clock.now());
        lease.ok_or(Error::LeaseNotFound)
    }

    fn write_lease(&mut self, id: i64, ttl: i64) -> Result<()> {
        let expiry = lease::expiry(self.clock.now(), ttl);
        lease::write(&mut self.leases_on_disk, id, ttl, expiry)?;
        self.done.changes.put_lease(id, ttl, expiry);
        self.leases.set(id, ttl, expiry);
        Ok(())
    }

    /// Ends a lease: its keys go in one transaction.
    pub fn revoke(&mut self, id: i64) -> Result<()> {
        let lease = self.leases.get(id).ok_or(Error::LeaseNotFound)?;
        let keys: Vec<Vec<u8>> = lease.keys.iter().cloned().collect();
        self.operation(|op| keys.iter().try_for_each(|key| op.delete_key(key)))?;
        lease::erase(&mut self.leases_on_disk, id)?;
        self.done.changes.remove_lease(id);
        self.leases.remove(id);
        Ok(())
    }

    /// Ends leases whose time is over.
    pub fn expire(&mut self, most: usize) -> Result<usize> {
        let expired = self.leases.expired(self.clock.now(), most);
        expired.iter().try_for_each(|id| self.revoke(*id))?;
        Ok(expired.len())
    }

    /// Whether there is anything to commit.
    pub fn is_empty(&self) -> bool {
        self.done.changes.bytes().is_empty()
    }

    /// The store under it.
    pub fn store(&self) -> &Store {
        self.store
    }

    /// All leases.
    pub fn leases(&self) -> &Leases {
        self.leases
    }

    /// Age of the server in ms.
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Takes a compaction on.
    pub fn compact(&mut self, at: i64) -> Result<()> {
        if at <= self.compacted {
            return Err(Error::Compacted);
        }
        if at > self.revision {
            return Err(Error::FutureRevision);
        }
        self.note(Fact::ScheduledCompact, at as u64)?;
        self.compacted = at;
        Ok(())
    }

    /// Removes rows that compaction left without a reader.
    pub fn remove_rows(&mut self, gone: &[(Revision, bool)]) -> Result<()> {
        for (revision, deletion) in gone {
            let key = RowKey::of(*revision, *deletion);
            if let Some(row) = self.rows.remove(key.bytes()).map_err(Error::disk)? {
                self.done.grown -= (key.bytes().len() + row.value().len()) as i64;
                self.done.changes.remove_row(key.bytes());
            }
        }
        Ok(())
    }

    /// Lets the tables go, so that the transaction can be committed.
    pub fn end(self) -> Done {
        self.done
    }

    /// Writes a fact down.
    pub fn note(&mut self, fact: Fact, value: u64) -> Result<()> {
        self.done.changes.put_fact(fact.name(), value);
        meta::set(&mut self.meta, fact, value)
    }
}

/// One operation: all its changes have one main revision.
pub struct Operation<'b, 'a> {
    batch: &'b mut Batch<'a>,
    index: RwLockWriteGuard<'a, Index>,
    main: i64,
    events: Vec<Event>,
}

impl Operation<'_, '_> {
    fn current(&self) -> i64 {
        if self.events.is_empty() { self.batch.revision } else { self.main }
    }

    fn window(&self) -> Window {
        Window { compacted: self.batch.compacted, current: self.current() }
    }

    fn next(&self) -> Revision {
        Revision { main: self.main, sub: self.events.len() as i64 }
    }

    fn stored(&self, key: &[u8]) -> Result<Option<KeyValue>> {
        let hit = self.index.get(key, self.current());
        hit.map(|hit| rows::get(&self.batch.rows, &hit)).transpose()
    }

    fn insert(&mut self, revision: Revision, deletion: bool, kv: KeyValue) -> Result<Row> {
        let (key, row) = (RowKey::of(revision, deletion), kv.encode_to_vec());
        self.batch.rows.insert(key.bytes(), &row[..]).map_err(Error::disk)?;
        self.batch.done.changes.put_row(key.bytes(), &row);
        self.batch.done.grown += (key.bytes().len() + row.len()) as i64;
        self.events.push(rows::event(kv, revision, deletion));
        Ok(row.into())
    }

    fn delete_key(&mut self, key: &[u8]) -> Result<()> {
        let Some(last) = self.index.last(key) else { return Ok(()) };
        let revision = self.next();
        self.insert(revision, true, KeyValue { key: key.to_vec(), ..Default::default() })?;
        self.index.delete(key, revision);
        self.batch.leases.move_key(key, last.lease, 0);
        Ok(())
    }
}

impl State for Operation<'_, '_> {
    fn check_revision(&self, revision: i64) -> Result<()> {
        range::check_in_transaction(self.window(), revision)
    }

    fn range(&mut self, request: &RangeRequest) -> Result<RangeResponse> {
        range::find(&self.index, self.window(), request)?.answer(&self.batch.rows, request)
    }

    fn check_put(&mut self, request: &PutRequest) -> Result<()> {
        let there = self.index.last(&request.key).is_some();
        if (request.ignore_value || request.ignore_lease) && !there {
            return Err(Error::KeyNotFound);
        }
        if request.lease != 0 {
            self.batch.living(request.lease)?;
        }
        Ok(())
    }

    fn put(&mut self, request: &PutRequest) -> Result<PutResponse> {
        let reads_previous = request.ignore_value || request.prev_kv;
        let prev_kv = if reads_previous { self.stored(&request.key)? } else { None };
        let last = self.index.last(&request.key);
        let revision = self.next();
        let value = match &prev_kv {
            Some(previous) if request.ignore_value => previous.value.clone(),
            _ => request.value.clone(),
        };
        let before = last.map_or(0, |l| l.lease);
        let state = Last {
            created: last.map_or(self.main, |l| l.created),
            version: last.map_or(1, |l| l.version + 1),
            lease: if request.ignore_lease { before } else { request.lease },
        };
        let kv = KeyValue {
            key: request.key.clone(),
            value,
            create_revision: state.created,
            mod_revision: self.main,
            version: state.version,
            lease: state.lease,
        };
        let row = self.insert(revision, false, kv)?;
        self.index.put(&request.key, revision, state, Some(row));
        self.batch.leases.move_key(&request.key, before, state.lease);
        let header = Some(ResponseHeader { revision: self.main, ..Default::default() });
        Ok(PutResponse { header, prev_kv: prev_kv.filter(|_| request.prev_kv) })
    }

    fn delete(&mut self, request: &DeleteRangeRequest) -> Result<DeleteRangeResponse> {
        let range = KeyRange::of(&request.key, &request.range_end);
        let prev_kvs = if request.prev_kv {
            let all = RangeRequest {
                key: request.key.clone(),
                range_end: request.range_end.clone(),
                ..Default::default()
            };
            self.range(&all)?.kvs
        } else {
            Vec::new()
        };
        let keys = self.index.keys(&range, self.current());
        keys.iter().try_for_each(|key| self.delete_key(key))?;
        let header = Some(ResponseHeader { revision: self.current(), ..Default::default() });
        Ok(DeleteRangeResponse { header, deleted: keys.len() as i64, prev_kvs })
    }

    fn revision(&self) -> i64 {
        self.current()
    }
}
