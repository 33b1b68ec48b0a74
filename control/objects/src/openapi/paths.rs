//! The paths of a resource and their operations, as upstream's installer lays them out.

use super::parameters;
use super::schemas::{Dialect, Schemas};
use super::{Served, ServedSub};
use crate::schema::{Type, schema};
use serde_json::{Map, Value, json};

const JSON: &str = "application/json";
const PATCHES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];

/// An operation that is to be written.
struct Operation<'a> {
    verb: &'a str,
    /// `CoreV1NamespacedPodStatus`.
    name: String,
    /// Group, version and kind of the body.
    kind: (&'a str, &'a str, &'a str),
    text: String,
    tag: String,
}

/// Adds the paths of a resource and of what is below it.
pub fn add(paths: &mut Map<String, Value>, served: &Served, schemas: &mut Schemas) {
    let base = format!("/{}", served.path());
    let place = if served.namespaced { format!("{base}/namespaces/{{namespace}}") } else { base.clone() };
    let collection = format!("{place}/{}", served.plural);
    let item = format!("{collection}/{{name}}");
    let scope = if served.namespaced { "Namespaced" } else { "" };
    let kind = (served.group, served.version, served.kind);
    for verb in served.verbs {
        let (path, name) = match *verb {
            "list" | "create" => (&collection, format!("{scope}{}", served.kind)),
            "deletecollection" => (&collection, format!("Collection{scope}{}", served.kind)),
            "get" | "update" | "patch" | "delete" => (&item, format!("{scope}{}", served.kind)),
            _ => continue,
        };
        put(paths, path, served, &operation(served, verb, name, kind), schemas);
    }
    if served.namespaced && served.verbs.contains(&"list") {
        let everywhere = format!("{base}/{}", served.plural);
        let name = format!("{}ForAllNamespaces", served.kind);
        put(paths, &everywhere, served, &operation(served, "list", name, kind), schemas);
    }
    for sub in &served.subresources {
        let name = || format!("{scope}{}{}", served.kind, capital(sub.name));
        for verb in sub.verbs {
            let kind = body_of(sub, served);
            put(
                paths,
                &format!("{item}/{}", sub.name),
                served,
                &operation(served, verb, name(), kind),
                schemas,
            );
        }
    }
}

fn body_of<'a>(sub: &'a ServedSub, served: &'a Served) -> (&'a str, &'a str, &'a str) {
    if sub.kind.is_empty() {
        (served.group, served.version, served.kind)
    } else {
        (sub.group, sub.version, sub.kind)
    }
}

fn operation<'a>(
    served: &Served,
    verb: &'a str,
    name: String,
    kind: (&'a str, &'a str, &'a str),
) -> Operation<'a> {
    let group = served.group.split('.').next().filter(|group| !group.is_empty()).unwrap_or("core");
    let text = match verb {
        "list" => format!("list or watch objects of kind {}", served.kind),
        "create" => format!("create a {}", kind.2),
        "get" => format!("read the specified {}", served.kind),
        "update" => format!("replace the specified {}", served.kind),
        "patch" => format!("partially update the specified {}", served.kind),
        "delete" => format!("delete a {}", served.kind),
        _ => format!("delete collection of {}", served.kind),
    };
    let prefix = format!("{}{}", capital(group), capital(served.version));
    Operation {
        verb,
        name: format!("{prefix}{name}"),
        kind,
        text,
        tag: format!("{group}_{}", served.version),
    }
}

/// `status` as `Status`.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

