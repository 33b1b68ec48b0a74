//! Selectors inside objects: of labels and of nodes.
//!
//! Source: `k8s.io/apimachinery/pkg/apis/meta/v1/validation/validation.go`, `ValidateNodeSelectorRequirement`.

use super::metadata::{labels, told};
use super::reading::{at, items, text};
use crate::fault::Faults;
use crate::names;
use crate::selector::LabelSelector;
use serde_json::Value;

/// A `LabelSelector`.
pub fn label_selector(selector: &Value, field: &str, faults: &mut Faults) {
    labels(at(selector, "matchLabels"), &format!("{field}.matchLabels"), faults);
    for (index, one) in items(selector, "matchExpressions").iter().enumerate() {
        let field = format!("{field}.matchExpressions[{index}]");
        let (operator, values) = (text(one, "operator"), items(one, "values"));
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                faults.required(
                    format!("{field}.values"),
                    "must be specified when `operator` is 'In' or 'NotIn'",
                );
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                faults.forbidden(format!("{field}.values"), text);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => faults.invalid(format!("{field}.operator"), other, "not a valid selector operator"),
        }
        let key = text(one, "key");
        told(names::qualified_name(key), &format!("{field}.key"), key, faults);
        for (at, value) in values.iter().filter_map(Value::as_str).enumerate() {
            told(names::label_value(value), &format!("{field}.values[{at}]"), value, faults);
        }
    }
}

/// Whether a selector selects an object with these labels; one that cannot be read selects nothing.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    LabelSelector::of_object(selector).is_ok_and(|selector| selector.matches_value(labels))
}

/// Whether a selector asks for nothing.
pub fn is_empty(selector: &Value) -> bool {
    selector["matchLabels"].as_object().is_none_or(|labels| labels.is_empty())
        && items(selector, "matchExpressions").is_empty()
}

/// A requirement on a node's labels or fields.
pub fn node_requirement(one: &Value, field: &str, faults: &mut Faults) {
    let (operator, values) = (text(one, "operator"), items(one, "values"));
    let values_field = format!("{field}.values");
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            faults.required(values_field, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            faults.forbidden(
                values_field,
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            );
        }
        "Gt" | "Lt" if values.len() != 1 => {
            faults.required(values_field, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => faults.invalid(format!("{field}.operator"), other, "not a valid selector operator"),
    }
    let key = text(one, "key");
    told(names::qualified_name(key), &format!("{field}.key"), key, faults);
}

/// A `NodeSelector`.
pub fn node_selector(selector: &Value, field: &str, faults: &mut Faults) {
    let terms = items(selector, "nodeSelectorTerms");
    if terms.is_empty() {
        faults.required(format!("{field}.nodeSelectorTerms"), "must have at least one node selector term");
    }
    for (index, term) in terms.iter().enumerate() {
        node_selector_term(term, &format!("{field}.nodeSelectorTerms[{index}]"), faults);
    }
}

/// One term of a `NodeSelector`.
pub fn node_selector_term(term: &Value, field: &str, faults: &mut Faults) {
    for (index, one) in items(term, "matchExpressions").iter().enumerate() {
        node_requirement(one, &format!("{field}.matchExpressions[{index}]"), faults);
    }
}
