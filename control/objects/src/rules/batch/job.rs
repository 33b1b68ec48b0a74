//! Jobs.

use super::super::Rules;
use super::super::pod::{template_defaults, validate_template};
use super::super::reading::{as_in, at, below, default, each, flag, has, int, set, text, with, within};
use super::super::selecting;
use super::super::workload::{immutable, not_negative};
use crate::fault::Faults;
use serde_json::Value;

/// Of jobs.
pub const JOB: Rules = Rules { default: complete, validate, validate_update };

const POLICIES: [&str; 2] = ["OnFailure", "Never"];

fn complete(object: &mut Value) {
    let labels = below(object, &["spec", "template", "metadata", "labels"]).clone();
    within(object, "spec", |spec| {
        if !has(spec, "completions") && !has(spec, "parallelism") {
            set(spec, "completions", 1);
        }
        default(spec, "parallelism", 1);
        let by_index = has(spec, "backoffLimitPerIndex");
        default(spec, "backoffLimit", if by_index { i64::from(i32::MAX) } else { 6 });
        default(spec, "completionMode", "NonIndexed");
        default(spec, "suspend", false);
        default(spec, "manualSelector", false);
        let replacement = if has(spec, "podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
        default(spec, "podReplacementPolicy", replacement);
        with(spec, "podFailurePolicy", |policy| {
            each(policy, "rules", |rule| {
                each(rule, "onPodConditions", |condition| default(condition, "status", "True"));
            });
        });
        within(spec, "template", template_defaults);
    });
    if labels.as_object().is_some_and(|labels| !labels.is_empty()) {
        within(object, "metadata", |meta| default(meta, "labels", labels));
    }
    within(object, "status", |_| {});
}

/// Gives a new job the labels and the selector by which it knows its pods, unless it brings its own.
/// Source: `generateSelector` of `registry/batch/job/strategy.go`.
pub fn prepare_job(object: &mut Value) {
    if flag(at(object, "spec"), "manualSelector") {
        return;
    }
    let meta = at(object, "metadata");
    let (name, uid) = (text(meta, "name").to_owned(), text(meta, "uid").to_owned());
    within(object, "spec", |spec| {
        within(spec, "template", |template| {
            within(template, "metadata", |meta| {
                within(meta, "labels", |labels| {
                    for (key, value) in [
                        ("controller-uid", &uid),
                        ("job-name", &name),
                        ("batch.kubernetes.io/controller-uid", &uid),
                        ("batch.kubernetes.io/job-name", &name),
                    ] {
                        set(labels, key, value.as_str());
                    }
                });
            });
        });
        within(spec, "selector", |selector| {
            within(selector, "matchLabels", |labels| {
                set(labels, "batch.kubernetes.io/controller-uid", uid.as_str())
            });
        });
    });
}

/// Source: `ValidateJob`.
fn validate(object: &Value, faults: &mut Faults) {
    let spec = at(object, "spec");
    specification(spec, "spec", faults);
    let selector = at(spec, "selector");
    if selector.is_null() {
        faults.required("spec.selector", "");
        return;
    }
    selecting::label_selector(selector, "spec.selector", faults);
    let labels = below(spec, &["template", "metadata", "labels"]);
    if !selecting::selects(selector, labels) {
        let text = "`selector` does not match template `labels`";
        faults.invalid("spec.template.metadata.labels", labels.clone(), text);
    }
}

/// The specification of a job or of a cron job's jobs, but for the selector.
pub fn specification(spec: &Value, field: &str, faults: &mut Faults) {
    let numbers = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    not_negative(spec, field, &numbers, faults);
    match text(spec, "completionMode") {
        "Indexed" if !has(spec, "completions") => {
            let text = "when completion mode is Indexed";
            faults.required(format!("{field}.completions"), text);
        }
        "" | "Indexed" | "NonIndexed" => {}
        other => faults.not_supported(format!("{field}.completionMode"), other, &["Indexed", "NonIndexed"]),
    }
    let replacement = text(spec, "podReplacementPolicy");
    if !matches!(replacement, "" | "Failed" | "TerminatingOrFailed") {
        let known = ["Failed", "TerminatingOrFailed"];
        faults.not_supported(format!("{field}.podReplacementPolicy"), replacement, &known);
    }
    let template = at(spec, "template");
    validate_template(template, &format!("{field}.template"), faults);
    let policy = text(at(template, "spec"), "restartPolicy");
    let policy_field = format!("{field}.template.spec.restartPolicy");
    if matches!(policy, "" | "Always") {
        faults.required(policy_field, "valid values: \"OnFailure\", \"Never\"");
    } else if !POLICIES.contains(&policy) {
        faults.not_supported(policy_field, policy, &POLICIES);
    } else if has(spec, "podFailurePolicy") && policy != "Never" {
        let text = "only \"Never\" is supported when podFailurePolicy is specified";
        faults.invalid(policy_field, policy, text);
    }
}

/// Source: `ValidateJobUpdate`.
fn validate_update(new: &Value, old: &Value, faults: &mut Faults) {
    validate(new, faults);
    let (after, before) = (at(new, "spec"), at(old, "spec"));
    let indexed = text(before, "completionMode") == "Indexed";
    // An indexed job may grow and shrink if both numbers go together.
    if !indexed || int(after, "completions") != int(after, "parallelism") {
        immutable(new, old, &["completions"], faults);
    }
    immutable(
        new,
        old,
        &["selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy"],
        faults,
    );
    if template_of(after, before) != *at(before, "template") {
        faults.invalid("spec.template", at(after, "template").clone(), "field is immutable");
    }
}

/// A job that is suspended and never started may still be told where its pods go.
fn template_of(after: &Value, before: &Value) -> Value {
    let mut template = at(after, "template").clone();
    if !flag(before, "suspend") {
        return template;
    }
    let old = below(before, &["template", "spec"]);
    within(&mut template, "spec", |spec| {
        for key in ["nodeSelector", "affinity", "tolerations", "schedulingGates"] {
            as_in(spec, old, key);
        }
    });
    within(&mut template, "metadata", |meta| {
        for key in ["labels", "annotations"] {
            as_in(meta, below(before, &["template", "metadata"]), key);
        }
    });
    template
}
