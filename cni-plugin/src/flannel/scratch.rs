//! `<dataDir>/<container id>`: the configuration that the delegate got, for DEL. flannel's own form; written by
//! rename, mode 0600.

use crate::crash;
use crate::types::{CniError, ErrorCode};
use serde_json::{Map, Value};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file that was written, and whether there was one before.
pub(super) struct Kept {
    path: PathBuf,
    new: bool,
}

impl Kept {
    /// Removes the file, unless an earlier ADD's was there: its container may well live.
    pub fn undo(self) -> Result<(), CniError> {
        if self.new { remove(&self.path) } else { Ok(()) }
    }
}

/// Writes a container's file.
pub(super) fn keep(dir: &Path, container: &str, rendered: &Map<String, Value>) -> Result<Kept, CniError> {
    let path = dir.join(container);
    // A dot cannot begin a container's id, so this is nobody's file.
    let temporary = dir.join(format!(".{container}"));
    let write = || -> std::io::Result<bool> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(rendered)?)?;
        let new = !path.exists();
        fs::rename(&temporary, &path)?;
        Ok(new)
    };
    let new = write().map_err(failed("write", &path))?;
    crash::point("flannel: the delegate's configuration is kept");
    Ok(Kept { path, new })
}

/// Reads a container's file; a broken one counts as lost, as it does for the original.
pub(super) fn read(dir: &Path, container: &str) -> Result<Option<Map<String, Value>>, CniError> {
    let path = dir.join(container);
    match fs::read(&path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed("read", &path)(e)),
    }
}

/// Removes a container's file.
pub(super) fn forget(dir: &Path, container: &str) -> Result<(), CniError> {
    remove(&dir.join(container))?;
    crash::point("flannel: the delegate's configuration is forgotten");
    Ok(())
}

/// Removes the files of a network's containers that are not wanted. One directory serves all networks: a file says
/// whose it is.
pub(super) fn retain(dir: &Path, network: &str, wanted: impl Fn(&str) -> bool) -> Result<(), CniError> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed("list", dir))?,
    };
    for entry in entries {
        let name = entry.map_err(failed("list", dir))?.file_name().to_string_lossy().into_owned();
        let rendered = read(dir, &name)?.unwrap_or_default();
        if rendered.get("name").and_then(Value::as_str) == Some(network)
            && !wanted(name.trim_start_matches('.'))
        {
            forget(dir, &name)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), CniError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(failed("remove", path)(e)),
        _ => Ok(()),
    }
}

fn failed(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> CniError {
    let path = path.to_path_buf();
    move |e| {
        let msg = format!("cannot {action} {}: {e}", path.display());
        CniError::new(ErrorCode::Io, msg, "check the directory's owner, space and mount, or set dataDir")
    }
}
