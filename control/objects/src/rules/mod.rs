//! What a kind's objects get when they leave something out, and what they may be: defaults and validation.
//!
//! Pure functions over JSON values, one small file for a kind or a family of kinds. Source: upstream's `defaults.go`
//! and `validation.go` of each group, whose paths and words are kept, since clients and people read them.

use crate::fault::Faults;
use serde_json::Value;

/// The rules of a kind.
#[derive(Debug)]
pub struct Rules {
    /// Fills in what is left out.
    pub default: fn(&mut Value),
    /// What is wrong with an object.
    pub validate: fn(&Value, &mut Faults),
    /// What may not change: the object as it shall be, then as it was.
    pub validate_update: fn(&Value, &Value, &mut Faults),
}

/// A kind without rules of its own.
const NONE: Rules = Rules { default: |_| {}, validate: |_, _| {}, validate_update: |_, _, _| {} };

/// The rules of a kind; the core group's name is empty.
pub fn rules(group: &str, kind: &str) -> &'static Rules {
    let _ = (group, kind);
    &NONE
}
