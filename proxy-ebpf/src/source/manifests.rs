//! Objects from manifest files: one file, or the `.yaml`, `.yml` and `.json` files of a folder (not of folders in it;
//! names that start with a dot are passed over).
//!
//! Changes are taken as inotify tells of them, within a millisecond or so, and by a look at all files every ten
//! seconds. Only files that changed are read again. A look that nothing told of leaves a file alone that changed
//! within the last second: it may be half written.

use super::files::{Files, Stamp};
use super::parse::parse;
use super::watch::{Seen, Told, Watch};
use super::{Batch, Problem, Source};
use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// How often all files are looked at, whatever inotify says.
const LOOK_EACH: Duration = Duration::from_secs(10);
/// How soon again, when a file may be half written or the folder is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// How long a file must be unchanged before a look that nothing told of reads it.
const SETTLED: Duration = Duration::from_secs(1);
/// The largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Why manifests cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {path} for manifests: {source}; make it, or name another file or folder")]
pub struct OpenError {
    path: String,
    source: io::Error,
}

/// Objects from manifest files.
#[derive(Debug)]
pub struct ManifestSource {
    folder: PathBuf,
    /// The only file, when it is not a folder.
    only: Option<String>,
    watch: Option<Watch>,
    files: Files,
    seen: Seen,
    next_look: Instant,
    first: bool,
    /// The folder could not be read at the last look.
    unreadable: bool,
}

impl ManifestSource {
    /// Watches a file or a folder. Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// There is no such file or folder, or inotify has no watch left (`fs.inotify.max_user_watches`).
    pub fn open(path: &Path) -> Result<ManifestSource, OpenError> {
        let failed = |source| OpenError { path: path.display().to_string(), source };
        let (folder, only) = if std::fs::metadata(path).map_err(failed)?.is_dir() {
            (path.to_owned(), None)
        } else {
            split(path).map_err(failed)?
        };
        let watch = Watch::new(&folder).map_err(failed)?;
        Ok(ManifestSource {
            files: Files::new(&folder),
            folder,
            only,
            watch: Some(watch),
            seen: Seen { all: true, ..Seen::default() },
            next_look: Instant::now() + LOOK_EACH,
            first: true,
            unreadable: false,
        })
    }

    /// Waits until there is something to look at.
    async fn wait(&mut self) {
        let events = async {
            match &self.watch {
                Some(watch) => watch.wait(&mut self.seen).await,
                None => std::future::pending().await,
            }
        };
        if tokio::time::timeout_at(self.next_look, events).await.is_err() {
            self.seen.all = true;
        }
        if std::mem::take(&mut self.seen.lost) {
            self.watch = None;
            self.seen.all = true;
        }
    }

    /// Looks at what was seen to change.
    fn look(&mut self) -> Batch {
        let seen = std::mem::take(&mut self.seen);
        let mut batch = Batch::default();
        let mut names: BTreeSet<String> = seen.names.keys().cloned().collect();
        if seen.all {
            self.next_look = Instant::now() + LOOK_EACH;
            names.extend(self.all_names(&mut batch.problems));
        }
        names.retain(|name| self.is_manifest(name));
        for name in names {
            let complete = self.first || seen.names.get(&name) == Some(&Told::Complete);
            self.look_at(&name, complete, &mut batch.problems);
        }
        self.first = false;
        batch.updates = self.files.updates();
        batch.complete = self.files.all_good() && !self.unreadable;
        batch
    }

    /// The names in the folder, and those known from earlier.
    fn all_names(&mut self, problems: &mut Vec<Problem>) -> Vec<String> {
        let listed = self.list();
        if listed.is_err() || self.watch.is_none() {
            self.next_look = Instant::now() + LOOK_AGAIN;
        }
        match listed {
            Ok(listed) => {
                self.unreadable = false;
                self.files.names().into_iter().chain(listed).collect()
            }
            Err(error) => {
                if !std::mem::replace(&mut self.unreadable, true) {
                    problems.push(unreadable(&self.folder, &error));
                }
                Vec::new()
            }
        }
    }

    fn list(&mut self) -> io::Result<Vec<String>> {
        if self.watch.is_none() {
            self.watch = Some(Watch::new(&self.folder)?);
        }
        if let Some(only) = &self.only {
            return Ok(vec![only.clone()]);
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn is_manifest(&self, name: &str) -> bool {
        match &self.only {
            Some(only) => name == only,
            None => {
                !name.starts_with('.') && [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end))
            }
        }
    }

    fn look_at(&mut self, name: &str, complete: bool, problems: &mut Vec<Problem>) {
        let path = self.folder.join(name);
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => return,
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.files.remove(name, problems);
                return;
            }
            Err(error) => {
                problems.push(unreadable(&path, &error));
                return;
            }
        };
        let stamp = Stamp::of(&metadata);
        if !complete && self.files.stamp(name) == Some(stamp) {
            return;
        }
        if !complete && !is_settled(&metadata) {
            self.next_look = self.next_look.min(Instant::now() + LOOK_AGAIN);
            return;
        }
        let read = read(&path, metadata.len());
        self.files.put(name, stamp, read, problems);
    }
}

impl Source for ManifestSource {
    async fn next(&mut self) -> Batch {
        let mut first = self.first;
        loop {
            let was_complete = self.files.all_good() && !self.unreadable;
            let batch = self.look();
            if first
                || !batch.updates.is_empty()
                || !batch.problems.is_empty()
                || batch.complete != was_complete
            {
                return batch;
            }
            first = false;
            self.wait().await;
        }
    }
}

/// The folder of a file, and its name in it.
fn split(path: &Path) -> io::Result<(PathBuf, Option<String>)> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name =
        name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the file's name is not UTF-8"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((folder.to_owned(), Some(name.to_owned())))
}

fn is_settled(metadata: &Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
    age.is_none_or(|age| age >= SETTLED)
}

fn read(path: &Path, size: u64) -> Result<super::Parsed, Problem> {
    if size > MAX_FILE_BYTES {
        let error = io::Error::other(format!("it has {size} bytes, and {MAX_FILE_BYTES} is the most"));
        return Err(unreadable(path, &error));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    parse(&path.display().to_string(), &text)
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    Problem::Read { path: path.display().to_string(), reason: error.to_string() }
}
