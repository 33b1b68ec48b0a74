//! Admission's plugins: what the cluster adds to an object, and refuses of it, beyond what its kind says.
//!
//! Those that upstream has on by default (`pkg/kubeapiserver/options/plugins.go`) and that look at the kinds served
//! here, in upstream's order. Each is a function of the object, the one before, and what is in the watch caches; it
//! costs nothing for the kinds that it does not look at.

mod certificates;
mod default_class;
mod limit_range;
mod pod_resources;
mod priority;
mod service_account;
mod taints;
#[cfg(test)]
mod tests;

use crate::authn::Lookup;
use crate::authz::{Authorizer, qualified};
use crate::refusal::Refusal;
use crate::request::User;
use serde_json::Value;
use std::sync::Arc;

/// Objects as the watch caches have them.
pub trait Cluster: Lookup {
    /// All of a resource, in a namespace or (with none) of the cluster.
    fn all(&self, resource: &str, namespace: &str) -> Vec<Arc<Value>>;
}

/// A write.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// Who writes.
    pub user: &'a User,
    /// The API group.
    pub group: &'a str,
    /// The resource.
    pub resource: &'a str,
    /// The subresource.
    pub subresource: &'a str,
    /// The namespace.
    pub namespace: &'a str,
    /// The object as it is; `None` when it is created.
    pub old: Option<&'a Value>,
}

impl Write<'_> {
    /// Whether it is of this resource itself (not of a part of it).
    fn is_of(&self, group: &str, resource: &str) -> bool {
        (self.group, self.resource, self.subresource) == (group, resource, "")
    }

    fn creates(&self) -> bool {
        self.old.is_none()
    }

    /// A refusal that names the object as `admission.NewForbidden` does.
    fn forbidden(&self, object: &Value, why: impl std::fmt::Display) -> Refusal {
        let text = |key: &str| object["metadata"][key].as_str().filter(|text| !text.is_empty());
        let name = text("name").or_else(|| text("generateName")).unwrap_or("Unknown");
        Refusal::forbidden(&qualified(self.group, self.resource), name, why)
    }
}

/// What is added to an object, after its defaults and before its validation.
pub fn mutate(write: &Write<'_>, object: &mut Value, cluster: &dyn Cluster) -> Result<(), Refusal> {
    if !is_shaped(object) {
        return Err(Refusal::bad_request("the object's metadata, spec or containers are not of their types"));
    }
    if write.is_of("", "pods") {
        limit_range::fill(write, object, cluster);
        service_account::fill(write, object, cluster)?;
        priority::fill(write, object, cluster)?;
        taints::tolerate(object);
    }
    if write.is_of("", "nodes") && write.creates() {
        taints::taint(object);
    }
    if write.is_of("", "persistentvolumeclaims") && write.creates() {
        default_class::of_claim(object, cluster);
    }
    if write.is_of("networking.k8s.io", "ingresses") && write.creates() {
        default_class::of_ingress(object, cluster);
    }
    Ok(())
}

/// What is refused of an object that is complete.
pub fn check(
    write: &Write<'_>,
    object: &Value,
    cluster: &dyn Cluster,
    authorizer: &Authorizer,
) -> Result<(), Refusal> {
    if write.is_of("", "pods") || write.is_of("", "persistentvolumeclaims") {
        limit_range::check(write, object, cluster)?;
    }
    if write.is_of("", "pods") && write.creates() {
        service_account::check(write, object, cluster)?;
    }
    if write.is_of("", "persistentvolumeclaims") {
        default_class::check_growth(write, object, cluster)?;
    }
    if write.is_of("scheduling.k8s.io", "priorityclasses") {
        priority::check_class(write, object, cluster)?;
    }
    if (write.group, write.resource) == ("certificates.k8s.io", "certificatesigningrequests") {
        certificates::check(write, object, authorizer)?;
    }
    Ok(())
}

/// Whether what is written into is an object, or not there. Decoding has seen to it; a fault there must not become a
/// panic here.
fn is_shaped(object: &Value) -> bool {
    let map = |value: &Value| value.is_null() || value.is_object();
    let (metadata, spec) = (&object["metadata"], &object["spec"]);
    let container = |container: &Value| {
        let resources = &container["resources"];
        container.is_object() && map(resources) && map(&resources["requests"]) && map(&resources["limits"])
    };
    object.is_object()
        && [metadata, spec, &metadata["annotations"]].into_iter().all(map)
        && each(&spec["containers"]).chain(each(&spec["initContainers"])).all(container)
}

/// Each element of a list; none if it is no list.
fn each(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

/// The list of a key, which is made if it is none.
fn list<'a>(object: &'a mut Value, key: &str) -> &'a mut Vec<Value> {
    if !object[key].is_array() {
        object[key] = Value::Array(Vec::new());
    }
    match &mut object[key] {
        Value::Array(list) => list,
        _ => unreachable!("made above"),
    }
}
