//! Jobs and cron jobs.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::{NONE, aged, condition, containers, named, or_none, selector};
use super::kind::{Field, Kind, Subresource, column, wide};
use crate::object::{age, at, human, list, number, text};

pub(super) static JOB: Kind = Kind::of("batch", "v1", "Job", "jobs", "job")
    .categories(&["all"])
    .subresources(&[Subresource::Status])
    .status()
    .generation()
    .fields(&[Field { path: "status.successful", of: |job| number(job, "status.succeeded").to_string() }])
    .table(
        &[
            column("Name", "string"),
            column("Status", "string"),
            column("Completions", "string"),
            column("Duration", "string"),
            column("Age", "string"),
            wide("Containers", "string"),
            wide("Images", "string"),
            wide("Selector", "string"),
        ],
        |job, now| {
            let [names, images] = containers(job, "spec.template.spec.containers");
            vec![
                named(job),
                state(job).into(),
                completions(job).into(),
                duration(job, now).into(),
                aged(job, now),
                names,
                images,
                selector(at(job, "spec.selector")).into(),
            ]
        },
    );

fn state(job: &Value) -> &'static str {
    let is = |kind: &str| condition(job, kind).is_some_and(|c| text(c, "status") == "True");
    if is("Complete") {
        "Complete"
    } else if is("Failed") {
        "Failed"
    } else if !at(job, "metadata.deletionTimestamp").is_null() {
        "Terminating"
    } else if is("Suspended") {
        "Suspended"
    } else if is("FailureTarget") {
        "FailureTarget"
    } else if is("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn completions(job: &Value) -> String {
    let done = number(job, "status.succeeded");
    match (at(job, "spec.completions").as_i64(), number(job, "spec.parallelism")) {
        (Some(all), _) => format!("{done}/{all}"),
        (None, parallelism) if parallelism > 1 => format!("{done}/1 of {parallelism}"),
        (None, _) => format!("{done}/1"),
    }
}

fn duration(job: &Value, now: Timestamp) -> String {
    let Ok(start) = text(job, "status.startTime").parse::<Timestamp>() else { return String::new() };
    let end = text(job, "status.completionTime").parse().unwrap_or(now);
    human(end.as_second() - start.as_second())
}

pub(super) static CRON_JOB: Kind = Kind::of("batch", "v1", "CronJob", "cronjobs", "cronjob")
    .short(&["cj"])
    .categories(&["all"])
    .subresources(&[Subresource::Status])
    .status()
    .generation()
    .table(
        &[
            column("Name", "string"),
            column("Schedule", "string"),
            column("Timezone", "string"),
            column("Suspend", "boolean"),
            column("Active", "integer"),
            column("Last Schedule", "string"),
            column("Age", "string"),
            wide("Containers", "string"),
            wide("Images", "string"),
            wide("Selector", "string"),
        ],
        |job, now| {
            let [names, images] = containers(job, "spec.jobTemplate.spec.template.spec.containers");
            let last = match text(job, "status.lastScheduleTime") {
                "" => NONE.to_owned(),
                at => age(at, now),
            };
            let suspended = if at(job, "spec.suspend") == true { "True" } else { "False" };
            vec![
                named(job),
                text(job, "spec.schedule").into(),
                or_none(text(job, "spec.timeZone")),
                suspended.into(),
                list(job, "status.active").len().into(),
                last.into(),
                aged(job, now),
                names,
                images,
                selector(at(job, "spec.jobTemplate.spec.selector")).into(),
            ]
        },
    );
