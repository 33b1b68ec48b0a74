//! Events, in both of their groups: stored once, in the core's form.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::named;
use super::kind::{Field, Kind, column, wide};
use crate::object::{age, at, number, text};

const COLUMNS: &[super::Column] = &[
    column("Last Seen", "string"),
    column("Type", "string"),
    column("Reason", "string"),
    column("Object", "string"),
    wide("Subobject", "string"),
    wide("Source", "string"),
    column("Message", "string"),
    wide("First Seen", "string"),
    wide("Count", "string"),
    wide("Name", "string"),
];

const FIELDS: &[Field] = &[
    Field { path: "involvedObject.kind", of: |one| text(one, "involvedObject.kind").into() },
    Field { path: "involvedObject.namespace", of: |one| text(one, "involvedObject.namespace").into() },
    Field { path: "involvedObject.name", of: |one| text(one, "involvedObject.name").into() },
    Field { path: "involvedObject.uid", of: |one| text(one, "involvedObject.uid").into() },
    Field { path: "involvedObject.apiVersion", of: |one| text(one, "involvedObject.apiVersion").into() },
    Field {
        path: "involvedObject.resourceVersion",
        of: |one| text(one, "involvedObject.resourceVersion").into(),
    },
    Field { path: "involvedObject.fieldPath", of: |one| text(one, "involvedObject.fieldPath").into() },
    Field { path: "reason", of: |one| text(one, "reason").into() },
    Field { path: "reportingComponent", of: |one| text(one, "reportingComponent").into() },
    Field { path: "source", of: source },
    Field { path: "type", of: |one| text(one, "type").into() },
];

fn source(one: &Value) -> String {
    match text(one, "source.component") {
        "" => text(one, "reportingComponent").into(),
        component => component.into(),
    }
}

pub(super) static CORE: Kind = Kind::of("", "v1", "Event", "events", "event")
    .short(&["ev"])
    .create_on_update()
    .fields(FIELDS)
    .table(COLUMNS, row);

/// The same objects under other names of their fields: see `convert`.
pub(super) static EVENT: Kind = Kind { group: "events.k8s.io", ..CORE };

fn row(one: &Value, now: Timestamp) -> Vec<Value> {
    let mut first = text(one, "firstTimestamp");
    if first.is_empty() {
        first = text(one, "eventTime");
    }
    let mut last = text(one, "lastTimestamp");
    let series = text(one, "series.lastObservedTime");
    if !series.is_empty() {
        last = series;
    }
    if last.is_empty() {
        last = first;
    }
    let count = match at(one, "series.count").as_i64() {
        Some(count) => count,
        None => number(one, "count").max(1),
    };
    let object =
        format!("{}/{}", text(one, "involvedObject.kind").to_lowercase(), text(one, "involvedObject.name"));
    let from = match text(one, "source.host") {
        "" => text(one, "reportingInstance"),
        host => host,
    };
    let source = match from {
        "" => source(one),
        host => format!("{}, {host}", source(one)),
    };
    vec![
        age(last, now).into(),
        text(one, "type").into(),
        text(one, "reason").into(),
        object.into(),
        text(one, "involvedObject.fieldPath").into(),
        source.into(),
        text(one, "message").trim().into(),
        age(first, now).into(),
        count.to_string().into(),
        named(one),
    ]
}
