//! The end of a namespace: everything in it is deleted, what hinders that is told by conditions, and when nothing is
//! left its own finalizer is taken away, upon which the API server removes it.
//!
//! Upstream: `pkg/controller/namespace/namespace_controller.go` and `deletion/`. A pass reads what is there; nothing is
//! remembered between passes.

mod conditions;
mod content;

use jiff::Timestamp;
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};
use std::time::Duration;

use crate::error::On as _;
use crate::kinds::known;
use crate::{Clients, Error, Step};

/// The finalizer in `spec.finalizers` that this controller stands for.
const FINALIZER: &str = "kubernetes";

/// Looks at a namespace; `writer` is the account's client.
pub async fn look(clients: &Clients, writer: &kube::Client, name: &str) -> Result<Step, Error> {
    let kind = known("", "v1", "Namespace", "namespaces");
    let api: Api<DynamicObject> = Api::all_with(clients.own.clone(), &kind);
    let there = api.get_opt(name).await.on(|| format!("cannot read the namespace {name}"))?;
    let Some(mut there) = there else { return Ok(Step::Done) };
    let Some(deleted) = there.metadata.deletion_timestamp.clone() else { return Ok(Step::Done) };
    if finalizers(&there).is_empty() {
        return Ok(Step::Done);
    }
    let api: Api<DynamicObject> = Api::all_with(writer.clone(), &kind);
    let since = Timestamp::now().duration_since(deleted.0).unsigned_abs();
    let content = content::clear(writer, name, since).await;
    if tell(&mut there, &content.found) {
        let written = api.replace_status(name, &PostParams::default(), &there).await;
        there = written.on(|| format!("cannot write the conditions of namespace {name}"))?;
    }
    if !content.errors.is_empty() {
        return Err(Error::Several(content.errors));
    }
    if !content.found.left.is_empty() {
        return Ok(Step::Wait(content.estimate / 2 + Duration::from_secs(1)));
    }
    finalize(&mut there);
    let written = api.replace_subresource("finalize", name, &PostParams::default(), &there).await;
    match written.on(|| format!("cannot take the finalizer of namespace {name} away")) {
        Err(error) if error.code() != 404 => Err(error),
        _ => Ok(Step::Done),
    }
}

fn finalizers(namespace: &DynamicObject) -> &[Value] {
    let list = namespace.data.pointer("/spec/finalizers").and_then(Value::as_array);
    list.map_or(&[], Vec::as_slice)
}

/// Writes the phase and what was found into the status. Whether anything changed.
fn tell(namespace: &mut DynamicObject, found: &conditions::Found) -> bool {
    let there = namespace.data.pointer("/status/conditions").and_then(Value::as_array);
    let wanted = found.conditions(there.map_or(&[], Vec::as_slice), &now());
    let terminating = namespace.data.pointer("/status/phase") == Some(&json!("Terminating"));
    if wanted.is_none() && terminating {
        return false;
    }
    if !namespace.data["status"].is_object() {
        namespace.data["status"] = json!({});
    }
    namespace.data["status"]["phase"] = "Terminating".into();
    if let Some(conditions) = wanted {
        namespace.data["status"]["conditions"] = conditions.into();
    }
    true
}

/// Takes this controller's finalizer away, and no other's.
fn finalize(namespace: &mut DynamicObject) {
    let kept: Vec<Value> = finalizers(namespace).iter().filter(|one| *one != FINALIZER).cloned().collect();
    namespace.data["spec"]["finalizers"] = kept.into();
}

/// The time as `metav1.Time` has it.
pub fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(data: Value) -> DynamicObject {
        DynamicObject::new("a", &known("", "v1", "Namespace", "namespaces")).data(data)
    }

    /// `finalizeNamespace`: others' finalizers stay.
    #[test]
    fn only_its_own_finalizer_goes() {
        let mut there = namespace(json!({"spec": {"finalizers": ["x.io/y", "kubernetes"]}}));
        finalize(&mut there);
        assert_eq!(finalizers(&there), [json!("x.io/y")]);
        assert!(finalizers(&namespace(json!({"spec": {}}))).is_empty());
    }

    /// `updateNamespaceStatusFunc`: the phase is Terminating.
    #[test]
    fn the_status_is_written_when_it_changes() {
        let mut there = namespace(json!({}));
        let found = conditions::Found::default();
        assert!(tell(&mut there, &found) && there.data["status"]["phase"] == "Terminating");
        assert!(!tell(&mut there, &found));
    }
}
