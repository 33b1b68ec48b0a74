//! Patches: JSON patch, JSON merge patch, strategic merge patch.
//!
//! All of them take the object as JSON and the patch as it came, and give the object as it would be; what strict
//! reading of the patch itself complains about comes along. The result is decoded again (`body::typed`). Source:
//! `apiserver/pkg/endpoints/handlers/patch.go`, `apimachinery/pkg/util/strategicpatch`. Time is linear in object and
//! patch, but for JSON patch, whose operations each cost what they move.

mod bounds;
mod json;
mod lenient;
mod order;
mod strategic;

pub use self::json::json_patch;
pub use strategic::strategic;

use crate::body::{self, BodyError, Decoded, Limits};
use serde_json::{Map, Value};

/// Why a patch was not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// It is no patch: 400.
    #[error("{0}")]
    Malformed(String),
    /// It does not apply: 422, reason `Invalid`. The text tells why, which upstream keeps to itself.
    #[error("the server rejected our request due to an error in our request")]
    Rejected(String),
    /// It has too many operations, or copies too much: 413.
    #[error("{0}")]
    TooLarge(String),
}

impl PatchError {
    /// The HTTP status.
    pub fn code(&self) -> u16 {
        match self {
            PatchError::Malformed(_) => 400,
            PatchError::Rejected(_) => 422,
            PatchError::TooLarge(_) => 413,
        }
    }

    /// What is wrong, for a cause of the `Status`.
    pub fn detail(&self) -> &str {
        match self {
            PatchError::Malformed(text) | PatchError::Rejected(text) | PatchError::TooLarge(text) => text,
        }
    }
}

impl From<BodyError> for PatchError {
    fn from(error: BodyError) -> Self {
        match error.kind {
            body::BodyErrorKind::TooLarge => PatchError::TooLarge(error.to_string()),
            _ => PatchError::Malformed(error.to_string()),
        }
    }
}

/// Applies a JSON merge patch (RFC 7396).
pub fn merge(object: Value, patch: &[u8]) -> Result<Decoded, PatchError> {
    let Decoded { object: patch, strict } = body::untyped(patch, &Limits::default())?;
    match patch {
        Value::Object(patch) => Ok(Decoded { object: merged(object, patch), strict }),
        _ => Err(PatchError::Malformed("Invalid JSON Patch".into())),
    }
}

/// The recursion is as deep as the patch, which is read to a limited depth.
fn merged(object: Value, patch: Map<String, Value>) -> Value {
    let mut object = match object {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    for (key, value) in patch {
        match value {
            Value::Null => {
                object.remove(&key);
            }
            Value::Object(inner) => {
                let before = object.remove(&key).unwrap_or_default();
                object.insert(key, merged(before, inner));
            }
            other => {
                object.insert(key, other);
            }
        }
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests;
