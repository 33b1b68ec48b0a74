//! Admission: what the server itself changes and refuses, in upstream's order of plugins.

use serde_json::Value;
use std::time::SystemTime;

use super::Call;
use crate::api::Api;
use crate::authz::node::NodeWrite;
use crate::authz::rbac::RoleChange;
use crate::kinds::{self, Kind, Subresource};
use crate::object::{is_going, name, namespace};
use crate::plugins::{self, Write};
use crate::refusal::Refusal;
use crate::status::{Failure, Outcome};

/// Namespaces that are always there.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let code =
            http::StatusCode::from_u16(refusal.code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
        let mut failure = Failure::of(code, refusal.reason, refusal.message);
        for fault in &refusal.faults.0 {
            failure = failure.because_of(&fault.field, fault.kind.reason(), fault.message());
        }
        failure
    }
}

impl Api {
    /// What changes an object that is to be written: a new one, or one that is there.
    pub(super) async fn admit(
        &self,
        call: &Call<'_>,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Outcome<()> {
        if old.is_none() {
            self.namespace_lives(call.target.kind, object).await?;
        }
        self.node_restriction(call, Some(object), old)?;
        let before = object.clone();
        if plugins::mutate(&write(call, old), object, &*self.caches).is_ok() {
            return Ok(());
        }
        // What it misses may have been made a moment ago, as the account of a new namespace.
        self.fresh().await?;
        *object = before;
        let outcome = plugins::mutate(&write(call, old), object, &*self.caches);
        outcome.map_err(|refusal| told_of(call.target.kind, object, refusal))
    }

    /// What is refused of an object that is complete.
    pub(super) async fn check(&self, call: &Call<'_>, object: &Value, old: Option<&Value>) -> Outcome<()> {
        if self.checked(call, object, old).is_ok() {
            return Ok(());
        }
        // As above: of the role that a binding names.
        self.fresh().await?;
        self.checked(call, object, old).map_err(|refusal| told_of(call.target.kind, object, refusal))
    }

    fn checked(&self, call: &Call<'_>, object: &Value, old: Option<&Value>) -> Result<(), Refusal> {
        self.escalation(call, object, old)?;
        plugins::check(&write(call, old), object, &*self.caches, &self.authorizer)
    }

    /// What is refused of a deletion.
    pub(super) async fn admit_delete(&self, call: &Call<'_>, old: &Value) -> Outcome<()> {
        let kind = call.target.kind;
        if kind.stored == "namespaces" && IMMORTAL.contains(&name(old)) {
            return Err(Failure::forbidden(kind, name(old), "this namespace may not be deleted"));
        }
        self.node_restriction(call, None, Some(old))
    }

    /// NamespaceLifecycle: nothing is made in a namespace that is missing or on its way out.
    pub(super) async fn namespace_lives(&self, kind: &Kind, object: &Value) -> Outcome<()> {
        if !kind.namespaced {
            return Ok(());
        }
        let Some(namespaces) = kinds::stored("", "namespaces") else { return Ok(()) };
        let of = namespace(object);
        let cached = self.caches.of(namespaces).and_then(|cache| cache.get(of));
        let entry = match cached {
            Some(entry) => Some(entry),
            // It may have been made a moment ago.
            None => self.current(namespaces, "", of).await?,
        };
        let entry = entry.ok_or_else(|| Failure::not_found(namespaces, of))?;
        if entry.body.windows(17).any(|window| window == b"deletionTimestamp") && is_going(&entry.object()) {
            let why =
                format!("unable to create new content in namespace {of} because it is being terminated");
            let failure = Failure::forbidden(kind, name(object), why);
            return Err(failure.because_of(
                "metadata.namespace",
                "NamespaceTerminating",
                format!("namespace {of} is being terminated"),
            ));
        }
        Ok(())
    }

    /// NodeRestriction; also of what a subresource is given.
    pub(super) fn node_restriction(
        &self,
        call: &Call<'_>,
        new: Option<&Value>,
        old: Option<&Value>,
    ) -> Outcome<()> {
        let target = &call.target;
        let operation = match (new, old) {
            (Some(_), None) => "create",
            (Some(_), Some(_)) => "update",
            _ => "delete",
        };
        let of_object = name(new.or(old).unwrap_or(&Value::Null));
        let write = NodeWrite {
            user: call.user,
            operation,
            group: target.kind.group,
            resource: target.kind.plural,
            subresource: target.subresource.map_or("", Subresource::name),
            namespace: &target.namespace,
            name: if target.name.is_empty() { of_object } else { &target.name },
            new,
            old,
        };
        Ok(self.authorizer.restrict_node(&write, &*self.caches)?)
    }

    /// Nobody gives what he has not (RBAC's escalation check).
    fn escalation(&self, call: &Call<'_>, object: &Value, old: Option<&Value>) -> Result<(), Refusal> {
        let kind = call.target.kind;
        if kind.group != "rbac.authorization.k8s.io" {
            return Ok(());
        }
        let change = RoleChange {
            user: call.user,
            resource: kind.plural,
            namespace: &call.target.namespace,
            name: name(object),
            new: object,
            old,
        };
        self.authorizer.may_change(&change)
    }

    /// Issues a token of a service account.
    pub(super) async fn issue_token(
        &self,
        call: &Call<'_>,
        account: &Value,
        request: Value,
    ) -> Outcome<Value> {
        let (namespace, name) = (namespace(account), name(account));
        // The account is there, and a token is checked against the cache.
        self.fresh().await?;
        Ok(self.accounts.token_request(namespace, name, &request, &*self.caches, SystemTime::now()).inspect(
            |_| {
                tracing::debug!(user = call.user.name, namespace, name, "a token is issued");
            },
        )?)
    }
}

/// A refusal, with the object that it is about.
fn told_of(kind: &Kind, object: &Value, refusal: Refusal) -> Failure {
    let code = refusal.code;
    match (Failure::from(refusal), code) {
        (failure, 422) => failure.named(kind.group, kind.kind, name(object)),
        (failure, 403 | 409) => failure.named(kind.group, kind.plural, name(object)),
        (failure, _) => failure,
    }
}

fn write<'a>(call: &'a Call<'_>, old: Option<&'a Value>) -> Write<'a> {
    Write {
        user: call.user,
        group: call.target.kind.group,
        resource: call.target.kind.plural,
        subresource: call.target.subresource.map_or("", Subresource::name),
        namespace: &call.target.namespace,
        old,
    }
}
