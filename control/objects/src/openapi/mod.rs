//! The OpenAPI documents that clients ask for: version 3, a document for each group version, and version 2, all in
//! one, as JSON and as protobuf.
//!
//! `kubectl explain`, `apply` and `diff` read them; kubectl up to 1.26 reads nothing but version 2 as protobuf. They are
//! made when they are asked for, out of the table and of what the server says that it serves, and hold nothing
//! afterwards; the server keeps what it packed of them. Paths and types are written one at a time: a document costs
//! some milliseconds and little more memory than its own length while it is made. Source: `k8s.io/kube-openapi`, and
//! what upstream's server answers.

mod gnostic;
mod parameters;
mod paths;
mod schemas;

use crate::schema::{Descriptions, schema};
use schemas::{Dialect, Schemas};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// A resource that is served.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Served {
    /// The group; empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// `pods`.
    pub plural: &'static str,
    /// `pod`.
    pub singular: &'static str,
    /// Whether it lives in namespaces.
    pub namespaced: bool,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verbs: &'static [&'static str],
    /// What is below each object.
    pub subresources: Vec<ServedSub>,
}

/// A subresource that is served.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServedSub {
    /// `status`.
    pub name: &'static str,
    /// The group of its body.
    pub group: &'static str,
    /// The version of its body.
    pub version: &'static str,
    /// The kind of its body.
    pub kind: &'static str,
    /// `get`, `create`, `update`, `patch`.
    pub verbs: &'static [&'static str],
}

impl Served {
    fn path(&self) -> String {
        group_path(self.group, self.version)
    }
}

fn group_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `/openapi/v3`: which documents there are. The hash changes with what is served, so that clients may keep them.
pub fn v3_index(served: &[Served]) -> Value {
    let mut paths = Map::new();
    for one in served {
        let path = one.path();
        if !paths.contains_key(&path) {
            let url = format!("/openapi/v3/{path}?hash={}", hash(served, one.group, one.version));
            paths.insert(path, json!({ "serverRelativeURL": url }));
        }
    }
    json!({ "paths": paths })
}

/// A hash over the table, this program's version and what of the group version is served.
pub fn hash(served: &[Served], group: &str, version: &str) -> String {
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    digest.update(crate::schema::TABLE.as_bytes());
    digest.update(env!("CARGO_PKG_VERSION").as_bytes());
    for one in served.iter().filter(|one| one.group == group && one.version == version) {
        digest.update(format!("{one:?}").as_bytes());
    }
    let digest = digest.finish();
    digest.as_ref().iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// `/openapi/v3/apis/GROUP/VERSION`, as JSON: the operations of a group version and all types that they reach.
pub fn v3(served: &[Served], group: &str, version: &str) -> String {
    let of_version = served.iter().filter(|one| one.group == group && one.version == version);
    let mut text = Text::new();
    text.member("openapi", &"3.0.0".into());
    text.member("info", &info());
    let schemas = write_paths(&mut text, of_version, Dialect::V3);
    text.open("components");
    text.member("securitySchemes", &json!({ "BearerToken": token_scheme() }));
    text.open("schemas");
    schemas.each(&Descriptions::unpack(), schema(), |name, schema| text.member(name, schema));
    text.close();
    text.close();
    text.finish()
}

/// `/openapi/v2` as JSON.
pub fn v2_json(served: &[Served]) -> Vec<u8> {
    let mut text = Text::new();
    for (name, value) in v2_head() {
        text.member(name, &value);
    }
    let schemas = write_paths(&mut text, served.iter(), Dialect::V2);
    text.open("definitions");
    schemas.each(&Descriptions::unpack(), schema(), |name, schema| text.member(name, schema));
    text.close();
    text.finish().into_bytes()
}

/// `/openapi/v2` as protobuf. Clients ask for `application/com.github.proto-openapi.spec.v2@v1.0+protobuf`; the answer's
/// type has a dot for the @, which kubectl could not read.
pub fn v2_protobuf(served: &[Served]) -> Vec<u8> {
    let mut document = gnostic::Document::new(
        &v2_head().map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
    );
    let mut schemas = Schemas::new(Dialect::V2);
    for one in served {
        let mut paths = Map::new();
        paths::add(&mut paths, one, &mut schemas);
        paths.iter().for_each(|(path, item)| document.path(path, item));
    }
    schemas.each(&Descriptions::unpack(), schema(), |name, schema| document.definition(name, schema));
    document.finish()
}

fn v2_head() -> [(&'static str, Value); 4] {
    [
        ("swagger", "2.0".into()),
        ("info", info()),
        ("securityDefinitions", json!({ "BearerToken": token_scheme() })),
        ("security", json!([{ "BearerToken": [] }])),
    ]
}

/// Writes the paths; answers with the schemas that they need.
fn write_paths<'a>(text: &mut Text, served: impl Iterator<Item = &'a Served>, dialect: Dialect) -> Schemas {
    let mut schemas = Schemas::new(dialect);
    text.open("paths");
    for one in served {
        let mut paths = Map::new();
        paths::add(&mut paths, one, &mut schemas);
        paths.iter().for_each(|(path, item)| text.member(path, item));
    }
    text.close();
    schemas
}

/// A JSON object that is written member by member.
struct Text {
    text: String,
    first: bool,
}

impl Text {
    fn new() -> Text {
        Text { text: "{".into(), first: true }
    }

    fn name(&mut self, name: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{}{}:", if self.first { "" } else { "," }, Value::from(name));
        self.first = false;
    }

    fn member(&mut self, name: &str, value: &Value) {
        self.name(name);
        let _ = write!(self.text, "{value}");
    }

    fn open(&mut self, name: &str) {
        self.name(name);
        self.text.push('{');
        self.first = true;
    }

    fn close(&mut self) {
        self.text.push('}');
        self.first = false;
    }

    fn finish(mut self) -> String {
        self.close();
        self.text
    }
}

fn info() -> Value {
    json!({ "title": "Kubernetes", "version": "v1.36.0" })
}

fn token_scheme() -> Value {
    json!({ "description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey" })
}

#[cfg(test)]
mod tests;
