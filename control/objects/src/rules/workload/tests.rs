use super::*;
use serde_json::json;

fn object(extra: Value) -> Value {
    let mut spec = json!({"selector": {"matchLabels": {"a": "b"}}, "serviceName": "s",
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}});
    for (key, value) in extra.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    json!({ "metadata": {"name": "x"}, "spec": spec })
}

fn completed(rules: &Rules, extra: Value) -> Value {
    let mut object = object(extra);
    (rules.default)(&mut object);
    object
}

fn wrong(rules: &Rules, extra: Value) -> Vec<String> {
    let mut faults = Faults::default();
    (rules.validate)(&completed(rules, extra), &mut faults);
    faults.0.iter().map(ToString::to_string).collect()
}

fn changed(rules: &Rules, new: Value) -> Vec<String> {
    let mut faults = Faults::default();
    (rules.validate_update)(&completed(rules, new), &completed(rules, json!({})), &mut faults);
    faults.0.iter().map(ToString::to_string).collect()
}

/// Source: apps/v1/defaults_test.go.
#[test]
fn what_is_left_out_is_completed() {
    let spec = |rules| completed(rules, json!({}))["spec"].clone();
    let deployment = spec(&DEPLOYMENT);
    let strategy =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}});
    assert_eq!((&deployment["strategy"], &deployment["replicas"]), (&strategy, &json!(1)));
    assert_eq!(
        (&deployment["revisionHistoryLimit"], &deployment["progressDeadlineSeconds"]),
        (&json!(10), &json!(600))
    );
    assert_eq!(deployment["template"]["spec"]["restartPolicy"], "Always");
    let recreate = completed(&DEPLOYMENT, json!({"strategy": {"type": "Recreate"}}));
    assert_eq!(recreate["spec"]["strategy"], json!({"type": "Recreate"}));
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}});
    assert_eq!(spec(&DAEMON_SET)["updateStrategy"], rolling);
    let set = spec(&STATEFUL_SET);
    assert_eq!(set["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}));
    assert_eq!(
        set["persistentVolumeClaimRetentionPolicy"],
        json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
    );
    assert_eq!(set["podManagementPolicy"], "OrderedReady");
    let mut elder = json!({"spec": {"template": {"metadata": {"labels": {"x": "y"}}, "spec": {}}}});
    (REPLICATION_CONTROLLER.default)(&mut elder);
    assert_eq!(
        (&elder["spec"]["selector"], &elder["metadata"]["labels"]),
        (&json!({"x": "y"}), &json!({"x": "y"}))
    );
    for rules in [&DEPLOYMENT, &DAEMON_SET, &STATEFUL_SET, &REPLICA_SET] {
        let once = completed(rules, json!({}));
        let mut twice = once.clone();
        (rules.default)(&mut twice);
        assert_eq!(once, twice);
        assert!(wrong(rules, json!({})).is_empty(), "{:?}", wrong(rules, json!({})));
    }
}

/// Source: TestValidateDeployment.
#[test]
fn faults_are_told_as_upstream_does() {
    assert_eq!(
        wrong(
            &DEPLOYMENT,
            json!({"replicas": -1, "selector": null, "strategy": {"type": "Recreate", "rollingUpdate": {}}})
        ),
        [
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.selector: Required value",
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ]
    );
    assert_eq!(
        wrong(&DEPLOYMENT, json!({"selector": {}})),
        ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"]
    );
    assert_eq!(
        wrong(&DAEMON_SET, json!({"selector": {"matchLabels": {"x": "y"}}})),
        [
            "spec.template.metadata.labels: Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`"
        ]
    );
    let zero = json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "0%", "maxUnavailable": 0}}});
    assert_eq!(
        wrong(&DEPLOYMENT, zero),
        ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"]
    );
    let percent = json!({"strategy": {"rollingUpdate": {"maxSurge": "x", "maxUnavailable": "101%"}}});
    assert_eq!(
        wrong(&DEPLOYMENT, percent),
        [
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"101%\": must not be greater than 100%",
            "spec.strategy.rollingUpdate.maxSurge: Invalid value: \"x\": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')",
        ]
    );
    let once = json!({"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}});
    assert_eq!(
        wrong(&REPLICA_SET, once),
        ["spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""]
    );
}

/// A claim's template makes a volume that the pods' template does not have.
#[test]
fn stateful_sets_mount_their_claims() {
    let mounts = json!([{"name": "data", "mountPath": "/d"}]);
    let pods = json!({"containers": [{"name": "c", "image": "i", "volumeMounts": mounts}]});
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}});
    let extra = json!({"template": {"metadata": {"labels": {"a": "b"}}, "spec": pods}, "volumeClaimTemplates": [claim]});
    assert!(wrong(&STATEFUL_SET, extra).is_empty());
}

#[test]
fn selectors_do_not_change() {
    let other = json!({"selector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}});
    for rules in [&DEPLOYMENT, &DAEMON_SET, &REPLICA_SET] {
        let found = changed(rules, other.clone());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("spec.selector: Invalid value: {")
                && found[0].ends_with("field is immutable")
        );
        assert!(changed(rules, json!({"replicas": 3})).is_empty());
    }
    assert!(changed(&STATEFUL_SET, json!({"replicas": 3, "minReadySeconds": 1})).is_empty());
    assert!(
        changed(&STATEFUL_SET, json!({"serviceName": "t"}))[0]
            .starts_with("spec: Forbidden: updates to statefulset spec")
    );
}
