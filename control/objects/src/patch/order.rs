//! The order of a merged list: that of the patch for what the patch names, that of the server for the rest.
//!
//! Source: `normalizeElementOrder` and `mergeSortedSlice` of `strategicpatch/patch.go`; positions are kept in a map
//! where upstream searches.

use serde_json::Value;
use std::collections::HashMap;

/// What identifies an item: the value of its merge key, or itself where there is no merge key.
pub fn identity(item: &Value, merge_key: Option<&str>) -> String {
    match merge_key {
        Some(key) => item.get(key).map(Value::to_string).unwrap_or_default(),
        None => item.to_string(),
    }
}

/// Orders `merged`: items that `patch_order` names by it, the others by `server_order`; where the server has both of
/// two, its order decides which comes first, else the patch's item does.
pub fn ordered(
    merged: Vec<Value>,
    patch_order: &[Value],
    server_order: &[Value],
    merge_key: Option<&str>,
) -> Vec<Value> {
    let by_patch = positions(patch_order, merge_key);
    let by_server = positions(server_order, merge_key);
    let mut patch_items = Vec::new();
    let mut server_items = Vec::new();
    for item in merged {
        let name = identity(&item, merge_key);
        let at_server = by_server.get(&name).copied();
        match by_patch.get(&name) {
            Some(at) => patch_items.push((*at, at_server, item)),
            None => server_items.push((at_server.unwrap_or(usize::MAX), at_server, item)),
        }
    }
    patch_items.sort_by_key(|(at, ..)| *at);
    server_items.sort_by_key(|(at, ..)| *at);
    let mut result = Vec::with_capacity(patch_items.len() + server_items.len());
    let mut patch_items = patch_items.into_iter().peekable();
    let mut server_items = server_items.into_iter().peekable();
    loop {
        let server_first = match (server_items.peek(), patch_items.peek()) {
            (Some((_, Some(left), _)), Some((_, Some(right), _))) => left < right,
            (Some(_), Some(_)) => false,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return result,
        };
        let next = if server_first { server_items.next() } else { patch_items.next() };
        result.extend(next.map(|(.., item)| item));
    }
}

fn positions(list: &[Value], merge_key: Option<&str>) -> HashMap<String, usize> {
    // The first of equal items counts.
    list.iter().enumerate().rev().map(|(at, item)| (identity(item, merge_key), at)).collect()
}
