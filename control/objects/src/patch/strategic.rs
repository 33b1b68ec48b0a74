//! Strategic merge patch: a merge patch that knows from the types which lists merge, and by which key.
//!
//! Directives: `$patch` (replace, delete; merge is refused, as upstream does), `$retainKeys`,
//! `$deleteFromPrimitiveList/FIELD`, `$setElementOrder/FIELD`. Source: `strategicpatch/patch.go`; `mergeMap` and
//! `mergeSlice` there are `merge_map` and `merge_list` here. What upstream would take with its directives because the
//! object has nothing to merge with is merged into nothing here, so that neither directives nor what they delete end up
//! in an object, and what they replace does.

use super::{PatchError, order};
use crate::body::{self, Decoded, Limits};
use crate::schema::{Field, Shape, Type};
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

/// What the values of an object's keys are.
#[derive(Clone, Copy)]
enum Inside<'a> {
    /// Fields of a type.
    Type(&'a Type),
    /// All of one shape.
    Each(&'a Shape),
    /// Not told.
    Free,
}

/// Applies a strategic merge patch to an object of this kind.
pub fn strategic(object: Value, patch: &[u8], kind: &Type) -> Result<Decoded, PatchError> {
    let Decoded { object: patch, strict } = body::untyped(patch, &Limits::default())?;
    let (Value::Object(object), Value::Object(patch)) = (object, patch) else {
        return Err(PatchError::Malformed("invalid JSON document".into()));
    };
    let object = merge_map(object, patch, Inside::Type(kind))?;
    Ok(Decoded { object: Value::Object(object), strict })
}

impl<'a> Inside<'a> {
    fn field(self, key: &str) -> Option<&'a Field> {
        match self {
            Inside::Type(kind) => kind.field(key),
            _ => None,
        }
    }

    fn shape(self, key: &str) -> Option<&'a Shape> {
        match self {
            Inside::Type(kind) => kind.field(key).map(|field| &field.shape),
            Inside::Each(shape) => Some(shape),
            Inside::Free => None,
        }
    }

    /// What is inside the objects of this shape, or of the items of this list.
    fn of(shape: Option<&'a Shape>) -> Inside<'a> {
        match shape {
            Some(Shape::Map(inner)) => Inside::Each(inner),
            Some(Shape::List(inner)) => Inside::of(Some(inner)),
            Some(shape) => shape.object().map_or(Inside::Free, Inside::Type),
            None => Inside::Free,
        }
    }
}

fn merge_map(
    mut object: Map<String, Value>,
    mut patch: Map<String, Value>,
    inside: Inside<'_>,
) -> Result<Map<String, Value>, PatchError> {
    if let Some(directive) = patch.remove(PATCH) {
        return match directive.as_str() {
            Some("replace") => Ok(without_directives(patch)),
            Some("delete") => Ok(Map::new()),
            _ => Err(rejected(format!("unknown patch type: {directive} in map: {}", Value::Object(patch)))),
        };
    }
    retain_keys(&mut object, &mut patch)?;
    let (deletions, patch) = split(patch, DELETE_FROM);
    let (orders, mut patch) = split(patch, SET_ORDER);
    for (key, order) in orders {
        let order = list_of(order, SET_ORDER)?;
        let change = patch.remove(&key);
        set_order(&mut object, &key, change, order, inside)?;
    }
    for (key, items) in deletions {
        let items = list_of(items, DELETE_FROM)?;
        if let Some(Value::Array(list)) = object.get_mut(&key) {
            let gone: HashSet<String> = items.iter().map(Value::to_string).collect();
            list.retain(|item| !gone.contains(&item.to_string()));
        }
    }
    for (key, value) in patch {
        let before = object.remove(&key);
        let merged = match (before, value) {
            (_, Value::Null) => continue,
            (None, Value::Object(value)) if value.get(PATCH).is_some_and(|word| word == "delete") => continue,
            (before, Value::Object(value)) => {
                let replace = inside.field(&key).is_some_and(|field| field.strategy.replace);
                let before = match before {
                    Some(Value::Object(before)) if !replace => before,
                    _ => Map::new(),
                };
                Value::Object(merge_map(before, value, Inside::of(inside.shape(&key)))?)
            }
            (before, Value::Array(value)) => Value::Array(change_list(before, value, &key, inside)?),
            (_, value) => value,
        };
        object.insert(key, merged);
    }
    Ok(object)
}

