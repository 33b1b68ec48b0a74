//! What a pod and a volume refer to.
//!
//! Source: `pkg/api/pod/util.go` (`VisitPodSecretNames`, `VisitPodConfigmapNames`) and `pkg/api/persistentvolume/
//! util.go` (`VisitPVSecretNames`).

use serde_json::Value;

/// Each element of a list; none if it is no list.
pub fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn named(value: &Value) -> Option<&str> {
    value.as_str().filter(|name| !name.is_empty())
}

/// All containers of a pod, of each sort.
pub fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let spec = &pod["spec"];
    each(&spec["initContainers"]).chain(each(&spec["containers"])).chain(each(&spec["ephemeralContainers"]))
}

/// The secrets that a pod refers to.
pub fn secrets(pod: &Value) -> Vec<&str> {
    let spec = &pod["spec"];
    let mut names: Vec<&Value> = each(&spec["imagePullSecrets"]).map(|one| &one["name"]).collect();
    for container in containers(pod) {
        names.extend(each(&container["env"]).map(|one| &one["valueFrom"]["secretKeyRef"]["name"]));
        names.extend(each(&container["envFrom"]).map(|one| &one["secretRef"]["name"]));
    }
    for volume in each(&spec["volumes"]) {
        names.extend([
            &volume["secret"]["secretName"],
            &volume["azureFile"]["secretName"],
            &volume["csi"]["nodePublishSecretRef"]["name"],
        ]);
        let plain = ["cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"];
        names.extend(plain.iter().map(|kind| &volume[*kind]["secretRef"]["name"]));
        names.extend(each(&volume["projected"]["sources"]).map(|one| &one["secret"]["name"]));
    }
    names.into_iter().filter_map(named).collect()
}

/// The config maps that a pod refers to.
pub fn config_maps(pod: &Value) -> Vec<&str> {
    let mut names = Vec::new();
    for container in containers(pod) {
        names.extend(each(&container["env"]).map(|one| &one["valueFrom"]["configMapKeyRef"]["name"]));
        names.extend(each(&container["envFrom"]).map(|one| &one["configMapRef"]["name"]));
    }
    for volume in each(&pod["spec"]["volumes"]) {
        names.push(&volume["configMap"]["name"]);
        names.extend(each(&volume["projected"]["sources"]).map(|one| &one["configMap"]["name"]));
    }
    names.into_iter().filter_map(named).collect()
}

/// The claims that a pod refers to; that of an ephemeral volume is called after pod and volume.
pub fn claims(pod: &Value) -> Vec<String> {
    let own = pod["metadata"]["name"].as_str().unwrap_or_default();
    let claim = |volume: &Value| match named(&volume["persistentVolumeClaim"]["claimName"]) {
        None if !volume["ephemeral"].is_null() => Some(format!("{own}-{}", named(&volume["name"])?)),
        name => name.map(str::to_owned),
    };
    each(&pod["spec"]["volumes"]).filter_map(claim).collect()
}

/// The secrets that a kubelet needs of a persistent volume, by namespace and name.
pub fn volume_secrets(volume: &Value) -> Vec<(&str, &str)> {
    let spec = &volume["spec"];
    let claim = named(&spec["claimRef"]["namespace"]).unwrap_or_default();
    let mut found = Vec::new();
    let plain = ["cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"];
    let mut references: Vec<&Value> = plain.iter().map(|kind| &spec[*kind]["secretRef"]).collect();
    let csi = ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"];
    references.extend(csi.iter().map(|key| &spec["csi"][*key]));
    for reference in references {
        if let Some(name) = named(&reference["name"]) {
            found.push((named(&reference["namespace"]).unwrap_or(claim), name));
        }
    }
    if let Some(name) = named(&spec["azureFile"]["secretName"]) {
        found.push((named(&spec["azureFile"]["secretNamespace"]).unwrap_or(claim), name));
    }
    found
}
