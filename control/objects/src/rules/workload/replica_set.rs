//! Replica sets and their elders, replication controllers.

use super::super::metadata::labels;
use super::super::pod::template_defaults;
use super::super::reading::{at, below, default, set, within};
use super::super::{pod, reading};
use super::{Rules, immutable, not_negative, selector_and_labels, template};
use crate::fault::Faults;
use crate::selector::LabelSelector;
use serde_json::Value;

/// Of replica sets.
pub const REPLICA_SET: Rules = Rules {
    default: |object| complete(object, false),
    validate,
    validate_update: |new, old, faults| {
        validate(new, faults);
        immutable(new, old, &["selector"], faults);
    },
};

/// Of replication controllers.
pub const REPLICATION_CONTROLLER: Rules = Rules {
    default: |object| complete(object, true),
    validate: validate_controller,
    validate_update: |new, _, faults| validate_controller(new, faults),
};

fn complete(object: &mut Value, elder: bool) {
    within(object, "spec", |spec| {
        default(spec, "replicas", 1);
        if !reading::at(spec, "template").is_null() || !elder {
            within(spec, "template", template_defaults);
        }
    });
    if elder {
        let labels = below(object, &["spec", "template", "metadata", "labels"]).clone();
        if labels.as_object().is_some_and(|labels| !labels.is_empty()) {
            within(object, "spec", |spec| default(spec, "selector", labels.clone()));
            within(object, "metadata", |meta| default(meta, "labels", labels));
        }
    }
    within(object, "status", |status| {
        if reading::int(status, "replicas").is_none() {
            set(status, "replicas", 0);
        }
    });
}

/// Source: `ValidateReplicaSetSpec`.
fn validate(object: &Value, faults: &mut Faults) {
    let spec = at(object, "spec");
    not_negative(spec, "spec", &["replicas", "minReadySeconds"], faults);
    selector_and_labels(spec, "deployment", faults);
    template(spec, "ReplicaSet", faults);
}

/// Source: `ValidateReplicationControllerSpec`.
fn validate_controller(object: &Value, faults: &mut Faults) {
    let spec = at(object, "spec");
    not_negative(spec, "spec", &["replicas", "minReadySeconds"], faults);
    let selector = at(spec, "selector");
    if selector.as_object().is_none_or(|labels| labels.is_empty()) {
        faults.required("spec.selector", "");
    }
    labels(selector, "spec.selector", faults);
    if at(spec, "template").is_null() {
        faults.required("spec.template", "");
        return;
    }
    let labels = below(spec, &["template", "metadata", "labels"]);
    if LabelSelector::of_map(selector).is_ok_and(|selector| !selector.matches_value(labels)) {
        let text = "`selector` does not match template `labels`";
        faults.invalid("spec.template.metadata.labels", labels.clone(), text);
    }
    pod::validate_template(at(spec, "template"), "spec.template", faults);
    let policy = reading::text(below(spec, &["template", "spec"]), "restartPolicy");
    if policy != "Always" {
        faults.not_supported("spec.template.spec.restartPolicy", policy, &["Always"]);
    }
}
