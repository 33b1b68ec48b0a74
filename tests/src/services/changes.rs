//! Cases in which something changes while clients look on.

use super::bed::Bed;

/// Each by its name; an error says what is wrong.
pub const CHANGES: &[(&str, fn(&Bed) -> Result<(), String>)] = &[];
