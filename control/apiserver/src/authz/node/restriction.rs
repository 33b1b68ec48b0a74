//! NodeRestriction: a kubelet writes its own node, its own pods' states, and nothing else.
//!
//! Source: `plugin/pkg/admission/noderestriction/admission.go`, with its messages.

use super::{LEASES, audience, name_of, references};
use crate::authn::Lookup;
use crate::authz::{Authorizer, qualified};
use crate::refusal::Refusal;
use crate::request::{Attributes, User};
use serde_json::Value;
use std::collections::BTreeSet;

/// A write that is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct NodeWrite<'a> {
    /// Who writes.
    pub user: &'a User,
    /// `create`, `update` (also of a patch) or `delete`.
    pub operation: &'a str,
    /// The API group.
    pub group: &'a str,
    /// The resource.
    pub resource: &'a str,
    /// The subresource.
    pub subresource: &'a str,
    /// The namespace.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// The object as it shall be; of an eviction or a token request, that.
    pub new: Option<&'a Value>,
    /// The object as it is.
    pub old: Option<&'a Value>,
}

/// Whether a write is allowed, as far as it is a node's.
pub fn restrict(write: &NodeWrite<'_>, lookup: &dyn Lookup) -> Result<(), Refusal> {
    judge(write, lookup, &|_| false)
}

impl Authorizer {
    /// The same, where RBAC may let a node ask for tokens for audiences that no volume of the pod names.
    pub fn restrict_node(&self, write: &NodeWrite<'_>, lookup: &dyn Lookup) -> Result<(), Refusal> {
        judge(write, lookup, &|audience| {
            let asked = Attributes {
                user: write.user,
                verb: "request-serviceaccounts-token-audience",
                group: "",
                version: "",
                resource: audience,
                subresource: "",
                namespace: write.namespace,
                name: write.name,
                path: "",
            };
            !audience.is_empty() && self.decide(&asked).allows()
        })
    }
}

