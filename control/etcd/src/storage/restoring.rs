//! A data file in the making: under another name until it is whole.
//!
//! ```text
//! weft-etcd.log              locked, made empty
//! weft-etcd.redb.restoring ─ filled, committed, closed ──link──> weft-etcd.redb ─ the other name goes
//! ```
//!
//! A link is made in one step, and never over a file that is there. A crash before it leaves the other name, which no
//! start takes for data: it is refused until restoring is done again or the file is removed. The log is there before,
//! since a data file without one is damaged, and whoever has its lock has the folder.

use super::file::DataFile;
use super::{FILE_NAME, LOG_NAME, at, claim_file, log};
use crate::error::StartError;
use redb::StorageBackend;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Name of the file while it is made.
const NAME: &str = "weft-etcd.redb.restoring";

/// A data file that is being filled.
#[derive(Debug)]
pub struct Restoring {
    dir: PathBuf,
    path: PathBuf,
    file: DataFile,
    /// Holds the folder.
    log: DataFile,
    linked: bool,
}

/// Refuses a folder that holds data.
pub fn check_empty(dir: &Path) -> Result<(), StartError> {
    if dir.join("member").is_dir() {
        return Err(StartError::RealEtcd { path: dir.to_owned() });
    }
    let (data, log) = (dir.join(FILE_NAME), dir.join(LOG_NAME));
    if data.exists() {
        return Err(StartError::NotEmpty { path: data });
    }
    // A log alone may have the last batches of a database that was moved away; without any it says nothing.
    match holds_nothing(&log).map_err(at("read", &log))? {
        true => Ok(()),
        false => Err(StartError::NotEmpty { path: log }),
    }
}

fn holds_nothing(log: &Path) -> io::Result<bool> {
    let mut file = match File::open(log) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(true),
        file => file?,
    };
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(true),
            read if piece[..read].iter().any(|byte| *byte != 0) => return Ok(false),
            _ => {}
        }
    }
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
        let log = claim_file(dir, LOG_NAME)?;
        // Only once it is locked is the folder nobody else's.
        check_empty(dir)?;
        let path = dir.join(NAME);
        let file = claim_file(dir, NAME)?;
        let restoring = Restoring { dir: dir.to_owned(), path, file, log, linked: false };
        log::prepare(&restoring.log).map_err(at("make room for", &dir.join(LOG_NAME)))?;
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
        let sync = || File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(at("sync", &self.dir));
        // The log's name is durable before there are data.
        sync()?;
        std::fs::hard_link(&self.path, &name).map_err(at("make", &name))?;
        self.linked = true;
        std::fs::remove_file(&self.path).map_err(at("remove", &self.path))?;
        sync()
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        if !self.linked {
            for name in [NAME, LOG_NAME] {
                // What cannot be removed is named by the next start, or is an empty log.
                drop(std::fs::remove_file(self.dir.join(name)));
            }
        }
    }
}
