//! Short ways to read and to complete objects whose types are checked already.
//!
//! A value of another type than the table says reads as if it were not there, so that nothing here can panic.

use serde_json::{Map, Value};

/// Nothing, to refer to.
pub const NULL: &Value = &Value::Null;

/// A text, empty where there is none.
pub fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A number.
pub fn int(object: &Value, key: &str) -> Option<i64> {
    object.get(key).and_then(Value::as_i64)
}

/// Whether a boolean is set and true.
pub fn flag(object: &Value, key: &str) -> bool {
    object.get(key).and_then(Value::as_bool).unwrap_or_default()
}

/// Whether something is there.
pub fn has(object: &Value, key: &str) -> bool {
    object.get(key).is_some_and(|value| !value.is_null())
}

/// What is there, or null.
pub fn at<'a>(object: &'a Value, key: &str) -> &'a Value {
    object.get(key).unwrap_or(NULL)
}

/// What is there below some keys, or null.
pub fn below<'a>(object: &'a Value, keys: &[&str]) -> &'a Value {
    keys.iter().fold(object, |value, key| at(value, key))
}

/// The items of a list.
pub fn items<'a>(object: &'a Value, key: &str) -> &'a [Value] {
    object.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The entries of a map.
pub fn entries<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    object.get(key).and_then(Value::as_object).into_iter().flatten()
}

/// The object itself, to be changed.
fn map_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.as_object_mut()
}

/// Sets what is not there, or is an empty text.
pub fn default(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(map) = map_mut(object)
        && map.get(key).is_none_or(|value| value.is_null() || value == "")
    {
        map.insert(key.to_owned(), value.into());
    }
}

/// Sets a value.
pub fn set(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(map) = map_mut(object) {
        map.insert(key.to_owned(), value.into());
    }
}

/// Takes something out.
pub fn remove(object: &mut Value, key: &str) -> Option<Value> {
    map_mut(object)?.remove(key)
}

/// Makes a key what it is in another object, be that nothing.
pub fn as_in(object: &mut Value, other: &Value, key: &str) {
    match other.get(key) {
        Some(value) => set(object, key, value.clone()),
        None => drop(remove(object, key)),
    }
}

/// Changes what is there.
pub fn with(object: &mut Value, key: &str, change: impl FnOnce(&mut Value)) {
    if let Some(value) = object.get_mut(key).filter(|value| !value.is_null()) {
        change(value);
    }
}

/// Changes what is there, after making an empty object of it where there is nothing.
pub fn within(object: &mut Value, key: &str, change: impl FnOnce(&mut Value)) {
    default(object, key, Value::Object(Map::new()));
    with(object, key, change);
}

/// Changes each item of a list.
pub fn each(object: &mut Value, key: &str, change: impl FnMut(&mut Value)) {
    object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().for_each(change);
}
