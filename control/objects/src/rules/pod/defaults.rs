//! What a pod gets that it leaves out.

use super::super::reading::{at, default, each, entries, flag, has, int, set, text, with, within};
use super::resources::round_up;
use serde_json::{Map, Value};

const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// A pod: its specification, and requests where only limits are told, which templates do not get.
pub fn pod(object: &mut Value) {
    within(object, "spec", |spec| {
        spec_defaults(spec);
        for key in ["containers", "initContainers"] {
            each(spec, key, |container| with(container, "resources", requests_of_limits));
        }
        with(spec, "resources", requests_of_limits);
    });
    within(object, "status", |status| default(status, "phase", "Pending"));
}

fn requests_of_limits(resources: &mut Value) {
    let limits: Vec<(String, Value)> =
        entries(resources, "limits").map(|(key, value)| (key.clone(), value.clone())).collect();
    if limits.is_empty() {
        return;
    }
    within(resources, "requests", |requests| {
        for (key, value) in limits {
            default(requests, &key, value);
        }
    });
}

/// The specification of a pod or of a template.
pub fn spec_defaults(spec: &mut Value) {
    default(spec, "restartPolicy", "Always");
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "schedulerName", "default-scheduler");
    default(spec, "securityContext", Value::Object(Map::new()));
    default(spec, "enableServiceLinks", true);
    // The old name of the field goes along with the new one.
    let old = text(spec, "serviceAccount").to_owned();
    if !old.is_empty() {
        default(spec, "serviceAccountName", old);
    }
    let name = text(spec, "serviceAccountName").to_owned();
    if !name.is_empty() {
        set(spec, "serviceAccount", name);
    }
    let on_host = flag(spec, "hostNetwork");
    for key in CONTAINERS {
        each(spec, key, |one| container(one, on_host));
    }
    each(spec, "volumes", volume);
    with(spec, "overhead", round_up);
}

fn container(container: &mut Value, on_host: bool) {
    let policy = if is_latest(text(container, "image")) { "Always" } else { "IfNotPresent" };
    default(container, "imagePullPolicy", policy);
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    within(container, "resources", |resources| {
        for key in ["limits", "requests"] {
            with(resources, key, round_up);
        }
    });
    each(container, "ports", |port| {
        default(port, "protocol", "TCP");
        if on_host && let Some(number) = int(port, "containerPort") {
            default(port, "hostPort", number);
        }
    });
    each(container, "env", |variable| {
        with(variable, "valueFrom", |from| {
            with(from, "fieldRef", field_ref);
            with(from, "resourceFieldRef", resource_ref);
        });
    });
    for key in ["livenessProbe", "readinessProbe", "startupProbe"] {
        with(container, key, probe);
    }
    with(container, "lifecycle", |lifecycle| {
        for key in ["postStart", "preStop"] {
            with(lifecycle, key, |handler| with(handler, "httpGet", http_get));
        }
    });
}

/// Whether an image's tag is `latest`, told or not. A digest alone is no tag.
fn is_latest(image: &str) -> bool {
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => !digest,
    }
}

fn field_ref(reference: &mut Value) {
    default(reference, "apiVersion", "v1");
}

/// Go prints a quantity that is no pointer even if it is nothing.
fn resource_ref(reference: &mut Value) {
    default(reference, "divisor", "0");
}

fn probe(probe: &mut Value) {
    for (key, number) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        default(probe, key, number);
    }
    with(probe, "httpGet", http_get);
    with(probe, "grpc", |grpc| default(grpc, "service", ""));
}

fn http_get(action: &mut Value) {
    default(action, "path", "/");
    default(action, "scheme", "HTTP");
}

fn volume(volume: &mut Value) {
    let names = |volume: &Value| volume.as_object().map_or(0, Map::len);
    if names(volume) <= 1 && !volume.as_object().is_some_and(|one| one.keys().any(|key| key != "name")) {
        set(volume, "emptyDir", Value::Object(Map::new()));
    }
    volume_source_defaults(volume);
}

/// The sources of volumes, of pods and of persistent volumes.
pub fn volume_source_defaults(volume: &mut Value) {
    for key in ["secret", "configMap", "downwardAPI", "projected"] {
        with(volume, key, |source| default(source, "defaultMode", 0o644));
    }
    with(volume, "downwardAPI", downward_items);
    with(volume, "projected", |projected| {
        each(projected, "sources", |source| {
            with(source, "serviceAccountToken", |token| default(token, "expirationSeconds", 3600));
            with(source, "downwardAPI", downward_items);
        });
    });
    with(volume, "hostPath", |path| default(path, "type", ""));
    with(volume, "iscsi", |iscsi| default(iscsi, "iscsiInterface", "default"));
    with(volume, "rbd", |rbd| {
        default(rbd, "pool", "rbd");
        default(rbd, "user", "admin");
        default(rbd, "keyring", "/etc/ceph/keyring");
    });
    with(volume, "azureDisk", |disk| {
        default(disk, "cachingMode", "ReadWrite");
        default(disk, "kind", "Shared");
        default(disk, "fsType", "ext4");
        default(disk, "readOnly", false);
    });
    with(volume, "scaleIO", |source| {
        default(source, "storageMode", "ThinProvisioned");
        default(source, "fsType", "xfs");
    });
    with(volume, "ephemeral", |source| {
        with(source, "volumeClaimTemplate", |template| within(template, "spec", claim_defaults));
    });
    with(volume, "image", |image| {
        let policy = if is_latest(text(image, "reference")) { "Always" } else { "IfNotPresent" };
        default(image, "pullPolicy", policy);
    });
}

fn downward_items(source: &mut Value) {
    each(source, "items", |item| {
        with(item, "fieldRef", field_ref);
        with(item, "resourceFieldRef", resource_ref);
    });
}

/// The specification of a claim.
pub fn claim_defaults(spec: &mut Value) {
    default(spec, "volumeMode", "Filesystem");
    with(spec, "resources", |resources| {
        for key in ["limits", "requests"] {
            with(resources, key, round_up);
        }
    });
    // A data source of the group that both fields can name stands in both.
    let claimable = |source: &Value| {
        let kind = (text(source, "apiGroup"), text(source, "kind"));
        kind == ("", "PersistentVolumeClaim") || kind == ("snapshot.storage.k8s.io", "VolumeSnapshot")
    };
    if has(spec, "dataSource") && !has(spec, "dataSourceRef") && claimable(at(spec, "dataSource")) {
        let source = at(spec, "dataSource").clone();
        set(spec, "dataSourceRef", source);
    } else if has(spec, "dataSourceRef")
        && !has(spec, "dataSource")
        && text(at(spec, "dataSourceRef"), "namespace").is_empty()
        && claimable(at(spec, "dataSourceRef"))
    {
        let source = at(spec, "dataSourceRef").clone();
        set(spec, "dataSource", source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: TestSetDefaultsImagePullPolicy and `parsers.ParseImageName`.
    #[test]
    fn the_tag_decides_when_to_pull() {
        let latest = ["nginx", "nginx:latest", "host:5000/nginx", "host:5000/a/nginx:latest"];
        assert!(latest.iter().all(|image| is_latest(image)));
        let other = ["nginx:1.27", "host:5000/nginx:1", "nginx@sha256:0123", "nginx:1@sha256:0123"];
        assert!(other.iter().all(|image| !is_latest(image)));
    }
}
