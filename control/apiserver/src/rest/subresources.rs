//! Subresources with bodies of their own: scale, binding, eviction, token.

use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;
use weft_objects::Faults;

use super::answer::Answer;
use super::form::Form;
use super::{Call, patch, prepare};
use crate::cache::Entry;
use crate::kinds::{self, Kind};
use crate::object::{at, is_going, list, map, metadata, name, now, number, put, text, uid};
use crate::status::{Failure, Outcome};

/// A `Scale` of an object (`autoscaling/v1`).
fn scale_of(object: &Value) -> Value {
    let status = json!({
        "replicas": number(object, "status.replicas"),
        "selector": selector(at(object, "spec.selector")),
    });
    let mut spec = json!({});
    if let Some(replicas) = at(object, "spec.replicas").as_i64().filter(|replicas| *replicas != 0) {
        spec["replicas"] = replicas.into();
    }
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": name(object), "namespace": text(object, "metadata.namespace"), "uid": uid(object),
            "resourceVersion": text(object, "metadata.resourceVersion"),
            "creationTimestamp": at(object, "metadata.creationTimestamp"),
        },
        "spec": spec, "status": status,
    })
}

/// A selector in its text form; a replication controller's is a map of labels.
fn selector(value: &Value) -> String {
    let whole = if at(value, "matchLabels").is_null() && at(value, "matchExpressions").is_null() {
        json!({"matchLabels": value})
    } else {
        value.clone()
    };
    match kinds::selector_text(&whole).as_str() {
        "<none>" => String::new(),
        text => text.to_owned(),
    }
}

impl Call<'_> {
    async fn there(&self) -> Outcome<Arc<Entry>> {
        let target = &self.target;
        let there = self.current(&target.namespace, &target.name).await?;
        there.ok_or_else(|| Failure::not_found(target.kind, &target.name))
    }

    /// `scale`: GET, PUT, PATCH.
    pub(super) async fn scale(&self) -> Outcome<Answer> {
        let there = self.there().await?;
        if self.verb == "get" {
            return Answer::object(StatusCode::OK, scale_of(&there.object()), self.form);
        }
        let dry = self.dry_run()?;
        let put_body = match self.verb {
            "update" => Some(self.read_object()?.object),
            _ => None,
        };
        let entry = self
            .change(Some(there), dry, |old| {
                let wanted = match &put_body {
                    Some(scale) => scale.clone(),
                    None => patch::apply_to(self, scale_of(old))?.0,
                };
                self.scaled(old, &wanted)
            })
            .await?;
        Answer::object(StatusCode::OK, scale_of(&entry.object()), self.form)
    }

    fn scaled(&self, old: &Value, wanted: &Value) -> Outcome<Value> {
        let replicas = number(wanted, "spec.replicas");
        if !(0..=i64::from(i32::MAX)).contains(&replicas) {
            let mut faults = Faults::default();
            faults.invalid("spec.replicas", replicas, "must be greater than or equal to 0");
            return Err(Failure::invalid(self.target.kind, name(old), &faults));
        }
        if !name(wanted).is_empty() && name(wanted) != name(old) {
            return Err(Failure::bad_request("the name of the scale is not the name on the URL"));
        }
        let mut object = old.clone();
        put(&mut object, "spec.replicas", replicas.into());
        let said = text(wanted, "metadata.resourceVersion");
        // A PATCH is of whatever is there; a PUT that names a revision means it.
        let revision = if self.verb == "update" && !said.is_empty() { said.into() } else { Value::Null };
        put(&mut object, "metadata.resourceVersion", revision);
        Ok(object)
    }

    /// `pods/binding`: the scheduler's choice.
    pub(super) async fn bind(&self) -> Outcome<Answer> {
        let binding = self.read_object()?.object;
        self.bind_to(&binding).await
    }

    /// Binds the pod of the path to the binding's node.
    pub(super) async fn bind_to(&self, binding: &Value) -> Outcome<Answer> {
        self.api.node_restriction(self, Some(binding), None)?;
        let (node, kind) = (text(binding, "target.name"), self.target.kind);
        let mut faults = Faults::default();
        if !["", "Node"].contains(&text(binding, "target.kind")) {
            faults.not_supported("target.kind", text(binding, "target.kind"), &["Node", "<empty>"]);
        }
        if node.is_empty() {
            faults.required("target.name", "");
        }
        if !faults.is_empty() {
            return Err(Failure::invalid(kind, &self.target.name, &faults));
        }
        let there = self.there().await?;
        let wanted = uid(binding);
        if !wanted.is_empty() && wanted != uid(&there.object()) {
            let why = format!(
                "Precondition failed: UID in precondition: {wanted}, UID in object meta: {}",
                uid(&there.object())
            );
            return Err(Failure::conflict(kind, &self.target.name, &why));
        }
        let annotations = at(binding, "metadata.annotations").as_object().cloned().unwrap_or_default();
        self.change(Some(there), self.dry_run()?, |pod| {
            let (pod_name, bound) = (name(pod), text(pod, "spec.nodeName"));
            let why = if is_going(pod) {
                format!("pod {pod_name} is being deleted, cannot be assigned to a host")
            } else if !bound.is_empty() {
                format!("pod {pod_name} is already assigned to node {bound:?}")
            } else if !list(pod, "spec.schedulingGates").is_empty() {
                format!("pod {pod_name} has non-empty .spec.schedulingGates")
            } else {
                String::new()
            };
            if !why.is_empty() {
                let failure = Failure::conflict(kind, pod_name, &why);
                // Upstream names the subresource as if it were the resource.
                return Err(failure
                    .with_message(|message| message.replacen(" pods ", " pods/binding ", 1))
                    .named("", "pods/binding", pod_name));
            }
            let mut pod = pod.clone();
            metadata(&mut pod).remove("resourceVersion");
            put(&mut pod, "spec.nodeName", node.into());
            if !annotations.is_empty() {
                let own = metadata(&mut pod).entry("annotations").or_insert_with(|| json!({}));
                map(own).extend(annotations.clone());
            }
            prepare::set_condition(&mut pod, "PodScheduled", "True");
            Ok(pod)
        })
        .await?;
        let status =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Answer::object(StatusCode::CREATED, status, Form::Json)
    }

    /// `pods/eviction`: a deletion that disruption budgets may refuse.
    pub(super) async fn evict(&self) -> Outcome<Answer> {
        let eviction = self.read_object()?.object;
        self.api.node_restriction(self, Some(&eviction), None)?;
        let there = self.there().await?;
        let pod = there.object();
        let ended = ["Succeeded", "Failed", "Pending"].contains(&text(&pod, "status.phase"));
        if !ended && !is_going(&pod) {
            self.use_budget(&pod).await?;
        }
        let options = at(&eviction, "deleteOptions");
        let call = Call {
            target: super::target::Target { subresource: None, ..self.target.clone() },
            verb: "delete",
            query: super::Query::default(),
            body: if options.is_null() { bytes::Bytes::new() } else { options.to_string().into() },
            ..*self
        };
        call.delete().await?;
        let status =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
        Answer::object(StatusCode::CREATED, status, Form::Json)
    }

    /// Takes one disruption from the pod's budget, if it has one (`pkg/registry/core/pod/storage/eviction.go`).
    async fn use_budget(&self, pod: &Value) -> Outcome<()> {
        let Some(kind) = kinds::stored("policy", "poddisruptionbudgets") else { return Ok(()) };
        let Some(cache) = self.api.caches.of(kind) else { return Ok(()) };
        let budgets: Vec<Value> =
            cache.list(&self.target.namespace).0.iter().map(|entry| entry.object()).collect();
        let covers = |budget: &&Value| {
            let of = at(budget, "spec.selector");
            weft_objects::selector::LabelSelector::of_object(of).is_ok_and(|selector| {
                !of.is_null()
                    && selector.matches(|key| at(pod, "metadata.labels").get(key).and_then(Value::as_str))
            })
        };
        let of_pod: Vec<&Value> = budgets.iter().filter(covers).collect();
        let budget = match of_pod[..] {
            [] => return Ok(()),
            [one] => one,
            _ => {
                return Err(Failure::internal(
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                ));
            }
        };
        let call = self.budget_call(kind, name(budget));
        let there = call.current(&call.target.namespace, name(budget)).await?;
        call.change(there, self.dry_run()?, |budget| spend(budget, name(pod))).await.map(drop)
    }

    fn budget_call(&self, kind: &'static Kind, name: &str) -> Call<'_> {
        let target = super::target::Target {
            kind,
            namespace: self.target.namespace.clone(),
            name: name.to_owned(),
            subresource: Some(kinds::Subresource::Status),
        };
        Call { target, verb: "update", query: self.query.clone(), body: bytes::Bytes::new(), ..*self }
    }

    /// `serviceaccounts/token`.
    pub(super) async fn token(&self) -> Outcome<Answer> {
        let request = self.read_object()?.object;
        self.api.node_restriction(self, Some(&request), None)?;
        let account = self.there().await?.object();
        let answer = self.api.issue_token(self, &account, request).await?;
        Answer::object(StatusCode::CREATED, answer, self.form)
    }
}

