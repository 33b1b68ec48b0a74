//! Resources of containers and pods: what they ask for and what they may have.

use super::super::metadata::{NOT_NEGATIVE, told};
use super::super::reading::{at, entries, has, text};
use crate::fault::Faults;
use crate::names;
use crate::quantity::Quantity;
use serde_json::Value;

/// Rounds a list of resources up to thousandths, as upstream's `SetDefaults_ResourceList` does.
pub fn round_up(list: &mut Value) {
    for value in list.as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
        if let Some(Ok(quantity)) = value.as_str().map(Quantity::parse) {
            *value = quantity.round_up_to_milli().to_string().into();
        }
    }
}

/// A quantity of a list.
pub fn quantity(value: &Value) -> Quantity {
    value.as_str().and_then(|text| Quantity::parse(text).ok()).unwrap_or(Quantity::ZERO)
}

/// Source: `validateContainerResourceName`.
fn name_faults(name: &str, field: &str, faults: &mut Faults) {
    let wrong = names::qualified_name(name);
    if !wrong.is_empty() {
        told(wrong, field, name, faults);
        return;
    }
    let known = matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
    if name.contains('/') || known {
        return;
    }
    if name != "storage" {
        faults.invalid(field, name, "must be a standard resource type or fully qualified");
    }
    faults.invalid(field, name, "must be a standard resource for containers");
}

/// Resources may be asked for in parts, or only as a whole.
fn overcommits(name: &str) -> bool {
    (!name.contains('/') || name.contains("kubernetes.io/")) && !name.starts_with("hugepages-")
}

/// A container's `resources`. Source: `ValidateResourceRequirements`.
pub fn validate(resources: &Value, field: &str, faults: &mut Faults) {
    for key in ["limits", "requests"] {
        for (name, value) in entries(resources, key) {
            let field = format!("{field}.{key}[{name}]");
            name_faults(name, &field, faults);
            let amount = quantity(value);
            if amount.sign() < 0 {
                faults.invalid(&field, value.clone(), NOT_NEGATIVE);
            }
            if !overcommits(name) && !amount.is_whole() {
                faults.invalid(&field, value.clone(), "must be an integer");
            }
        }
    }
    let limits = at(resources, "limits");
    for (name, request) in entries(resources, "requests") {
        let field = format!("{field}.requests");
        if !has(limits, name) {
            if !overcommits(name) {
                faults.required(
                    format!("{}.limits", field.trim_end_matches(".requests")),
                    "Limit must be set for non overcommitable resources",
                );
            }
            continue;
        }
        let limit = text(limits, name);
        let (asked, most) = (quantity(request), quantity(at(limits, name)));
        if !overcommits(name) && asked != most {
            faults.invalid(field, request.clone(), format!("must be equal to {name} limit of {limit}"));
        } else if asked > most {
            faults.invalid(
                field,
                request.clone(),
                format!("must be less than or equal to {name} limit of {limit}"),
            );
        }
    }
}
