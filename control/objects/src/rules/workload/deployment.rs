//! Deployments.

use super::super::pod::template_defaults;
use super::super::reading::{at, default, has, int, text, within};
use super::{Rules, immutable, is_none, not_negative, number_or_percent, selector_and_labels, template};
use crate::fault::Faults;
use serde_json::Value;

/// Of deployments.
pub const DEPLOYMENT: Rules = Rules {
    default: complete,
    validate,
    validate_update: |new, old, faults| {
        validate(new, faults);
        immutable(new, old, &["selector"], faults);
    },
};

fn complete(object: &mut Value) {
    within(object, "spec", |spec| {
        default(spec, "replicas", 1);
        default(spec, "revisionHistoryLimit", 10);
        default(spec, "progressDeadlineSeconds", 600);
        within(spec, "strategy", |strategy| {
            default(strategy, "type", "RollingUpdate");
            if text(strategy, "type") == "RollingUpdate" {
                within(strategy, "rollingUpdate", |rolling| {
                    default(rolling, "maxUnavailable", "25%");
                    default(rolling, "maxSurge", "25%");
                });
            }
        });
        within(spec, "template", template_defaults);
    });
    within(object, "status", |_| {});
}

/// Source: `ValidateDeploymentSpec`.
fn validate(object: &Value, faults: &mut Faults) {
    let spec = at(object, "spec");
    not_negative(
        spec,
        "spec",
        &["replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"],
        faults,
    );
    selector_and_labels(spec, "deployment", faults);
    template(spec, "ReplicaSet", faults);
    strategy(at(spec, "strategy"), faults);
    let (progress, ready) = (int(spec, "progressDeadlineSeconds"), int(spec, "minReadySeconds").unwrap_or(0));
    if let Some(progress) = progress.filter(|progress| *progress <= ready) {
        faults.invalid("spec.progressDeadlineSeconds", progress, "must be greater than minReadySeconds");
    }
}

fn strategy(strategy: &Value, faults: &mut Faults) {
    let rolling = at(strategy, "rollingUpdate");
    match text(strategy, "type") {
        "Recreate" if has(strategy, "rollingUpdate") => {
            let text = "may not be specified when strategy `type` is 'Recreate'";
            faults.forbidden("spec.strategy.rollingUpdate", text);
        }
        "Recreate" => {}
        "RollingUpdate" if rolling.is_null() => {
            let text = "this should be defaulted and never be nil";
            faults.required("spec.strategy.rollingUpdate", text);
        }
        "RollingUpdate" => {
            let field = "spec.strategy.rollingUpdate";
            let (unavailable, surge) = (at(rolling, "maxUnavailable"), at(rolling, "maxSurge"));
            number_or_percent(unavailable, &format!("{field}.maxUnavailable"), true, faults);
            number_or_percent(surge, &format!("{field}.maxSurge"), false, faults);
            if is_none(unavailable) && is_none(surge) {
                let text = "may not be 0 when `maxSurge` is 0";
                faults.invalid(format!("{field}.maxUnavailable"), unavailable.clone(), text);
            }
        }
        other => faults.not_supported("spec.strategy.type", other, &["Recreate", "RollingUpdate"]),
    }
}
