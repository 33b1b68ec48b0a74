//! Cron jobs.

use super::super::Rules;
use super::super::pod::template_defaults;
use super::super::reading::{at, default, flag, has, text, within};
use super::super::workload::not_negative;
use super::{job, schedule};
use crate::fault::Faults;
use serde_json::Value;

/// Of cron jobs.
pub const CRON_JOB: Rules = Rules {
    default: complete,
    validate: |object, faults| {
        // The name of each of its jobs is its own and eleven characters.
        let name = text(at(object, "metadata"), "name");
        if name.len() > 52 {
            faults.invalid("metadata.name", name, "must be no more than 52 characters");
        }
        validate(object, faults);
    },
    validate_update: |new, _, faults| validate(new, faults),
};

fn complete(object: &mut Value) {
    within(object, "spec", |spec| {
        default(spec, "concurrencyPolicy", "Allow");
        default(spec, "suspend", false);
        default(spec, "successfulJobsHistoryLimit", 3);
        default(spec, "failedJobsHistoryLimit", 1);
        within(spec, "jobTemplate", |template| {
            default(template, "metadata", Value::Object(Default::default()));
            within(template, "spec", |spec| within(spec, "template", template_defaults));
        });
    });
    within(object, "status", |_| {});
}

/// Source: `validateCronJobSpec`.
fn validate(object: &Value, faults: &mut Faults) {
    let spec = at(object, "spec");
    let when = text(spec, "schedule");
    if when.is_empty() {
        faults.required("spec.schedule", "");
    } else if let Some(wrong) = schedule::wrong(when) {
        faults.invalid("spec.schedule", when, wrong);
    }
    not_negative(
        spec,
        "spec",
        &["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"],
        faults,
    );
    match text(spec, "concurrencyPolicy") {
        "" => faults.required("spec.concurrencyPolicy", ""),
        "Allow" | "Forbid" | "Replace" => {}
        other => faults.not_supported("spec.concurrencyPolicy", other, &["Allow", "Forbid", "Replace"]),
    }
    let zone = text(spec, "timeZone");
    if has(spec, "timeZone") && (zone.is_empty() || zone.eq_ignore_ascii_case("local")) {
        faults.invalid(
            "spec.timeZone",
            zone,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        );
    }
    let jobs = at(at(spec, "jobTemplate"), "spec");
    if has(jobs, "selector") {
        let text = "`selector` will be auto-generated";
        faults.invalid("spec.jobTemplate.spec.selector", at(jobs, "selector").clone(), text);
    }
    if flag(jobs, "manualSelector") {
        faults.not_supported("spec.jobTemplate.spec.manualSelector", true, &["nil", "false"]);
    }
    job::specification(jobs, "spec.jobTemplate.spec", faults);
}
