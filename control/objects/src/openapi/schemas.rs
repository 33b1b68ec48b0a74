//! Types of the table as JSON schemas, in the dialects of OpenAPI 2 and 3.

use crate::schema::{Descriptions, Field, Schema, Shape, Type};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The version of OpenAPI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `#/definitions/`; a reference may stand beside a description.
    V2,
    /// `#/components/schemas/`; a reference stands alone, so that upstream wraps it in `allOf`.
    V3,
}

/// Types that JSON has as plain values, and what version 3 and version 2 say of them.
const VALUES: [(Shape, &str, &str); 6] = [
    (
        Shape::Quantity,
        "io.k8s.apimachinery.pkg.api.resource.Quantity",
        "A number with a unit, such as 500m or 1Gi.",
    ),
    (
        Shape::IntOrString,
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        "An integer of 32 bits or a string.",
    ),
    (Shape::Time, "io.k8s.apimachinery.pkg.apis.meta.v1.Time", "A time of RFC 3339, to the second."),
    (
        Shape::MicroTime,
        "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
        "A time of RFC 3339, to the microsecond.",
    ),
    (Shape::Raw, FIELDS, "A set of fields, as a tree in JSON."),
    (Shape::Raw, RAW, "An object of any kind."),
];
const FIELDS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";
const RAW: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

/// The schemas of a document: those that are asked for and all that they refer to.
pub struct Schemas {
    /// The dialect.
    pub dialect: Dialect,
    wanted: Vec<&'static Type>,
    /// By name; null for types, whose schemas are made when they are handed over.
    found: BTreeMap<&'static str, Value>,
}

impl Schemas {
    /// None so far.
    pub fn new(dialect: Dialect) -> Schemas {
        Schemas { dialect, wanted: Vec::new(), found: BTreeMap::new() }
    }

    /// A reference to a type, which the document will then have.
    pub fn refer(&mut self, kind: &'static Type) -> Value {
        if !self.found.contains_key(kind.name) {
            self.found.insert(kind.name, Value::Null);
            self.wanted.push(kind);
        }
        self.reference(kind.name)
    }

    /// A reference to the body of a patch.
    pub fn refer_patch(&mut self) -> Value {
        let text = "The body of a patch: what it means depends on its content type.";
        self.found.insert(PATCH, json!({ "description": text, "type": "object" }));
        self.reference(PATCH)
    }

    fn reference(&self, name: &str) -> Value {
        match self.dialect {
            Dialect::V2 => json!({ "$ref": format!("#/definitions/{name}") }),
            Dialect::V3 => json!({ "$ref": format!("#/components/schemas/{name}") }),
        }
    }

    /// Hands over all of them, one at a time, so that they are never there together as values.
    pub fn each(mut self, text: &Descriptions, table: &'static Schema, mut emit: impl FnMut(&str, &Value)) {
        while let Some(kind) = self.wanted.pop() {
            emit(kind.name, &self.type_schema(kind, text, table));
        }
        for (name, schema) in self.found.iter().filter(|(_, schema)| !schema.is_null()) {
            emit(name, schema);
        }
    }

    fn type_schema(&mut self, kind: &'static Type, text: &Descriptions, table: &'static Schema) -> Value {
        let mut properties = Map::new();
        for field in &kind.fields {
            let mut property = self.shape(&field.shape, field.name, table);
            self.annotate(&mut property, field, text.of_field(field));
            properties.insert(field.name.to_owned(), property.into());
        }
        let required: Vec<&str> =
            kind.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
        let mut schema = Map::new();
        schema.insert("description".into(), text.of_type(kind).into());
        schema.insert("type".into(), "object".into());
        if !properties.is_empty() {
            schema.insert("properties".into(), properties.into());
        }
        if !required.is_empty() {
            schema.insert("required".into(), required.into());
        }
        if !kind.kinds.is_empty() {
            let kinds = kind.kinds.iter();
            let kinds: Vec<Value> = kinds
                .map(|(group, version, kind)| json!({ "group": group, "version": version, "kind": kind }))
                .collect();
            schema.insert("x-kubernetes-group-version-kind".into(), kinds.into());
        }
        if kind.atomic {
            schema.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        schema.into()
    }

    fn annotate(&self, property: &mut Map<String, Value>, field: &Field, description: String) {
        if self.dialect == Dialect::V3
            && let Some(reference) = property.remove("$ref")
        {
            property.insert("allOf".into(), json!([{ "$ref": reference }]));
        }
        if !description.is_empty() {
            property.insert("description".into(), description.into());
        }
        let words = [
            ("x-kubernetes-list-type", field.list),
            ("x-kubernetes-map-type", field.map),
            ("x-kubernetes-patch-merge-key", field.merge_key),
            ("x-kubernetes-patch-strategy", field.strategy.words),
        ];
        for (key, word) in words {
            if let Some(word) = word {
                property.insert(key.into(), word.into());
            }
        }
        if !field.keys.is_empty() {
            property.insert("x-kubernetes-list-map-keys".into(), field.keys.clone().into());
        }
    }

    /// `name` is the field's: what is raw bears two names.
    fn shape(&mut self, shape: &'static Shape, name: &str, table: &'static Schema) -> Map<String, Value> {
        let schema = match shape {
            Shape::Text => json!({ "type": "string" }),
            Shape::Bool => json!({ "type": "boolean" }),
            Shape::Int32 => json!({ "type": "integer", "format": "int32" }),
            Shape::Int64 => json!({ "type": "integer", "format": "int64" }),
            Shape::Float => json!({ "type": "number", "format": "double" }),
            Shape::Bytes => json!({ "type": "string", "format": "byte" }),
            Shape::List(inner) => json!({ "type": "array", "items": self.inner(inner, name, table) }),
            Shape::Map(inner) => {
                json!({ "type": "object", "additionalProperties": self.inner(inner, name, table) })
            }
            Shape::Object(id) => self.refer(table.get(*id)),
            Shape::Raw => self.value(if name == "fieldsV1" { FIELDS } else { RAW }),
            value => {
                let known = VALUES.iter().find(|(shape, ..)| shape == value);
                self.value(known.map_or(RAW, |(_, name, _)| name))
            }
        };
        match schema {
            Value::Object(schema) => schema,
            _ => Map::new(),
        }
    }

    fn inner(&mut self, shape: &'static Shape, name: &str, table: &'static Schema) -> Value {
        let mut schema = self.shape(shape, name, table);
        match schema.remove("$ref") {
            Some(reference) if self.dialect == Dialect::V3 => json!({ "allOf": [{ "$ref": reference }] }),
            Some(reference) => json!({ "$ref": reference }),
            None => schema.into(),
        }
    }

    /// A reference to one of the types that are plain values.
    fn value(&mut self, name: &'static str) -> Value {
        let Some((shape, name, text)) = VALUES.iter().find(|(_, one, _)| *one == name) else {
            return json!({ "type": "object" });
        };
        let v3 = self.dialect == Dialect::V3;
        let mut schema = match shape {
            Shape::Quantity if v3 => json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }),
            Shape::Quantity => json!({ "type": "string" }),
            Shape::IntOrString if v3 => {
                json!({ "format": "int-or-string", "oneOf": [{ "type": "integer" }, { "type": "string" }] })
            }
            Shape::IntOrString => json!({ "format": "int-or-string", "type": "string" }),
            Shape::Time | Shape::MicroTime => json!({ "format": "date-time", "type": "string" }),
            _ => json!({ "type": "object" }),
        };
        schema["description"] = (*text).into();
        self.found.insert(name, schema);
        self.reference(name)
    }
}
