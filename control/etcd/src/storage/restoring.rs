//! A data file in the making: under another name until it is whole.
//!
//! ```text
//! weft-etcd.redb.restoring ── filled, committed, closed ──link──> weft-etcd.redb ── the other name goes
//! ```
//!
//! A link is made in one step, and never over a file that is there. A crash before it leaves the other name, which no
//! start takes for data: it is refused until restoring is done again or the file is removed. The log is no part of
//! it: the first start makes one, as for new data.

use super::file::DataFile;
use super::{FILE_NAME, LOG_NAME};
use crate::error::StartError;
use redb::StorageBackend;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Name of the file while it is made.
const NAME: &str = "weft-etcd.redb.restoring";

/// A data file that is being filled.
#[derive(Debug)]
pub struct Restoring {
    dir: PathBuf,
    path: PathBuf,
    file: DataFile,
    linked: bool,
}

fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::File { what, path, source }
}

/// Refuses a folder that holds data.
pub fn check_empty(dir: &Path) -> Result<(), StartError> {
    if dir.join("member").is_dir() {
        return Err(StartError::RealEtcd { path: dir.to_owned() });
    }
    // A log alone is not nothing: it may have the last batches of a database that was moved away.
    let there = [FILE_NAME, LOG_NAME].map(|name| dir.join(name)).into_iter().find(|path| path.exists());
    there.map_or(Ok(()), |path| Err(StartError::NotEmpty { path }))
}

/// Refuses a folder in which a restore was broken off.
pub fn check_ended(dir: &Path) -> Result<(), StartError> {
    let path = dir.join(NAME);
    match path.exists() && !dir.join(FILE_NAME).exists() {
        true => Err(StartError::BrokenOff { path }),
        false => Ok(()),
    }
}

impl Restoring {
    /// Makes the folder and an empty file in it, over what a crash may have left.
    pub fn begin(dir: &Path) -> Result<Restoring, StartError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at("make", dir))?;
        let path = dir.join(NAME);
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(at("open", &path))?;
        let file = DataFile::lock(file).map_err(at("lock", &path))?;
        let Some(file) = file else { return Err(StartError::InUse { path }) };
        // Only once it is locked is it nobody else's.
        let restoring = Restoring { dir: dir.to_owned(), path, file, linked: false };
        check_empty(dir)?;
        restoring.file.set_len(0).map_err(at("empty", &restoring.path))?;
        Ok(restoring)
    }

    /// Where the database goes.
    pub fn backend(&self) -> DataFile {
        self.file.clone()
    }

    /// Its name, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its name, once the database is closed.
    pub fn finish(mut self) -> Result<(), StartError> {
        let name = self.dir.join(FILE_NAME);
        std::fs::hard_link(&self.path, &name).map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => StartError::NotEmpty { path: name.clone() },
            _ => StartError::File { what: "make", path: name.clone(), source },
        })?;
        self.linked = true;
        std::fs::remove_file(&self.path).map_err(at("remove", &self.path))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(at("sync", &self.dir))
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        if !self.linked {
            // What cannot be removed is refused by the next start, which names it.
            drop(std::fs::remove_file(&self.path));
        }
    }
}
