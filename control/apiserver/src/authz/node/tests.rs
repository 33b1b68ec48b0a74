use super::*;
use crate::authn::Lookup;
use serde_json::json;
use std::sync::Arc;

fn node() -> User {
    User::of("system:node:a", &["system:nodes", "system:authenticated"])
}

fn cluster() -> NodeAuthorizer {
    let own = NodeAuthorizer::default();
    let pod = |node: &str| {
        json!({"metadata": {"name": "p"}, "spec": {
            "nodeName": node, "serviceAccountName": "web",
            "imagePullSecrets": [{"name": "pull"}],
            "initContainers": [{"envFrom": [{"configMapRef": {"name": "env"}}]}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}]}],
            "volumes": [{"persistentVolumeClaim": {"claimName": "data"}},
                        {"name": "scratch", "ephemeral": {}},
                        {"projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}]}}],
        }})
    };
    own.set("pods", "x", "p", Some(&pod("a")));
    own.set("pods", "y", "q", Some(&pod("b")));
    let volume = json!({"spec": {"claimRef": {"namespace": "x", "name": "data"},
                                 "csi": {"nodeStageSecretRef": {"namespace": "z", "name": "stage"}}}});
    own.set("persistentvolumes", "", "pv", Some(&volume));
    own.set("volumeattachments", "", "va", Some(&json!({"spec": {"nodeName": "a"}})));
    own
}

fn may(own: &NodeAuthorizer, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
    ask(own, verb, resource, namespace, name).allows()
}

fn ask(own: &NodeAuthorizer, verb: &str, resource: &str, namespace: &str, name: &str) -> Decision {
    let user = node();
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    own.decide(&Attributes {
        user: &user,
        verb,
        group,
        version: "v1",
        resource,
        subresource,
        namespace,
        name,
        path: "",
    })
}

/// plugin/pkg/auth/authorizer/node/node_authorizer_test.go: TestNodeAuthorizer.
#[test]
fn a_node_reads_what_its_pods_need() {
    let own = cluster();
    for (resource, namespace, name) in [
        ("secrets", "x", "pull"),
        ("secrets", "x", "key"),
        ("secrets", "z", "stage"),
        ("configmaps", "x", "env"),
        ("configmaps", "x", "kube-root-ca.crt"),
        ("persistentvolumeclaims", "x", "data"),
        ("persistentvolumeclaims", "x", "p-scratch"),
        ("persistentvolumes", "", "pv"),
        ("volumeattachments.storage.k8s.io", "", "va"),
        ("pods", "x", "p"),
        ("nodes", "", "a"),
    ] {
        assert!(may(&own, "get", resource, namespace, name), "{resource} {name}");
    }
    assert!(may(&own, "create", "serviceaccounts/token", "x", "web"));
    assert!(
        may(&own, "list", "secrets", "x", "key")
            && may(&own, "update", "persistentvolumeclaims/status", "x", "data")
    );
    for (verb, resource, namespace, name) in [
        ("get", "secrets", "y", "pull"),
        ("get", "secrets", "x", "other"),
        ("list", "secrets", "x", ""),
        ("list", "secrets", "", "key"),
        ("update", "secrets", "x", "key"),
        ("get", "pods", "y", "q"),
        ("get", "nodes", "", "b"),
        ("delete", "nodes", "", "a"),
        ("create", "serviceaccounts/token", "y", "web"),
        ("list", "persistentvolumes", "", ""),
        ("get", "leases.coordination.k8s.io", "kube-system", "a"),
        ("get", "leases.coordination.k8s.io", "kube-node-lease", "b"),
        ("create", "clusterroles.rbac.authorization.k8s.io", "", ""),
    ] {
        assert!(!may(&own, verb, resource, namespace, name), "{verb} {resource} {name}");
    }
    assert_eq!(
        ask(&own, "get", "secrets", "x", "other").reason(),
        "no relationship found between node 'a' and this object"
    );
    assert!(may(&own, "update", "leases.coordination.k8s.io", "kube-node-lease", "a"));
    assert!(may(&own, "list", "services", "", "") && may(&own, "create", "events", "x", ""));
}

#[test]
fn what_is_gone_is_needed_no_more() {
    let own = cluster();
    own.set("persistentvolumes", "", "pv", None);
    assert!(!may(&own, "get", "secrets", "z", "stage"));
    own.set("pods", "x", "p", None);
    assert!(!may(&own, "get", "secrets", "x", "key"));
    own.set("pods", "y", "q", None);
    own.set("volumeattachments", "", "va", None);
    let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "1"}},
                        "spec": {"nodeName": "a", "serviceAccountName": "web"}});
    own.set("pods", "x", "m", Some(&mirror));
    assert!(may(&own, "get", "pods", "x", "m"));
    assert!(!may(&own, "create", "serviceaccounts/token", "x", "web"), "a mirror pod refers to nothing");
}

#[test]
fn others_are_none_of_its_business() {
    let own = cluster();
    for (name, groups) in [("system:node:a", vec![]), ("jane", vec!["system:nodes"])] {
        let user = User::of(name, &groups);
        let asked = Attributes {
            user: &user,
            verb: "get",
            group: "",
            version: "v1",
            resource: "secrets",
            subresource: "",
            namespace: "x",
            name: "key",
            path: "",
        };
        assert_eq!(own.decide(&asked), Decision::NoOpinion(String::new()));
    }
}

struct Pods;

