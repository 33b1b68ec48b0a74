//! Cells of tables that several kinds have.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::object::{age, at, list, name, text};

/// `<none>` for nothing, as printers have it.
pub const NONE: &str = "<none>";

/// The name.
pub fn named(object: &Value) -> Value {
    name(object).into()
}

/// The age.
pub fn aged(object: &Value, now: Timestamp) -> Value {
    age(text(object, "metadata.creationTimestamp"), now).into()
}

/// A text, or `<none>`.
pub fn or_none(text: &str) -> Value {
    if text.is_empty() { NONE.into() } else { text.into() }
}

/// How many keys or items there are.
pub fn count(value: &Value) -> Value {
    let count = match value {
        Value::Object(map) => map.len(),
        Value::Array(list) => list.len(),
        _ => 0,
    };
    count.into()
}

/// `a=b,c=d`, or `<none>`.
pub fn pairs(value: &Value) -> String {
    let none = Map::new();
    let map = value.as_object().unwrap_or(&none);
    let pairs: Vec<String> =
        map.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    if pairs.is_empty() { NONE.into() } else { pairs.join(",") }
}

/// A LabelSelector as kubectl prints it.
pub fn selector(value: &Value) -> String {
    let none = Map::new();
    let mut all: Vec<String> = at(value, "matchLabels")
        .as_object()
        .unwrap_or(&none)
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    for one in list(value, "matchExpressions") {
        let key = text(one, "key");
        let values: Vec<&str> = list(one, "values").iter().filter_map(Value::as_str).collect();
        all.push(match text(one, "operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        });
    }
    if all.is_empty() { NONE.into() } else { all.join(",") }
}

/// Names and images of a pod template's containers.
pub fn containers(object: &Value, path: &str) -> [Value; 2] {
    let all = list(object, path);
    let of = |key: &str| all.iter().map(|c| text(c, key)).collect::<Vec<_>>().join(",").into();
    [of("name"), of("image")]
}

/// Texts of a list, joined.
pub fn joined(values: &[Value], by: &str) -> String {
    values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(by)
}

/// The status of a condition.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "status.conditions").iter().find(|condition| text(condition, "type") == kind)
}
