//! What may change of a pod that is there. Source: `ValidatePodUpdate`, `ValidatePodEphemeralContainersUpdate`.

use super::super::reading::{NULL, as_in, at, each, int, items, remove, text};
use crate::fault::Faults;
use serde_json::Value;

const MAY_CHANGE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// A change of the pod itself.
pub fn validate_update(new: &Value, old: &Value, faults: &mut Faults) {
    super::spec::validate(at(new, "spec"), "spec", faults);
    let (new, old) = (at(new, "spec"), at(old, "spec"));
    if items(old, "ephemeralContainers") != items(new, "ephemeralContainers") {
        let text =
            "pod updates may not change ephemeral containers; use the subresource pods/ephemeralcontainers";
        faults.forbidden("spec.ephemeralContainers", text);
    }
    for key in ["containers", "initContainers"] {
        if items(new, key).len() != items(old, key).len() {
            faults.forbidden(format!("spec.{key}"), "pod updates may not add or remove containers");
            return;
        }
    }
    deadline(new, old, faults);
    tolerations(new, old, faults);
    gates(new, old, faults);
    if fixed(new, old) != *old {
        faults.forbidden("spec", MAY_CHANGE);
    }
}

/// The new specification with all that may change as it was.
fn fixed(new: &Value, old: &Value) -> Value {
    let mut fixed = new.clone();
    for key in ["containers", "initContainers"] {
        let mut before = items(old, key).iter();
        each(&mut fixed, key, |one| as_in(one, before.next().unwrap_or(NULL), "image"));
    }
    let mut keys = vec!["activeDeadlineSeconds", "tolerations", "ephemeralContainers", "schedulingGates"];
    if int(old, "terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0)
        && int(new, "terminationGracePeriodSeconds") == Some(1)
    {
        keys.push("terminationGracePeriodSeconds");
    }
    // A pod that waits behind gates may still be told where to go.
    if !items(old, "schedulingGates").is_empty() {
        keys.extend(["nodeSelector", "affinity"]);
    }
    for key in keys {
        as_in(&mut fixed, old, key);
    }
    fixed
}

fn deadline(new: &Value, old: &Value, faults: &mut Faults) {
    let field = "spec.activeDeadlineSeconds";
    match (int(new, "activeDeadlineSeconds"), int(old, "activeDeadlineSeconds")) {
        (Some(new), Some(old)) if new > old => {
            faults.invalid(field, new, "must be less than or equal to previous value");
        }
        (None, Some(_)) => {
            faults.invalid(field, Value::Null, "must not update from a positive integer to nil value")
        }
        _ => {}
    }
}

/// Tolerations may be added, and their seconds may change.
fn tolerations(new: &Value, old: &Value, faults: &mut Faults) {
    let but_seconds = |one: &Value| {
        let mut one = one.clone();
        remove(&mut one, "tolerationSeconds");
        one
    };
    let there: Vec<Value> = items(new, "tolerations").iter().map(but_seconds).collect();
    if items(old, "tolerations").iter().any(|one| !there.contains(&but_seconds(one))) {
        let text = "existing toleration can not be modified except its tolerationSeconds";
        faults.forbidden("spec.tolerations", text);
    }
}

fn gates(new: &Value, old: &Value, faults: &mut Faults) {
    let before = items(old, "schedulingGates");
    let added: Vec<&str> = items(new, "schedulingGates")
        .iter()
        .filter(|one| !before.contains(one))
        .map(|one| text(one, "name"))
        .collect();
    if !added.is_empty() {
        let text = format!("only deletion is allowed, but found new scheduling gates '{}'", added.join(", "));
        faults.forbidden("spec.schedulingGates", text);
    }
}

/// A change by the subresource `ephemeralcontainers`: they may be added, nothing else.
pub fn ephemeral_containers_update(new: &Value, old: &Value, faults: &mut Faults) {
    super::spec::validate(at(new, "spec"), "spec", faults);
    let (new, old) =
        (items(at(new, "spec"), "ephemeralContainers"), items(at(old, "spec"), "ephemeralContainers"));
    for one in old {
        match new.iter().find(|other| text(other, "name") == text(one, "name")) {
            None => {
                let text =
                    format!("existing ephemeral containers {:?} may not be removed\n", text(one, "name"));
                faults.forbidden("spec.ephemeralContainers", text);
            }
            Some(other) if other != one => {
                let text =
                    format!("existing ephemeral containers {:?} may not be changed\n", text(one, "name"));
                faults.forbidden("spec.ephemeralContainers", text);
            }
            Some(_) => {}
        }
    }
}
