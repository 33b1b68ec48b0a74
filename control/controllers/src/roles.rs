//! Aggregated cluster roles: the rules of a role with an `aggregationRule` are those of the roles that it selects.
//!
//! Upstream: `pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go`. Of all roles it keeps the
//! labels, and of the aggregated ones the selectors: a changed role asks for a look at those that select it, or did.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::core::{Selector, SelectorExt as _};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::On as _;
use crate::kinds::known;
use crate::queue::Queue;
use crate::watch::Told;
use crate::{Error, Step};

type Labels = BTreeMap<String, String>;

/// What is known of the roles.
#[derive(Debug, Default)]
pub struct Roles {
    known: Mutex<Known>,
    /// Roles to look at.
    pub queue: Arc<Queue<String>>,
}

#[derive(Debug, Default)]
struct Known {
    labels: HashMap<String, Labels>,
    /// Of the aggregated ones.
    selectors: HashMap<String, Vec<Selector>>,
}

impl Known {
    /// Takes up a role as it is, and tells which roles are to be looked at.
    fn saw(&mut self, name: String, labels: Option<Labels>) -> Vec<String> {
        let before = match &labels {
            Some(labels) => self.labels.insert(name.clone(), labels.clone()),
            None => self.labels.remove(&name),
        };
        let selected = |selectors: &Vec<Selector>| {
            let has = |labels: &Option<Labels>| {
                labels.as_ref().is_some_and(|labels| selectors.iter().any(|one| one.matches(labels)))
            };
            has(&before) || has(&labels)
        };
        let mut looks: Vec<String> =
            self.selectors.iter().filter(|(_, own)| selected(own)).map(|(name, _)| name.clone()).collect();
        looks.push(name);
        looks
    }
}

impl Roles {
    /// Takes up what the watch tells.
    pub fn told(&self, told: Told) {
        let (metadata, there) = match told {
            Told::There(metadata) => (metadata, true),
            Told::Gone(metadata) => (metadata, false),
            Told::Begin | Told::Complete => return,
        };
        let ObjectMeta { name: Some(name), labels, .. } = *metadata else { return };
        let labels = there.then(|| labels.unwrap_or_default());
        let looks = self.with(|known| known.saw(name, labels));
        looks.into_iter().for_each(|name| self.queue.add(name));
    }

    fn with<R>(&self, change: impl FnOnce(&mut Known) -> R) -> R {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at a role.
    pub async fn look(&self, client: &kube::Client, name: &str) -> Result<Step, Error> {
        let kind = known("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles");
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
        let there = api.get_opt(name).await.on(|| format!("cannot read the cluster role {name}"))?;
        let selectors = there.as_ref().map_or(Ok(Vec::new()), |role| selectors(role, name))?;
        self.with(|known| match selectors.is_empty() {
            true => drop(known.selectors.remove(name)),
            false => drop(known.selectors.insert(name.to_owned(), selectors.clone())),
        });
        let Some(mut role) = there.filter(|_| !selectors.is_empty()) else { return Ok(Step::Done) };
        let mut rules = Vec::new();
        for selector in &selectors {
            let selected = api.list(&ListParams::default().labels_from(selector)).await;
            let mut selected =
                selected.on(|| format!("cannot list the cluster roles of {name}: {selector}"))?;
            selected.items.sort_by(|one, other| one.metadata.name.cmp(&other.metadata.name));
            add_rules(&mut rules, name, &selected.items);
        }
        let there = role.data.get("rules").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if there == rules {
            return Ok(Step::Done);
        }
        role.data["rules"] = rules.into();
        let written = api.replace(name, &PostParams::default(), &role).await;
        written.map(|_| Step::Done).on(|| format!("cannot write the rules of cluster role {name}"))
    }
}

/// The selectors of a role that is aggregated.
fn selectors(role: &DynamicObject, name: &str) -> Result<Vec<Selector>, Error> {
    let wrong = |why: String| Error::Other(format!("the aggregation rule of cluster role {name}: {why}"));
    let Some(list) = role.data.pointer("/aggregationRule/clusterRoleSelectors").and_then(Value::as_array)
    else {
        return Ok(Vec::new());
    };
    let read = |one: &Value| {
        let selector: LabelSelector =
            serde_json::from_value(one.clone()).map_err(|error| wrong(error.to_string()))?;
        Selector::try_from(selector).map_err(|error| wrong(error.to_string()))
    };
    list.iter().map(read).collect()
}

/// Each rule once, in the order of the roles; a role is no part of itself.
fn add_rules(rules: &mut Vec<Value>, of: &str, selected: &[DynamicObject]) {
    for role in selected.iter().filter(|role| role.metadata.name.as_deref() != Some(of)) {
        for rule in role.data.get("rules").and_then(Value::as_array).into_iter().flatten() {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use serde_json::json;

    fn role(name: &str, data: Value) -> DynamicObject {
        let kind = known("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles");
        DynamicObject::new(name, &kind).data(data)
    }

    fn labels(key: &str) -> Option<Labels> {
        Some([(key.to_owned(), "true".to_owned())].into())
    }

    /// `clusterroleaggregation_controller_test.go`: each rule once, and a role that selects itself adds nothing.
    #[test]
    fn rules_are_united() {
        let (one, two) = (json!({"verbs": ["get"]}), json!({"verbs": ["list"]}));
        let mut rules = Vec::new();
        let all = [
            role("a", json!({"rules": [one, two]})),
            role("b", json!({"rules": [two]})),
            role("all", json!({"rules": [{"verbs": ["*"]}]})),
            role("none", json!({"rules": null})),
        ];
        add_rules(&mut rules, "all", &all);
        assert_eq!(rules, [one, two]);
    }

    #[test]
    fn who_selects_a_role_now_or_before_is_looked_at() {
        let admin = role(
            "admin",
            json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to-admin": "true"}}]}}),
        );
        let mut known = Known::default();
        known.selectors.insert("admin".into(), selectors(&admin, "admin").unwrap());
        assert_eq!(known.saw("x".into(), labels("to-admin")), ["admin", "x"]);
        assert_eq!(known.saw("x".into(), labels("other")), ["admin", "x"]);
        assert_eq!(known.saw("x".into(), labels("other")), ["x"]);
        assert_eq!(known.saw("x".into(), None), ["x"]);
        let wrong = json!({"aggregationRule": {"clusterRoleSelectors": [{"matchExpressions": 3}]}});
        assert!(selectors(&role("b", wrong), "b").is_err());
    }
}
