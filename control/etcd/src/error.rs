//! What can go wrong, in etcd's words and gRPC codes where etcd has them.
//!
//! Clients switch on the text (clientv3 maps it back to its errors), so it is etcd's to the letter
//! (`api/v3rpc/rpctypes/error.go`); what etcd has no word for names the object and the next action.

use crate::restore::Unfit;
use std::io::ErrorKind;
use std::path::PathBuf;
use tonic::{Code, Status};

/// Result of an operation of the server.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a request is answered with instead.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A request without a key.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// `ignore_value` or `ignore_lease` on a key that is not there, or an empty operation in a transaction.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// `ignore_value` with a value.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// `ignore_lease` with a lease.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// More operations than `--max-txn-ops`.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// One key twice in a transaction.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// A sort order or target that does not exist.
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
    /// A revision that compaction removed.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// A revision that is not there yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// The quota is used up, or the disk.
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    /// The disk has no room; told as the quota is.
    #[error("etcdserver: mvcc: database space exceeded")]
    DiskFull,
    /// No such lease.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// A lease with this id is there.
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    /// More than 9,000,000,000 s.
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    /// More than `--max-request-bytes`.
    #[error("etcdserver: request is too large")]
    RequestTooLarge,
    /// The queue of writes is full.
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    /// No member with this id.
    #[error("etcdserver: member not found")]
    MemberNotFound,
    /// A single member has nobody to hand leadership to.
    #[error("etcdserver: bad leader transferee")]
    BadLeaderTransferee,
    /// A login, where there are no users.
    #[error("etcdserver: authentication is not enabled")]
    AuthNotEnabled,
    /// Going down.
    #[error("etcdserver: server stopped")]
    Stopped,
    /// What this server does not do, and what to do instead.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The disk refused; the text says what it refused.
    #[error(
        "etcdserver: the data file cannot be written: {0}; reads go on, writes come back when the disk does"
    )]
    Storage(String),
    /// The data file is not what was written.
    #[error("etcdserver: corrupt cluster: {0}")]
    Corrupt(String),
}

impl Error {
    /// What the storage library says.
    pub fn disk(error: impl Into<redb::Error>) -> Error {
        match error.into() {
            redb::Error::Corrupted(why) => Error::Corrupt(why),
            redb::Error::Io(e) if matches!(e.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                Error::DiskFull
            }
            other => Error::Storage(other.to_string()),
        }
    }

    /// Whether the disk is at fault, so that memory and disk may differ.
    pub fn is_disk(&self) -> bool {
        matches!(self, Error::DiskFull | Error::Storage(_) | Error::Corrupt(_))
    }

    fn code(&self) -> Code {
        match self {
            Error::EmptyKey
            | Error::KeyNotFound
            | Error::ValueProvided
            | Error::LeaseProvided
            | Error::TooManyOps
            | Error::DuplicateKey
            | Error::InvalidSortOption
            | Error::RequestTooLarge => Code::InvalidArgument,
            Error::Compacted | Error::FutureRevision | Error::LeaseTtlTooLarge => Code::OutOfRange,
            Error::NoSpace | Error::DiskFull | Error::TooManyRequests => Code::ResourceExhausted,
            Error::LeaseNotFound | Error::MemberNotFound => Code::NotFound,
            Error::LeaseExists | Error::BadLeaderTransferee | Error::AuthNotEnabled => {
                Code::FailedPrecondition
            }
            Error::Stopped | Error::Storage(_) => Code::Unavailable,
            Error::Unsupported(_) => Code::Unimplemented,
            Error::Corrupt(_) => Code::DataLoss,
        }
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        Status::new(error.code(), error.to_string())
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or folder cannot be used.
    #[error("cannot {what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Another process has the data.
    #[error("{} is in use by another process; end it, or name another --data-dir", path.display())]
    InUse {
        /// The data file.
        path: PathBuf,
    },
    /// The folder is a real etcd's.
    #[error(
        "{} holds the data of an etcd server (member/); take another --data-dir, and begin it with `etcdctl snapshot \
         save` of that server and --restore-from",
        path.display()
    )]
    RealEtcd {
        /// The data folder.
        path: PathBuf,
    },
    /// The data file is damaged.
    #[error(
        "{} is damaged: {why}; put back a copy of it, or move it away and start anew (what it held is then gone)",
        path.display()
    )]
    Damaged {
        /// The data file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Data are there already, where a snapshot is to be restored.
    #[error(
        "{} is there: a snapshot is restored into a folder without data, and nothing was changed; leave --restore-from \
         away to go on with what is there, or name another --data-dir",
        path.display()
    )]
    NotEmpty {
        /// The file.
        path: PathBuf,
    },
    /// A restore came to no end.
    #[error(
        "{} is what a restore left that was broken off; start again with --restore-from, or remove the file to begin \
         without data",
        path.display()
    )]
    BrokenOff {
        /// The half of a data file.
        path: PathBuf,
    },
    /// A snapshot that cannot be restored.
    #[error("{} is not restored, and nothing was made: {why}", path.display())]
    Snapshot {
        /// The snapshot.
        path: PathBuf,
        /// Why not.
        why: Unfit,
    },
    /// A listener cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A certificate or key that cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
    /// A setting that makes no sense.
    #[error("{0}")]
    Config(String),
}
