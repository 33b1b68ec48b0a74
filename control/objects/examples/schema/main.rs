//! Writes the table of Kubernetes' types that this crate embeds: `schema --definitions FILE --k8s-pb DIR`.
//!
//! FILE is `_definitions.json` of kubernetes-validate (the types' JSON names, descriptions, list types, merge keys),
//! DIR the source folder of the crate k8s-pb (protobuf's numbers). `cargo xtask schema` runs this. The table is text,
//! one line per field, so that a new Kubernetes version shows as a diff; its form is told in `src/schema/parse.rs`.
//! The descriptions, a hundred times more text and of use to OpenAPI documents only, are a file of their own.

mod pointers;
mod prost_source;

use prost_source::{Messages, plain};
use serde_json::Value;
use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The group versions that the server has.
const SERVED: &[&str] = &[
    "core/v1",
    "apps/v1",
    "batch/v1",
    "discovery/v1",
    "networking/v1",
    "autoscaling/v1",
    "autoscaling/v2",
    "policy/v1",
    "coordination/v1",
    "rbac/v1",
    "storage/v1",
    "certificates/v1",
    "scheduling/v1",
    "node/v1",
    "events/v1",
    "authentication/v1",
    "authorization/v1",
];

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// What is not in k8s-pb yet, or under another name: type, field, numbers.
const LATER: &[(&str, &str, &str)] = &[];

/// Types that JSON writes as plain values: the table has a word for each.
const VALUES: &[(&str, &str)] = &[
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", "quantity"),
    ("io.k8s.apimachinery.pkg.util.intstr.IntOrString", "intstr"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "time"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "microtime"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "raw"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Patch", "raw"),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", "raw"),
];

fn main() -> Result<(), Box<dyn Error>> {
    let (definitions, k8s_pb) = arguments()?;
    let definitions: Value = serde_json::from_slice(&std::fs::read(&definitions)?)?;
    let definitions = definitions.get("$defs").ok_or("the definitions have no $defs")?;
    let messages = prost_source::read(&k8s_pb)?;
    let mut table = String::from(
        "# Kubernetes 1.36, out of its API definitions (Apache-2.0), by `cargo xtask schema`; src/schema/parse.rs tells the form.\n",
    );
    let mut descriptions = String::new();
    for name in reached(definitions) {
        let definition = &definitions[&name];
        write_type(&mut table, &name, definition)?;
        write_description(&mut descriptions, definition);
        let Some(fields) = definition["properties"].as_object() else { continue };
        for (field, property) in fields {
            write_field(&mut table, &name, field, property, definition, &messages)?;
            write_description(&mut descriptions, property);
        }
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    std::fs::write(data.join("kubernetes-1.36.schema"), &table)?;
    let file = std::fs::File::create(data.join("kubernetes-1.36.descriptions.gz"))?;
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::best());
    packed.write_all(descriptions.as_bytes())?;
    packed.finish()?;
    println!("{} bytes of types, {} bytes of descriptions", table.len(), descriptions.len());
    Ok(())
}

fn arguments() -> Result<(PathBuf, PathBuf), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let value = |flag: &str| {
        let at = words.iter().position(|word| word == flag);
        let found = at.and_then(|at| words.get(at + 1)).map(PathBuf::from);
        found.ok_or_else(|| format!("usage: --definitions FILE --k8s-pb DIR; {flag} is missing"))
    };
    Ok((value("--definitions")?, value("--k8s-pb")?))
}

/// The types of the served groups and of meta, and all that they refer to.
fn reached(definitions: &Value) -> BTreeSet<String> {
    let all = definitions.as_object().into_iter().flat_map(|all| all.keys());
    let served = |name: &&String| {
        let prefixes = SERVED.iter().map(|group| format!("io.k8s.api.{}.", group.replace('/', ".")));
        name.starts_with(&format!("{META}.")) || prefixes.into_iter().any(|prefix| name.starts_with(&prefix))
    };
    let mut open: Vec<String> = all.filter(served).cloned().collect();
    let mut found = BTreeSet::new();
    while let Some(name) = open.pop() {
        if VALUES.iter().all(|(value, _)| *value != name) && found.insert(name.clone()) {
            references(&definitions[&name], &mut open);
        }
    }
    found
}

fn references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(name) = map.get("$ref").and_then(Value::as_str) {
                into.push(name.trim_start_matches("#/$defs/").to_owned());
            }
            map.values().for_each(|value| references(value, into));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, into)),
        _ => {}
    }
}

fn write_type(table: &mut String, name: &str, definition: &Value) -> Result<(), Box<dyn Error>> {
    write!(table, "{name}")?;
    for kind in definition["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
        let word = |key: &str| kind[key].as_str().unwrap_or_default();
        let group = if word("group").is_empty() { "core" } else { word("group") };
        let short = format!(
            "{}/{}",
            group.trim_end_matches(".k8s.io").trim_end_matches(".authorization"),
            word("version")
        );
        if SERVED.contains(&short.as_str()) {
            write!(table, " {}/{}/{}", word("group"), word("version"), word("kind"))?;
        }
    }
    if definition["x-kubernetes-map-type"] == "atomic" {
        table.push_str(" atomic");
    }
    table.push('\n');
    Ok(())
}

