//! Stateful sets.

use super::super::metadata;
use super::super::pod::{claim_defaults, template_defaults};
use super::super::reading::{as_in, at, default, each, has, remove, text, within};
use super::{Rules, each_item, not_negative, runs_for_ever, selector_and_labels};
use crate::fault::Faults;
use crate::names;
use serde_json::Value;

/// Of stateful sets.
pub const STATEFUL_SET: Rules = Rules { default: complete, validate, validate_update };

const MAY_CHANGE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

fn complete(object: &mut Value) {
    within(object, "spec", |spec| {
        default(spec, "podManagementPolicy", "OrderedReady");
        default(spec, "replicas", 1);
        default(spec, "revisionHistoryLimit", 10);
        within(spec, "updateStrategy", |strategy| {
            default(strategy, "type", "RollingUpdate");
            if text(strategy, "type") == "RollingUpdate" {
                within(strategy, "rollingUpdate", |rolling| default(rolling, "partition", 0));
            }
        });
        within(spec, "persistentVolumeClaimRetentionPolicy", |policy| {
            default(policy, "whenDeleted", "Retain");
            default(policy, "whenScaled", "Retain");
        });
        within(spec, "template", template_defaults);
        each(spec, "volumeClaimTemplates", |claim| {
            default(claim, "apiVersion", "v1");
            default(claim, "kind", "PersistentVolumeClaim");
            within(claim, "spec", claim_defaults);
            within(claim, "status", |status| default(status, "phase", "Pending"));
        });
    });
    within(object, "status", |status| {
        default(status, "replicas", 0);
        default(status, "availableReplicas", 0);
    });
}

/// Source: `ValidateStatefulSetSpec`.
fn validate(object: &Value, faults: &mut Faults) {
    let spec = at(object, "spec");
    match text(spec, "podManagementPolicy") {
        "" => faults.required("spec.podManagementPolicy", ""),
        "OrderedReady" | "Parallel" => {}
        other => {
            faults.invalid("spec.podManagementPolicy", other, "must be 'OrderedReady' or 'Parallel'");
        }
    }
    let strategy = at(spec, "updateStrategy");
    match text(strategy, "type") {
        "" => faults.required("spec.updateStrategy", ""),
        "OnDelete" if has(strategy, "rollingUpdate") => {
            let text = "only allowed for updateStrategy 'RollingUpdate'";
            faults.invalid("spec.updateStrategy.rollingUpdate", at(strategy, "rollingUpdate").clone(), text);
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = at(strategy, "rollingUpdate");
            not_negative(rolling, "spec.updateStrategy.rollingUpdate", &["partition"], faults);
        }
        other => faults.invalid("spec.updateStrategy", other, "must be 'RollingUpdate' or 'OnDelete'"),
    }
    not_negative(spec, "spec", &["replicas", "minReadySeconds", "revisionHistoryLimit"], faults);
    selector_and_labels(spec, "statefulset", faults);
    // The pods' volumes come from the templates of claims as well: upstream leaves the pods themselves to be judged
    // when they are created.
    let meta = at(at(spec, "template"), "metadata");
    metadata::labels(at(meta, "labels"), "spec.template.labels", faults);
    metadata::annotations(meta, "spec.template.annotations", faults);
    runs_for_ever(spec, "StatefulSet", faults);
    let service = text(spec, "serviceName");
    if !service.is_empty() {
        for text in names::dns1123_label(service) {
            faults.invalid("spec.serviceName", service, text);
        }
    }
}

/// Source: `ValidateStatefulSetUpdate`.
fn validate_update(new: &Value, old: &Value, faults: &mut Faults) {
    validate(new, faults);
    let mut fixed = at(new, "spec").clone();
    for key in MAY_CHANGE {
        as_in(&mut fixed, at(old, "spec"), key);
    }
    // Claims' statuses are none of the specification.
    let claims = |spec: &Value| -> Vec<Value> {
        let without = |(_, mut claim): (usize, Value)| {
            remove(&mut claim, "status");
            claim
        };
        each_item(spec, "volumeClaimTemplates").map(without).collect()
    };
    let same_claims = claims(&fixed) == claims(at(old, "spec"));
    let mut before = at(old, "spec").clone();
    for spec in [&mut fixed, &mut before] {
        remove(spec, "volumeClaimTemplates");
    }
    if fixed != before || !same_claims {
        let text = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        faults.forbidden("spec", text);
    }
}
