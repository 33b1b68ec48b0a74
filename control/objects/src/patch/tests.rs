#![allow(clippy::unwrap_used)]
use super::*;
use crate::schema::schema;
use proptest::prelude::*;
use serde_json::json as value;

fn strategic_of(kind: &str, object: Value, patch: Value) -> Result<Value, PatchError> {
    let (group, kind) = kind.split_once('/').unwrap_or(("", kind));
    let kind = schema().kind(group, "v1", kind).unwrap();
    strategic(object, patch.to_string().as_bytes(), kind).map(|decoded| decoded.object)
}

fn pod(spec: Value) -> Value {
    value!({ "spec": spec })
}

fn check(object: Value, patch: Value, wanted: Value) {
    assert_eq!(strategic_of("Pod", pod(object), pod(patch)).unwrap(), pod(wanted));
}

/// List type map: containers by name, env by name; what the patch names comes before what it adds to.
#[test]
fn lists_of_maps_merge_by_key() {
    check(
        value!({"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]}),
        value!({"containers": [{"name": "a", "image": "2", "env": [{"name": "Y", "value": "2"}]}]}),
        value!({"containers": [{"name": "a", "image": "2",
            "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]}, {"name": "b"}]}),
    );
    let error =
        strategic_of("Pod", pod(value!({"containers": []})), pod(value!({"containers": [{"image": "x"}]})));
    let error = error.unwrap_err();
    assert_eq!(error.code(), 422);
    assert_eq!(error.detail(), "map: {\"image\":\"x\"} does not contain declared merge key: name");
}

/// Ports of a service merge by port alone, although their list type has two keys.
#[test]
fn the_merge_key_decides_not_the_list_keys() {
    let object = value!({"spec": {"ports": [{"port": 80, "protocol": "TCP", "name": "http"}]}});
    let patch = value!({"spec": {"ports": [{"port": 80, "targetPort": 8080}, {"port": 443}]}});
    let wanted = value!([{"port": 80, "protocol": "TCP", "name": "http", "targetPort": 8080}, {"port": 443}]);
    assert_eq!(strategic_of("Service", object, patch).unwrap()["spec"]["ports"], wanted);
}

/// List type atomic: replaced.
#[test]
fn lists_without_a_strategy_are_replaced() {
    check(
        value!({"tolerations": [{"key": "a"}], "containers": [{"name": "a", "command": ["x", "y"]}]}),
        value!({"tolerations": [{"key": "b", "value": null}], "containers": [{"name": "a", "command": ["z"]}]}),
        value!({"tolerations": [{"key": "b"}], "containers": [{"name": "a", "command": ["z"]}]}),
    );
}

/// List type set of primitives: finalizers merge.
#[test]
fn lists_of_primitives_merge_and_lose_what_is_named() {
    let object = value!({"metadata": {"finalizers": ["a", "b"]}});
    let merged = |patch: Value| strategic_of("Pod", object.clone(), value!({ "metadata": patch })).unwrap();
    assert_eq!(merged(value!({"finalizers": ["b", "c"]}))["metadata"]["finalizers"], value!(["a", "b", "c"]));
    let patch = value!({"$deleteFromPrimitiveList/finalizers": ["a"]});
    assert_eq!(merged(patch)["metadata"]["finalizers"], value!(["b"]));
    let patch = value!({"$deleteFromPrimitiveList/finalizers": ["a"], "$setElementOrder/finalizers": ["c", "b"], "finalizers": ["c"]});
    assert_eq!(merged(patch)["metadata"]["finalizers"], value!(["c", "b"]));
    let patch = value!({"metadata": {"$deleteFromPrimitiveList/finalizers": "a"}});
    assert_eq!(strategic_of("Pod", object.clone(), patch).unwrap_err().code(), 400);
}

#[test]
fn maps_merge_and_null_deletes() {
    let object = value!({"metadata": {"labels": {"a": "1", "b": "2"}}});
    let patch = value!({"metadata": {"labels": {"a": null, "c": "3"}, "annotations": {"x": null, "y": "1"}}});
    let wanted = value!({"metadata": {"labels": {"b": "2", "c": "3"}, "annotations": {"y": "1"}}});
    assert_eq!(strategic_of("Pod", object, patch).unwrap(), wanted);
}

#[test]
fn items_and_maps_are_deleted_and_replaced() {
    check(
        value!({"containers": [{"name": "a"}, {"name": "b"}], "securityContext": {"runAsUser": 1, "fsGroup": 2}}),
        value!({"containers": [{"name": "a", "$patch": "delete"}], "securityContext": {"$patch": "replace", "runAsUser": 3}}),
        value!({"containers": [{"name": "b"}], "securityContext": {"runAsUser": 3}}),
    );
    check(
        value!({"containers": [{"name": "a"}, {"name": "b"}]}),
        value!({"containers": [{"$patch": "replace"}, {"name": "c"}]}),
        value!({"containers": [{"name": "c"}]}),
    );
    check(
        value!({"securityContext": {"runAsUser": 1}}),
        value!({"securityContext": {"$patch": "delete"}}),
        value!({"securityContext": {}}),
    );
    for patch in [
        value!({"containers": [{"name": "a", "$patch": "merge"}]}),
        value!({"securityContext": {"$patch": "x"}}),
        value!({"containers": [{"$patch": "delete"}]}),
    ] {
        assert_eq!(strategic_of("Pod", pod(value!({})), pod(patch)).unwrap_err().code(), 422);
    }
}

/// A directive on what is not there leaves nothing of itself.
#[test]
fn no_directive_ends_up_in_the_object() {
    check(
        value!({}),
        value!({"containers": [{"name": "a", "$patch": "delete"}, {"name": "b", "env": [{"name": "X", "$patch": "delete"}]}],
            "volumes": [{"name": "v", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}],
            "securityContext": {"$patch": "delete"}, "nodeSelector": {"$patch": "replace", "a": "b"}}),
        value!({"containers": [{"name": "b", "env": []}], "volumes": [{"name": "v", "emptyDir": {}}], "nodeSelector": {"a": "b"}}),
    );
}

/// Volumes: merge,retainKeys; a deployment's strategy: retainKeys.
#[test]
fn retain_keys_drops_the_others() {
    check(
        value!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]}),
        value!({"volumes": [{"name": "v", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}]}),
        value!({"volumes": [{"name": "v", "emptyDir": {}}]}),
    );
    let object = value!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = value!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    let wanted = value!({"spec": {"strategy": {"type": "Recreate"}}});
    assert_eq!(strategic_of("apps/Deployment", object.clone(), patch).unwrap(), wanted);
    let patch = value!({"spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": {}}}});
    let error = strategic_of("apps/Deployment", object, patch).unwrap_err();
    assert_eq!(error, PatchError::Malformed("invalid patch format of retainKeys".into()));
}

/// Source: the cases of `$setElementOrder` in strategicpatch/patch_test.go.
#[test]
fn the_order_of_elements_is_set() {
    check(
        value!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}),
        value!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}),
        value!({"containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}]}),
    );
    check(
        value!({"containers": [{"name": "a"}, {"name": "b"}]}),
        value!({"$setElementOrder/containers": [{"name": "n"}, {"name": "b"}, {"name": "a"}], "containers": [{"name": "n"}, {"name": "a", "image": "2"}]}),
        value!({"containers": [{"name": "n"}, {"name": "b"}, {"name": "a", "image": "2"}]}),
    );
    let wrong = value!({"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]});
    assert_eq!(strategic_of("Pod", pod(value!({})), pod(wrong)).unwrap_err().code(), 422);
}

#[test]
fn merge_patches_are_rfc_7396() {
    let cases = [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ];
    for (object, patch, wanted) in cases {
        let object = serde_json::from_str(object).unwrap();
        assert_eq!(merge(object, patch.as_bytes()).unwrap().object.to_string(), wanted, "{patch}");
    }
    for patch in ["[]", "1", "{", "\"x\""] {
        assert_eq!(merge(value!({}), patch.as_bytes()).unwrap_err().code(), 400, "{patch}");
    }
    let patch = br#"{"spec":{"a":1,"a":2}}"#;
    assert_eq!(merge(value!({}), patch).unwrap().strict, ["duplicate field \"spec.a\""]);
}

#[test]
fn json_patches_are_rfc_6902() {
    let object = value!({"spec": {"replicas": 1, "list": ["a", "b"]}});
    let patch = br#"[{"op":"test","path":"/spec/replicas","value":1},{"op":"replace","path":"/spec/replicas","value":3},
        {"op":"add","path":"/spec/list/-","value":"c"},{"op":"remove","path":"/spec/list/0"},
        {"op":"copy","from":"/spec/replicas","path":"/copied"},{"op":"move","from":"/copied","path":"/moved"}]"#;
    let wanted = value!({"spec": {"replicas": 3, "list": ["b", "c"]}, "moved": 3});
    assert_eq!(json_patch(object.clone(), patch).unwrap().object, wanted);
    let code = |patch: &str| json_patch(object.clone(), patch.as_bytes()).unwrap_err().code();
    assert_eq!(code(r#"[{"op":"test","path":"/spec/replicas","value":2}]"#), 422);
    assert_eq!(code(r#"[{"op":"remove","path":"/nope"}]"#), 422);
    assert_eq!(code(r#"[{"op":"replace","path":"/a/b","value":1}]"#), 422);
    assert_eq!(code(r#"[{"op":"fly","path":"/a"}]"#), 400);
    assert_eq!(code(r#"{"op":"add"}"#), 400);
    assert_eq!(code("["), 400);
    let many = format!("[{}]", vec![r#"{"op":"remove","path":"/x"}"#; 10_001].join(","));
    let error = json_patch(value!({}), many.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "The allowed maximum operations in a JSON patch is 10000, got 10001");
}

/// As kubectl 1.37's `patch --local --type=json` answers.
#[test]
fn json_patches_take_what_upstream_takes() {
    let object = value!({"list": ["a", "b", "c"], "map": {"x": 1}});
    let of = |patch: &str| json_patch(object.clone(), patch.as_bytes()).map(|decoded| decoded.object);
    assert_eq!(of(r#"[{"op":"remove","path":"/list/-1"}]"#).unwrap()["list"], value!(["a", "b"]));
    assert_eq!(
        of(r#"[{"op":"add","path":"/list/-1","value":"z"}]"#).unwrap()["list"],
        value!(["a", "b", "c", "z"])
    );
    assert_eq!(
        of(r#"[{"op":"replace","path":"/list/-3","value":"z"}]"#).unwrap()["list"],
        value!(["z", "b", "c"])
    );
    assert_eq!(
        of(r#"[{"op":"replace","path":"/map/y","value":2}]"#).unwrap()["map"],
        value!({"x": 1, "y": 2})
    );
    assert!(of(r#"[{"op":"test","path":"/map/y","value":null}]"#).is_ok());
    for patch in [
        r#"[{"op":"remove","path":"/list/-4"}]"#,
        r#"[{"op":"remove","path":"/list/-"}]"#,
        r#"[{"op":"remove","path":"/list/--1"}]"#,
        r#"[{"op":"test","path":"/nope/y","value":null}]"#,
        r#"[{"op":"test","path":"/map/x","value":null}]"#,
        r#"[{"op":"replace","path":"/nope/y","value":null}]"#,
    ] {
        assert_eq!(of(patch).unwrap_err().code(), 422, "{patch}");
    }
}

#[test]
fn copies_of_copies_are_bounded() {
    let copies = vec![r#"{"op":"copy","from":"/a","path":"/a/-"}"#; 60].join(",");
    let error = json_patch(value!({"a": ["text"]}), format!("[{copies}]").as_bytes()).unwrap_err();
    assert_eq!(error.code(), 413);
}

/// Moves into each other nest by one level each, with short paths.
#[test]
fn nesting_is_bounded() {
    let moves = [
        r#"{"op":"add","path":"/b","value":{}},{"op":"move","from":"/a","path":"/b/x"}"#,
        r#"{"op":"add","path":"/a","value":{}},{"op":"move","from":"/b","path":"/a/x"}"#,
    ];
    let patch =
        |count| format!("[{}]", moves.iter().cycle().take(count).copied().collect::<Vec<_>>().join(","));
    assert!(json_patch(value!({"a": {}}), patch(80).as_bytes()).is_ok());
    assert_eq!(json_patch(value!({"a": {}}), patch(4000).as_bytes()).unwrap_err().code(), 413);
}

fn any_patch() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i8>().prop_map(Value::from),
        "(delete|replace|merge|a|name)".prop_map(Value::from)
    ];
    leaf.prop_recursive(5, 60, 5, |inner| {
        let key = prop_oneof![
            Just("$patch"),
            Just("$retainKeys"),
            Just("$setElementOrder/containers"),
            Just("$deleteFromPrimitiveList/finalizers"),
            Just("spec"),
            Just("metadata"),
            Just("containers"),
            Just("finalizers"),
            Just("name"),
            Just("volumes"),
        ];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((key, inner), 0..5).prop_map(|pairs| pairs
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #[test]
    fn any_patch_is_answered(object in any_patch(), patch in any_patch()) {
        let object = if object.is_object() { object } else { value!({}) };
        let _ = strategic_of("Pod", object.clone(), patch.clone());
        let _ = merge(object.clone(), patch.to_string().as_bytes());
        let _ = json_patch(object, patch.to_string().as_bytes());
    }

    #[test]
    fn any_operations_are_answered(
        object in any_patch(),
        operations in proptest::collection::vec(("(add|remove|replace|move|copy|test)", "(/(spec|name|volumes|0|1|-1|-|)){0,4}", "(/(spec|volumes|0|-2)){0,3}"), 0..8),
        item in any_patch(),
    ) {
        let operations: Vec<Value> = operations
            .into_iter()
            .map(|(op, path, from)| value!({"op": op, "path": path, "from": from, "value": item}))
            .collect();
        let _ = json_patch(object, Value::from(operations).to_string().as_bytes());
    }

    #[test]
    fn an_empty_patch_changes_nothing(object in any_patch()) {
        let object = if object.is_object() { object } else { value!({}) };
        prop_assert_eq!(strategic_of("Pod", object.clone(), value!({})).unwrap(), object);
    }
}
