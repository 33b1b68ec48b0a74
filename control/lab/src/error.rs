//! Why a lab command failed: what, on which object, and what to do next.

use std::io;
use std::path::PathBuf;

/// Result of the lab's functions.
pub type Result<T, E = LabError> = std::result::Result<T, E>;

/// Why a lab command failed.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A system call or a file failed.
    #[error("cannot {what}: {source}{}", advice(.source))]
    System {
        /// What was tried, with its object.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel refused network state.
    #[error("network of {place}: {source}")]
    Network {
        /// Which namespace.
        place: String,
        /// What failed there.
        source: netstate::Error,
    },
    /// A lab of this name is there.
    #[error("lab {0:?} is up, or an earlier `up` was stopped; `weft lab down --name {0}` removes it")]
    Exists(String),
    /// No lab of this name is there.
    #[error("there is no lab {0:?}; `weft lab up --name {0}` makes one")]
    Absent(String),
    /// Another command is changing this lab.
    #[error("another command is at work on lab {0:?}; wait for it, or end that process first")]
    Busy(String),
    /// No place of this name is in the lab.
    #[error("lab {lab:?} has no node or pod {name:?}; it has {}", .have.join(", "))]
    NoPlace {
        /// The lab.
        lab: String,
        /// What was asked for.
        name: String,
        /// What there is.
        have: Vec<String>,
    },
    /// A flag has a value that cannot be.
    #[error("{flag}: {why}")]
    Flag {
        /// The flag.
        flag: &'static str,
        /// What is wrong and what it could be.
        why: String,
    },
    /// There is no cgroup v2 mount.
    #[error("no cgroup v2 file system is mounted; `mount -t cgroup2 none /sys/fs/cgroup/unified` mounts one")]
    NoCgroup,
    /// A program that the lab started ended or failed.
    #[error("{what} in {place} failed: {said}{}", logs(.log))]
    Program {
        /// Which program.
        what: String,
        /// Where it ran.
        place: String,
        /// Its last words or its exit status.
        said: String,
        /// Its log.
        log: Option<PathBuf>,
    },
    /// Something did not come within its time.
    #[error("{what} did not come within {seconds} s{}", logs(.log))]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        seconds: u64,
        /// Where to look.
        log: Option<PathBuf>,
    },
    /// etcd did not answer as it should.
    #[error("etcd at {endpoints}: {why}; is it running, and is this its client port?")]
    Etcd {
        /// The endpoints.
        endpoints: String,
        /// What it said.
        why: String,
    },
    /// The API server did not answer as it should.
    #[error("API server on {node}: {why}; does it run? `weft lab start {node} apiserver` starts it again")]
    Api {
        /// The node that it is on.
        node: String,
        /// What went wrong.
        why: String,
    },
    /// The CNI plugin refused.
    #[error("{place}: {source}")]
    Cni {
        /// Which pod on which node.
        place: String,
        /// What it said.
        source: Box<cni_plugin::caller::CallerError>,
    },
    /// A file or an answer of our own is not in the form that it should have.
    #[error("{what} is not readable: {source}; was it written by another version of weft?")]
    Form {
        /// Which file or answer.
        what: String,
        /// Where it goes wrong.
        source: serde_json::Error,
    },
    /// Not every check passed; the table shows which.
    #[error("{failed} of {all} checks failed; `weft lab exec POD -- CMD` goes and looks")]
    Unreachable {
        /// How many failed.
        failed: usize,
        /// Of how many.
        all: usize,
    },
    /// The load tool failed.
    #[error(transparent)]
    Load(#[from] crate::load::LoadError),
    /// A command of the load tool failed.
    #[error(transparent)]
    LoadCommand(#[from] crate::load::LoadCommandError),
    /// The plot could not be drawn.
    #[error("cannot draw {path}: {why}")]
    Plot {
        /// The file.
        path: PathBuf,
        /// What the drawing library said.
        why: String,
    },
    /// A tear-down went on past these.
    #[error("{} things could not be removed: {}", .0.len(), .0.join("; "))]
    Left(Vec<String>),
}

fn advice(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => "; a lab needs root: run it with sudo",
        _ => "",
    }
}

fn logs(log: &Option<PathBuf>) -> String {
    log.as_ref().map(|path| format!("; its log is {}", path.display())).unwrap_or_default()
}

/// Says what was tried when a system call fails.
pub trait Tried<T> {
    /// `what` reads as "cannot WHAT".
    fn tried(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Tried<T> for std::result::Result<T, E> {
    fn tried(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| LabError::System { what: what(), source: e.into() })
    }
}

/// Says in which place the network was being made.
pub trait At<T> {
    /// Names the place.
    fn at(self, place: &str) -> Result<T>;
}

impl<T> At<T> for netstate::Result<T> {
    fn at(self, place: &str) -> Result<T> {
        self.map_err(|source| LabError::Network { place: place.to_owned(), source })
    }
}