impl Lookup for Pods {
    fn object(&self, resource: &str, _: &str, name: &str) -> Option<Arc<Value>> {
        let object = match (resource, name) {
            ("nodes", "a") => json!({"metadata": {"uid": "node-a"}}),
            ("pods", "p") => json!({"metadata": {"uid": "1"}, "spec": {"nodeName": "a", "volumes": [
                {"projected": {"sources": [{"serviceAccountToken": {}}]}}, {"csi": {"driver": "d"}}]}}),
            ("csidrivers", "d") => json!({"spec": {"tokenRequests": [{"audience": "vault"}]}}),
            ("pods", "q") => json!({"metadata": {"uid": "2"}, "spec": {"nodeName": "b"}}),
            _ => return None,
        };
        Some(Arc::new(object))
    }
}

fn write(operation: &str, resource: &str, name: &str, new: Value, old: Value) -> String {
    let user = node();
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    let namespace = if resource == "leases" { LEASES } else { "x" };
    let write = NodeWrite {
        user: &user,
        operation,
        group,
        resource,
        subresource,
        namespace,
        name,
        new: Some(&new),
        old: Some(&old),
    };
    restrict(&write, &Pods).map_or_else(|refused| refused.message, |()| String::new())
}

/// plugin/pkg/admission/noderestriction/admission_test.go.
#[test]
fn a_node_writes_its_own_things() {
    let mirror = |change: &dyn Fn(&mut Value)| {
        let mut pod = json!({"metadata": {"name": "m", "annotations": {"kubernetes.io/config.mirror": "1"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "node-a", "controller": true}]},
            "spec": {"nodeName": "a"}});
        change(&mut pod);
        write("create", "pods", "m", pod, Value::Null)
    };
    assert_eq!(mirror(&|_| ()), "");
    assert!(mirror(&|pod| pod["spec"]["nodeName"] = "b".into()).ends_with("spec.nodeName set to itself"));
    assert!(
        mirror(&|pod| pod["metadata"]["annotations"] = json!({})).ends_with("can only create mirror pods")
    );
    assert!(
        mirror(&|pod| pod["spec"]["serviceAccountName"] = "web".into())
            .ends_with("reference a service account")
    );
    assert!(
        mirror(&|pod| pod["metadata"]["ownerReferences"] = json!([]))
            .ends_with("owner reference set to itself")
    );
    assert!(
        mirror(&|pod| pod["spec"]["volumes"] = json!([{"secret": {"secretName": "s"}}]))
            .ends_with("reference secrets")
    );

    let on = |node: &str| json!({"spec": {"nodeName": node}});
    assert_eq!(write("delete", "pods", "p", Value::Null, on("a")), "");
    assert!(
        write("delete", "pods", "q", Value::Null, on("b"))
            .ends_with("can only delete pods with spec.nodeName set to itself")
    );
    assert_eq!(write("update", "pods/status", "p", on("a"), on("a")), "");
    assert!(!write("update", "pods/status", "q", on("b"), on("b")).is_empty());
    assert_eq!(write("create", "pods/eviction", "p", json!({}), Value::Null), "");
    assert!(!write("create", "pods/eviction", "q", json!({}), Value::Null).is_empty());
    assert!(write("update", "pods/exec", "p", json!({}), json!({})).contains("unexpected pod subresource"));

    let labelled = |key: &str| json!({"metadata": {"name": "a", "labels": {key: "1"}}});
    let bare = || json!({"metadata": {"name": "a"}});
    for (label, allowed) in [
        ("kubernetes.io/hostname", true),
        ("node.kubernetes.io/x", true),
        ("example.com/x", true),
        ("node-restriction.kubernetes.io/x", false),
        ("x.node-restriction.kubernetes.io/x", false),
        ("node-role.kubernetes.io/control-plane", false),
    ] {
        assert_eq!(
            write("create", "nodes", "a", labelled(label), Value::Null).is_empty(),
            allowed,
            "{label}"
        );
        assert_eq!(write("update", "nodes", "a", labelled(label), bare()).is_empty(), allowed, "{label}");
    }
    let tainted = json!({"metadata": {"name": "a"}, "spec": {"taints": [{"key": "k"}]}});
    assert_eq!(
        write("update", "nodes", "a", bare(), tainted),
        r#"nodes "a" is forbidden: node "a" is not allowed to modify taints"#
    );
    assert!(
        write("update", "nodes/status", "b", json!({}), json!({}))
            .ends_with(r#"is not allowed to modify node "b""#)
    );

    let token_for = |name: &str, uid: &str, audiences: &[&str]| {
        let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid});
        let request = json!({"spec": {"boundObjectRef": bound, "audiences": audiences}});
        write("create", "serviceaccounts/token", "web", request, Value::Null)
    };
    let token = |name: &str, uid: &str| token_for(name, uid, &[]);
    assert_eq!(token_for("p", "1", &["vault"]), "");
    assert!(token_for("p", "1", &["other"]).ends_with(r#"audience "other" not found in pod spec volume"#));
    assert!(token_for("p", "1", &["vault", "other"]).ends_with("0 or 1 audiences"));
    assert_eq!(token("p", "1"), "");
    assert!(token("p", "9").contains("does not match the UID in record"));
    assert!(token("q", "2").ends_with("scheduled on a different node"));
    assert!(
        write("create", "leases.coordination.k8s.io", "", json!({"metadata": {"name": "b"}}), Value::Null)
            .ends_with("same name as the requesting node")
    );
    let grown = json!({"spec": {}, "status": {"capacity": {"storage": "2Gi"}}});
    assert_eq!(
        write("update", "persistentvolumeclaims/status", "c", grown, json!({"spec": {}, "status": {}})),
        ""
    );
    assert!(
        !write(
            "update",
            "persistentvolumeclaims/status",
            "c",
            json!({"spec": {"x": 1}}),
            json!({"spec": {}})
        )
        .is_empty()
    );
}
