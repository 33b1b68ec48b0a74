//! Bodies of requests: JSON, YAML and protobuf, decoded against a type of the table into one JSON value.
//!
//! The value is what upstream's server would print again after decoding: unknown fields and nulls are dropped, empty
//! values are dropped where Go's `omitempty` would, quantities and times are in their canonical form. What strict
//! decoding would have complained about comes along, in upstream's words and order. All three forms share one walk
//! over the table (JSON, YAML, results of patches) or one set of value rules (protobuf). Time and memory are linear in
//! the body; depth is limited.

mod error;
mod protobuf;
mod scalar;
mod type_meta;
mod walk;

pub use error::{BodyError, BodyErrorKind};
pub use type_meta::{TypeMeta, type_meta};

use crate::schema::Type;
use serde::de::DeserializeSeed;
use serde_json::Value;
use serde_saphyr::{budget, options};

/// How deep and how wide a body may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Objects and lists within each other. JSON itself is read to a depth of 127.
    pub depth: usize,
    /// Bytes.
    pub bytes: usize,
}

impl Default for Limits {
    /// Upstream's 3 MiB; no type of the API is deeper than some 20.
    fn default() -> Self {
        Limits { depth: 100, bytes: 3 << 20 }
    }
}

/// The forms of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
}

/// A decoded body.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The object.
    pub object: Value,
    /// What strict decoding complains about: `unknown field "spec.foo"`.
    pub strict: Vec<String>,
}

/// Decodes a body of any form.
pub fn decode(form: Form, bytes: &[u8], kind: &Type, limits: &Limits) -> Result<Decoded, BodyError> {
    match form {
        Form::Json => json(bytes, kind, limits),
        Form::Yaml => yaml(bytes, kind, limits),
        Form::Protobuf => protobuf(bytes, kind, limits),
    }
}

/// Decodes JSON.
pub fn json(bytes: &[u8], kind: &Type, limits: &Limits) -> Result<Decoded, BodyError> {
    fits(bytes, limits)?;
    let mut walk = walk::Walk::new(limits);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let object = walk.root(kind).deserialize(&mut reader).and_then(|object| reader.end().map(|()| object));
    walk.finish(object.map_err(|error| error::of_json(&error)))
}

/// Decodes YAML.
pub fn yaml(bytes: &[u8], kind: &Type, limits: &Limits) -> Result<Decoded, BodyError> {
    fits(bytes, limits)?;
    let mut walk = walk::Walk::new(limits);
    let object = {
        let root = walk.root(kind);
        serde_saphyr::with_deserializer_from_slice_with_options(bytes, yaml_options(), |reader| {
            root.deserialize(reader)
        })
    };
    walk.finish(object.map_err(|error| error::of_yaml(&error.render())))
}

/// Decodes protobuf: four bytes of magic, then `runtime.Unknown` around the object.
pub fn protobuf(bytes: &[u8], kind: &Type, limits: &Limits) -> Result<Decoded, BodyError> {
    fits(bytes, limits)?;
    protobuf::decode(bytes, kind, limits).map(|object| Decoded { object, strict: Vec::new() })
}

/// Decodes a value that is there already, such as the result of a patch.
pub fn typed(value: Value, kind: &Type) -> Result<Decoded, BodyError> {
    let mut walk = walk::Walk::new(&Limits::default());
    let object = walk.root(kind).deserialize(value);
    walk.finish(object.map_err(|error| error::of_json(&error)))
}

/// Decodes JSON of no type, as patches are; strict complaints are about duplicates only.
pub(crate) fn untyped(bytes: &[u8], limits: &Limits) -> Result<Decoded, BodyError> {
    fits(bytes, limits)?;
    let mut walk = walk::Walk::new(limits);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let object = walk.free_root().deserialize(&mut reader).and_then(|object| reader.end().map(|()| object));
    walk.finish(object.map(|object| object.or(Some(Value::Null))).map_err(|error| error::of_json(&error)))
}

/// YAML with bounds on what aliases may blow up, with octal numbers as Go reads them, and with the last of equal keys
/// taken, as JSON does.
fn yaml_options() -> serde_saphyr::Options {
    options! {
        with_snippet: false,
        emit_comments: false,
        legacy_octal_numbers: true,
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
        budget: budget! {
            max_events: 400_000, max_nodes: 200_000, max_total_scalar_bytes: 6 << 20,
        },
    }
}

fn fits(bytes: &[u8], limits: &Limits) -> Result<(), BodyError> {
    if bytes.len() <= limits.bytes {
        return Ok(());
    }
    Err(BodyError {
        kind: BodyErrorKind::TooLarge,
        message: format!("Request entity too large: limit is {}", limits.bytes),
        path: String::new(),
    })
}

#[cfg(test)]
mod captured;
#[cfg(test)]
mod tests;
