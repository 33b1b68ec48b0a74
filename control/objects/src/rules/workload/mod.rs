//! What runs pods from a template: deployments, replica sets, replication controllers, daemon sets, stateful sets,
//! controller revisions.
//!
//! Source: `pkg/apis/apps/v1/defaults.go`, `pkg/apis/apps/validation/validation.go`.

mod daemon_set;
mod deployment;
mod replica_set;
mod stateful_set;

pub use daemon_set::DAEMON_SET;
pub use deployment::DEPLOYMENT;
pub use replica_set::{REPLICA_SET, REPLICATION_CONTROLLER};
pub use stateful_set::STATEFUL_SET;

use super::metadata::NOT_NEGATIVE;
use super::reading::{at, below, has, int, items, text};
use super::{Rules, pod, selecting};
use crate::fault::{FaultKind, Faults};
use crate::names;
use serde_json::Value;

/// Of controller revisions, whose data never changes.
pub const CONTROLLER_REVISION: Rules = Rules {
    default: |_| {},
    validate: |object, faults| {
        if int(object, "revision").unwrap_or(0) < 0 {
            faults.invalid("revision", at(object, "revision").clone(), NOT_NEGATIVE);
        }
    },
    validate_update: |new, old, faults| {
        if at(new, "data") != at(old, "data") {
            faults.invalid("data", at(new, "data").clone(), "field is immutable");
        }
    },
};

/// Numbers that may not be negative.
pub fn not_negative(object: &Value, field: &str, keys: &[&str], faults: &mut Faults) {
    for key in keys {
        if int(object, key).is_some_and(|number| number < 0) {
            faults.invalid(format!("{field}.{key}"), at(object, key).clone(), NOT_NEGATIVE);
        }
    }
}

/// The selector: there, not empty, right; then whether the template bears the labels that it asks for.
pub fn selector_and_labels(spec: &Value, of: &str, faults: &mut Faults) {
    let selector = at(spec, "selector");
    if selector.is_null() {
        faults.required("spec.selector", "");
        return;
    }
    let before = faults.0.len();
    selecting::label_selector(selector, "spec.selector", faults);
    if selecting::is_empty(selector) {
        faults.invalid("spec.selector", selector.clone(), format!("empty selector is invalid for {of}"));
    }
    let labels = below(spec, &["template", "metadata", "labels"]);
    if faults.0.len() == before && !selecting::selects(selector, labels) {
        let text = "`selector` does not match template `labels`";
        faults.invalid("spec.template.metadata.labels", labels.clone(), text);
    }
}

/// The template of pods that run for ever.
pub fn template(spec: &Value, kind: &str, faults: &mut Faults) {
    pod::validate_template(at(spec, "template"), "spec.template", faults);
    runs_for_ever(spec, kind, faults);
}

/// What pods that run for ever may not ask for.
fn runs_for_ever(spec: &Value, kind: &str, faults: &mut Faults) {
    let template = at(spec, "template");
    let pods = at(template, "spec");
    let policy = text(pods, "restartPolicy");
    if policy != "Always" {
        faults.not_supported("spec.template.spec.restartPolicy", policy, &["Always"]);
    }
    if has(pods, "activeDeadlineSeconds") {
        let text = format!("activeDeadlineSeconds in {kind} is not Supported");
        faults.forbidden("spec.template.spec.activeDeadlineSeconds", text);
    }
}

/// A number or a percentage, which may not be negative, nor more than 100 % where `most` says so.
pub fn number_or_percent(value: &Value, field: &str, most: bool, faults: &mut Faults) {
    match value {
        Value::String(text) => {
            let digits = text.strip_suffix('%').filter(|digits| !digits.is_empty());
            let number = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            match number.map(|digits| digits.parse::<u32>().unwrap_or(u32::MAX)) {
                None => {
                    let says = "a valid percent string must be a numeric string followed by an ending '%'";
                    faults.invalid(field, text.as_str(), names::pattern(says, "[0-9]+%", &["1%", "93%"]));
                }
                Some(number) if most && number > 100 => {
                    faults.invalid(field, text.as_str(), "must not be greater than 100%");
                }
                Some(_) => {}
            }
        }
        Value::Number(number) if number.as_i64().is_some_and(|number| number < 0) => {
            faults.invalid(field, value.clone(), NOT_NEGATIVE);
        }
        _ => {}
    }
}

/// Whether a number or a percentage is none at all.
pub fn is_none(value: &Value) -> bool {
    match value {
        Value::String(text) => text.trim_start_matches('0') == "%",
        other => other.as_i64().unwrap_or(0) == 0,
    }
}

/// What cannot change once it is there.
pub fn immutable(new: &Value, old: &Value, keys: &[&str], faults: &mut Faults) {
    for key in keys {
        let (new, old) = (below(new, &["spec", key]), below(old, &["spec", key]));
        if new != old {
            faults.add(FaultKind::Invalid, format!("spec.{key}"), new.clone(), "field is immutable");
        }
    }
}

/// Templates of claims, and others, by position.
fn each_item(object: &Value, key: &str) -> impl Iterator<Item = (usize, Value)> {
    items(object, key).to_vec().into_iter().enumerate()
}

#[cfg(test)]
mod tests;
