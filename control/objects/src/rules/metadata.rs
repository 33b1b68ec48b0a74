//! What every object's metadata may be, and what of it may change.
//!
//! Source: `k8s.io/apimachinery/pkg/api/validation/objectmeta.go`; how a kind's names look is in each group's
//! `validation.go`.

use super::reading::{at, entries, flag, int, items, text};
use crate::fault::{FaultKind, Faults};
use crate::names::{self, Wrong};
use serde_json::Value;

/// Upstream's `TotalAnnotationSizeLimitB`.
const ANNOTATIONS: usize = 256 << 10;

/// What is wrong with an object's metadata. The object tells its kind, which tells how its name may look.
pub fn metadata(object: &Value, namespaced: bool, faults: &mut Faults) {
    let meta = at(object, "metadata");
    let group = text(object, "apiVersion").split_once('/').map_or("", |(group, _)| group);
    name(meta, name_rule(group, text(object, "kind")), faults);
    let namespace = text(meta, "namespace");
    match (namespaced, namespace.is_empty()) {
        (true, true) => faults.required("metadata.namespace", ""),
        (true, false) => told(names::dns1123_label(namespace), "metadata.namespace", namespace, faults),
        (false, false) => faults.forbidden("metadata.namespace", "not allowed on this type"),
        (false, true) => {}
    }
    contents(meta, faults);
}

/// What is wrong with a change of an object's metadata.
pub fn metadata_update(new: &Value, old: &Value, faults: &mut Faults) {
    let (new, old) = (at(new, "metadata"), at(old, "metadata"));
    for key in ["name", "namespace", "uid", "creationTimestamp"] {
        if at(new, key) != at(old, key) {
            faults.invalid(format!("metadata.{key}"), at(new, key).clone(), "field is immutable");
        }
    }
    for key in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        if !at(old, "deletionTimestamp").is_null() && at(new, key) != at(old, key) {
            faults.invalid(format!("metadata.{key}"), at(new, key).clone(), "field is immutable");
        }
    }
    if int(new, "generation").unwrap_or(0) < int(old, "generation").unwrap_or(0) {
        faults.invalid("metadata.generation", at(new, "generation").clone(), "must not be decremented");
    }
    if !at(old, "deletionTimestamp").is_null() {
        let before = items(old, "finalizers");
        let added: Vec<String> = items(new, "finalizers")
            .iter()
            .filter(|one| !before.contains(one))
            .map(Value::to_string)
            .collect();
        if !added.is_empty() {
            let text = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            faults.forbidden("metadata.finalizers", text);
        }
    }
    contents(new, faults);
}

fn name(meta: &Value, rule: fn(&str) -> Wrong, faults: &mut Faults) {
    let (name, prefix) = (text(meta, "name"), text(meta, "generateName"));
    if !prefix.is_empty() {
        // What is generated ends the name: a dash at the end of the prefix is as good as a letter.
        let whole = prefix.strip_suffix('-').filter(|rest| !rest.is_empty()).map(|rest| format!("{rest}a"));
        told(rule(whole.as_deref().unwrap_or(prefix)), "metadata.generateName", prefix, faults);
    }
    if name.is_empty() {
        faults.required("metadata.name", "name or generateName is required");
    } else {
        told(rule(name), "metadata.name", name, faults);
    }
}

/// How the names of a kind look.
pub fn name_rule(group: &str, kind: &str) -> fn(&str) -> Wrong {
    match (group, kind) {
        ("", "Namespace") => names::dns1123_label,
        ("", "Service") => names::dns1035_label,
        ("rbac.authorization.k8s.io", _) => names::path_segment,
        ("certificates.k8s.io", _) => names::dns1123_subdomain,
        ("networking.k8s.io", "IPAddress") => names::ip,
        ("", "Event") | ("events.k8s.io", "Event") => |_| Vec::new(),
        _ => names::dns1123_subdomain,
    }
}

/// Adds a fault for each text.
pub fn told(wrong: Wrong, field: &str, value: &str, faults: &mut Faults) {
    for text in wrong {
        faults.invalid(field, value, text);
    }
}

fn contents(meta: &Value, faults: &mut Faults) {
    if int(meta, "generation").is_some_and(|number| number < 0) {
        faults.invalid("metadata.generation", at(meta, "generation").clone(), NOT_NEGATIVE);
    }
    labels(at(meta, "labels"), "metadata.labels", faults);
    annotations(meta, "metadata.annotations", faults);
    owners(meta, faults);
    for one in items(meta, "finalizers").iter().filter_map(Value::as_str) {
        told(names::qualified_name(one), "metadata.finalizers", one, faults);
    }
    let both =
        ["orphan", "foregroundDeletion"].map(|name| items(meta, "finalizers").iter().any(|one| one == name));
    if both == [true, true] {
        let text = "finalizer set cannot contain both \"orphan\" and \"foregroundDeletion\"";
        faults.invalid("metadata.finalizers", at(meta, "finalizers").clone(), text);
    }
}

