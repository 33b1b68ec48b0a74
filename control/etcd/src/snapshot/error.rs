//! What can go wrong while a snapshot is written.

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file does not take the bytes.
    #[error("snapshot file: {doing}: {source}; free space or name another file, and take the snapshot again")]
    File {
        /// What was done.
        doing: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The store did not yield an entry.
    #[error("bucket {bucket:?} of the snapshot: the store yields no next entry: {source}")]
    Source {
        /// The bucket that was being written.
        bucket: String,
        /// The store's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Entries out of order, or one twice: a page tree cannot be built from them.
    #[error(
        "bucket {bucket:?} of the snapshot: key {key:02x?} does not come behind {previous:02x?}; the caller must sort them"
    )]
    Order {
        /// The bucket that was being written.
        bucket: String,
        /// The key that came.
        key: Vec<u8>,
        /// The one before it.
        previous: Vec<u8>,
    },
    /// bbolt cannot hold such an entry.
    #[error(
        "bucket {bucket:?} of the snapshot: a key of {key} bytes with a value of {value} bytes is beyond bbolt's limits (key 1 to 32,768, value below 2 GiB)"
    )]
    Size {
        /// The bucket that was being written.
        bucket: String,
        /// Length of the key.
        key: usize,
        /// Length of the value.
        value: usize,
    },
    /// A bucket was begun and not finished, or one name given twice.
    #[error("bucket {bucket:?} of the snapshot was {how}; finish each bucket once")]
    Bucket {
        /// Its name.
        bucket: String,
        /// What happened to it.
        how: &'static str,
    },
}

impl Error {
    /// For `map_err`: the file's error with what was being done.
    pub(super) fn file(doing: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::File { doing, source }
    }
}
