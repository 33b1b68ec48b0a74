use super::*;
use crate::fault::Faults;
use serde_json::{Value, json};

fn job(extra: Value) -> Value {
    let pods = json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}});
    let mut job = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": pods}});
    for (key, value) in extra.as_object().into_iter().flatten() {
        job["spec"][key] = value.clone();
    }
    (JOB.default)(&mut job);
    prepare_job(&mut job);
    job
}

fn texts(faults: &Faults) -> Vec<String> {
    faults.0.iter().map(ToString::to_string).collect()
}

/// Source: TestSetDefaultJob, TestJobStrategy, TestValidateJob.
#[test]
fn jobs() {
    let one = job(json!({}));
    let spec = &one["spec"];
    assert_eq!(
        (&spec["completions"], &spec["parallelism"], &spec["backoffLimit"]),
        (&json!(1), &json!(1), &json!(6))
    );
    assert_eq!(spec["selector"], json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}));
    assert_eq!(spec["template"]["metadata"]["labels"]["job-name"], "j");
    let mut faults = Faults::default();
    (JOB.validate)(&one, &mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    let pods = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
    (JOB.validate)(&job(json!({"template": pods, "parallelism": -1, "completionMode": "X"})), &mut faults);
    assert_eq!(
        texts(&faults),
        [
            "spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
            "spec.completionMode: Unsupported value: \"X\": supported values: \"Indexed\", \"NonIndexed\"",
            "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
        ]
    );
}

/// Source: TestValidateJobUpdate.
#[test]
fn of_a_job_little_changes() {
    let (old, mut new) = (job(json!({})), job(json!({"parallelism": 3, "completions": 1})));
    let mut faults = Faults::default();
    (JOB.validate_update)(&new, &old, &mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    new["spec"]["completions"] = json!(5);
    new["spec"]["template"]["spec"]["containers"][0]["image"] = json!("other");
    (JOB.validate_update)(&new, &old, &mut faults);
    let fields: Vec<&str> = faults.0.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["spec.completions", "spec.template"]);
}

/// Source: TestValidateCronJob.
#[test]
fn cron_jobs() {
    let template = job(json!({}))["spec"]["template"].clone();
    let mut one = json!({"metadata": {"name": "x".repeat(53)}, "spec": {"schedule": "* *", "jobTemplate": {"spec": {"template": template}}}});
    (CRON_JOB.default)(&mut one);
    assert_eq!(
        (&one["spec"]["concurrencyPolicy"], &one["spec"]["failedJobsHistoryLimit"]),
        (&json!("Allow"), &json!(1))
    );
    let mut faults = Faults::default();
    (CRON_JOB.validate)(&one, &mut faults);
    let fields: Vec<&str> = faults.0.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, ["metadata.name", "spec.schedule"]);
}
