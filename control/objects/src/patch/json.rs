//! JSON patch (RFC 6902), with upstream's bounds on operations and what it takes beyond the standard.

use super::PatchError;
use super::bounds::Bounds;
use super::lenient::lenient;
use crate::body::{self, Decoded, Limits};
use json_patch::Patch;
use serde_json::Value;

/// Upstream's `maxJSONPatchOperations`.
const MAX_OPERATIONS: usize = 10_000;

/// Applies a JSON patch.
pub fn json_patch(mut object: Value, patch: &[u8]) -> Result<Decoded, PatchError> {
    let Decoded { object: operations, strict } = body::untyped(patch, &Limits::default())?;
    let count = operations.as_array().map_or(0, Vec::len);
    if count > MAX_OPERATIONS {
        let text = format!("The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}");
        return Err(PatchError::TooLarge(text));
    }
    let Patch(operations) = serde_json::from_value(operations)
        .map_err(|error| PatchError::Malformed(format!("error decoding patch: {error}")))?;
    let mut bounds = Bounds::new(&object);
    for (at, operation) in operations.into_iter().enumerate() {
        let Some(operation) = lenient(operation, &object) else { continue };
        bounds.admit(&operation, &object)?;
        json_patch::patch(&mut object, &[operation])
            .map_err(|error| PatchError::Rejected(format!("operation {at}: {}", error.kind)))?;
    }
    Ok(Decoded { object, strict })
}
