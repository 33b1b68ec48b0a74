//! The data file: opened, checked, and opened again when the disk has refused it.
//!
//! ```text
//! --data-dir/                 0700
//!   weft-etcd.redb            0600, locked
//!     table key    revision → row        see mvcc::revision, mvcc::rows
//!     table lease  id → (ttl, expiry)    see lease
//!     table meta   name → number         see meta
//!   weft-etcd.log             0600, locked: batches that the database does not have for good yet, see log
//!   weft-etcd.redb.restoring  a database that a snapshot is being made into, see restoring
//! ```
//!
//! redb was measured against its peers before it was chosen: docs/architecture/etcd-storage.md.

pub mod change;
mod distrust;
pub mod file;
pub mod log;
pub mod meta;
pub mod restoring;

use crate::error::StartError;
use crate::lease::LEASE;
use crate::mvcc::rows::KEY;
use distrust::{Distrusted, Start};
use file::{DataFile, Held};
use meta::{FORMAT, Fact, META};
use redb::{Builder, Database, DatabaseError, StorageBackend, StorageError};
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Name of the data file in `--data-dir`.
pub const FILE_NAME: &str = "weft-etcd.redb";

/// What redb may keep of pages in memory; the kernel's page cache holds the rest.
const CACHE_BYTES: usize = 1 << 20;

/// Name of the log beside it.
pub const LOG_NAME: &str = "weft-etcd.log";

/// A database that was opened.
pub struct Opened {
    db: Database,
    start: Arc<Start>,
}

impl Opened {
    /// The database.
    pub fn db(&self) -> &Database {
        &self.db
    }

    /// Once everything in it has been read.
    pub fn loaded(self) -> Database {
        self.start.end();
        self.db
    }
}

/// For `map_err`: the system's answer with what was tried on which file.
fn at(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::File { what, path, source }
}

/// Makes or finds a file of a folder, and takes its lock.
fn claim_file(dir: &Path, name: &str) -> Result<DataFile, StartError> {
    let path = dir.join(name);
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(at("open", &path))?;
    let file = DataFile::lock(file).map_err(at("lock", &path))?;
    file.ok_or(StartError::InUse { path })
}

/// Where a database is.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    file: DataFile,
    log: DataFile,
}

impl Place {
    /// Makes or finds the data file in a folder, and takes its lock.
    pub fn claim(dir: &Path) -> Result<Place, StartError> {
        if dir.join("member").is_dir() {
            return Err(StartError::RealEtcd { path: dir.to_owned() });
        }
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at("make", dir))?;
        let path = dir.join(FILE_NAME);
        let fresh = std::fs::metadata(&path).map_or(true, |m| m.len() == 0);
        if !fresh && !dir.join(LOG_NAME).exists() {
            let why = "what it was last told is in its log, which is not there".into();
            return Err(StartError::Damaged { path: dir.join(LOG_NAME), why });
        }
        // The log first: a data file without one is a damaged one.
        let log = claim_file(dir, LOG_NAME)?;
        restoring::check_ended(dir)?;
        let file = claim_file(dir, FILE_NAME)?;
        log::prepare(&log).map_err(at("make room for", &dir.join(LOG_NAME)))?;
        if fresh {
            // The names are durable before anything in the files is acknowledged.
            File::open(dir).and_then(|d| d.sync_all()).map_err(at("sync", dir))?;
        }
        Ok(Place { path, file, log })
    }

    /// The log.
    pub fn log(&self) -> Box<dyn StorageBackend> {
        Box::new(self.log.clone())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size in bytes.
    pub fn size(&self) -> u64 {
        self.file.size()
    }

    /// Opens the database and checks all of it.
    pub fn open(&self) -> Result<Opened, StartError> {
        if self.file.is_doubted() || self.log.is_doubted() {
            let source = std::io::Error::other("a sync of it failed; start again once the disk is mended");
            return Err(StartError::File { what: "write", path: self.path.clone(), source });
        }
        open(self.file.clone(), &self.path)
    }

    /// Opens it so that writes stay in memory.
    pub fn open_held(&self) -> Result<Opened, StartError> {
        open(Held::over(self.file.clone()), &self.path)
    }
}

/// Opens a database on any backend, checks every page of it, and makes the tables if it is new.
pub fn open(backend: impl StorageBackend, path: &Path) -> Result<Opened, StartError> {
    let damaged = |why: String| StartError::Damaged { path: path.to_owned(), why };
    let failed = |e: DatabaseError| match e {
        DatabaseError::Storage(StorageError::Io(source))
            if source.kind() != std::io::ErrorKind::UnexpectedEof =>
        {
            StartError::File { what: "use", path: path.to_owned(), source }
        }
        other => damaged(other.to_string()),
    };
    let io = |source| StartError::File { what: "read", path: path.to_owned(), source };
    let fresh = backend.len().map_err(io)? == 0;
    let (backend, start) = Distrusted::of(backend).map_err(io)?;
    let db = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend).map_err(failed)?;
    start.believe();
    if fresh {
        prepare(&db).map_err(|e| damaged(e.to_string()))?;
    }
    Ok(Opened { db, start })
}

/// Tables and identity of a new database.
fn prepare(db: &Database) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    txn.open_table(KEY)?;
    txn.open_table(LEASE)?;
    {
        let mut meta = txn.open_table(META)?;
        let id = || rand::random::<u64>() | 1;
        for (fact, value) in [(Fact::Format, FORMAT), (Fact::Cluster, id()), (Fact::Member, id())] {
            meta::set(&mut meta, fact, value).map_err(|e| StorageError::Corrupted(e.to_string()))?;
        }
    }
    txn.commit()?;
    Ok(())
}
