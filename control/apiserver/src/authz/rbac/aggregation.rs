//! Aggregated ClusterRoles: the rules of the roles that their selectors find.
//!
//! Source: `pkg/controller/clusterroleaggregation`. That controller writes the rules into the object; here they are
//! found when asked for, so that a role is complete at the moment in which one that it selects is there.

use super::{Role, Rule};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// Puts the aggregated ones together.
pub fn aggregate(roles: &mut HashMap<String, Role>) {
    let aggregated: Vec<String> =
        roles.iter().filter(|(_, role)| role.selectors.is_some()).map(|(name, _)| name.clone()).collect();
    for name in aggregated {
        let mut sources = BTreeSet::new();
        collect(roles, &name, &mut BTreeSet::new(), &mut sources);
        let mut rules: Vec<Rule> = Vec::new();
        for rule in sources.iter().filter_map(|name| roles.get(name)).flat_map(|role| role.rules.iter()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
        if let Some(role) = roles.get_mut(&name) {
            role.rules = rules.into();
        }
    }
}

/// The roles of own rules that an aggregated one selects, also through others: `admin` has what `edit` has.
fn collect(
    roles: &HashMap<String, Role>,
    name: &str,
    seen: &mut BTreeSet<String>,
    sources: &mut BTreeSet<String>,
) {
    if !seen.insert(name.to_owned()) {
        return;
    }
    let Some(selectors) = roles.get(name).and_then(|role| role.selectors.as_ref()) else { return };
    for (other, role) in roles.iter().filter(|(other, _)| *other != name) {
        if selectors.iter().any(|selector| selects(selector, &role.labels)) {
            match role.selectors {
                Some(_) => collect(roles, other, seen, sources),
                None => drop(sources.insert(other.clone())),
            }
        }
    }
}

/// Whether a label selector selects labels; an empty one selects all, and one that says something unknown nothing.
fn selects(selector: &Value, labels: &HashMap<String, String>) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    equal.into_iter().all(|(key, value)| labels.get(key).map(String::as_str) == value.as_str())
        && expressions.all(|expression| holds(expression, labels))
}

fn holds(expression: &Value, labels: &HashMap<String, String>) -> bool {
    let own = labels.get(expression["key"].as_str().unwrap_or_default());
    let mut values = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str);
    match expression["operator"].as_str() {
        Some("In") => own.is_some_and(|own| values.any(|value| value == own)),
        Some("NotIn") => own.is_none_or(|own| values.all(|value| value != own)),
        Some("Exists") => own.is_some(),
        Some("DoesNotExist") => own.is_none(),
        _ => false,
    }
}
