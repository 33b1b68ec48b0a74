//! Small files that outlive a call: what DEL and GC must know when nobody tells them any more.
//!
//! Written whole or not at all (a rename), for root's eyes only (0600 in 0700), before the kernel is changed.
//! A writer that is killed leaves at most `.<name>.new`, which the next write takes and [`remove`] removes.

use crate::crash;
use crate::types::{CniError, ErrorCode};
use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// An error on a file (code 5).
pub(crate) fn io_error(action: &str, path: &Path, error: std::io::Error) -> CniError {
    let msg = format!("cannot {action} {}: {error}", path.display());
    CniError::new(ErrorCode::Io, msg, "look at the directory's owner, its mode and the free space")
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

/// Makes a directory, and those above it.
pub(crate) fn make_dir(dir: &Path) -> Result<(), CniError> {
    match DirBuilder::new().recursive(true).mode(0o700).create(dir) {
        Err(error) => Err(io_error("make the directory", dir, error)),
        Ok(()) => Ok(()),
    }
}

/// Writes a file; its directory is made.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), CniError> {
    make_dir(path.parent().unwrap_or(Path::new("/")))?;
    let temporary = unfinished(path);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(&temporary).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| io_error("write", &temporary, error))?;
    crash::point("record: it is written, not yet named");
    std::fs::rename(&temporary, path).map_err(|error| io_error("name", path, error))
}

/// A file's text, if it is there. Bytes that are no text are shown as such, for a decoder to refuse.
pub(crate) fn read(path: &Path) -> Result<Option<String>, CniError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", path, error)),
    }
}

/// Removes a file and what a killed writer left of it; one that is gone is fine.
pub(crate) fn remove(path: &Path) -> Result<(), CniError> {
    for path in [unfinished(path), path.to_path_buf()] {
        match std::fs::remove_file(&path) {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(io_error("remove", &path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The names in a directory, those of unfinished files as what they were to become; one that does not exist
/// is empty.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, CniError> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| io_error("list", dir, error))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| io_error("list", dir, error))?;
        // Ours are made of a container's id and an interface's name; other names are not ours.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let whole = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(".new"));
        names.push(whole.unwrap_or(&name).to_owned());
    }
    names.sort();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_record_is_written_read_listed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/c1_eth0.json");
        assert_eq!(read(&path).unwrap(), None);
        write(&path, "{}").unwrap();
        write(&path, "{\"x\":1}").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), "{\"x\":1}");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        std::fs::write(unfinished(&path), "half").unwrap();
        assert_eq!(names(path.parent().unwrap()).unwrap(), ["c1_eth0.json"]);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(names(path.parent().unwrap()).unwrap().is_empty());
        assert!(names(&dir.path().join("nowhere")).unwrap().is_empty());
    }
}
