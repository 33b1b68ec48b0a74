//! Nobody hands out what they have not: the checks of writes to roles and bindings.
//!
//! Source: `pkg/registry/rbac/{role,clusterrole,rolebinding,clusterrolebinding}/policybased/storage.go` and
//! `pkg/registry/rbac/validation/rule.go`, `ConfirmNoEscalation`.

use super::bindings::RoleRef;
use super::rule::{Rule, quoted};
use super::{GROUP, Rbac, listed};
use crate::authz::{Authorizer, MASTERS, qualified};
use crate::refusal::Refusal;
use crate::request::{Attributes, User};
use serde_json::Value;
use std::collections::BTreeSet;

/// A write to a role or a binding.
#[derive(Clone, Copy, Debug)]
pub struct RoleChange<'a> {
    /// Who writes.
    pub user: &'a User,
    /// `roles`, `clusterroles`, `rolebindings` or `clusterrolebindings`.
    pub resource: &'a str,
    /// The namespace; empty of cluster roles and their bindings.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// The object as it shall be.
    pub new: &'a Value,
    /// The object as it is; `None` when it is created.
    pub old: Option<&'a Value>,
}

impl Rbac {
    /// Whether a user has all of these rules in a namespace (or, with none, in the cluster).
    pub fn may_grant(&self, user: &User, namespace: &str, rules: &[Rule]) -> Result<(), String> {
        let (own, errors) = self.rules_for(user, namespace);
        let parts = rules.iter().flat_map(Rule::parts);
        let missing = parts.filter(|part| !own.iter().any(|rule| rule.covers(part)));
        let missing = compact(missing.collect());
        if missing.is_empty() {
            return Ok(());
        }
        let lines: BTreeSet<String> = missing.iter().map(Rule::to_string).collect();
        let lines: Vec<String> = lines.into_iter().collect();
        let mut message = format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            user.name,
            quoted(&user.groups),
            lines.join("\n")
        );
        if !errors.is_empty() {
            message.push_str(&format!("; resolution errors: {}", listed(&errors)));
        }
        Err(message)
    }
}

impl Authorizer {
    /// Whether a write to a role or a binding hands out no more than the writer has.
    pub fn may_change(&self, change: &RoleChange<'_>) -> Result<(), Refusal> {
        if change.user.is_in(MASTERS) {
            return Ok(());
        }
        let checked = match change.resource {
            "roles" | "clusterroles" => self.role(change),
            _ => self.binding(change),
        };
        checked.map_err(|why| Refusal::forbidden(&qualified(GROUP, change.resource), change.name, why))
    }

    fn role(&self, change: &RoleChange<'_>) -> Result<(), String> {
        let unchanged = |key: &str| change.old.is_some_and(|old| old[key] == change.new[key]);
        if unchanged("rules") && unchanged("aggregationRule") {
            return Ok(());
        }
        // As upstream, of a role that is created the name is not yet known to who decides.
        let name = if change.old.is_some() { change.name } else { "" };
        if self.allows(change.user, "escalate", change.resource, change.namespace, name) {
            return Ok(());
        }
        let aggregates = |role: &Value| !role["aggregationRule"].is_null();
        if aggregates(change.new) || change.old.is_some_and(aggregates) {
            let everything = Rule::all(&serde_json::json!([
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]},
            ]));
            if self.rbac.may_grant(change.user, change.namespace, &everything).is_err() {
                return Err("must have cluster-admin privileges to use the aggregationRule".into());
            }
        }
        self.rbac.may_grant(change.user, change.namespace, &Rule::all(&change.new["rules"]))
    }

    fn binding(&self, change: &RoleChange<'_>) -> Result<(), String> {
        let unchanged = |key: &str| change.old.is_some_and(|old| old[key] == change.new[key]);
        if unchanged("subjects") && unchanged("roleRef") {
            return Ok(());
        }
        let role = RoleRef::of(change.namespace, change.new);
        let resource = if role.kind == "Role" { "roles" } else { "clusterroles" };
        if self.allows(change.user, "bind", resource, change.namespace, &role.name) {
            return Ok(());
        }
        let rules = self.rbac.rules_of(&role.namespace, &role.name).ok_or_else(|| role.missing())?;
        self.rbac.may_grant(change.user, change.namespace, &rules)
    }

    fn allows(&self, user: &User, verb: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let asked = Attributes {
            user,
            verb,
            group: GROUP,
            version: "v1",
            resource,
            subresource: "",
            namespace,
            name,
            path: "",
        };
        self.decide(&asked).allows()
    }
}

/// Parts of rules on the same thing as one rule with all their verbs.
fn compact(parts: Vec<Rule>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for part in parts {
        let same = |rule: &&mut Rule| {
            !part.resources.is_empty()
                && (&rule.groups, &rule.resources, &rule.names)
                    == (&part.groups, &part.resources, &part.names)
        };
        match rules.iter_mut().find(same) {
            Some(rule) => {
                let new =
                    part.verbs.into_iter().filter(|verb| !rule.verbs.contains(verb)).collect::<Vec<_>>();
                rule.verbs.extend(new);
            }
            None => rules.push(part),
        }
    }
    rules
}
