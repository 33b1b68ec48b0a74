//! What is in a snapshot, looked at before anything is made of it.
//!
//! Which buckets and keys etcd writes is drawn in `snapshot/etcd.rs`. Rows must be as this server would have written
//! them, or it would call its own data damaged later. What is in other buckets than these is passed over: each version
//! of etcd has some more.

use super::{Restored, Unfit};
use crate::lease;
use crate::mvcc::index::{Index, Last};
use crate::mvcc::revision::{Revision, RowKey};
use crate::mvcc::rows;
use crate::save::LeaseRow;
use crate::snapshot::{Bucket, Item, ReadAt, Reader};
use prost::Message;
use std::collections::BTreeMap;

/// See the module.
#[derive(Debug)]
pub struct Contents {
    /// What to tell of it.
    pub restored: Restored,
    /// The bucket of rows.
    pub rows: Bucket,
    /// All leases.
    pub leases: Vec<Lease>,
    /// Up to which revision history is to go; 0 for none.
    pub scheduled_compact: i64,
    /// Up to which it is gone.
    pub finished_compact: i64,
}

/// A lease of the snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    pub id: i64,
    pub ttl: i64,
    /// Seconds that it has left.
    pub remaining: i64,
}

type Value = (Vec<u8>, Vec<u8>);

impl Contents {
    /// Looks at all of a snapshot.
    pub fn of<F: ReadAt + ?Sized>(reader: &Reader<'_, F>) -> Result<Contents, Unfit> {
        let buckets = Buckets::of(reader)?;
        let users = buckets.users(reader)?;
        let (scheduled, finished) = compactions(reader, buckets.get("meta")?)?;
        let rows = buckets.get("key")?;
        let (newest, keys) = look_at_rows(reader, rows)?;
        let leases: Vec<Lease> = values(reader, "lease", buckets.get("lease")?)
            .map(|entry| entry.and_then(|(key, value)| lease(&key, &value)))
            .collect::<Result<_, _>>()?;
        let revision = newest.max(scheduled).max(1);
        let restored = Restored { revision, keys, leases: leases.len(), users };
        Ok(Contents { restored, rows, leases, scheduled_compact: scheduled, finished_compact: finished })
    }
}

/// The values of a bucket that holds no buckets.
pub fn values<'r, F: ReadAt + ?Sized>(
    reader: &'r Reader<'_, F>,
    name: &'static str,
    bucket: Bucket,
) -> impl Iterator<Item = Result<Value, Unfit>> + use<'r, F> {
    reader.entries(bucket).map(move |entry| {
        let entry = entry?;
        match entry.item {
            Item::Value(value) => Ok((entry.key, value)),
            Item::Bucket(_) => Err(odd(name, &entry.key, "is a bucket")),
        }
    })
}

fn odd(bucket: &'static str, key: &[u8], why: impl ToString) -> Unfit {
    Unfit::Entry { bucket, key: key.to_vec(), why: why.to_string() }
}

struct Buckets(BTreeMap<Vec<u8>, Bucket>);

impl Buckets {
    fn of<F: ReadAt + ?Sized>(reader: &Reader<'_, F>) -> Result<Buckets, Unfit> {
        let mut buckets = BTreeMap::new();
        for entry in reader.entries(reader.root()) {
            let entry = entry?;
            if let Item::Bucket(bucket) = entry.item {
                buckets.insert(entry.key, bucket);
            }
        }
        Ok(Buckets(buckets))
    }

    fn get(&self, bucket: &'static str) -> Result<Bucket, Unfit> {
        self.0.get(bucket.as_bytes()).copied().ok_or(Unfit::Bucket { bucket })
    }

    /// How many users and roles there are; an error if they are in force.
    fn users<F: ReadAt + ?Sized>(&self, reader: &Reader<'_, F>) -> Result<usize, Unfit> {
        let mut users = 0;
        for bucket in ["authUsers", "authRoles"] {
            for entry in self.0.get(bucket.as_bytes()).into_iter().flat_map(|b| reader.entries(*b)) {
                entry?;
                users += 1;
            }
        }
        for entry in self.0.get(&b"auth"[..]).into_iter().flat_map(|b| values(reader, "auth", *b)) {
            let (key, value) = entry?;
            // etcd takes 1 for yes and anything else for no; what is neither is not to open anything.
            if key == b"authEnabled" && value != [0] {
                return Err(Unfit::Auth { users });
            }
        }
        Ok(users)
    }
}

/// Up to which revisions history is to go, and is gone.
fn compactions<F: ReadAt + ?Sized>(reader: &Reader<'_, F>, meta: Bucket) -> Result<(i64, i64), Unfit> {
    let (mut scheduled, mut finished) = (0, 0);
    for entry in values(reader, "meta", meta) {
        let (key, value) = entry?;
        let into = match &key[..] {
            b"scheduledCompactRev" => &mut scheduled,
            b"finishedCompactRev" => &mut finished,
            _ => continue,
        };
        let revision = RowKey::read(&value).filter(|(revision, _)| revision.main >= 0);
        *into = revision.ok_or_else(|| odd("meta", &key, "is no revision"))?.0.main;
    }
    Ok((scheduled.max(finished), finished))
}

/// Reads every row once: the newest revision, and how many keys there are then.
fn look_at_rows<F: ReadAt + ?Sized>(reader: &Reader<'_, F>, bucket: Bucket) -> Result<(i64, usize), Unfit> {
    let mut index = Index::default();
    let mut newest = Revision::default();
    for entry in values(reader, "key", bucket) {
        let (key, row) = entry?;
        let (revision, deletion) = RowKey::read(&key).ok_or_else(|| odd("key", &key, "is no revision"))?;
        if revision.main < 1 || revision.sub < 0 || revision <= newest {
            return Err(odd("key", &key, "is a revision that cannot come here"));
        }
        newest = revision;
        let kv = rows::decode(&row, revision).map_err(|e| odd("key", &key, e))?;
        if kv.key.is_empty() {
            return Err(odd("key", &key, "is a change of no key"));
        }
        match deletion {
            true => index.delete(&kv.key, revision),
            false => index.put(&kv.key, revision, Last::default(), None),
        }
    }
    Ok((newest.main, index.live()))
}

fn lease(key: &[u8], value: &[u8]) -> Result<Lease, Unfit> {
    let row = LeaseRow::decode(value).map_err(|e| odd("lease", key, e))?;
    let ttl = lease::granted(row.ttl).map_err(|e| odd("lease", key, e))?;
    if row.id == 0 || key != row.id.to_be_bytes() {
        return Err(odd("lease", key, format!("is of lease {}", row.id)));
    }
    // etcd writes down what is left only where checkpoints are on.
    let remaining = if row.remaining_ttl > 0 { row.remaining_ttl.min(ttl) } else { ttl };
    Ok(Lease { id: row.id, ttl, remaining })
}