fn judge(write: &NodeWrite<'_>, lookup: &dyn Lookup, may: &dyn Fn(&str) -> bool) -> Result<(), Refusal> {
    let Some(node) = name_of(write.user) else { return Ok(()) };
    let checked = match (write.group, write.resource, write.subresource) {
        _ if node.is_empty() => no(format!("could not determine node from user {:?}", write.user.name)),
        ("", "pods", "") => pod(node, write, lookup),
        ("", "pods", "status") => pod_status(node, write),
        ("", "pods", "eviction") => eviction(node, write, lookup),
        ("", "pods", other) => {
            no(format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"))
        }
        ("", "nodes", _) => own_node(node, write),
        ("", "persistentvolumeclaims", "status") => claim_status(node, write),
        ("", "persistentvolumeclaims", _) => no("may only update PVC status"),
        ("", "serviceaccounts", "token") => token(node, write, lookup, may),
        ("coordination.k8s.io", "leases", _) => match () {
            () if write.namespace != LEASES => {
                no(format!("can only access leases in the {LEASES:?} system namespace"))
            }
            () => same_name(node, write, "node lease"),
        },
        ("storage.k8s.io", "csinodes", _) => same_name(node, write, "CSINode"),
        _ => Ok(()),
    };
    checked.map_err(|why| match why {
        Why::Forbidden(why) => Refusal::forbidden(&qualified(write.group, write.resource), write.name, why),
        Why::Missing(resource, name) => Refusal::not_found(resource, &name),
    })
}

/// Why not.
enum Why {
    Forbidden(String),
    /// Something that the write refers to is not there.
    Missing(&'static str, String),
}

type Checked = Result<(), Why>;

fn no(why: impl Into<String>) -> Checked {
    Err(Why::Forbidden(why.into()))
}

fn found(
    lookup: &dyn Lookup,
    resource: &'static str,
    namespace: &str,
    name: &str,
) -> Result<std::sync::Arc<Value>, Why> {
    lookup.object(resource, namespace, name).ok_or_else(|| Why::Missing(resource, name.to_owned()))
}

fn object(value: Option<&Value>) -> &Value {
    value.unwrap_or(&Value::Null)
}

fn same_name(node: &str, write: &NodeWrite<'_>, what: &str) -> Checked {
    let told = object(write.new)["metadata"]["name"].as_str().unwrap_or(write.name);
    if told == node && (write.name.is_empty() || write.name == node) {
        return Ok(());
    }
    no(format!("can only access {what} with the same name as the requesting node"))
}

fn pod(node: &str, write: &NodeWrite<'_>, lookup: &dyn Lookup) -> Checked {
    match write.operation {
        "create" => mirror_pod(node, object(write.new), lookup),
        "delete" if object(write.old)["spec"]["nodeName"] == node => Ok(()),
        "delete" => no(format!("node {node:?} can only delete pods with spec.nodeName set to itself")),
        other => no(format!(
            "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
            other.to_uppercase()
        )),
    }
}

/// A node makes no pods but the images of its static ones, which refer to nothing in the cluster.
fn mirror_pod(node: &str, pod: &Value, lookup: &dyn Lookup) -> Checked {
    const MIRROR: &str = "kubernetes.io/config.mirror";
    if pod["metadata"]["annotations"][MIRROR].is_null() {
        return no(format!(
            "pod does not have {MIRROR:?} annotation, node {node:?} can only create mirror pods"
        ));
    }
    if pod["spec"]["nodeName"] != node {
        return no(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    owned(node, pod, lookup)?;
    let spec = &pod["spec"];
    let volume = |key: &str| references::each(&spec["volumes"]).any(|volume| !volume[key].is_null());
    let projected = |key: &str| {
        let sources =
            references::each(&spec["volumes"]).flat_map(|v| references::each(&v["projected"]["sources"]));
        sources.into_iter().any(|source| !source[key].is_null())
    };
    let refers = [
        (spec["serviceAccountName"].as_str().is_some_and(|name| !name.is_empty()), "a service account"),
        (projected("serviceAccountToken"), "a service account"),
        (!references::secrets(pod).is_empty(), "secrets"),
        (!references::config_maps(pod).is_empty(), "configmaps"),
        (projected("clusterTrustBundle"), "clustertrustbundles"),
        (volume("persistentVolumeClaim") || volume("ephemeral"), "persistentvolumeclaims"),
        (references::each(&spec["resourceClaims"]).next().is_some(), "resourceclaims"),
    ];
    match refers.iter().find(|(refers, _)| *refers) {
        Some((_, what)) => no(format!("node {node:?} can not create pods that reference {what}")),
        None => Ok(()),
    }
}

fn owned(node: &str, pod: &Value, lookup: &dyn Lookup) -> Checked {
    let owners: Vec<&Value> = references::each(&pod["metadata"]["ownerReferences"]).collect();
    let itself = no(format!("node {node:?} can only create pods with an owner reference set to itself"));
    let owner = match owners[..] {
        [] => return itself,
        [owner] => owner,
        _ => {
            return no(format!(
                "node {node:?} can only create pods with a single owner reference set to itself"
            ));
        }
    };
    if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != node {
        return itself;
    }
    if owner["controller"] != true {
        return no(format!(
            "node {node:?} can only create pods with a controller owner reference set to itself"
        ));
    }
    if owner["blockOwnerDeletion"] == true {
        return no(format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
    }
    let found = found(lookup, "nodes", "", node)?;
    let uid = |object: &Value| object["uid"].as_str().unwrap_or_default().to_owned();
    let (told, own) = (uid(owner), uid(&found["metadata"]));
    if own == told { Ok(()) } else { no(format!("node {node} UID mismatch: expected {told} got {own}")) }
}

fn pod_status(node: &str, write: &NodeWrite<'_>) -> Checked {
    let (old, new) = (object(write.old), object(write.new));
    if write.operation != "update" {
        return no(format!("unexpected operation {:?}", write.operation.to_uppercase()));
    }
    if old["spec"]["nodeName"] != node {
        return no(format!(
            "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
        ));
    }
    if !same(&old["metadata"]["labels"], &new["metadata"]["labels"]) {
        return no(format!("node {node:?} cannot update labels through pod status"));
    }
    if !same(&old["status"]["resourceClaimStatuses"], &new["status"]["resourceClaimStatuses"]) {
        return no(format!("node {node:?} cannot update resource claim statues"));
    }
    Ok(())
}

/// Equal, where none and empty are the same.
fn same(one: &Value, other: &Value) -> bool {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    one == other || empty(one) && empty(other)
}

fn eviction(node: &str, write: &NodeWrite<'_>, lookup: &dyn Lookup) -> Checked {
    if write.operation != "create" {
        return no(format!("unexpected operation {:?}", write.operation.to_uppercase()));
    }
    let told = object(write.new)["metadata"]["name"].as_str().unwrap_or_default();
    let name = if write.name.is_empty() { told } else { write.name };
    if name.is_empty() {
        return no("could not determine pod from request data");
    }
    let pod = found(lookup, "pods", write.namespace, name)?;
    if pod["spec"]["nodeName"] == node {
        return Ok(());
    }
    no(format!("node {node} can only evict pods with spec.nodeName set to itself"))
}

fn own_node(node: &str, write: &NodeWrite<'_>) -> Checked {
    let (old, new) = (object(write.old), object(write.new));
    let told = new["metadata"]["name"].as_str().unwrap_or_default();
    let name = if write.name.is_empty() { told } else { write.name };
    if name != node {
        return no(format!("node {node:?} is not allowed to modify node {name:?}"));
    }
    let label = |one: &Value, key: &str| one["metadata"]["labels"].get(key).cloned();
    let keys = |one: &Value| -> BTreeSet<String> {
        one["metadata"]["labels"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
    };
    let changed = &keys(old) | &keys(new);
    let changed = changed.into_iter().filter(|key| label(old, key) != label(new, key));
    let forbidden: Vec<String> = changed.filter(|key| is_forbidden(key)).collect();
    let forbidden = forbidden.join(", ");
    match write.operation {
        "create" if !new["spec"]["configSource"].is_null() => {
            no(format!("node {node:?} is not allowed to create pods with a non-nil configSource"))
        }
        "create" if !forbidden.is_empty() => {
            no(format!("node {node:?} is not allowed to set the following labels: {forbidden}"))
        }
        "update"
            if !new["spec"]["configSource"].is_null()
                && old["spec"]["configSource"] != new["spec"]["configSource"] =>
        {
            no(format!("node {node:?} is not allowed to update configSource to a new non-nil configSource"))
        }
        "update" if !same(&old["spec"]["taints"], &new["spec"]["taints"]) => {
            no(format!("node {node:?} is not allowed to modify taints"))
        }
        "update" if !same(&old["metadata"]["ownerReferences"], &new["metadata"]["ownerReferences"]) => {
            no(format!("node {node:?} is not allowed to modify ownerReferences"))
        }
        "update" if !forbidden.is_empty() => no(format!("is not allowed to modify labels: {forbidden}")),
        _ => Ok(()),
    }
}

/// Labels of Kubernetes that are not a kubelet's to give (`kubeletapis.IsKubeletLabel`), above all those that keep
/// nodes apart.
fn is_forbidden(label: &str) -> bool {
    const OWN: [&str; 12] = [
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "node.kubernetes.io/windows-build",
    ];
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let within = |parent: &str| {
        domain == parent || domain.strip_suffix(parent).is_some_and(|start| start.ends_with('.'))
    };
    if within("node-restriction.kubernetes.io") {
        return true;
    }
    let kubernetes = within("kubernetes.io") || within("k8s.io");
    kubernetes && !OWN.contains(&label) && !within("kubelet.kubernetes.io") && !within("node.kubernetes.io")
}

fn claim_status(node: &str, write: &NodeWrite<'_>) -> Checked {
    if write.operation != "update" {
        return no(format!("unexpected operation {:?}", write.operation.to_uppercase()));
    }
    let rest = |claim: &Value| {
        let mut rest = claim.clone();
        if let Some(status) = rest["status"].as_object_mut() {
            for key in ["capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"] {
                status.remove(key);
            }
        }
        if let Some(metadata) = rest["metadata"].as_object_mut() {
            metadata.remove("managedFields");
            metadata.remove("resourceVersion");
        }
        rest
    };
    if rest(object(write.old)) == rest(object(write.new)) {
        return Ok(());
    }
    no(format!(
        "node {node:?} is not allowed to update fields other than status.capacity and status.conditions"
    ))
}

fn token(node: &str, write: &NodeWrite<'_>, lookup: &dyn Lookup, may: &dyn Fn(&str) -> bool) -> Checked {
    if write.operation != "create" {
        return Ok(());
    }
    let bound = &object(write.new)["spec"]["boundObjectRef"];
    let text = |key: &str| bound[key].as_str().unwrap_or_default();
    if text("apiVersion") != "v1" || text("kind") != "Pod" || text("name").is_empty() {
        return no("node requested token not bound to a pod");
    }
    let uid = text("uid");
    if uid.is_empty() {
        return no("node requested token with a pod binding without a uid");
    }
    let name = text("name");
    let pod = found(lookup, "pods", write.namespace, name)?;
    if pod["metadata"]["uid"] != uid {
        return no(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have \
             been deleted and then recreated"
        ));
    }
    if pod["spec"]["nodeName"] != node {
        return no("node requested token bound to a pod scheduled on a different node");
    }
    match audience::asked(object(write.new)) {
        None => no("node may only request 0 or 1 audiences"),
        Some(one) if audience::is_wanted(&pod, write.namespace, one, lookup) || may(one) => Ok(()),
        Some(one) => no(format!("audience {one:?} not found in pod spec volume")),
    }
}
