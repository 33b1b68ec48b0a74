//! `<dataDir>/<container id>`: the configuration that the delegate got, for DEL. flannel's own form.

use crate::crash;
use crate::record;
use crate::types::{CniError, ErrorCode};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A file that was written, and whether there was one before.
pub(super) struct Kept {
    path: PathBuf,
    new: bool,
}

impl Kept {
    /// Removes the file, unless an earlier ADD's was there: its container may well live.
    pub fn undo(self) -> Result<(), CniError> {
        if self.new { record::remove(&self.path) } else { Ok(()) }
    }
}

/// Writes a container's file.
pub(super) fn keep(dir: &Path, container: &str, rendered: &Map<String, Value>) -> Result<Kept, CniError> {
    let path = dir.join(container);
    let new = !path.exists();
    let text = serde_json::to_string(rendered).map_err(|error| {
        let msg = format!("the delegate's configuration of {container} cannot be written: {error}");
        CniError::new(ErrorCode::Io, msg, "report this as a bug")
    })?;
    record::write(&path, &text)?;
    crash::point("flannel: the delegate's configuration is kept");
    Ok(Kept { path, new })
}

/// Reads a container's file; a broken one counts as lost, as it does for the original.
pub(super) fn read(dir: &Path, container: &str) -> Result<Option<Map<String, Value>>, CniError> {
    Ok(record::read(&dir.join(container))?.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Removes a container's file.
pub(super) fn forget(dir: &Path, container: &str) -> Result<(), CniError> {
    record::remove(&dir.join(container))?;
    crash::point("flannel: the delegate's configuration is forgotten");
    Ok(())
}

/// Removes the files of a network's containers that are not wanted. One directory serves all networks: a file says
/// whose it is.
pub(super) fn retain(dir: &Path, network: &str, wanted: impl Fn(&str) -> bool) -> Result<(), CniError> {
    for container in record::names(dir)?.into_iter().filter(|name| !wanted(name)) {
        let ours = match read(dir, &container)? {
            Some(rendered) => rendered.get("name").and_then(Value::as_str) == Some(network),
            // Not whole yet, and never to be: its writer is gone. What is whole and no configuration is nobody's to judge.
            None => !dir.join(&container).exists(),
        };
        if ours {
            forget(dir, &container)?;
        }
    }
    Ok(())
}
