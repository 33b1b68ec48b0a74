//! Jobs and cron jobs. Source: `pkg/apis/batch/v1/defaults.go`, `pkg/apis/batch/validation/validation.go`.

mod cron_job;
mod job;
mod schedule;

pub use cron_job::CRON_JOB;
pub use job::{JOB, prepare_job};

#[cfg(test)]
mod tests;