fn put(
    paths: &mut Map<String, Value>,
    path: &str,
    served: &Served,
    operation: &Operation<'_>,
    schemas: &mut Schemas,
) {
    let (method, action, id) = match operation.verb {
        "list" => ("get", "list", "list"),
        "get" => ("get", "get", "read"),
        "create" => ("post", "post", "create"),
        "update" => ("put", "put", "replace"),
        "patch" => ("patch", "patch", "patch"),
        "delete" => ("delete", "delete", "delete"),
        "deletecollection" => ("delete", "deletecollection", "delete"),
        _ => return,
    };
    let item = paths
        .entry(path.to_owned())
        .or_insert_with(|| json!({ "parameters": of_path(path, served, schemas.dialect) }));
    let (group, version, kind) = operation.kind;
    let parameters: Vec<Value> =
        parameters::of_verb(operation.verb).into_iter().map(|one| one.json(schemas.dialect)).collect();
    let mut found = json!({
        "tags": [operation.tag],
        "description": operation.text,
        "operationId": format!("{id}{}", operation.name),
        "parameters": parameters,
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": { "group": group, "version": version, "kind": kind },
    });
    body(&mut found, operation, schemas);
    answers(&mut found, operation, schemas);
    item[method] = found;
}

fn of_path(path: &str, served: &Served, dialect: Dialect) -> Vec<Value> {
    let mut found = Vec::new();
    if path.contains("{name}") {
        found.push(parameters::of_path("name", &format!("name of the {}", served.kind), dialect));
    }
    if path.contains("{namespace}") {
        found.push(parameters::of_path(
            "namespace",
            "object name and auth scope, such as for teams and projects",
            dialect,
        ));
    }
    found
}

/// What the operation reads.
fn body(operation: &mut Value, about: &Operation<'_>, schemas: &mut Schemas) {
    let (reference, types): (Option<Value>, &[&str]) = match about.verb {
        "create" | "update" => (of_kind(about.kind).map(|kind| schemas.refer(kind)), &["*/*"]),
        "patch" => (Some(schemas.refer_patch()), &PATCHES),
        "delete" | "deletecollection" => {
            (of_kind(("", "v1", "DeleteOptions")).map(|kind| schemas.refer(kind)), &["*/*"])
        }
        _ => (None, &[]),
    };
    let Some(reference) = reference else { return };
    let required = !about.verb.starts_with("delete");
    match schemas.dialect {
        Dialect::V2 => {
            operation["consumes"] = types.into();
            let mut parameter = json!({ "name": "body", "in": "body", "schema": reference });
            if required {
                parameter["required"] = true.into();
            }
            if let Some(list) = operation["parameters"].as_array_mut() {
                list.push(parameter);
            }
        }
        Dialect::V3 => {
            let content: Map<String, Value> =
                types.iter().map(|one| ((*one).to_owned(), json!({ "schema": reference }))).collect();
            operation["requestBody"] = json!({ "content": content });
            if required {
                operation["requestBody"]["required"] = true.into();
            }
        }
    }
}

/// What the operation answers with.
fn answers(operation: &mut Value, about: &Operation<'_>, schemas: &mut Schemas) {
    let (group, version, kind) = about.kind;
    let answer = match about.verb {
        "list" => of_kind((group, version, &format!("{kind}List"))),
        "delete" | "deletecollection" => of_kind(("", "v1", "Status")),
        _ => of_kind(about.kind),
    };
    let codes: &[(&str, &str)] = match about.verb {
        "create" => &[("200", "OK"), ("201", "Created"), ("202", "Accepted")],
        "update" | "patch" => &[("200", "OK"), ("201", "Created")],
        "delete" => &[("200", "OK"), ("202", "Accepted")],
        _ => &[("200", "OK")],
    };
    let mut responses = Map::new();
    for (code, text) in codes {
        let mut response = json!({ "description": text });
        if let Some(kind) = answer {
            let reference = schemas.refer(kind);
            match schemas.dialect {
                Dialect::V2 => response["schema"] = reference,
                Dialect::V3 => response["content"] = json!({ JSON: { "schema": reference } }),
            }
        }
        responses.insert((*code).to_owned(), response);
    }
    responses.insert("401".into(), json!({ "description": "Unauthorized" }));
    operation["responses"] = responses.into();
    if schemas.dialect == Dialect::V2 {
        operation["produces"] = json!([JSON]);
        operation["schemes"] = json!(["https"]);
    }
}

fn of_kind((group, version, kind): (&str, &str, &str)) -> Option<&'static Type> {
    schema().kind(group, version, kind)
}
