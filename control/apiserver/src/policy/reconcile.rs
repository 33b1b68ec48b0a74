//! What a start does with a role or binding that the cluster has to have.
//!
//! Source: `pkg/registry/rbac/reconciliation`: what is missing is added, what somebody added stays, and an object whose
//! annotation `rbac.authorization.kubernetes.io/autoupdate` is `false` is left alone.

use super::Wanted;
use crate::authz::rbac::Rule;
use serde_json::{Map, Value};

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Nothing.
    Keep,
    /// Create it.
    Create(Value),
    /// Update it to this.
    Update(Value),
    /// Delete it and create it: a binding's role cannot change.
    Recreate(Value),
}

/// What to do about a wanted object, given the one that is there.
pub fn step(wanted: &Wanted, existing: Option<&Value>) -> Step {
    let Some(existing) = existing else { return Step::Create(wanted.object.clone()) };
    let annotations = &existing["metadata"]["annotations"];
    if annotations["rbac.authorization.kubernetes.io/autoupdate"] == "false" {
        return Step::Keep;
    }
    let mut new = existing.clone();
    for key in ["annotations", "labels"] {
        let wanted = wanted.object["metadata"][key].as_object().into_iter().flatten();
        let own = new["metadata"][key].as_object().into_iter().flatten();
        let mut merged: Map<String, Value> =
            wanted.map(|(key, value)| (key.clone(), value.clone())).collect();
        merged.extend(own.map(|(key, value)| (key.clone(), value.clone())));
        new["metadata"][key] = Value::Object(merged);
    }
    if wanted.resource.ends_with("bindings") {
        if !same_role(&existing["roleRef"], &wanted.object["roleRef"]) {
            return Step::Recreate(wanted.object.clone());
        }
        add_missing(&mut new, "subjects", &wanted.object["subjects"], same_subject);
    } else if wanted.object["aggregationRule"].is_null() {
        add_rules(&mut new, &wanted.object["rules"]);
    } else {
        // Its rules are found by the selectors, and not to be written here.
        let (mut own, theirs) = (new["aggregationRule"].clone(), &wanted.object["aggregationRule"]);
        if own.is_null() {
            own = Value::Object(Map::new());
        }
        let key = "clusterRoleSelectors";
        add_missing(&mut own, key, &theirs[key], |one, other| one == other);
        new["aggregationRule"] = own;
    }
    if new == *existing { Step::Keep } else { Step::Update(new) }
}

/// Adds the parts of rules that the role does not allow yet.
fn add_rules(role: &mut Value, wanted: &Value) {
    let own = Rule::all(&role["rules"]);
    let parts = Rule::all(wanted).iter().flat_map(Rule::parts).collect::<Vec<_>>();
    let missing = parts.into_iter().filter(|part| !own.iter().any(|rule| rule.covers(part)));
    let missing: Vec<Value> = missing.map(|part| part.json()).collect();
    if !missing.is_empty() {
        let mut rules = role["rules"].as_array().cloned().unwrap_or_default();
        rules.extend(missing);
        role["rules"] = rules.into();
    }
}

fn add_missing(object: &mut Value, key: &str, wanted: &Value, same: fn(&Value, &Value) -> bool) {
    let mut own = object[key].as_array().cloned().unwrap_or_default();
    let before = own.len();
    for one in wanted.as_array().into_iter().flatten() {
        if !own.iter().any(|other| same(other, one)) {
            own.push(one.clone());
        }
    }
    if own.len() != before {
        object[key] = own.into();
    }
}

fn same_role(one: &Value, other: &Value) -> bool {
    ["kind", "name"].iter().all(|key| one[*key] == other[*key])
}

fn same_subject(one: &Value, other: &Value) -> bool {
    ["kind", "name", "namespace"].iter().all(|key| one[*key] == other[*key])
}
