#![allow(clippy::unwrap_used)]
use super::*;
use std::collections::HashSet;

const ALL: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];

/// Every kind of the table that has a list, as a server would serve it.
pub fn everything() -> Vec<Served> {
    let mut served = Vec::new();
    for kind in schema().types() {
        for (group, version, name) in &kind.kinds {
            if name.ends_with("List") || schema().kind(group, version, &format!("{name}List")).is_none() {
                continue;
            }
            served.push(Served {
                group,
                version,
                kind: name,
                plural: Box::leak(format!("{}s", name.to_lowercase()).into_boxed_str()),
                singular: Box::leak(name.to_lowercase().into_boxed_str()),
                namespaced: *name != "Node",
                verbs: ALL,
                subresources: vec![ServedSub {
                    name: "status",
                    group,
                    version,
                    kind: name,
                    verbs: &["get", "update", "patch"],
                }],
            });
        }
    }
    served
}

fn references(value: &Value, into: &mut HashSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(name)) = map.get("$ref") {
                into.insert(name.clone());
            }
            map.values().for_each(|value| references(value, into));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, into)),
        _ => {}
    }
}

#[test]
fn documents_are_closed_over_their_references() {
    let served = everything();
    let apps: Value = serde_json::from_str(&v3(&served, "apps", "v1")).unwrap();
    let mut found = HashSet::new();
    references(&apps, &mut found);
    for name in &found {
        let name = name.strip_prefix("#/components/schemas/").unwrap();
        assert!(apps["components"]["schemas"][name].is_object(), "{name}");
    }
    assert!(found.len() > 100);
    let v2: Value = serde_json::from_slice(&v2_json(&served)).unwrap();
    let mut found = HashSet::new();
    references(&v2, &mut found);
    for name in &found {
        assert!(v2["definitions"][name.strip_prefix("#/definitions/").unwrap()].is_object(), "{name}");
    }
}

/// What kubectl's `QueryParamVerifierV3` and `explain` look for.
#[test]
fn kubectl_finds_what_it_looks_for() {
    let served = everything();
    let core: Value = serde_json::from_str(&v3(&served, "", "v1")).unwrap();
    let patch = &core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "", "version": "v1", "kind": "Pod"})
    );
    let names: Vec<&str> =
        patch["parameters"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert!(names.contains(&"fieldValidation") && names.contains(&"dryRun"), "{names:?}");
    assert!(core["paths"]["/api/v1/nodes/{name}/status"]["get"].is_object());
    assert!(core["paths"]["/api/v1/pods"]["get"].is_object());
    let spec = &core["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(spec["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(spec["x-kubernetes-list-map-keys"], json!(["name"]));
    assert_eq!(spec["items"]["allOf"][0]["$ref"], "#/components/schemas/io.k8s.api.core.v1.Container");
    let index = v3_index(&served);
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    assert_eq!(url, format!("/openapi/v3/apis/apps/v1?hash={}", hash(&served, "apps", "v1")));
    assert_ne!(hash(&served, "apps", "v1"), hash(&served, "batch", "v1"));
}

#[test]
fn the_protobuf_document_has_its_parts() {
    let served: Vec<Served> = everything().into_iter().filter(|one| one.kind == "Lease").collect();
    let bytes = v2_protobuf(&served);
    assert_eq!(&bytes[..5], b"\x0a\x032.0");
    let text = String::from_utf8_lossy(&bytes);
    for part in ["x-kubernetes-group-version-kind", "\"kind\":\"Lease\"", "fieldValidation", "#/definitions/"]
    {
        assert!(text.contains(part), "{part}");
    }
}
