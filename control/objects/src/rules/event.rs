//! Events, of the core group and of their own. Source: `pkg/apis/core/validation/events.go`.

use super::Rules;
use super::metadata::told;
use super::reading::{at, has, text};
use crate::fault::{FaultKind, Faults};
use crate::names;
use serde_json::Value;

/// Of events of the core group, which older clients write with little in them.
pub const CORE: Rules = Rules {
    default: |_| {},
    validate: |object, faults| namespaces(object, "involvedObject", faults),
    validate_update: |new, _, faults| namespaces(new, "involvedObject", faults),
};

/// Of events of the group `events.k8s.io`.
pub const EVENT: Rules = Rules {
    default: |_| {},
    validate: |object, faults| {
        namespaces(object, "regarding", faults);
        event(object, faults);
    },
    validate_update: |new, old, faults| {
        namespaces(new, "regarding", faults);
        for key in ["regarding", "reason", "action", "reportingController", "reportingInstance", "eventTime"]
        {
            if at(new, key) != at(old, key) {
                faults.invalid(key, at(new, key).clone(), "field is immutable");
            }
        }
    },
};

/// An event lives where what it is about lives; of what lives in no namespace, in `default` or `kube-system`.
fn namespaces(object: &Value, about: &str, faults: &mut Faults) {
    let namespace = text(at(object, "metadata"), "namespace");
    let other = text(at(object, about), "namespace");
    let fits = match other {
        "" => matches!(namespace, "" | "default" | "kube-system"),
        other => namespace == other,
    };
    if !fits {
        faults.invalid("involvedObject.namespace", other, "does not match event.namespace");
    }
}

fn event(object: &Value, faults: &mut Faults) {
    if !has(object, "eventTime") {
        faults.required("eventTime", "");
    }
    for key in ["reportingController", "reportingInstance", "action", "reason"] {
        let value = text(object, key);
        if value.is_empty() {
            faults.required(key, "");
        } else if value.len() > 128 {
            faults.add(FaultKind::TooLong, key, "", "may not be more than 128 bytes");
        }
    }
    let controller = text(object, "reportingController");
    if !controller.is_empty() {
        told(names::qualified_name(controller), "reportingController", controller, faults);
    }
    if text(object, "note").len() > 1024 {
        faults.add(FaultKind::TooLong, "message", "", "may not be more than 1024 bytes");
    }
    let kind = text(object, "type");
    if !matches!(kind, "Normal" | "Warning") {
        faults.invalid("type", "", format!("has invalid value: {kind}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Source: TestValidateEventForCoreV1Events, TestValidateEventCreateForNewV1beta1Events.
    #[test]
    fn events_live_with_what_they_are_about() {
        let of = |namespace: &str, other: &str| {
            let mut faults = Faults::default();
            let about = json!({"metadata": {"namespace": namespace}, "involvedObject": {"namespace": other}});
            (CORE.validate)(&about, &mut faults);
            faults.is_empty()
        };
        assert!(of("a", "a") && of("default", "") && of("kube-system", ""));
        assert!(!of("a", "b") && !of("a", ""));
        let mut faults = Faults::default();
        (EVENT.validate)(&json!({"metadata": {"namespace": "default"}, "type": "Loud"}), &mut faults);
        assert_eq!(faults.0.len(), 6);
    }
}
