//! The document of version 2 as protobuf: gnostic's `openapi.v2.Document`, which kubectl up to 1.26 asks for.
//!
//! Written straight from the JSON value, with the field numbers of `OpenAPIv2.proto`: a message is a function that
//! writes the members it knows. What starts with `x-` becomes an extension, whose value is YAML, that is JSON.

use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::{Map, Value};

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        encode_key(number, WireType::LengthDelimited, &mut self.0);
        encode_varint(bytes.len() as u64, &mut self.0);
        self.0.extend_from_slice(bytes);
    }

    fn message(&mut self, number: u32, write: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        write(&mut inner);
        self.bytes(number, &inner.0);
    }

    fn text(&mut self, number: u32, value: &Value) {
        if let Some(text) = value.as_str() {
            self.bytes(number, text.as_bytes());
        }
    }

    fn texts(&mut self, number: u32, value: &Value) {
        for one in value.as_array().into_iter().flatten() {
            self.text(number, one);
        }
    }

    fn truth(&mut self, number: u32, value: &Value) {
        if value.as_bool() == Some(true) {
            encode_key(number, WireType::Varint, &mut self.0);
            encode_varint(1, &mut self.0);
        }
    }

    /// Members of an object as pairs of name and value.
    fn named(&mut self, number: u32, object: &Value, write: impl Fn(&mut Message, &Value)) {
        for (name, value) in object.as_object().into_iter().flatten() {
            self.pair(number, name, |inner| write(inner, value));
        }
    }

    fn pair(&mut self, number: u32, name: &str, write: impl FnOnce(&mut Message)) {
        self.message(number, |pair| {
            pair.bytes(1, name.as_bytes());
            pair.message(2, write);
        });
    }

    fn extensions(&mut self, number: u32, object: &Value) {
        for (name, value) in object.as_object().into_iter().flatten() {
            if name.starts_with("x-") {
                self.message(number, |pair| {
                    pair.bytes(1, name.as_bytes());
                    pair.message(2, |any| any.bytes(2, format!("{value}\n").as_bytes()));
                });
            }
        }
    }
}

/// A document that is written path by path and type by type.
pub struct Document {
    head: Message,
    paths: Message,
    definitions: Message,
}

impl Document {
    /// Begins with all but paths and definitions.
    pub fn new(value: &Map<String, Value>) -> Document {
        let value = |key: &str| value.get(key).unwrap_or(&Value::Null);
        let mut head = Message::default();
        head.text(1, value("swagger"));
        head.message(2, |info| {
            info.text(1, &value("info")["title"]);
            info.text(2, &value("info")["version"]);
        });
        for requirement in value("security").as_array().into_iter().flatten() {
            head.message(12, |one| one.named(1, requirement, |scopes, value| scopes.texts(1, value)));
        }
        head.message(13, |all| {
            all.named(1, value("securityDefinitions"), |item, value| {
                // ApiKeySecurity is the second alternative.
                item.message(2, |key| {
                    for (number, name) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
                        key.text(number, &value[name]);
                    }
                });
            });
        });
        Document { head, paths: Message::default(), definitions: Message::default() }
    }

    /// Adds a path.
    pub fn path(&mut self, path: &str, value: &Value) {
        self.paths.pair(2, path, |item| path_item(item, value));
    }

    /// Adds a type.
    pub fn definition(&mut self, name: &str, value: &Value) {
        self.definitions.pair(1, name, |inner| schema(inner, value));
    }

    /// The bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.head.bytes(8, &self.paths.0);
        self.head.bytes(9, &self.definitions.0);
        self.head.0
    }
}

fn path_item(message: &mut Message, value: &Value) {
    for (number, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(found) = value.get(method) {
            message.message(number, |inner| operation(inner, found));
        }
    }
    parameters(message, 9, &value["parameters"]);
    message.extensions(10, value);
}

fn operation(message: &mut Message, value: &Value) {
    message.texts(1, &value["tags"]);
    message.text(3, &value["description"]);
    message.text(5, &value["operationId"]);
    message.texts(6, &value["produces"]);
    message.texts(7, &value["consumes"]);
    parameters(message, 8, &value["parameters"]);
    message.message(9, |responses| responses.named(1, &value["responses"], response));
    message.texts(10, &value["schemes"]);
    message.extensions(13, value);
}

fn response(message: &mut Message, value: &Value) {
    message.message(1, |inner| {
        inner.text(1, &value["description"]);
        if let Some(found) = value.get("schema") {
            inner.message(2, |item| item.message(1, |inner| schema(inner, found)));
        }
    });
}

/// An item is a parameter (1), which is a body (1) or none (2), which is in the query (3) or the path (4).
fn parameters(message: &mut Message, number: u32, list: &Value) {
    for value in list.as_array().into_iter().flatten() {
        message.message(number, |item| {
            item.message(1, |parameter| match value["in"].as_str() {
                Some("body") => parameter.message(1, |body| {
                    body.text(2, &value["name"]);
                    body.text(3, &value["in"]);
                    body.truth(4, &value["required"]);
                    body.message(5, |inner| schema(inner, &value["schema"]));
                }),
                Some("path") => {
                    parameter.message(2, |other| other.message(4, |path| simple(path, value, [5, 20])))
                }
                _ => parameter.message(2, |other| other.message(3, |query| simple(query, value, [6, 20]))),
            });
        });
    }
}

/// `numbers` are those of the type and of `uniqueItems`, which differ; the path has no use for the latter.
fn simple(message: &mut Message, value: &Value, numbers: [u32; 2]) {
    message.truth(1, &value["required"]);
    message.text(2, &value["in"]);
    message.text(3, &value["description"]);
    message.text(4, &value["name"]);
    message.text(numbers[0], &value["type"]);
    if value["in"] == "query" {
        message.truth(numbers[1], &value["uniqueItems"]);
    }
}

fn schema(message: &mut Message, value: &Value) {
    message.text(1, &value["$ref"]);
    message.text(2, &value["format"]);
    message.text(4, &value["description"]);
    message.texts(19, &value["required"]);
    if let Some(found) = value.get("additionalProperties") {
        message.message(21, |item| item.message(1, |inner| schema(inner, found)));
    }
    if value["type"].is_string() {
        message.message(22, |item| item.text(1, &value["type"]));
    }
    if let Some(found) = value.get("items") {
        message.message(23, |item| item.message(1, |inner| schema(inner, found)));
    }
    if value["properties"].is_object() {
        message.message(25, |all| all.named(1, &value["properties"], schema));
    }
    message.extensions(31, value);
}
