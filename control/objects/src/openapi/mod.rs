//! The OpenAPI documents that clients ask for: version 3, a document for each group version, and version 2, all in
//! one, as JSON and as protobuf.
//!
//! `kubectl explain`, `apply` and `diff` read them; kubectl up to 1.26 reads nothing but version 2 as protobuf. They are
//! made when they are asked for, out of the table and of what the server says that it serves, and hold nothing
//! afterwards; the server keeps what it packed of them. A document costs some milliseconds and a few MB while it is
//! made. Source: `k8s.io/kube-openapi`, and what upstream's server answers.

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

/// `/openapi/v3/apis/GROUP/VERSION`: the operations of a group version and all types that they reach.
pub fn v3(served: &[Served], group: &str, version: &str) -> Value {
    let mut schemas = Schemas::new(Dialect::V3);
    let mut paths = Map::new();
    for one in served.iter().filter(|one| one.group == group && one.version == version) {
        paths::add(&mut paths, one, &mut schemas);
    }
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths,
        "components": {
            "schemas": schemas.finish(&Descriptions::unpack(), schema()),
            "securitySchemes": { "BearerToken": token_scheme() },
        },
    })
}

/// `/openapi/v2` as JSON.
pub fn v2_json(served: &[Served]) -> Vec<u8> {
    // A value of strings and maps with string keys is always written.
    serde_json::to_vec(&v2(served)).unwrap_or_default()
}

/// `/openapi/v2` as protobuf, `application/com.github.proto-openapi.spec.v2@v1.0+protobuf`.
pub fn v2_protobuf(served: &[Served]) -> Vec<u8> {
    gnostic::document(&v2(served))
}

fn v2(served: &[Served]) -> Value {
    let mut schemas = Schemas::new(Dialect::V2);
    let mut paths = Map::new();
    for one in served {
        paths::add(&mut paths, one, &mut schemas);
    }
    json!({
        "swagger": "2.0",
        "info": info(),
        "paths": paths,
        "definitions": schemas.finish(&Descriptions::unpack(), schema()),
        "securityDefinitions": { "BearerToken": token_scheme() },
        "security": [{ "BearerToken": [] }],
    })
}

fn info() -> Value {
    json!({ "title": "Kubernetes", "version": "v1.36.0" })
}

fn token_scheme() -> Value {
    json!({ "description": "Bearer Token authentication", "in": "header", "name": "authorization", "type": "apiKey" })
}

#[cfg(test)]
mod tests;