/// Upstream's words for a number that may not be negative.
pub const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// Labels: of an object, of a template, of a selector.
pub fn labels(labels: &Value, field: &str, faults: &mut Faults) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        told(names::qualified_name(key), field, key, faults);
        let value = value.as_str().unwrap_or_default();
        told(names::label_value(value), field, value, faults);
    }
}

/// Annotations of an object or of a template.
pub fn annotations(meta: &Value, field: &str, faults: &mut Faults) {
    let mut size = 0;
    for (key, value) in entries(meta, "annotations") {
        told(names::qualified_name(&key.to_lowercase()), field, key, faults);
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS {
        faults.add(FaultKind::TooLong, field, "", format!("may not be more than {ANNOTATIONS} bytes"));
    }
}

fn owners(meta: &Value, faults: &mut Faults) {
    let mut controller: Option<&str> = None;
    for (at, one) in items(meta, "ownerReferences").iter().enumerate() {
        let field = format!("metadata.ownerReferences[{at}]");
        let version = text(one, "apiVersion");
        if version.rsplit('/').next().is_none_or(str::is_empty) {
            faults.invalid(format!("{field}.apiVersion"), version, "version must not be empty");
        }
        for key in ["kind", "name", "uid"] {
            if text(one, key).is_empty() {
                faults.invalid(format!("{field}.{key}"), "", "must not be empty");
            }
        }
        if (version, text(one, "kind")) == ("v1", "Event") {
            faults.invalid(&field, one.clone(), "/v1, Kind=Event is disallowed from being an owner");
        }
        if flag(one, "controller") {
            match controller {
                Some(first) => {
                    let text = format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {}",
                        text(one, "name")
                    );
                    faults.invalid(
                        "metadata.ownerReferences",
                        super::reading::at(meta, "ownerReferences").clone(),
                        text,
                    );
                }
                None => controller = Some(text(one, "name")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(object: Value, namespaced: bool) -> Vec<String> {
        let mut faults = Faults::default();
        metadata(&object, namespaced, &mut faults);
        faults.0.iter().map(ToString::to_string).collect()
    }

    fn update(new: Value, old: Value) -> Vec<String> {
        let mut faults = Faults::default();
        metadata_update(&json!({ "metadata": new }), &json!({ "metadata": old }), &mut faults);
        faults.0.iter().map(ToString::to_string).collect()
    }

    /// Source: TestValidateObjectMetaNamespaces, TestValidateObjectMetaTrimsTrailingSlash and others.
    #[test]
    fn names_and_namespaces() {
        let of = |meta: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta});
        assert!(texts(of(json!({"name": "a.b", "namespace": "x"})), true).is_empty());
        assert_eq!(
            texts(of(json!({})), true),
            [
                "metadata.name: Required value: name or generateName is required",
                "metadata.namespace: Required value"
            ]
        );
        assert_eq!(
            texts(of(json!({"name": "a", "namespace": "x"})), false),
            ["metadata.namespace: Forbidden: not allowed on this type"]
        );
        assert!(texts(of(json!({"name": "a", "generateName": "a-"})), false).is_empty());
        assert!(
            texts(of(json!({"name": "A"})), false)[0]
                .starts_with("metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain")
        );
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "system:x"}});
        assert!(texts(role, false).is_empty());
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "1a"}});
        assert!(texts(service, false)[0].contains("a DNS-1035 label"));
    }

    #[test]
    fn labels_annotations_owners_finalizers() {
        let meta = json!({"name": "a", "labels": {"-": "x y"}, "annotations": {"Ok/A": "any thing"}, "finalizers": ["a/b/c"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1", "controller": true},
                {"apiVersion": "", "kind": "Pod", "name": "q", "uid": "", "controller": true}]});
        let found = texts(json!({"kind": "Pod", "metadata": meta}), false);
        let fields: Vec<&str> = found.iter().filter_map(|text| text.split(": ").next()).collect();
        assert_eq!(
            fields,
            [
                "metadata.labels",
                "metadata.labels",
                "metadata.ownerReferences[1].apiVersion",
                "metadata.ownerReferences[1].uid",
                "metadata.ownerReferences",
                "metadata.finalizers"
            ]
        );
        let large = json!({"name": "a", "annotations": {"a": "x".repeat(ANNOTATIONS)}});
        assert_eq!(
            texts(json!({"kind": "Pod", "metadata": large}), false),
            ["metadata.annotations: Too long: may not be more than 262144 bytes"]
        );
    }

    #[test]
    fn what_may_not_change() {
        assert!(update(json!({"name": "a", "uid": "1"}), json!({"name": "a", "uid": "1"})).is_empty());
        assert_eq!(
            update(json!({"name": "a", "uid": "2"}), json!({"name": "a", "uid": "1"})),
            ["metadata.uid: Invalid value: \"2\": field is immutable"]
        );
        let old = json!({"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x"]});
        let mut new = old.clone();
        new["finalizers"] = json!(["x", "y"]);
        assert_eq!(
            update(new, old),
            [
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"y\"}"
            ]
        );
    }
}