fn write_field(
    table: &mut String,
    owner: &str,
    field: &str,
    property: &Value,
    definition: &Value,
    messages: &Messages,
) -> Result<(), Box<dyn Error>> {
    let shape = shape(property).map_err(|what| format!("{owner}.{field}: {what}"))?;
    let required = definition["required"].as_array().is_some_and(|list| list.iter().any(|one| one == field));
    let numbers = numbers(owner, field, messages);
    write!(table, " {field} {shape} {numbers}")?;
    let empty_tells = matches!(shape.as_str(), "bool" | "i32" | "i64" | "f64" | "str");
    // An object's own kind has no number: its body's envelope tells it.
    let type_meta = matches!(field, "apiVersion" | "kind") && numbers == "-";
    if required {
        table.push_str(" required");
        if pointers::is_left_out(owner, field) {
            table.push_str(" omitempty");
        }
    } else if pointers::is_always_printed(owner, field) {
        table.push_str(" always");
    } else if empty_tells && !type_meta && pointers::is_pointer(owner, field, shape == "str") {
        table.push_str(" pointer");
    }
    for (key, word) in [("x-kubernetes-list-type", "list"), ("x-kubernetes-map-type", "map")] {
        if let Some(value) = property[key].as_str() {
            write!(table, " {word}={value}")?;
        }
    }
    let keys = property["x-kubernetes-list-map-keys"].as_array().into_iter().flatten();
    let keys: Vec<&str> = keys.filter_map(Value::as_str).collect();
    if !keys.is_empty() {
        write!(table, " keys={}", keys.join(","))?;
    }
    for (key, word) in [("x-kubernetes-patch-merge-key", "merge"), ("x-kubernetes-patch-strategy", "patch")] {
        if let Some(value) = property[key].as_str() {
            write!(table, " {word}={value}")?;
        }
    }
    table.push('\n');
    Ok(())
}

/// The word for a property's type.
fn shape(property: &Value) -> Result<String, String> {
    if let Some(name) = property["$ref"].as_str() {
        let name = name.trim_start_matches("#/$defs/");
        let value = VALUES.iter().find(|(value, _)| *value == name);
        return Ok(value.map_or_else(|| format!("@{name}"), |(_, word)| (*word).to_owned()));
    }
    let kind = property["type"].as_str().or_else(|| property["type"][0].as_str()).unwrap_or_default();
    let format = property["format"].as_str().unwrap_or_default();
    Ok(match (kind, format) {
        ("array", _) => format!("[]{}", shape(&property["items"])?),
        ("object", _) if property["additionalProperties"].is_object() => {
            format!("{{}}{}", shape(&property["additionalProperties"])?)
        }
        ("object", _) => "raw".into(),
        ("string", "byte") => "bytes".into(),
        ("string", _) => "str".into(),
        ("boolean", _) => "bool".into(),
        ("integer", "int32") => "i32".into(),
        ("integer", _) => "i64".into(),
        ("number", _) => "f64".into(),
        other => return Err(format!("a type that has no word yet: {other:?}")),
    })
}

/// Protobuf's number, `2.5` where Go has a struct inline that protobuf has as a message, `-` where there is none.
fn numbers(owner: &str, field: &str, messages: &Messages) -> String {
    if let Some((.., numbers)) = LATER.iter().find(|(name, of, _)| owner.ends_with(name) && *of == field) {
        return (*numbers).to_owned();
    }
    let found = find(&owner.to_lowercase(), &plain(field), messages, 0);
    if found.is_none() && !matches!(field, "apiVersion" | "kind") {
        eprintln!("no protobuf number: {owner}.{field}");
    }
    found.unwrap_or_else(|| "-".into())
}

fn find(owner: &str, field: &str, messages: &Messages, inline: usize) -> Option<String> {
    let fields = messages.get(owner)?;
    if let Some(found) = fields.iter().find(|one| one.name == field) {
        return Some(found.tag.to_string());
    }
    // Structs that Go has inline.
    const INLINE: &[&str] = &[
        "localobjectreference",
        "volumesource",
        "persistentvolumesource",
        "probehandler",
        "ephemeralcontainercommon",
        "ingressrulevalue",
    ];
    fields.iter().filter(|_| inline < 2).find_map(|outer| {
        let message = outer.message.as_deref().filter(|message| INLINE.contains(message))?;
        let module = owner.rsplit_once('.')?.0;
        let inner = find(&format!("{module}.{message}"), field, messages, inline + 1)?;
        Some(format!("{}.{inner}", outer.tag))
    })
}

fn write_description(descriptions: &mut String, definition: &Value) {
    let text = definition["description"].as_str().unwrap_or_default();
    descriptions.push_str(&text.replace('\\', "\\\\").replace('\n', "\\n"));
    descriptions.push('\n');
}
