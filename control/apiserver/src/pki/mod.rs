//! The cluster's keys and certificates: one folder, made at the first start, and kept.
//!
//! ```text
//! ca.key  ca.crt               signs the serving certificate, clients' certificates and signing requests
//! apiserver.key apiserver.crt  what the listener shows; made again when a name is missing or its end is near
//! sa.key  sa.pub               signs service accounts' tokens
//! ```
//!
//! The names are kubeadm's, and a folder of kubeadm's serves as it is. Nothing that is there is overwritten but the
//! serving certificate: each of the others has been handed out. Work is done at start only.

mod authority;
mod files;
mod kubeconfig;
mod leaf;
mod names;
pub(crate) mod private_key;
mod request;
mod serving;
mod tls;

pub use authority::{Authority, Pki};
pub use files::write_private;
pub use names::Names;
pub use request::SigningError;
pub use tls::{ClientTrust, TlsFlags};

use std::path::{Path, PathBuf};

/// Why the folder cannot be used, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("{}: {source}: the API server keeps its keys there; make it readable and writable for it", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is there and is not what it has to be.
    #[error("{}: {problem}; {action}", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do next.
        action: &'static str,
    },
    /// A key or certificate cannot be made.
    #[error("making {what}: {problem}")]
    Making {
        /// Which.
        what: String,
        /// What is wrong.
        problem: String,
    },
}

impl PkiError {
    fn damaged(path: &Path, problem: impl ToString, action: &'static str) -> PkiError {
        PkiError::Damaged { path: path.to_owned(), problem: problem.to_string(), action }
    }

    fn making(what: impl ToString, problem: impl ToString) -> PkiError {
        PkiError::Making { what: what.to_string(), problem: problem.to_string() }
    }
}
