//! Protobuf bodies: decoded by the table's field numbers into the value that JSON would have given.
//!
//! Upstream's encoder writes every field that is no pointer, empty or not; what `omitempty` would leave out is left
//! out here too. Numbers that the table does not know are skipped, as Go's decoder does. Source: `generated.proto` of
//! each group, `runtime/serializer/protobuf`.

use super::error::{BodyError, BodyErrorKind};
use super::scalar;
use super::{Limits, TypeMeta};
use crate::moment::{self, Precision};
use crate::quantity;
use crate::schema::{Field, Shape, Type};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde_json::{Map, Value};

/// What stands in front of every body.
const MAGIC: &[u8] = b"k8s\0";

/// `runtime.Unknown`.
pub struct Unknown<'a> {
    /// Its type.
    pub type_meta: TypeMeta,
    raw: &'a [u8],
}

/// One value on the wire.
enum Wire<'a> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
}

/// Decodes a body.
pub fn decode(bytes: &[u8], kind: &Type, limits: &Limits) -> Result<Value, BodyError> {
    let unknown = unknown(bytes)?;
    let mut object = Map::new();
    Reader { path: String::new(), depth: limits.depth }.message(unknown.raw, kind, &[], &mut object)?;
    let TypeMeta { api_version, kind } = unknown.type_meta;
    for (key, value) in [("apiVersion", api_version), ("kind", kind)] {
        if !value.is_empty() {
            object.insert(key.into(), value.into());
        }
    }
    Ok(Value::Object(object))
}

