//! Why a body was not decoded, in the words of Go's `encoding/json` and of upstream's own decoders.

use std::fmt;

/// Which sort of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyErrorKind {
    /// It is not JSON, YAML or protobuf at all: 400.
    Malformed,
    /// A value has a wrong type or form: 400.
    Type,
    /// It is nested too deeply: 400.
    TooDeep,
    /// It is too long: 413.
    TooLarge,
}

/// Why a body was not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyError {
    /// Which sort.
    pub kind: BodyErrorKind,
    /// Upstream's words.
    pub message: String,
    /// Where: `spec.containers[0].resources.limits.cpu`; empty where no field is at fault.
    pub path: String,
}

impl fmt::Display for BodyError {
    /// Upstream's words; and the path, which upstream leaves out where a value's own decoder complains.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.path.is_empty() || self.message.contains("Go struct field") {
            return Ok(());
        }
        write!(f, " ({})", self.path)
    }
}

impl std::error::Error for BodyError {}

/// A reader's own complaint about JSON.
pub fn of_json(error: &serde_json::Error) -> BodyError {
    let text = error.to_string();
    let message =
        if error.is_eof() { "unexpected end of JSON input".to_owned() } else { format!("json: {text}") };
    let kind =
        if text.starts_with("recursion limit") { BodyErrorKind::TooDeep } else { BodyErrorKind::Malformed };
    BodyError { kind, message, path: String::new() }
}

/// A reader's own complaint about YAML; its first line tells what and where.
pub fn of_yaml(text: &str) -> BodyError {
    let line = text.lines().next().unwrap_or_default();
    let message = format!("error converting YAML to JSON: yaml: {line}");
    BodyError { kind: BodyErrorKind::Malformed, message, path: String::new() }
}
