//! ServiceAccount: each pod has an account, its token, and its pull secrets.
//!
//! Source: `plugin/pkg/admission/serviceaccount/admission.go`.

use super::{Cluster, Write, each, list, text};
use crate::refusal::Refusal;
use serde_json::{Value, json};
use std::sync::Arc;

const TOKENS_PLACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
const VOLUME: &str = "kube-api-access-";
/// What names are made of: neither words nor digits that look like letters.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// Gives a new pod its account, the account's token, and its pull secrets.
pub fn fill(write: &Write<'_>, pod: &mut Value, cluster: &dyn Cluster) -> Result<(), Refusal> {
    if !write.creates() || is_mirror(pod) {
        return Ok(());
    }
    if text(&pod["spec"], "serviceAccountName").is_empty() {
        pod["spec"]["serviceAccountName"] = "default".into();
    }
    // The name of before v1, which clients still read.
    pod["spec"]["serviceAccount"] = pod["spec"]["serviceAccountName"].clone();
    let account = account(write, pod, cluster)?;
    let wish = &pod["spec"]["automountServiceAccountToken"];
    let wish = wish.as_bool().or(account["automountServiceAccountToken"].as_bool());
    if wish.unwrap_or(true) {
        mount(pod);
    }
    if each(&pod["spec"]["imagePullSecrets"]).next().is_none() {
        let secrets: Vec<Value> =
            each(&account["imagePullSecrets"]).map(|one| json!({"name": one["name"]})).collect();
        if !secrets.is_empty() {
            pod["spec"]["imagePullSecrets"] = secrets.into();
        }
    }
    Ok(())
}

/// What a new pod may not be without, and a mirror pod may not have.
pub fn check(write: &Write<'_>, pod: &Value, cluster: &dyn Cluster) -> Result<(), Refusal> {
    let spec = &pod["spec"];
    let name = text(spec, "serviceAccountName");
    if is_mirror(pod) {
        let mut sources = each(&spec["volumes"]).flat_map(|volume| each(&volume["projected"]["sources"]));
        let why = if !name.is_empty() {
            "a mirror pod may not reference service accounts"
        } else if !crate::authz::node::secrets_of(pod).is_empty() {
            "a mirror pod may not reference secrets"
        } else if sources.any(|source| !source["serviceAccountToken"].is_null()) {
            "a mirror pod may not use ServiceAccountToken volume projections"
        } else {
            return Ok(());
        };
        return Err(write.forbidden(pod, why));
    }
    let account = account(write, pod, cluster)?;
    if account["metadata"]["annotations"]["kubernetes.io/enforce-mountable-secrets"] == "true" {
        mountable(write, pod, &account)?;
    }
    Ok(())
}

fn is_mirror(pod: &Value) -> bool {
    !pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null()
}

fn account(write: &Write<'_>, pod: &Value, cluster: &dyn Cluster) -> Result<Arc<Value>, Refusal> {
    let name = text(&pod["spec"], "serviceAccountName");
    cluster.object("serviceaccounts", write.namespace, name).ok_or_else(|| {
        let place = write.namespace;
        let why =
            format!("error looking up service account {place}/{name}: serviceaccount {name:?} not found");
        write.forbidden(pod, why)
    })
}

/// An account may allow only the secrets that it lists.
fn mountable(write: &Write<'_>, pod: &Value, account: &Value) -> Result<(), Refusal> {
    let listed = |key: &str, name: &str| each(&account[key]).any(|one| one["name"] == name);
    let spec = &pod["spec"];
    let pull: Vec<&str> = each(&spec["imagePullSecrets"]).map(|one| text(one, "name")).collect();
    let own = text(&account["metadata"], "name");
    for name in crate::authz::node::secrets_of(pod) {
        if pull.contains(&name) {
            if !listed("imagePullSecrets", name) {
                let why = format!(
                    "imagePullSecrets[].name={name:?} is not allowed because service account {own} does not \
                     reference that imagePullSecret"
                );
                return Err(write.forbidden(pod, why));
            }
        } else if !listed("secrets", name) {
            let why = format!(
                "a reference to the secret {name:?} is not allowed because service account {own} does not \
                 reference that secret"
            );
            return Err(write.forbidden(pod, why));
        }
    }
    Ok(())
}

/// Mounts the token into every container that has nothing at its place.
fn mount(pod: &mut Value) {
    let volumes = each(&pod["spec"]["volumes"]).map(|volume| text(volume, "name"));
    let present = volumes.into_iter().find(|name| name.starts_with(VOLUME)).map(str::to_owned);
    let is_present = present.is_some();
    let name = present.unwrap_or_else(|| format!("{VOLUME}{}", random_name()));
    let mut mounted = false;
    for key in ["initContainers", "containers"] {
        // Indexing would leave a null where there are none.
        let containers = pod["spec"].get_mut(key).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if each(&container["volumeMounts"]).any(|mount| mount["mountPath"] == TOKENS_PLACE) {
                continue;
            }
            let mount = json!({"name": name, "readOnly": true, "mountPath": TOKENS_PLACE});
            list(container, "volumeMounts").push(mount);
            mounted = true;
        }
    }
    if mounted && !is_present {
        list(&mut pod["spec"], "volumes").push(volume(&name));
    }
}

/// `TokenVolumeSource`: the token, the CA, and the namespace.
fn volume(name: &str) -> Value {
    json!({"name": name, "projected": {"sources": [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [
            {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
        ]}},
    ], "defaultMode": 420}})
}

fn random_name() -> String {
    let letter = |byte: u8| char::from(LETTERS[usize::from(byte) % LETTERS.len()]);
    rand::random::<[u8; 5]>().into_iter().map(letter).collect()
}
