//! What the server is told to be: etcd's settings, with its names and, where they suit one small server, its defaults.

use std::path::PathBuf;
use std::time::Duration;

/// etcd's `--quota-backend-bytes` if it is 0.
pub const DEFAULT_QUOTA_BYTES: u64 = 2 << 30;

/// What a message may have beside the request itself, as etcd's.
const MESSAGE_OVERHEAD_BYTES: usize = 512 << 10;

/// When history goes without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCompaction {
    /// Never by age.
    Off,
    /// What is older.
    Age(Duration),
    /// All but so many revisions.
    Revisions(i64),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the member.
    pub name: String,
    /// Folder of the data.
    pub data_dir: PathBuf,
    /// Bytes of rows from which writes are refused (0: 2 GiB).
    pub quota_backend_bytes: u64,
    /// By age or number.
    pub auto_compaction: AutoCompaction,
    /// Bytes of history, beside what is current, from which the older half goes, whatever its age (0: no bound).
    pub history_bytes: u64,
    /// Operations in a transaction.
    pub max_txn_ops: usize,
    /// Bytes of a request.
    pub max_request_bytes: usize,
    /// How often a watch that asked for it is told that nothing happened.
    pub watch_progress_notify_interval: Duration,
    /// URLs that MemberList tells.
    pub advertise_client_urls: Vec<String>,
}

impl Config {
    /// Defaults, in a folder.
    pub fn of(data_dir: impl Into<PathBuf>) -> Config {
        Config {
            name: "default".into(),
            data_dir: data_dir.into(),
            quota_backend_bytes: 0,
            auto_compaction: AutoCompaction::Age(Duration::from_secs(3600)),
            history_bytes: 64 << 20,
            max_txn_ops: 128,
            max_request_bytes: 1_572_864,
            watch_progress_notify_interval: Duration::from_secs(600),
            advertise_client_urls: Vec::new(),
        }
    }

    /// The quota in bytes.
    pub fn quota(&self) -> u64 {
        if self.quota_backend_bytes == 0 { DEFAULT_QUOTA_BYTES } else { self.quota_backend_bytes }
    }

    /// Bytes of a message.
    pub fn most_message_bytes(&self) -> usize {
        self.max_request_bytes + MESSAGE_OVERHEAD_BYTES
    }
}
