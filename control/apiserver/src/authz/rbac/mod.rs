//! Role-based access control: who is bound to a role may what its rules say.
//!
//! Source: `plugin/pkg/auth/authorizer/rbac/rbac.go` and `pkg/registry/rbac/validation/rule.go`. Bindings are held by
//! subject (and namespace), so that a decision looks at what the user and its groups are bound to and at nothing else:
//! it costs microseconds however many bindings there are. An aggregated role's rules are those of the roles that it
//! selects, found when roles have changed and somebody asks.

mod aggregation;
mod bindings;
mod escalation;
mod rule;
#[cfg(test)]
mod tests;

pub use escalation::RoleChange;
pub use rule::Rule;

use super::{Decision, combined};
use crate::request::{Attributes, User};
use bindings::{Binding, Bindings};
pub(super) use rule::Wanted;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// The API group of roles.
pub const GROUP: &str = "rbac.authorization.k8s.io";

/// A role as it is held.
#[derive(Clone, Debug, Default)]
struct Role {
    /// What counts: its own, or for an aggregated role those of the selected ones.
    rules: Arc<[Rule]>,
    labels: HashMap<String, String>,
    /// Of an aggregated role.
    selectors: Option<Vec<Value>>,
}

#[derive(Debug, Default)]
struct State {
    /// By namespace (none for a ClusterRole) and name.
    roles: HashMap<String, HashMap<String, Role>>,
    /// By namespace (none for a ClusterRoleBinding).
    bindings: HashMap<String, Bindings>,
    /// Whether a ClusterRole has changed since the aggregated ones were put together.
    stale: bool,
}

/// Roles and bindings.
#[derive(Debug, Default)]
pub struct Rbac(RwLock<State>);

impl Rbac {
    /// An object of `roles`, `clusterroles`, `rolebindings` or `clusterrolebindings` is as given now, or gone. Other
    /// resources are none of its business.
    pub fn set(&self, resource: &str, namespace: &str, name: &str, object: Option<&Value>) {
        let own = ["roles", "clusterroles", "rolebindings", "clusterrolebindings"];
        if !own.contains(&resource) {
            return;
        }
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match resource {
            "roles" | "clusterroles" => {
                state.stale |= resource == "clusterroles";
                let roles = state.roles.entry(namespace.to_owned()).or_default();
                match object {
                    Some(object) => drop(roles.insert(name.to_owned(), Role::of(object))),
                    None => drop(roles.remove(name)),
                }
            }
            _ => {
                let bindings = state.bindings.entry(namespace.to_owned()).or_default();
                bindings.set(name, object.map(|object| Binding::of(namespace, name, object)));
            }
        }
    }

    /// Whether a request is allowed.
    pub fn decide(&self, asked: &Attributes<'_>) -> Decision {
        let wanted = Wanted {
            verb: asked.verb,
            group: asked.group,
            resource: &combined(asked.resource, asked.subresource),
            subresource: asked.subresource,
            name: asked.name,
            path: asked.path,
            is_resource: !asked.resource.is_empty(),
        };
        let mut missing = Vec::new();
        let state = self.current();
        let allowed = state.visit(asked.user, asked.namespace, |binding, subject, role| match role {
            Some(role) if role.rules.iter().any(|rule| rule.allows(&wanted)) => {
                Some(binding.described(subject))
            }
            Some(_) => None,
            None => {
                missing.push(binding.role.missing());
                None
            }
        });
        match allowed {
            Some(by) => Decision::Allow(format!("RBAC: allowed by {by}")),
            None if missing.is_empty() => Decision::NoOpinion(String::new()),
            None => Decision::NoOpinion(format!("RBAC: {}", listed(&missing))),
        }
    }

    /// All rules that hold for a user in a namespace, and what could not be found out.
    pub fn rules_for(&self, user: &User, namespace: &str) -> (Vec<Rule>, Vec<String>) {
        let (mut rules, mut missing) = (Vec::new(), Vec::new());
        let state = self.current();
        state.visit(user, namespace, |binding, _, role| -> Option<()> {
            match role {
                Some(role) => rules.extend(role.rules.iter().cloned()),
                None => missing.push(binding.role.missing()),
            }
            None
        });
        (rules, missing)
    }

    /// The rules of an aggregated ClusterRole as its selectors find them now, for whom writes them into the object;
    /// `None` if it is not one.
    pub fn aggregated(&self, name: &str) -> Option<Vec<Rule>> {
        let state = self.current();
        let role = state.roles.get("")?.get(name)?;
        role.selectors.is_some().then(|| role.rules.to_vec())
    }

    /// The rules of a role, if it is there.
    fn rules_of(&self, namespace: &str, name: &str) -> Option<Arc<[Rule]>> {
        self.current().roles.get(namespace)?.get(name).map(|role| role.rules.clone())
    }

    /// The state, with the aggregated roles put together.
    fn current(&self) -> RwLockReadGuard<'_, State> {
        loop {
            let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if !state.stale {
                return state;
            }
            drop(state);
            let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(roles) = state.roles.get_mut("") {
                aggregation::aggregate(roles);
            }
            state.stale = false;
        }
    }
}

impl Role {
    fn of(object: &Value) -> Role {
        let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
        let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        let selectors = object["aggregationRule"]["clusterRoleSelectors"].as_array();
        Role {
            rules: Rule::all(&object["rules"]).into(),
            labels: labels.collect(),
            selectors: (!object["aggregationRule"].is_null()).then(|| selectors.cloned().unwrap_or_default()),
        }
    }
}

impl State {
    /// Shows what a user is bound to, until somebody has seen enough.
    fn visit<T>(
        &self,
        user: &User,
        namespace: &str,
        mut see: impl FnMut(&Binding, usize, Option<&Role>) -> Option<T>,
    ) -> Option<T> {
        let within = (!namespace.is_empty()).then_some(namespace);
        for bindings in [Some(""), within].into_iter().flatten().filter_map(|one| self.bindings.get(one)) {
            for (binding, subject) in bindings.of(user) {
                let roles = self.roles.get(&binding.role.namespace);
                let role = roles.and_then(|roles| roles.get(&binding.role.name));
                if let Some(found) = see(binding, subject, role) {
                    return Some(found);
                }
            }
        }
        None
    }
}

/// Errors as upstream's aggregate tells them: one alone, or several in brackets, each once.
fn listed(errors: &[String]) -> String {
    let mut once: Vec<&str> = Vec::new();
    for error in errors {
        if !once.contains(&error.as_str()) {
            once.push(error);
        }
    }
    if once.len() == 1 { once.concat() } else { format!("[{}]", once.join(", ")) }
}