/// The budget with one disruption less, or why there is none.
fn spend(budget: &Value, pod: &str) -> Outcome<Value> {
    let refuse = |why: String| {
        let failure = Failure::too_many_requests(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            0,
        );
        Err(failure.because("DisruptionBudget", why))
    };
    let behind = number(budget, "status.observedGeneration") < number(budget, "metadata.generation");
    if behind {
        return refuse(format!(
            "The disruption budget {} is still being processed by the server.",
            name(budget)
        ));
    }
    let allowed = number(budget, "status.disruptionsAllowed");
    if allowed < 1 {
        return refuse(format!(
            "The disruption budget {} needs {} healthy pods and has {} currently",
            name(budget),
            number(budget, "status.desiredHealthy"),
            number(budget, "status.currentHealthy")
        ));
    }
    let mut budget = budget.clone();
    put(&mut budget, "status.disruptionsAllowed", (allowed - 1).into());
    if let Some(status) = budget.get_mut("status") {
        let pods = map(status).entry("disruptedPods").or_insert_with(|| json!({}));
        map(pods).insert(pod.to_owned(), now().into());
    }
    Ok(budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_one_by_one() {
        let budget = json!({"metadata": {"name": "b", "generation": 1}, "status":
            {"observedGeneration": 1, "disruptionsAllowed": 1}});
        let Ok(after) = spend(&budget, "pod.x") else { panic!("one disruption is allowed") };
        assert_eq!(number(&after, "status.disruptionsAllowed"), 0);
        assert!(after["status"]["disruptedPods"]["pod.x"].is_string());
        assert_eq!(spend(&after, "pod-y").map_err(|failure| failure.code().as_u16()), Err(429));
    }

    #[test]
    fn a_scale_tells_replicas_and_selector() {
        let object = json!({"metadata": {"name": "a"}, "spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}},
            "status": {"replicas": 2}});
        let scale = scale_of(&object);
        assert_eq!((number(&scale, "spec.replicas"), text(&scale, "status.selector")), (3, "a=b"));
    }
}