/// The keys that carry a directive, without it, and the rest.
fn split(patch: Map<String, Value>, prefix: &str) -> (Vec<(String, Value)>, Map<String, Value>) {
    let mut found = Vec::new();
    let mut rest = Map::new();
    for (key, value) in patch {
        match key.strip_prefix(prefix) {
            Some(name) => found.push((name.to_owned(), value)),
            None => {
                rest.insert(key, value);
            }
        }
    }
    (found, rest)
}

fn list_of(value: Value, prefix: &str) -> Result<Vec<Value>, PatchError> {
    match value {
        Value::Array(list) => Ok(list),
        _ if prefix == DELETE_FROM => {
            Err(PatchError::Malformed("invalid patch format of primitive list".into()))
        }
        _ => Err(PatchError::Malformed("invalid patch format of setElementOrder list".into())),
    }
}

/// `$retainKeys`: what it does not name goes; a patch may not set what it does not name.
fn retain_keys(object: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), PatchError> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let malformed = || PatchError::Malformed("invalid patch format of retainKeys".into());
    let kept = directive.as_array().ok_or_else(malformed)?;
    let kept: HashSet<&str> = kept.iter().filter_map(Value::as_str).collect();
    let named = |(key, value): (&String, &Value)| {
        value.is_null()
            || key.starts_with(DELETE_FROM)
            || key.starts_with(SET_ORDER)
            || kept.contains(key.as_str())
    };
    if !patch.iter().all(named) {
        return Err(malformed());
    }
    object.retain(|key, _| kept.contains(key.as_str()));
    Ok(())
}

/// A list of the patch onto what was there: merged where the type says so, else in its place.
fn change_list(
    before: Option<Value>,
    patch: Vec<Value>,
    key: &str,
    inside: Inside<'_>,
) -> Result<Vec<Value>, PatchError> {
    let field = inside.field(key).filter(|field| field.strategy.merge);
    let Some(field) = field else { return Ok(patch.into_iter().map(clean).collect()) };
    let before = match before {
        Some(Value::Array(before)) => before,
        _ => Vec::new(),
    };
    merge_list(before, patch, field)
}

fn merge_list(original: Vec<Value>, patch: Vec<Value>, field: &Field) -> Result<Vec<Value>, PatchError> {
    let primitive = !matches!(&field.shape, Shape::List(inner) if matches!(**inner, Shape::Object(_)));
    if primitive {
        let mut seen = HashSet::new();
        let mut merged: Vec<Value> = original.iter().chain(&patch).cloned().collect();
        merged.retain(|item| seen.insert(item.to_string()));
        return Ok(order::ordered(merged, &patch, &original, None));
    }
    let Some(merge_key) = field.merge_key else {
        return Err(rejected(format!("cannot merge lists without merge key for {}", field.name)));
    };
    let (original, patch) = directives_of_items(original, patch, merge_key)?;
    let Some(patch) = patch else { return Ok(original) };
    let server_order: Vec<Value> = original.iter().map(|item| only_key(item, merge_key)).collect();
    let patch_order: Vec<Value> = patch.iter().map(|item| only_key(item, merge_key)).collect();
    let merged = merge_items(original, patch, field, merge_key)?;
    Ok(order::ordered(merged, &patch_order, &server_order, Some(merge_key)))
}

/// Items with `$patch`: those to delete are deleted; with a `replace` among them there is nothing left to merge.
fn directives_of_items(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    merge_key: &str,
) -> Result<(Vec<Value>, Option<Vec<Value>>), PatchError> {
    let mut rest = Vec::with_capacity(patch.len());
    let mut replace = false;
    let mut deleted = HashSet::new();
    for item in patch {
        match item.get(PATCH).map(Value::as_str) {
            None => rest.push(item),
            Some(Some("delete")) => {
                let value = item.get(merge_key).ok_or_else(|| no_merge_key(&item, merge_key))?;
                deleted.insert(value.to_string());
            }
            Some(Some("replace")) => replace = true,
            Some(Some("merge")) => {
                return Err(rejected("merging lists cannot yet be specified in the patch".into()));
            }
            Some(_) => return Err(rejected(format!("unknown patch type: {} in map: {item}", item[PATCH]))),
        }
    }
    if replace {
        return Ok((rest.into_iter().map(clean).collect(), None));
    }
    original.retain(|item| item.get(merge_key).is_none_or(|value| !deleted.contains(&value.to_string())));
    Ok((original, Some(rest)))
}

