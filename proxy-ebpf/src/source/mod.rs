//! Where objects come from: a [`Source`] gives batches of updates, from files or from a Kubernetes API.
//!
//! ```text
//! watch.rs: which files changed ─► parse.rs, item.rs: text to objects ─► files.rs: whose object counts ─► Batch
//! ```

mod api;
mod files;
mod item;
mod manifests;
mod parse;
mod watch;

pub use api::ApiSource;
pub use manifests::{ManifestSource, OpenError};
pub use parse::{Parsed, parse};

use crate::Update;

/// What a source found since it was last asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Objects that changed, each once.
    pub updates: Vec<Update>,
    /// What is wrong in the source; each is told of when it appears, not again.
    pub problems: Vec<Problem>,
    /// Whether the objects so far are all that there are. False as long as a part of the source has never been read
    /// well: what an earlier run programmed may still be wanted.
    pub complete: bool,
}

/// Gives objects as they change.
pub trait Source {
    /// Waits for changes. The first batch is given at once and has all objects; an empty source gives it empty.
    /// Dropping the future loses nothing.
    fn next(&mut self) -> impl Future<Output = Batch> + Send;
}

/// What is wrong in a source, and what follows from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A file or the folder cannot be read.
    #[error("cannot read {path}: {reason}; what it last said still counts, make it readable to change that")]
    Read {
        /// The file or folder.
        path: String,
        /// Why.
        reason: String,
    },
    /// The API does not give its objects.
    #[error("{what}: {reason}; what is known stays in force, and it is tried again")]
    Api {
        /// The resource.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A document is broken.
    #[error(
        "{file}:{line}: document {document}: {reason}; correct it, what the file last said counts until then"
    )]
    Document {
        /// The file.
        file: String,
        /// The line in the file, from 1.
        line: u64,
        /// The number of the document in the file, from 1.
        document: usize,
        /// What is wrong, with the path of the field.
        reason: String,
    },
    /// Documents are of a kind that the proxy has no use for.
    #[error(
        "{file}: document {document}: kind {kind} of {api_version} is not used; remove it from here if it should be"
    )]
    Kind {
        /// The file.
        file: String,
        /// The number of the first such document, from 1.
        document: usize,
        /// The API version.
        api_version: String,
        /// The kind.
        kind: String,
    },
    /// An object is defined twice.
    #[error("{file}: {object} is already in {first}, which counts; remove one of them")]
    Twice {
        /// The file whose object does not count.
        file: String,
        /// The object.
        object: String,
        /// The file whose object counts.
        first: String,
    },
}
