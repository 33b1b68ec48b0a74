//! What the collector asks of the API: metadata read, references and finalizers taken away, objects deleted.
//!
//! Each write names the revision that was read, so that nothing is decided on what is no longer so.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy};
use kube::core::PartialObjectMeta;
use serde_json::{Value, json};

use super::graph::{Node, Uid};
use crate::Error;
use crate::error::On as _;
use crate::kinds::Kind;

type Metadata = Api<PartialObjectMeta<DynamicObject>>;

/// The objects of a kind in a namespace, or in none.
pub fn api(client: &kube::Client, kind: &Kind, namespace: &str) -> Metadata {
    match kind.namespaced {
        true => Api::namespaced_with(client.clone(), namespace, &kind.resource),
        false => Api::all_with(client.clone(), &kind.resource),
    }
}

/// An object in words.
pub fn named(node: &Node) -> String {
    let kind = &node.kind.resource.kind;
    match node.namespace.is_empty() {
        true => format!("{kind} {}", node.name),
        false => format!("{kind} {}/{}", node.namespace, node.name),
    }
}

/// An object's metadata, if it is still the one of that uid.
pub async fn read(client: &kube::Client, node: &Node, uid: &Uid) -> Result<Option<ObjectMeta>, Error> {
    let there = api(client, &node.kind, &node.namespace).get_opt(&node.name).await;
    let there = there.on(|| format!("cannot read {}", named(node)))?;
    Ok(there.map(|there| there.metadata).filter(|there| there.uid.as_deref() == Some(&**uid)))
}

/// Takes a finalizer away.
pub async fn remove_finalizer(
    client: &kube::Client,
    node: &Node,
    there: &ObjectMeta,
    finalizer: &str,
) -> Result<(), Error> {
    let all = there.finalizers.iter().flatten();
    let kept: Vec<&String> = all.clone().filter(|one| *one != finalizer).collect();
    if kept.len() == all.count() {
        return Ok(());
    }
    change(client, node, there, json!({"finalizers": kept})).await
}

/// Takes references to owners away.
pub async fn cut(
    client: &kube::Client,
    node: &Node,
    there: &ObjectMeta,
    owners: &[Uid],
) -> Result<(), Error> {
    let all = there.owner_references.iter().flatten();
    let kept: Vec<_> = all.clone().filter(|one| !owners.iter().any(|uid| **uid == *one.uid)).collect();
    if kept.len() == all.count() {
        return Ok(());
    }
    change(client, node, there, json!({"ownerReferences": kept})).await
}

/// No owner waits for it any more.
pub async fn unblock(client: &kube::Client, node: &Node, there: &ObjectMeta) -> Result<(), Error> {
    let mut all = there.owner_references.clone().unwrap_or_default();
    all.iter_mut().for_each(|one| one.block_owner_deletion = Some(false));
    change(client, node, there, json!({"ownerReferences": all})).await
}

/// Changes metadata of the revision that was read; what is gone needs no change.
async fn change(
    client: &kube::Client,
    node: &Node,
    there: &ObjectMeta,
    mut metadata: Value,
) -> Result<(), Error> {
    metadata["resourceVersion"] = there.resource_version.clone().into();
    metadata["uid"] = there.uid.clone().into();
    let api = api(client, &node.kind, &node.namespace);
    let patch = Patch::Merge(json!({"metadata": metadata}));
    let changed = api.patch(&node.name, &PatchParams::default(), &patch).await;
    match changed.on(|| format!("cannot change the metadata of {}", named(node))) {
        Err(error) if error.code() != 404 => Err(error),
        _ => Ok(()),
    }
}

/// Deletes the object of the revision that was read.
pub async fn delete(
    client: &kube::Client,
    node: &Node,
    there: &ObjectMeta,
    policy: PropagationPolicy,
) -> Result<(), Error> {
    let preconditions =
        Preconditions { uid: there.uid.clone(), resource_version: there.resource_version.clone() };
    let params = DeleteParams {
        propagation_policy: Some(policy),
        preconditions: Some(preconditions),
        ..DeleteParams::default()
    };
    // Not as metadata: servers answer a deletion with the object or with a Status.
    let api: Api<DynamicObject> = match node.kind.namespaced {
        true => Api::namespaced_with(client.clone(), &node.namespace, &node.kind.resource),
        false => Api::all_with(client.clone(), &node.kind.resource),
    };
    match api.delete(&node.name, &params).await.on(|| format!("cannot delete {}", named(node))) {
        Err(error) if error.code() != 404 => Err(error),
        _ => Ok(()),
    }
}