fn merge_items(
    mut items: Vec<Value>,
    patch: Vec<Value>,
    field: &Field,
    merge_key: &str,
) -> Result<Vec<Value>, PatchError> {
    let inside = Inside::of(Some(&field.shape));
    let named = |(at, item): (usize, &Value)| Some((item.get(merge_key)?.to_string(), at));
    // The first of equal keys is the one that is merged.
    let mut places: HashMap<String, usize> = items.iter().enumerate().rev().filter_map(named).collect();
    for item in patch {
        let Value::Object(item) = item else {
            return Err(rejected(format!("list element types are not identical: {item}")));
        };
        let Some(name) = item.get(merge_key).map(Value::to_string) else {
            return Err(no_merge_key(&Value::Object(item), merge_key));
        };
        match places.get(&name) {
            Some(at) => {
                let before = match std::mem::take(&mut items[*at]) {
                    Value::Object(before) => before,
                    _ => Map::new(),
                };
                items[*at] = Value::Object(merge_map(before, item, inside)?);
            }
            None => {
                places.insert(name, items.len());
                items.push(Value::Object(merge_map(Map::new(), item, inside)?));
            }
        }
    }
    Ok(items)
}

/// `$setElementOrder`: the list with its change merged in, in the order that the directive tells.
fn set_order(
    object: &mut Map<String, Value>,
    key: &str,
    change: Option<Value>,
    order: Vec<Value>,
    inside: Inside<'_>,
) -> Result<(), PatchError> {
    let merge_key = inside.field(key).and_then(|field| field.merge_key);
    let before = match object.remove(key) {
        Some(Value::Array(before)) => before,
        Some(other) => {
            return Err(rejected(format!("{key} is {other}, which is no list to be ordered")));
        }
        None => Vec::new(),
    };
    let had = !before.is_empty();
    let server_order: Vec<Value> = before.iter().map(|item| reduced(item, merge_key)).collect();
    let merged = match change {
        Some(Value::Array(change)) => {
            in_order(&change, &order, merge_key)?;
            change_list(Some(Value::Array(before)), change, key, inside)?
        }
        Some(Value::Null) => return Ok(()),
        Some(_) => return Err(PatchError::Malformed("invalid patch format of setElementOrder list".into())),
        None if had => before,
        None => return Ok(()),
    };
    object.insert(key.to_owned(), Value::Array(order::ordered(merged, &order, &server_order, merge_key)));
    Ok(())
}

/// What the patch sets in a list must stand in the list of the order, in that order.
fn in_order(change: &[Value], order: &[Value], merge_key: Option<&str>) -> Result<(), PatchError> {
    let mut rest = order.iter();
    for item in change.iter().filter(|item| item.get(PATCH).is_none()) {
        let name = order::identity(item, merge_key);
        if !rest.any(|one| order::identity(one, merge_key) == name) {
            let (change, order) = (Value::from(change), Value::from(order));
            return Err(rejected(format!(
                "The order in patch list:\n{change}\n doesn't match {SET_ORDER} list:\n{order}\n"
            )));
        }
    }
    Ok(())
}

fn reduced(item: &Value, merge_key: Option<&str>) -> Value {
    merge_key.map_or_else(|| item.clone(), |key| only_key(item, key))
}

fn only_key(item: &Value, merge_key: &str) -> Value {
    let mut map = Map::new();
    if let Some(value) = item.get(merge_key) {
        map.insert(merge_key.to_owned(), value.clone());
    }
    Value::Object(map)
}

/// A value that is taken as it stands, without nulls and directives.
fn clean(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(without_directives(map)),
        Value::Array(list) => Value::Array(list.into_iter().map(clean).collect()),
        other => other,
    }
}

fn without_directives(map: Map<String, Value>) -> Map<String, Value> {
    let directive = |key: &str| {
        key == PATCH || key == RETAIN_KEYS || key.starts_with(DELETE_FROM) || key.starts_with(SET_ORDER)
    };
    map.into_iter()
        .filter(|(key, value)| !value.is_null() && !directive(key))
        .map(|(key, value)| (key, clean(value)))
        .collect()
}

fn rejected(text: String) -> PatchError {
    PatchError::Rejected(text)
}

fn no_merge_key(item: &Value, merge_key: &str) -> PatchError {
    rejected(format!("map: {item} does not contain declared merge key: {merge_key}"))
}