/// Unpacks what is around the object.
pub fn unknown(bytes: &[u8]) -> Result<Unknown<'_>, BodyError> {
    let malformed = |message: &str| BodyError {
        kind: BodyErrorKind::Malformed,
        message: message.into(),
        path: String::new(),
    };
    let body = bytes.strip_prefix(MAGIC).ok_or_else(|| {
        malformed("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    })?;
    let reader = Reader { path: String::new(), depth: 1 };
    let mut unknown = Unknown { type_meta: TypeMeta::default(), raw: &[] };
    reader.fields(body, |tag, wire| {
        match (tag, wire) {
            (1, Wire::Bytes(bytes)) => unknown.type_meta = reader.type_meta(bytes)?,
            (2, Wire::Bytes(bytes)) => unknown.raw = bytes,
            (3, Wire::Bytes(bytes)) if !bytes.is_empty() => {
                return Err(malformed("the body has a content encoding; send it without one"));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(unknown)
}

struct Reader {
    path: String,
    depth: usize,
}

impl Reader {
    fn error(&self, kind: BodyErrorKind, message: impl Into<String>) -> BodyError {
        BodyError { kind, message: message.into(), path: self.path.clone() }
    }

    fn malformed(&self, message: impl std::fmt::Display) -> BodyError {
        self.error(BodyErrorKind::Malformed, format!("proto: {message}"))
    }

    /// Hands over each field of a message.
    fn fields<'a>(
        &self,
        mut bytes: &'a [u8],
        mut each: impl FnMut(u32, Wire<'a>) -> Result<(), BodyError>,
    ) -> Result<(), BodyError> {
        while !bytes.is_empty() {
            let (tag, kind) = decode_key(&mut bytes).map_err(|error| self.malformed(error))?;
            let wire = match kind {
                WireType::Varint => {
                    Wire::Varint(decode_varint(&mut bytes).map_err(|error| self.malformed(error))?)
                }
                WireType::SixtyFourBit => Wire::Fixed(u64::from_le_bytes(self.array(&mut bytes)?)),
                WireType::ThirtyTwoBit => Wire::Fixed(u32::from_le_bytes(self.array(&mut bytes)?).into()),
                WireType::LengthDelimited => {
                    let length = decode_varint(&mut bytes).map_err(|error| self.malformed(error))?;
                    let split =
                        usize::try_from(length).ok().and_then(|length| bytes.split_at_checked(length));
                    let (taken, rest) = split.ok_or_else(|| self.malformed("unexpected EOF"))?;
                    bytes = rest;
                    Wire::Bytes(taken)
                }
                group => {
                    skip_field(group, tag, &mut bytes, DecodeContext::default())
                        .map_err(|error| self.malformed(error))?;
                    continue;
                }
            };
            each(tag, wire)?;
        }
        Ok(())
    }

    fn array<const N: usize>(&self, bytes: &mut &[u8]) -> Result<[u8; N], BodyError> {
        let (taken, rest) = bytes.split_first_chunk::<N>().ok_or_else(|| self.malformed("unexpected EOF"))?;
        *bytes = rest;
        Ok(*taken)
    }

    fn type_meta(&self, bytes: &[u8]) -> Result<TypeMeta, BodyError> {
        let mut found = TypeMeta::default();
        self.fields(bytes, |tag, wire| {
            match (tag, wire) {
                (1, Wire::Bytes(text)) => found.api_version = self.text(text)?,
                (2, Wire::Bytes(text)) => found.kind = self.text(text)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn text(&self, bytes: &[u8]) -> Result<String, BodyError> {
        let text =
            std::str::from_utf8(bytes).map_err(|_| self.malformed("string field contains invalid UTF-8"))?;
        Ok(text.to_owned())
    }

    /// Reads a message; `outer` are the numbers of structs that Go has inline around it.
    fn message(
        &mut self,
        bytes: &[u8],
        kind: &Type,
        outer: &[u32],
        into: &mut Map<String, Value>,
    ) -> Result<(), BodyError> {
        let depth = self.depth.checked_sub(1);
        self.depth = depth.ok_or_else(|| self.error(BodyErrorKind::TooDeep, "exceeded max depth"))?;
        let mut found = Vec::new();
        self.fields(bytes, |tag, wire| {
            found.push((tag, wire));
            Ok(())
        })?;
        for (tag, wire) in found {
            let numbers = [outer, &[tag]].concat();
            if let Some(field) = kind.fields.iter().find(|field| field.numbers == numbers) {
                self.field(field, wire, into)?;
            } else if let Wire::Bytes(bytes) = wire
                && kind.fields.iter().any(|field| field.numbers.starts_with(&numbers))
            {
                self.message(bytes, kind, &numbers, into)?;
            }
        }
        if outer.is_empty() {
            let printed = |name: &String, value: &mut Value| {
                kind.field(name).is_none_or(|field| scalar::printed(field, value))
            };
            into.retain(printed);
            scalar::complete(kind, into);
        }
        self.depth += 1;
        Ok(())
    }

    fn field(
        &mut self,
        field: &Field,
        wire: Wire<'_>,
        into: &mut Map<String, Value>,
    ) -> Result<(), BodyError> {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(field.name);
        let before = into.remove(field.name);
        if let Some(value) = self.collect(&field.shape, wire, before)? {
            into.insert(field.name.to_owned(), value);
        }
        self.path.truncate(length);
        Ok(())
    }

    /// Adds what came to what was there: lists and maps come item by item, messages may come in parts.
    fn collect(
        &mut self,
        shape: &Shape,
        wire: Wire<'_>,
        before: Option<Value>,
    ) -> Result<Option<Value>, BodyError> {
        match (shape, wire) {
            (Shape::List(inner), Wire::Bytes(packed))
                if matches!(**inner, Shape::Int32 | Shape::Int64 | Shape::Bool) =>
            {
                let mut list = list(before);
                let mut rest = packed;
                while !rest.is_empty() {
                    let item = decode_varint(&mut rest).map_err(|error| self.malformed(error))?;
                    list.extend(self.value(inner, Wire::Varint(item), None)?);
                }
                Ok(Some(Value::Array(list)))
            }
            (Shape::List(inner), wire) => {
                let mut list = list(before);
                let item = self.value(inner, wire, None)?;
                list.push(item.unwrap_or_else(|| scalar::zero(inner)));
                Ok(Some(Value::Array(list)))
            }
            (Shape::Map(inner), Wire::Bytes(entry)) => {
                let mut map = map(before);
                let (key, value) = self.entry(inner, entry)?;
                map.insert(key, value);
                Ok(Some(Value::Object(map)))
            }
            (shape, wire) => self.value(shape, wire, before),
        }
    }

    fn entry(&mut self, inner: &Shape, bytes: &[u8]) -> Result<(String, Value), BodyError> {
        let (mut key, mut found) = (String::new(), None);
        let mut wires = Vec::new();
        self.fields(bytes, |tag, wire| {
            wires.push((tag, wire));
            Ok(())
        })?;
        for (tag, wire) in wires {
            match (tag, wire) {
                (1, Wire::Bytes(text)) => key = self.text(text)?,
                // Lists cannot be a map's values in protobuf: `ExtraValue` is a message with the items.
                (2, Wire::Bytes(items)) if matches!(inner, Shape::List(_)) => {
                    let mut list = None;
                    let mut wires = Vec::new();
                    self.fields(items, |_, wire| {
                        wires.push(wire);
                        Ok(())
                    })?;
                    for wire in wires {
                        list = self.collect(inner, wire, list)?;
                    }
                    found = list;
                }
                (2, wire) => found = self.value(inner, wire, None)?,
                _ => {}
            }
        }
        Ok((key, found.unwrap_or_else(|| scalar::zero(inner))))
    }

    fn value(
        &mut self,
        shape: &Shape,
        wire: Wire<'_>,
        before: Option<Value>,
    ) -> Result<Option<Value>, BodyError> {
        Ok(Some(match (shape, wire) {
            (Shape::Text, Wire::Bytes(bytes)) => self.text(bytes)?.into(),
            (Shape::Bytes, Wire::Bytes(bytes)) => scalar::of_bytes(bytes).into(),
            (Shape::Bool, Wire::Varint(value)) => (value != 0).into(),
            // Negative numbers are ten bytes long; what is above 32 bits is cut, as Go does.
            (Shape::Int32, Wire::Varint(value)) => (value as i32).into(),
            (Shape::Int64, Wire::Varint(value)) => (value as i64).into(),
            (Shape::Float, Wire::Fixed(bits)) => f64::from_bits(bits).into(),
            (Shape::Object(_), Wire::Bytes(bytes)) => {
                let mut object = map(before);
                if let Some(kind) = shape.object() {
                    self.message(bytes, kind, &[], &mut object)?;
                }
                object.into()
            }
            (Shape::Time, Wire::Bytes(bytes)) => return self.time(bytes, Precision::Seconds),
            (Shape::MicroTime, Wire::Bytes(bytes)) => return self.time(bytes, Precision::Micros),
            (Shape::Quantity, Wire::Bytes(bytes)) => self.quantity(bytes)?,
            (Shape::IntOrString, Wire::Bytes(bytes)) => self.int_or_string(bytes)?,
            (Shape::Raw, Wire::Bytes(bytes)) => return self.raw(bytes),
            _ => return Err(self.malformed("wrong wireType for field")),
        }))
    }

    fn time(&self, bytes: &[u8], precision: Precision) -> Result<Option<Value>, BodyError> {
        let (mut seconds, mut nanos) = (None, 0);
        self.fields(bytes, |tag, wire| {
            match (tag, wire) {
                (1, Wire::Varint(value)) => seconds = Some(value as i64),
                (2, Wire::Varint(value)) => nanos = value as i32,
                _ => {}
            }
            Ok(())
        })?;
        // Go's zero time is an empty message.
        let Some(seconds) = seconds else { return Ok(None) };
        let text = moment::of_parts(seconds, nanos, precision);
        text.map(|text| Some(text.into())).ok_or_else(|| self.malformed("time out of range"))
    }

    fn quantity(&self, bytes: &[u8]) -> Result<Value, BodyError> {
        let mut text = String::new();
        self.fields(bytes, |tag, wire| {
            if let (1, Wire::Bytes(bytes)) = (tag, wire) {
                text = self.text(bytes)?;
            }
            Ok(())
        })?;
        let text = if text.is_empty() { "0" } else { &text };
        let printed =
            quantity::canonical(text).map_err(|error| self.error(BodyErrorKind::Type, error.to_string()))?;
        Ok(printed.into())
    }

    fn int_or_string(&self, bytes: &[u8]) -> Result<Value, BodyError> {
        let (mut is_text, mut number, mut text) = (false, 0, String::new());
        self.fields(bytes, |tag, wire| {
            match (tag, wire) {
                (1, Wire::Varint(value)) => is_text = value == 1,
                (2, Wire::Varint(value)) => number = value as i32,
                (3, Wire::Bytes(bytes)) => text = self.text(bytes)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(if is_text { text.into() } else { number.into() })
    }

    /// `RawExtension` and `FieldsV1`: JSON within the message.
    fn raw(&self, bytes: &[u8]) -> Result<Option<Value>, BodyError> {
        let mut json: &[u8] = &[];
        self.fields(bytes, |tag, wire| {
            if let (1, Wire::Bytes(bytes)) = (tag, wire) {
                json = bytes;
            }
            Ok(())
        })?;
        if json.is_empty() {
            return Ok(None);
        }
        let value = serde_json::from_slice(json).map_err(|error| self.malformed(error))?;
        Ok(Some(value).filter(|value: &Value| !value.is_null()))
    }
}

fn list(before: Option<Value>) -> Vec<Value> {
    match before {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

fn map(before: Option<Value>) -> Map<String, Value> {
    match before {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}
