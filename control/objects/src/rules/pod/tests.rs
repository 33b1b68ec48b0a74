#![allow(clippy::unwrap_used)]
use super::*;
use crate::fault::Faults;
use serde_json::json;

fn pod(spec: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
    (POD.default)(&mut pod);
    pod
}

fn wrong(spec: Value) -> Vec<String> {
    let mut faults = Faults::default();
    (POD.validate)(&pod(spec), &mut faults);
    faults.0.iter().map(ToString::to_string).collect()
}

fn changed(new: Value, old: Value) -> Vec<String> {
    let mut faults = Faults::default();
    (POD.validate_update)(&pod(new), &pod(old), &mut faults);
    faults.0.iter().map(ToString::to_string).collect()
}

fn nginx() -> Value {
    json!({"containers": [{"name": "c", "image": "nginx:1"}]})
}

/// Source: defaults_test.go of core/v1.
#[test]
fn a_pod_is_completed_as_upstream_does() {
    let found = pod(
        json!({"serviceAccountName": "x", "volumes": [{"name": "v"}, {"name": "s", "secret": {"secretName": "s"}}],
        "containers": [{"name": "c", "image": "nginx", "ports": [{"containerPort": 80}],
        "livenessProbe": {"httpGet": {"port": 80}}, "resources": {"limits": {"cpu": "100u"}},
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}]}),
    );
    let wanted = json!({"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "terminationGracePeriodSeconds": 30,
        "schedulerName": "default-scheduler", "securityContext": {}, "enableServiceLinks": true,
        "serviceAccountName": "x", "serviceAccount": "x",
        "volumes": [{"name": "v", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "s", "defaultMode": 420}}],
        "containers": [{"name": "c", "image": "nginx", "imagePullPolicy": "Always",
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "ports": [{"containerPort": 80, "protocol": "TCP"}],
            "livenessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
                "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
            "resources": {"limits": {"cpu": "1m"}, "requests": {"cpu": "1m"}},
            "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}}]}]});
    assert_eq!(found["spec"], wanted);
    let mut again = found.clone();
    (POD.default)(&mut again);
    assert_eq!(again, found);
    let host = pod(json!({"hostNetwork": true, "containers": [{"ports": [{"containerPort": 80}]}]}));
    assert_eq!(host["spec"]["containers"][0]["ports"][0]["hostPort"], 80);
}

/// Source: TestValidatePodSpec, TestValidateContainers, TestValidateEnv, TestValidateVolumes.
#[test]
fn faults_are_told_as_upstream_does() {
    assert!(wrong(nginx()).is_empty());
    assert_eq!(wrong(json!({})), ["spec.containers: Required value"]);
    let containers = json!({"restartPolicy": "Sometimes", "containers": [{"name": "c"}, {"name": "c", "image": " x",
        "imagePullPolicy": "Maybe", "ports": [{"containerPort": 70000}, {"name": "UPPER", "protocol": "X"}],
        "volumeMounts": [{"name": "nope", "mountPath": "/x"}], "env": [{"name": "", "value": "x"}, {"name": "a=b"}],
        "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2", "gold": "1"}}}]});
    assert_eq!(
        wrong(containers),
        [
            "spec.containers[0].image: Required value",
            "spec.containers[1].name: Duplicate value: \"c\"",
            "spec.containers[1].image: Invalid value: \" x\": must not have leading or trailing whitespace",
            "spec.containers[1].imagePullPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
            "spec.containers[1].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            "spec.containers[1].ports[1].name: Invalid value: \"UPPER\": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            "spec.containers[1].ports[1].name: Invalid value: \"UPPER\": must contain at least one letter (a-z)",
            "spec.containers[1].ports[1].containerPort: Required value",
            "spec.containers[1].ports[1].protocol: Unsupported value: \"X\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            "spec.containers[1].env[0].name: Required value",
            "spec.containers[1].env[1].name: Invalid value: \"a=b\": a valid environment variable name must consist only of printable ASCII characters other than '='",
            "spec.containers[1].volumeMounts[0].name: Not found: \"nope\"",
            "spec.containers[1].resources.requests[gold]: Invalid value: \"gold\": must be a standard resource type or fully qualified",
            "spec.containers[1].resources.requests[gold]: Invalid value: \"gold\": must be a standard resource for containers",
            "spec.containers[1].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ]
    );
    let mut volumes = nginx();
    volumes["volumes"] = json!([{"name": "V", "emptyDir": {}, "hostPath": {"path": "/a"}}, {"name": "c", "configMap": {"items": [{"key": "k", "path": "../x"}]}}]);
    let found = wrong(volumes);
    assert!(found[0].starts_with("spec.volumes[0].name: Invalid value: \"V\": a lowercase RFC 1123 label"));
    assert_eq!(
        found[1..],
        [
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
            "spec.volumes[1].configMap.name: Required value",
            "spec.volumes[1].configMap.items[0].path: Invalid value: \"../x\": must not contain '..'",
        ]
    );
}

#[test]
fn probes_and_hooks() {
    let mut spec = nginx();
    spec["containers"][0]["livenessProbe"] =
        json!({"successThreshold": 2, "exec": {"command": ["x"]}, "tcpSocket": {"port": 1}});
    spec["containers"][0]["lifecycle"] = json!({"preStop": {}});
    assert_eq!(
        wrong(spec),
        [
            "spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
            "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1",
            "spec.containers[0].lifecycle.preStop: Required value: must specify a handler type",
        ]
    );
}

/// Source: TestValidatePodUpdate.
#[test]
fn few_fields_may_change() {
    let mut new = nginx();
    new["containers"][0]["image"] = json!("nginx:2");
    new["activeDeadlineSeconds"] = json!(5);
    new["tolerations"] = json!([{"key": "a", "operator": "Exists"}]);
    assert!(changed(new, nginx()).is_empty(), "{:?}", changed(nginx(), nginx()));
    let mut new = nginx();
    new["hostname"] = json!("x");
    let found = changed(new, nginx());
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with(
        "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`"
    ));
    let mut more = nginx();
    more["containers"] = json!([{"name": "c", "image": "nginx:1"}, {"name": "d", "image": "nginx:1"}]);
    assert_eq!(
        changed(more, nginx()),
        ["spec.containers: Forbidden: pod updates may not add or remove containers"]
    );
}

#[test]
fn ephemeral_containers_are_only_added() {
    let with = |list: Value| {
        json!({"spec": {"restartPolicy": "Always", "dnsPolicy": "Default", "ephemeralContainers": list,
        "containers": [{"name": "c", "image": "i", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"}]}})
    };
    let one =
        json!([{"name": "e", "image": "i", "imagePullPolicy": "Always", "terminationMessagePolicy": "File"}]);
    let mut faults = Faults::default();
    ephemeral_containers_update(&with(one.clone()), &with(json!([])), &mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    ephemeral_containers_update(&with(json!([])), &with(one), &mut faults);
    assert_eq!(faults.0.len(), 1);
}
