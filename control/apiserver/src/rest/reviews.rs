//! Kinds that are answered and not stored.

use http::StatusCode;
use serde_json::{Value, json};

use super::Call;
use super::answer::Answer;
use super::target::Target;
use crate::authn::{self_subject_review, token_review};
use crate::authz;
use crate::kinds::{self, Subresource};
use crate::object::{name, now};
use crate::status::{Failure, Outcome};

impl Call<'_> {
    /// Serves them.
    pub(super) async fn review(&self) -> Outcome<Answer> {
        let kind = self.target.kind;
        if kind.kind == "ComponentStatus" {
            return self.components().await;
        }
        let read = self.read_object()?;
        if kind.kind == "Binding" {
            return self.bind_named(read.object).await;
        }
        let (api, review) = (self.api, &read.object);
        let answered = match kind.kind {
            "TokenReview" => token_review(&api.authenticators, review, &*api.caches)?,
            "SelfSubjectReview" => self_subject_review(self.user, review),
            "SubjectAccessReview" => authz::subject_access_review(&api.authorizer, review)?,
            "SelfSubjectAccessReview" => {
                authz::self_subject_access_review(&api.authorizer, self.user, review)?
            }
            "SelfSubjectRulesReview" => authz::self_subject_rules_review(&api.authorizer, self.user, review)?,
            "LocalSubjectAccessReview" => {
                authz::local_subject_access_review(&api.authorizer, &self.target.namespace, review)?
            }
            other => return Err(Failure::internal(format!("nobody answers a {other}"))),
        };
        let mut answered: Value = answered;
        answered["kind"] = kind.kind.into();
        answered["apiVersion"] = kind.api_version().into();
        if answered["metadata"].is_null() {
            answered["metadata"] = json!({"creationTimestamp": null});
        }
        Ok(Answer::object(StatusCode::CREATED, answered, self.form)?.warning(read.warnings))
    }

    /// `POST …/bindings`: the pod is named by the body.
    async fn bind_named(&self, binding: Value) -> Outcome<Answer> {
        let pods = kinds::stored("", "pods").ok_or_else(Failure::no_such_path)?;
        let target = Target {
            kind: pods,
            namespace: self.target.namespace.clone(),
            name: name(&binding).to_owned(),
            subresource: Some(Subresource::Binding),
        };
        let call = Call { target, query: self.query.clone(), body: self.body.clone(), ..*self };
        call.bind_to(&binding).await
    }

    /// `kubectl get cs`: the state and the cluster's own daemons, as far as they are known here.
    async fn components(&self) -> Outcome<Answer> {
        let kind = self.target.kind;
        let (healthy, message) = match self.api.store.status().await {
            Ok(_) => ("True", "ok".to_owned()),
            Err(error) => ("False", error.to_string()),
        };
        let mut all = vec![component("etcd-0", healthy, &message)];
        for daemon in ["controller-manager", "scheduler"] {
            all.push(self.daemon(daemon));
        }
        if self.target.name.is_empty() {
            let rows = |include| {
                let at = jiff::Timestamp::now();
                all.iter().map(|one| super::form::row(kind, one, include, at)).collect()
            };
            let list = match self.form {
                super::Form::Table(include) => super::form::table(Some(kind), json!({}), rows(include)),
                _ => json!({"kind": "ComponentStatusList", "apiVersion": "v1", "metadata": {}, "items": all}),
            };
            return Answer::object(StatusCode::OK, list, self.form);
        }
        let found = all.into_iter().find(|one| name(one) == self.target.name);
        let found = found.ok_or_else(|| Failure::not_found(kind, &self.target.name))?;
        self.answer(StatusCode::OK, found)
    }

    /// A daemon is well while it holds its lease in `kube-system`.
    fn daemon(&self, daemon: &str) -> Value {
        let lease = format!("kube-system/kube-{daemon}");
        let kind = kinds::stored("coordination.k8s.io", "leases");
        let entry = kind.and_then(|kind| self.api.caches.of(kind)?.get(&lease));
        let Some(entry) = entry else {
            return component(daemon, "False", &format!("it holds no lease {lease}: it does not run"));
        };
        let lease = entry.object();
        let seconds = crate::object::number(&lease, "spec.leaseDurationSeconds");
        let renewed = crate::object::text(&lease, "spec.renewTime").parse::<jiff::Timestamp>();
        let age = renewed.map_or(i64::MAX, |at| jiff::Timestamp::now().as_second() - at.as_second());
        match age <= seconds {
            true => component(daemon, "True", "ok"),
            false => component(
                daemon,
                "False",
                &format!("its lease was renewed {age} s ago and is for {seconds} s"),
            ),
        }
    }
}

fn component(name: &str, healthy: &str, message: &str) -> Value {
    let mut condition = json!({"type": "Healthy", "status": healthy});
    condition[if healthy == "True" { "message" } else { "error" }] = message.into();
    json!({
        "kind": "ComponentStatus", "apiVersion": "v1",
        "metadata": {"name": name, "creationTimestamp": now()}, "conditions": [condition],
    })
}
