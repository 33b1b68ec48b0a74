//! Where a pod may run: affinity, tolerations, spreading.

use super::super::metadata::told;
use super::super::reading::{at, has, int, items, text};
use super::super::selecting;
use crate::fault::Faults;
use crate::names;
use serde_json::Value;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// All of a pod's constraints.
pub fn validate(spec: &Value, field: &str, faults: &mut Faults) {
    super::super::metadata::labels(at(spec, "nodeSelector"), &format!("{field}.nodeSelector"), faults);
    for (index, one) in items(spec, "tolerations").iter().enumerate() {
        toleration(one, &format!("{field}.tolerations[{index}]"), faults);
    }
    for (index, one) in items(spec, "topologySpreadConstraints").iter().enumerate() {
        spreading(one, &format!("{field}.topologySpreadConstraints[{index}]"), faults);
    }
    let affinity = at(spec, "affinity");
    let field = format!("{field}.affinity");
    node_affinity(at(affinity, "nodeAffinity"), &format!("{field}.nodeAffinity"), faults);
    for key in ["podAffinity", "podAntiAffinity"] {
        pod_affinity(at(affinity, key), &format!("{field}.{key}"), faults);
    }
}

/// Source: `ValidateTolerations`.
fn toleration(one: &Value, field: &str, faults: &mut Faults) {
    let (key, operator, effect) = (text(one, "key"), text(one, "operator"), text(one, "effect"));
    if !key.is_empty() {
        told(names::qualified_name(key), &format!("{field}.key"), key, faults);
    } else if operator != "Exists" {
        let text =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        faults.invalid(format!("{field}.operator"), operator, text);
    }
    if has(one, "tolerationSeconds") && effect != "NoExecute" {
        let text = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        faults.invalid(format!("{field}.effect"), effect, text);
    }
    match operator {
        "" | "Equal" => {
            let value = text(one, "value");
            told(names::label_value(value), &format!("{field}.operator"), value, faults);
        }
        "Exists" if !text(one, "value").is_empty() => {
            faults.invalid(
                format!("{field}.operator"),
                one.clone(),
                "value must be empty when `operator` is 'Exists'",
            );
        }
        "Exists" => {}
        other => faults.not_supported(format!("{field}.operator"), other, &["Equal", "Exists"]),
    }
    if !matches!(effect, "" | "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
        let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        faults.not_supported(format!("{field}.effect"), effect, &known);
    }
}

fn spreading(one: &Value, field: &str, faults: &mut Faults) {
    let skew = int(one, "maxSkew").unwrap_or(0);
    if skew <= 0 {
        faults.invalid(format!("{field}.maxSkew"), skew, "must be greater than zero");
    }
    if text(one, "topologyKey").is_empty() {
        faults.required(format!("{field}.topologyKey"), "can not be empty");
    }
    let action = text(one, "whenUnsatisfiable");
    if !matches!(action, "DoNotSchedule" | "ScheduleAnyway") {
        let known = ["DoNotSchedule", "ScheduleAnyway"];
        faults.not_supported(format!("{field}.whenUnsatisfiable"), action, &known);
    }
    selecting::label_selector(at(one, "labelSelector"), &format!("{field}.labelSelector"), faults);
}

fn node_affinity(affinity: &Value, field: &str, faults: &mut Faults) {
    if has(affinity, REQUIRED) {
        selecting::node_selector(at(affinity, REQUIRED), &format!("{field}.{REQUIRED}"), faults);
    }
    for (index, one) in items(affinity, PREFERRED).iter().enumerate() {
        let field = format!("{field}.{PREFERRED}[{index}]");
        weight(one, &field, faults);
        selecting::node_selector_term(at(one, "preference"), &format!("{field}.preference"), faults);
    }
}

fn pod_affinity(affinity: &Value, field: &str, faults: &mut Faults) {
    for (index, term) in items(affinity, REQUIRED).iter().enumerate() {
        pod_term(term, &format!("{field}.{REQUIRED}[{index}]"), faults);
    }
    for (index, one) in items(affinity, PREFERRED).iter().enumerate() {
        let field = format!("{field}.{PREFERRED}[{index}]");
        weight(one, &field, faults);
        pod_term(at(one, "podAffinityTerm"), &format!("{field}.podAffinityTerm"), faults);
    }
}

fn pod_term(term: &Value, field: &str, faults: &mut Faults) {
    for key in ["labelSelector", "namespaceSelector"] {
        selecting::label_selector(at(term, key), &format!("{field}.{key}"), faults);
    }
    if text(term, "topologyKey").is_empty() {
        faults.required(format!("{field}.topologyKey"), "can not be empty");
    }
}

fn weight(one: &Value, field: &str, faults: &mut Faults) {
    let weight = int(one, "weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        faults.invalid(format!("{field}.weight"), weight, "must be in the range 1-100");
    }
}
