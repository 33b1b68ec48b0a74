//! What single values may be and how they are printed again.

use crate::moment::{self, Precision};
use crate::quantity;
use crate::schema::{Field, Shape, Type};
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Number, Value};

/// Go's decoder takes bits behind the last byte that are not zero.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// A fault of a value: Go's word for what was there, or a decoder's own message.
#[derive(Debug, PartialEq)]
pub enum Misfit {
    /// `cannot unmarshal WORD into ... of type`.
    Is(String),
    /// `cannot unmarshal WORD into Go value of type TYPE`, by a decoder that knows nothing of its field.
    Within(String, &'static str),
    /// Its own message.
    Says(String),
}

/// Text for a value of this shape.
pub fn text(shape: &Shape, text: &str) -> Result<Value, Misfit> {
    let canonical = match shape {
        Shape::Text | Shape::Raw | Shape::IntOrString => Ok(text.to_owned()),
        Shape::Time => moment::canonical(text, Precision::Seconds),
        Shape::MicroTime => moment::canonical(text, Precision::Micros),
        Shape::Quantity => quantity::canonical(text.trim()).map_err(|error| error.to_string()),
        Shape::Bytes => bytes(text),
        _ => return Err(Misfit::Is("string".into())),
    };
    canonical.map(Value::String).map_err(Misfit::Says)
}

fn bytes(text: &str) -> Result<String, String> {
    let joined: String;
    let text = if text.contains(['\r', '\n']) {
        joined = text.replace(['\r', '\n'], "");
        &joined
    } else {
        text
    };
    let decoded = BASE64.decode(text).map_err(|error| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _) => at,
            _ => text.len(),
        };
        format!("illegal base64 data at input byte {at}")
    })?;
    Ok(of_bytes(&decoded))
}

/// Bytes as JSON has them.
pub fn of_bytes(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// A number for a value of this shape.
pub fn number(shape: &Shape, number: Number) -> Result<Value, Misfit> {
    let whole = || Misfit::Is(format!("number {number}"));
    match shape {
        Shape::Int32 => int32(&number).ok_or_else(whole),
        Shape::Int64 => number.as_i64().map(Value::from).ok_or_else(whole),
        Shape::Float => number.as_f64().map(Value::from).ok_or_else(whole),
        Shape::IntOrString => {
            int32(&number).ok_or_else(|| Misfit::Within(format!("number {number}"), "int32"))
        }
        Shape::Quantity => text(shape, &number.to_string()),
        Shape::Raw => Ok(Value::Number(number)),
        Shape::Time | Shape::MicroTime => Err(Misfit::Within("number".into(), "string")),
        _ => Err(Misfit::Is("number".into())),
    }
}

fn int32(number: &Number) -> Option<Value> {
    number.as_i64().and_then(|number| i32::try_from(number).ok()).map(Value::from)
}

/// A boolean for a value of this shape.
pub fn boolean(shape: &Shape, value: bool) -> Result<Value, Misfit> {
    match shape {
        Shape::Bool | Shape::Raw => Ok(Value::Bool(value)),
        other => Err(misfit(other, "bool")),
    }
}

/// What is wrong with a list or an object (Go's word) in the place of a value of this shape.
pub fn misfit(shape: &Shape, word: &str) -> Misfit {
    match shape {
        Shape::Quantity => Misfit::Says(quantity::QuantityError::Form.to_string()),
        Shape::Time | Shape::MicroTime => Misfit::Within(word.into(), "string"),
        Shape::IntOrString => Misfit::Within(word.into(), "int32"),
        _ => Misfit::Is(word.into()),
    }
}

/// What a null is in a list or a map: Go's zero value.
pub fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::Text | Shape::Bytes => Value::String(String::new()),
        Shape::Bool => Value::Bool(false),
        Shape::Int32 | Shape::Int64 | Shape::Float | Shape::IntOrString => Value::from(0),
        Shape::Quantity => Value::String("0".into()),
        Shape::Map(_) => Value::Object(Map::new()),
        Shape::Object(_) => {
            let mut object = Map::new();
            if let Some(kind) = shape.object() {
                complete(kind, &mut object);
            }
            object.into()
        }
        Shape::List(_) => Value::Array(Vec::new()),
        Shape::Time | Shape::MicroTime | Shape::Raw => Value::Null,
    }
}

/// Adds what Go prints although it is not there: empty texts and numbers that are not marked `omitempty`.
pub fn complete(kind: &Type, object: &mut Map<String, Value>) {
    use Shape::{Bool, Float, Int32, Int64, IntOrString, Text};
    let simple = |shape: &Shape| matches!(shape, Text | Bool | Int32 | Int64 | Float | IntOrString);
    for field in kind.fields.iter().filter(|field| field.always && simple(&field.shape)) {
        if !object.contains_key(field.name) {
            object.insert(field.name.to_owned(), zero(&field.shape));
        }
    }
}

/// Whether Go would print the field: all but what is empty and marked `omitempty`.
pub fn printed(field: &Field, value: &Value) -> bool {
    if field.always || field.pointer {
        return true;
    }
    match (&field.shape, value) {
        (Shape::Text | Shape::Bytes, Value::String(text)) => !text.is_empty(),
        (Shape::Bool, Value::Bool(value)) => *value,
        (Shape::Int32 | Shape::Int64 | Shape::Float, Value::Number(number)) => number.as_f64() != Some(0.0),
        (Shape::List(_), Value::Array(list)) => !list.is_empty(),
        (Shape::Map(_), Value::Object(map)) => !map.is_empty(),
        _ => true,
    }
}
