//! In which form an answer is wanted: plain, as a table, with its metadata alone.

use http::{HeaderMap, header::ACCEPT};
use serde_json::{Value, json};

use super::options::Query;
use crate::object::{at, text};
use crate::status::{Failure, Outcome};

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The object itself.
    Json,
    /// The object itself, in YAML.
    Yaml,
    /// `meta.k8s.io` Table.
    Table(Include),
    /// `meta.k8s.io` PartialObjectMetadata.
    Partial,
}

/// What a table's rows have of their objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Include {
    /// Nothing.
    None,
    /// The metadata.
    Metadata,
    /// All.
    Object,
}

/// The first of the accepted forms that is served. Protobuf is none of them: clients that prefer it take JSON as well.
pub fn negotiate(headers: &HeaderMap, query: &Query) -> Outcome<Form> {
    let accepted: Vec<&str> =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    if accepted.is_empty() {
        return Ok(Form::Json);
    }
    for range in accepted.iter().flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
        let parameter =
            |key: &str| parameters.iter().find(|(own, _)| *own == key).map_or("", |(_, value)| *value);
        let plain = match media {
            "application/json" | "*/*" | "application/*" => Form::Json,
            "application/yaml" => Form::Yaml,
            _ => continue,
        };
        if !parameter("as").is_empty() && parameter("g") != "meta.k8s.io" {
            continue;
        }
        return match (parameter("as"), parameter("v")) {
            ("", _) => Ok(plain),
            ("Table", "v1" | "v1beta1") => include(query).map(Form::Table),
            ("PartialObjectMetadata" | "PartialObjectMetadataList", "v1" | "v1beta1") => Ok(Form::Partial),
            _ => continue,
        };
    }
    Err(Failure::not_acceptable("application/json, application/yaml"))
}

fn include(query: &Query) -> Outcome<Include> {
    match query.text("includeObject") {
        "" | "Metadata" => Ok(Include::Metadata),
        "None" => Ok(Include::None),
        "Object" => Ok(Include::Object),
        other => Err(Failure::bad_request(format!("unrecognized includeObject value: {other:?}"))),
    }
}

/// An object's metadata alone.
pub fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": at(object, "metadata"),
    })
}

/// The columns of a kind.
pub fn columns(kind: &crate::kinds::Kind) -> Value {
    let of = |column: &crate::kinds::Column| {
        let format = if column.name == "Name" { "name" } else { "" };
        json!({
            "name": column.name, "type": column.kind, "format": format, "priority": column.priority,
            "description": format!("{} of the {}", column.name, kind.singular),
        })
    };
    kind.columns.iter().map(of).collect()
}

/// One row of a table.
pub fn row(kind: &crate::kinds::Kind, object: &Value, include: Include, now: jiff::Timestamp) -> Value {
    let mut row = json!({"cells": (kind.row)(object, now)});
    match include {
        Include::None => {}
        Include::Metadata => row["object"] = partial(object),
        Include::Object => row["object"] = object.clone(),
    }
    row
}

/// A table of rows.
pub fn table(kind: Option<&crate::kinds::Kind>, metadata: Value, rows: Vec<Value>) -> Value {
    let columns = kind.map_or(json!([]), columns);
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": columns,
        "rows": rows,
    })
}

/// A single object in a form; YAML is a matter of the encoding.
pub fn shaped(kind: &crate::kinds::Kind, object: Value, form: Form) -> Value {
    match form {
        // A Status has no other form.
        _ if text(&object, "kind") == "Status" => object,
        Form::Json | Form::Yaml => object,
        Form::Partial => partial(&object),
        Form::Table(include) => {
            let metadata = json!({"resourceVersion": text(&object, "metadata.resourceVersion")});
            let row = row(kind, &object, include, jiff::Timestamp::now());
            table(Some(kind), metadata, vec![row])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        if let Ok(value) = accept.parse() {
            headers.insert(ACCEPT, value);
        }
        negotiate(&headers, &Query::default()).ok()
    }

    #[test]
    fn the_first_form_that_is_served_is_taken() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(form(kubectl), Some(Form::Table(Include::Metadata)));
        assert_eq!(form("application/vnd.kubernetes.protobuf,application/json"), Some(Form::Json));
        assert_eq!(form("application/vnd.kubernetes.protobuf"), None);
        assert_eq!(
            form("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
            Some(Form::Partial)
        );
        assert_eq!(form("*/*"), Some(Form::Json));
    }
}
