//! Why the state did not do what it was asked.

use crate::status::Failure;
use thiserror::Error;

/// A call to the state that failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// Nobody answers, or too late: whether a change was made is not known.
    #[error("etcd does not answer ({0}): look whether it runs, and at --etcd-servers")]
    Unreachable(String),
    /// The revision is older than what is kept.
    #[error("the revision is compacted; what is kept begins at {0}")]
    Compacted(i64),
    /// The revision is not there yet.
    #[error("the revision is in the future")]
    Future,
    /// There is no room for it.
    #[error("etcd takes no more data ({0}): make room on its disk or raise its quota, then disarm its alarm")]
    Full(String),
    /// The object is larger than etcd takes.
    #[error("the object is larger than etcd takes ({0})")]
    TooLarge(String),
    /// Something else.
    #[error("etcd refuses: {0}")]
    Refused(String),
}

impl From<etcd_client::Error> for StoreError {
    fn from(error: etcd_client::Error) -> Self {
        use etcd_client::Error;
        match error {
            Error::GRpcStatus(status) => of_status(status.code() as i32, status.message()),
            other => StoreError::Unreachable(other.to_string()),
        }
    }
}

/// By etcd's words (`api/v3rpc/rpctypes/error.go`), which are all that tells its errors apart.
fn of_status(code: i32, message: &str) -> StoreError {
    const DEADLINE_EXCEEDED: i32 = 4;
    const UNKNOWN: i32 = 2;
    const UNAVAILABLE: i32 = 14;
    if message.contains("required revision has been compacted") {
        StoreError::Compacted(0)
    } else if message.contains("required revision is a future revision") {
        StoreError::Future
    } else if message.contains("database space exceeded") || message.contains("no space") {
        StoreError::Full(message.to_owned())
    } else if message.contains("request is too large") || message.contains("message larger than max") {
        StoreError::TooLarge(message.to_owned())
    } else if [DEADLINE_EXCEEDED, UNAVAILABLE, UNKNOWN].contains(&code) {
        StoreError::Unreachable(message.to_owned())
    } else {
        StoreError::Refused(message.to_owned())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        match error {
            StoreError::Compacted(_) => Failure::expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new list \
                 without the continue parameter.",
            ),
            StoreError::TooLarge(_) => Failure::too_large(crate::rest::MAX_BODY),
            error @ StoreError::Unreachable(_) => Failure::unavailable(error),
            // Also what has no room, as upstream has it: a client that tried again by itself would only wait.
            error => Failure::internal(error),
        }
    }
}
