//! Why a look at an object failed.

use thiserror::Error;

/// A failure: what was tried, on which object, and what the API said.
#[derive(Debug, Error)]
pub enum Error {
    /// The API refused, or was not reached.
    #[error("{what}: {}", said(source))]
    Api {
        /// What was tried.
        what: String,
        /// The refusal.
        source: Box<kube::Error>,
    },
    /// Several failures at once.
    #[error("{}", joined(.0))]
    Several(Vec<Error>),
    /// Something else, in words.
    #[error("{0}")]
    Other(String),
}

/// kube-rs prints a refusal twice.
pub fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

fn joined(errors: &[Error]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl Error {
    /// The HTTP status of a refusal; 0 where there is none.
    pub fn code(&self) -> u16 {
        match self {
            Error::Api { source, .. } => code(source),
            _ => 0,
        }
    }

    /// Whether it belongs to several writers at work: somebody else changed the object first.
    pub fn is_usual(&self) -> bool {
        self.code() == 409
    }
}

/// The HTTP status of a refusal; 0 where there is none.
pub fn code(error: &kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    }
}

/// Says what was tried.
pub trait On<T> {
    /// With what was tried.
    fn on(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> On<T> for Result<T, kube::Error> {
    fn on(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Api { what: what(), source: Box::new(source) })
    }
}
