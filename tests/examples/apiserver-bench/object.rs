//! The objects of the bench.

use serde_json::{Value, json};

pub const MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const SERVICES: &str = "/api/v1/namespaces/default/services";

/// A ConfigMap with so many bytes of data.
pub fn config_map(name: &str, bytes: usize) -> String {
    json!({"metadata": {"name": name}, "data": {"value": "v".repeat(bytes)}}).to_string()
}

/// A pod as a Deployment makes them, of about so many bytes once it is stored.
pub fn pod(number: usize, bytes: usize) -> String {
    let name = format!("web-7d4b9c6f8-{number:05}");
    let variable =
        |at: usize| json!({"name": format!("SETTING_{at:02}"), "value": format!("value-{number}-{at}")});
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "default", "generateName": "web-7d4b9c6f8-",
            "labels": {"app": "web", "pod-template-hash": "7d4b9c6f8", "shard": (number % 100).to_string()},
            "annotations": {"example.com/notes": ""}},
        "spec": {"nodeName": format!("node-{}", number % 100), "serviceAccountName": "default",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": 300}],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "containers": [{"name": "web", "image": "registry.example.com/team/web:1.27.3",
                "args": ["--listen=:8080", "--log-level=info"], "env": (0..12).map(variable).collect::<Vec<_>>(),
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
                "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]},
    });
    // What the server adds, about.
    const ADDED: usize = 1_150;
    let missing = bytes.saturating_sub(pod.to_string().len() + ADDED);
    pod["metadata"]["annotations"]["example.com/notes"] = Value::from("n".repeat(missing));
    pod.to_string()
}

/// A Service that takes what address it is given.
pub fn service(number: usize) -> String {
    json!({"metadata": {"name": format!("svc-{number:05}")},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}})
    .to_string()
}
