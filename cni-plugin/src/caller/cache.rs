//! The results of ADDs, kept for CHECK, DEL and GC in libcni's files.
//!
//! ```text
//! <cache dir>/results/<network>-<container>-<ifname>     mode 0600, directory 0700
//!   {"kind": "cniCacheV1", "containerId": "…", "config": "<base64 of the list>", "ifName": "eth0",
//!    "networkName": "…", "netns": "…", "cniArgs": [["K", "V"]], "capabilityArgs": {…}, "result": {…}}
//! ```
//! Source: `libcni/api.go`, `cachedInfo`. Written by rename, so a reader never sees half a file.
//! One file per attachment; listing reads them all, which only GC does.

use super::{Attachment, CallerError, base64};
use crate::types::NetConfList;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const KIND: &str = "cniCacheV1";

/// The directory of cached results.
#[derive(Debug, Clone)]
pub struct Cache {
    results: PathBuf,
}

/// An attachment that was added and not yet deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct CachedAttachment {
    /// The network's name.
    pub network: String,
    /// With what ADD was called.
    pub attachment: Attachment,
    /// The text of the network's configuration at that time.
    pub config: String,
    /// What ADD printed.
    pub result: Option<Value>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    kind: String,
    container_id: String,
    config: String,
    if_name: String,
    network_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    netns: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cni_args: Option<Vec<(String, String)>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    capability_args: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Value>,
}

impl Cache {
    /// A cache below `dir`, usually `/var/lib/cni`.
    pub fn new(dir: PathBuf) -> Self {
        Cache { results: dir.join("results") }
    }

    /// Keeps the result of an ADD.
    pub fn store(
        &self,
        network: &NetConfList,
        attachment: &Attachment,
        result: &Value,
    ) -> Result<(), CallerError> {
        let path = self.path(&network.name, attachment);
        let stored = Stored {
            kind: KIND.into(),
            container_id: attachment.container_id.clone(),
            config: base64::encode(network.text.as_bytes()),
            if_name: attachment.ifname.clone(),
            network_name: network.name.clone(),
            netns: attachment.netns.clone(),
            cni_args: (!attachment.args.is_empty()).then(|| attachment.args.clone()),
            capability_args: (!attachment.capability_args.is_empty())
                .then(|| attachment.capability_args.clone()),
            result: Some(result.clone()),
        };
        let bytes = serde_json::to_vec(&stored).map_err(|e| cache_error(&path, e))?;
        self.write(&path, &bytes).map_err(|e| cache_error(&path, e))
    }

    /// The result of an earlier ADD, if it is known.
    pub fn result(&self, network: &str, attachment: &Attachment) -> Result<Option<Value>, CallerError> {
        let path = self.path(network, attachment);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(read_stored(&path, &bytes)?.result),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(cache_error(&path, e)),
        }
    }

    /// Forgets an attachment; one that is not known is forgotten already.
    pub fn remove(&self, network: &str, attachment: &Attachment) -> Result<(), CallerError> {
        let path = self.path(network, attachment);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(cache_error(&path, e)),
            _ => Ok(()),
        }
    }

    /// Every attachment that is known, in the order of file names; files of other kinds are passed over.
    pub fn attachments(&self) -> Result<Vec<CachedAttachment>, CallerError> {
        let entries = match std::fs::read_dir(&self.results) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(cache_error(&self.results, e)),
        };
        let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        paths.sort();
        let read = |path: &PathBuf| read_stored(path, &std::fs::read(path).ok()?).ok();
        Ok(paths.iter().filter_map(read).map(cached).collect())
    }

    fn path(&self, network: &str, attachment: &Attachment) -> PathBuf {
        self.results.join(format!("{network}-{}-{}", attachment.container_id, attachment.ifname))
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.results)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // libcni passes over files that are not JSON of its kind, so a crash here costs one stray file.
        let temporary = self.results.join(format!(".{name}.new"));
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        std::io::Write::write_all(&mut file, bytes)?;
        std::fs::rename(&temporary, path)
    }
}

fn read_stored(path: &Path, bytes: &[u8]) -> Result<Stored, CallerError> {
    let stored: Stored = serde_json::from_slice(bytes).map_err(|e| cache_error(path, e))?;
    match stored.kind == KIND {
        true => Ok(stored),
        false => Err(cache_error(path, format!("its kind is {:?}, not {KIND:?}", stored.kind))),
    }
}

fn cached(stored: Stored) -> CachedAttachment {
    let config = base64::decode(&stored.config).and_then(|b| String::from_utf8(b).ok());
    CachedAttachment {
        network: stored.network_name,
        attachment: Attachment {
            container_id: stored.container_id,
            netns: stored.netns,
            ifname: stored.if_name,
            args: stored.cni_args.unwrap_or_default(),
            capability_args: stored.capability_args.unwrap_or_default(),
        },
        config: config.unwrap_or_default(),
        result: stored.result,
    }
}

fn cache_error(path: &Path, why: impl ToString) -> CallerError {
    CallerError::Cache { path: path.to_path_buf(), why: why.to_string() }
}
