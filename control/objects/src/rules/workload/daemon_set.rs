//! Daemon sets.

use super::super::pod::template_defaults;
use super::super::reading::{at, default, text, within};
use super::{Rules, immutable, is_none, not_negative, number_or_percent, selector_and_labels, template};
use crate::fault::Faults;
use serde_json::Value;

/// Of daemon sets.
pub const DAEMON_SET: Rules = Rules {
    default: complete,
    validate,
    validate_update: |new, old, faults| {
        validate(new, faults);
        immutable(new, old, &["selector"], faults);
    },
};

fn complete(object: &mut Value) {
    within(object, "spec", |spec| {
        default(spec, "revisionHistoryLimit", 10);
        within(spec, "updateStrategy", |strategy| {
            default(strategy, "type", "RollingUpdate");
            if text(strategy, "type") == "RollingUpdate" {
                within(strategy, "rollingUpdate", |rolling| {
                    default(rolling, "maxUnavailable", 1);
                    default(rolling, "maxSurge", 0);
                });
            }
        });
        within(spec, "template", template_defaults);
    });
    within(object, "status", |status| {
        for key in ["currentNumberScheduled", "desiredNumberScheduled", "numberMisscheduled", "numberReady"] {
            default(status, key, 0);
        }
    });
}

/// Source: `ValidateDaemonSetSpec`.
fn validate(object: &Value, faults: &mut Faults) {
    let spec = at(object, "spec");
    selector_and_labels(spec, "daemonset", faults);
    template(spec, "DaemonSet", faults);
    not_negative(spec, "spec", &["minReadySeconds", "revisionHistoryLimit"], faults);
    let strategy = at(spec, "updateStrategy");
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let field = "spec.updateStrategy.rollingUpdate";
            let rolling = at(strategy, "rollingUpdate");
            let (unavailable, surge) = (at(rolling, "maxUnavailable"), at(rolling, "maxSurge"));
            number_or_percent(unavailable, &format!("{field}.maxUnavailable"), true, faults);
            number_or_percent(surge, &format!("{field}.maxSurge"), true, faults);
            match (is_none(unavailable), is_none(surge)) {
                (false, false) => {
                    let text = "may not be set when maxUnavailable is non-zero";
                    faults.invalid(format!("{field}.maxSurge"), surge.clone(), text);
                }
                (true, true) => {
                    let text = "cannot be 0 when maxSurge is 0";
                    faults.invalid(format!("{field}.maxUnavailable"), unavailable.clone(), text);
                }
                _ => {}
            }
        }
        other => faults.not_supported("spec.updateStrategy.type", other, &["RollingUpdate", "OnDelete"]),
    }
}
