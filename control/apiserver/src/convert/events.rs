//! Events: `events.k8s.io/v1` has other names for fields of `v1` (`pkg/apis/core/v1` and `pkg/apis/events/v1`
//! conversions).

use serde_json::{Value, json};

/// Fields of the core's form and of the group's.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

pub(super) fn outgoing(object: Value) -> Value {
    renamed(object, "events.k8s.io/v1", NAMES)
}

pub(super) fn incoming(object: Value) -> Value {
    renamed(object, "v1", NAMES.map(|(core, group)| (group, core)))
}

fn renamed(mut object: Value, api_version: &str, names: [(&str, &str); 7]) -> Value {
    if let Some(map) = object.as_object_mut() {
        let taken: Vec<_> = names.iter().filter_map(|(from, to)| Some((*to, map.remove(*from)?))).collect();
        map.extend(taken.into_iter().map(|(to, value)| (to.to_owned(), value)));
    }
    object["apiVersion"] = json!(api_version);
    object
}
