//! The start of a server from a snapshot: of ours, or of a real etcd's.
//!
//! ```text
//! FILE ─ hash ─ bbolt pages ─ contents: all of it looked at ─┐     nothing has been made yet
//!                                                            └─> weft-etcd.redb.restoring ─> weft-etcd.redb
//! ```
//!
//! Rows of etcd's bucket `key` are rows of our table as they are, so revisions, versions, history and deletions come
//! along; so do leases, with the time that they have left, and how far history is compacted. Cluster, members and
//! alarms do not: this is another server. The file is read three times over (hash, contents, rows); memory is the index
//! of the keys, which the server needs as well.

mod contents;

use crate::error::{Error, StartError};
use crate::lease::{self, LEASE};
use crate::mvcc::rows::KEY;
use crate::snapshot::{Bucket, ReadAt, ReadError, Reader, trailer};
use crate::storage;
use crate::storage::meta::{self, Fact, META};
use crate::storage::restoring::{self, Restoring};
use contents::Contents;
use redb::Database;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The newest revision.
    pub revision: i64,
    /// How many keys there are at that.
    pub keys: usize,
    /// How many leases.
    pub leases: usize,
    /// Users and roles that were left behind; none of them was in force.
    pub users: usize,
}

/// Why a file is not restored.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It is not whole, or no bbolt file.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is no database of etcd's.
    #[error(
        "it has no bucket {bucket:?}, so it is none of etcd's; take a file that `etcdctl snapshot save` made"
    )]
    Bucket {
        /// The bucket.
        bucket: &'static str,
    },
    /// An entry that etcd does not write.
    #[error("bucket {bucket:?}, key {}: {why}; take the snapshot again", key.escape_ascii())]
    Entry {
        /// Its bucket.
        bucket: &'static str,
        /// Its key.
        key: Vec<u8>,
        /// What is wrong with it.
        why: String,
    },
    /// Whoever has no password could read it all.
    #[error(
        "authentication is on in it ({users} users and roles), and weft etcd has no users: its data would be open to \
         everybody who reaches the server; restore it into a real etcd, or take the snapshot again after `etcdctl auth \
         disable`, if that is meant"
    )]
    Auth {
        /// How many users and roles.
        users: usize,
    },
}

/// Makes the data of a folder that has none from a snapshot.
///
/// An error leaves no data file behind, and what is wrong with the file is told before anything is made.
pub fn restore(data_dir: &Path, snapshot: &Path) -> Result<Restored, StartError> {
    restoring::check_empty(data_dir)?;
    let unfit = |why: Unfit| StartError::Snapshot { path: snapshot.to_owned(), why };
    let unreadable = |source| StartError::File { what: "read", path: snapshot.to_owned(), source };
    let file = File::open(snapshot).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    let length = trailer::verify(BufReader::new(&file), length).map_err(|e| unfit(e.into()))?;
    let reader = Reader::open(&file, length).map_err(|e| unfit(e.into()))?;
    let contents = Contents::of(&reader).map_err(unfit)?;
    let new = Restoring::begin(data_dir)?;
    let opened = storage::open(new.backend(), new.path())?.loaded();
    fill(&opened, &reader, &contents).map_err(|why| match why {
        Failed::Source(why) => unfit(why),
        Failed::Storage(why) => {
            let (path, source) = (new.path().to_owned(), std::io::Error::other(why.to_string()));
            StartError::File { what: "write", path, source }
        }
    })?;
    drop(opened);
    new.finish()?;
    Ok(contents.restored)
}

enum Failed {
    Source(Unfit),
    Storage(Error),
}

impl From<Error> for Failed {
    fn from(why: Error) -> Failed {
        Failed::Storage(why)
    }
}

/// Writes everything in one transaction.
fn fill<F: ReadAt + ?Sized>(
    db: &Database,
    reader: &Reader<'_, F>,
    contents: &Contents,
) -> Result<(), Failed> {
    let txn = db.begin_write().map_err(Error::disk)?;
    {
        let mut leases = txn.open_table(LEASE).map_err(Error::disk)?;
        for lease in &contents.leases {
            // The new server's age is 0.
            lease::write(&mut leases, lease.id, lease.ttl, lease::expiry(0, lease.remaining))?;
        }
        let mut facts = txn.open_table(META).map_err(Error::disk)?;
        meta::set(&mut facts, Fact::ScheduledCompact, contents.scheduled_compact as u64)?;
        meta::set(&mut facts, Fact::FinishedCompact, contents.finished_compact as u64)?;
        let mut rows = txn.open_table(KEY).map_err(Error::disk)?;
        copy_rows(reader, contents.rows, |key, row| rows.insert(key, row).map_err(Error::disk).map(drop))?;
    }
    Ok(txn.commit().map_err(Error::disk)?)
}

fn copy_rows<F: ReadAt + ?Sized>(
    reader: &Reader<'_, F>,
    bucket: Bucket,
    mut put: impl FnMut(&[u8], &[u8]) -> Result<(), Error>,
) -> Result<(), Failed> {
    for entry in contents::values(reader, "key", bucket) {
        let (key, row) = entry.map_err(Failed::Source)?;
        put(&key, &row)?;
    }
    Ok(())
}
