//! Everything that can go wrong here, with the object it went wrong on and what to do next.

use std::{io, path::PathBuf};

/// What this crate's calls answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed look at, or change of, the kernel's network state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A netlink socket could not be opened, sent on or read.
    #[error("netlink {action}: {source}; weft needs CAP_NET_ADMIN in this network namespace (run as root)")]
    Socket {
        /// What was being done.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refused one operation.
    #[error("`{op}` refused: {}{}{}", io::Error::from_raw_os_error(*errno), detail(said), hint(*errno))]
    Refused {
        /// The operation as `Op` prints it.
        op: String,
        /// The errno, positive.
        errno: i32,
        /// The kernel's extended acknowledgement, often empty.
        said: String,
    },
    /// The answer to an operation was lost (ENOBUFS): it may or may not have been done.
    #[error("the kernel's answer to `{op}` was lost (ENOBUFS); look at the state again before repeating it")]
    AnswerLost {
        /// The operation as `Op` prints it.
        op: String,
    },
    /// A dump was interrupted by concurrent changes more often than we repeat it.
    #[error(
        "the list of {what} changed {times} times while it was read (NLM_F_DUMP_INTR); something rewrites it without pause: find it with `ip monitor`"
    )]
    Interrupted {
        /// What was listed.
        what: &'static str,
        /// How often it was tried.
        times: u32,
    },
    /// The kernel refused to list something.
    #[error("cannot list {what}: {source}")]
    List {
        /// What was listed.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A message of the kernel could not be read.
    #[error("the kernel's {what} message is not understood: {reason}; report it with `uname -r`")]
    Decode {
        /// What was listed.
        what: &'static str,
        /// Where decoding stopped.
        reason: String,
    },
    /// An operation names a device that does not exist.
    #[error("`{op}`: no device named {dev} in this network namespace")]
    NoDevice {
        /// The operation as `Op` prints it.
        op: String,
        /// The device.
        dev: String,
    },
    /// A network namespace could not be opened, made, entered or pinned.
    #[error("network namespace {name}: {action}: {source}")]
    NetNs {
        /// Its path or name.
        name: String,
        /// What was being done.
        action: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A sysctl could not be read or written.
    #[error("sysctl {}: {source}{}", path.display(), sysctl_hint(source))]
    Sysctl {
        /// Below /proc/sys.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A value that the kernel has no form for.
    #[error("{what} `{value}` is not valid: {reason}")]
    Invalid {
        /// What kind of value.
        what: &'static str,
        /// As it was given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// The errno behind this error, positive, if the kernel gave one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::Socket { source, .. }
            | Self::List { source, .. }
            | Self::NetNs { source, .. }
            | Self::Sysctl { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

fn detail(said: &str) -> String {
    if said.is_empty() { String::new() } else { format!(" ({said})") }
}

fn hint(errno: i32) -> &'static str {
    match errno {
        libc::EPERM => "; it needs CAP_NET_ADMIN in this network namespace (run as root)",
        libc::EOPNOTSUPP => "; this kernel lacks the feature or its module is not loaded",
        _ => "",
    }
}

fn sysctl_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "; the kernel lacks it or its module is not loaded",
        io::ErrorKind::PermissionDenied => "; it needs root",
        _ => "",
    }
}
