//! Pods: defaults, validation, and what may change of one that is there.
//!
//! The parts for the specification also serve the templates of workloads. Source: `pkg/apis/core/v1/defaults.go`,
//! `pkg/apis/core/validation/validation.go`.

mod container;
mod defaults;
mod probe;
mod resources;
mod scheduling;
mod spec;
mod update;
mod volume;

pub use defaults::{claim_defaults, volume_source_defaults};
pub use probe::port;
pub use resources::{quantity, round_up};
pub use spec::validate_template;
pub use update::ephemeral_containers_update;
pub use volume::{host_path, needed as needed_of_source};

use super::Rules;
use super::reading::{at, default, within};
use serde_json::Value;

/// Of pods.
pub const POD: Rules = Rules { default: defaults::pod, validate, validate_update: update::validate_update };

/// Of pod templates, the objects.
pub const POD_TEMPLATE: Rules = Rules {
    default: |object| within(object, "template", template_defaults),
    validate: |object, faults| validate_template(at(object, "template"), "template", faults),
    validate_update: |_, _, _| {},
};

/// Completes a template.
pub fn template_defaults(template: &mut Value) {
    default(template, "metadata", Value::Object(Default::default()));
    within(template, "spec", defaults::spec_defaults);
}

fn validate(object: &Value, faults: &mut crate::fault::Faults) {
    spec::validate(at(object, "spec"), "spec", faults);
}

#[cfg(test)]
mod tests;
