//! Events, in the form of the core group, which is how they are stored.
//!
//! Source: `pkg/apis/core/validation/events.go`. What is asked of an event depends on the group through which it comes:
//! those of `events.k8s.io` say when, who and what, and leave the old fields alone.

use super::Rules;
use super::reading::{at, has, int, text};
use crate::fault::Faults;
use crate::names;
use serde_json::Value;

/// Of events through the core group.
pub const CORE: Rules = Rules { default: |_| {}, validate: legacy, validate_update: |_, _, _| {} };

/// Of events through `events.k8s.io`.
pub const EVENT: Rules = Rules {
    default: |_| {},
    validate: |event, faults| {
        legacy(event, faults);
        of_group(event, faults);
    },
    validate_update: |_, _, _| {},
};

const LONGEST: usize = 128;
const LONGEST_NOTE: usize = 1024;

/// `legacyValidateEvent`.
fn legacy(event: &Value, faults: &mut Faults) {
    let own = text(at(event, "metadata"), "namespace");
    let of = text(at(event, "involvedObject"), "namespace");
    let is_new = has(event, "eventTime");
    let agrees = match (is_new, of) {
        (false, "") => ["", "default"].contains(&own),
        (true, "") => ["default", "kube-system"].contains(&own),
        (false, of) => own == of,
        (true, _) => true,
    };
    if !agrees {
        faults.invalid("involvedObject.namespace", of, "does not match event.namespace");
    }
    if is_new {
        told_by(event, faults);
    }
}

fn told_by(event: &Value, faults: &mut Faults) {
    let reporter = text(event, "reportingComponent");
    if reporter.is_empty() {
        faults.required("reportingController", "");
    }
    for wrong in names::qualified_name(reporter).into_iter().filter(|_| !reporter.is_empty()) {
        faults.invalid("reportingController", reporter, wrong);
    }
    for key in ["reportingInstance", "action", "reason"] {
        match text(event, key) {
            "" => faults.required(key, ""),
            long if long.len() > LONGEST => {
                faults.invalid(key, "", format!("can have at most {LONGEST} characters"));
            }
            _ => {}
        }
    }
    if text(event, "message").len() > LONGEST_NOTE {
        faults.invalid("message", "", format!("can have at most {LONGEST_NOTE} characters"));
    }
}

fn of_group(event: &Value, faults: &mut Faults) {
    if !has(event, "eventTime") {
        faults.required("eventTime", "");
    }
    let sort = text(event, "type");
    if !["Normal", "Warning"].contains(&sort) {
        faults.invalid("type", "", format!("has invalid value: {sort}"));
    }
    for key in ["firstTimestamp", "lastTimestamp"] {
        if has(event, key) {
            faults.invalid(key, "", "needs to be unset");
        }
    }
    if int(event, "count").unwrap_or(0) != 0 {
        faults.invalid("count", "", "needs to be unset");
    }
    if !text(at(event, "source"), "component").is_empty() || !text(at(event, "source"), "host").is_empty() {
        faults.invalid("source", "", "needs to be unset");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wrong(rules: &Rules, event: Value) -> Vec<String> {
        let mut faults = Faults::default();
        (rules.validate)(&event, &mut faults);
        faults.0.iter().map(|fault| fault.field.clone()).collect()
    }

    #[test]
    fn old_events_are_in_the_namespace_of_their_object() {
        let event = |own: &str, of: &str| {
            wrong(&CORE, json!({"metadata": {"namespace": own}, "involvedObject": {"namespace": of}}))
        };
        assert!(event("a", "a").is_empty() && event("default", "").is_empty());
        assert_eq!(event("a", "b"), ["involvedObject.namespace"]);
        assert_eq!(event("a", ""), ["involvedObject.namespace"]);
    }

    #[test]
    fn new_events_say_when_who_and_what() {
        let event =
            json!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "a"}, "type": "Normal"});
        assert_eq!(wrong(&EVENT, event.clone()), ["eventTime"]);
        let mut new = event;
        new["eventTime"] = json!("2026-01-01T00:00:00.000000Z");
        assert_eq!(wrong(&EVENT, new), ["reportingController", "reportingInstance", "action", "reason"]);
    }
}
