//! Autoscalers and disruption budgets. Source: `pkg/apis/autoscaling`, `pkg/apis/policy`.
//!
//! Autoscalers are kept in the form of version 2; the rules are for that form.

use super::reading::{at, default, has, int, items, text, with, within};
use super::selecting::label_selector;
use super::workload::number_or_percent;
use super::{Rules, metadata};
use crate::fault::Faults;
use crate::names;
use serde_json::{Value, json};

/// Of autoscalers.
pub const AUTOSCALER: Rules = Rules {
    default: autoscaler_defaults,
    validate: autoscaler,
    validate_update: |new, _, faults| autoscaler(new, faults),
};

/// Of disruption budgets.
pub const DISRUPTION_BUDGET: Rules = Rules {
    default: |object| {
        within(object, "status", |status| {
            for key in ["currentHealthy", "desiredHealthy", "disruptionsAllowed", "expectedPods"] {
                default(status, key, 0);
            }
        });
    },
    validate: budget,
    validate_update: |new, _, faults| budget(new, faults),
};

/// Of scales: the subresource.
pub const SCALE: Rules = Rules {
    default: |_| {},
    validate: |object, faults| {
        let replicas = int(at(object, "spec"), "replicas").unwrap_or(0);
        if replicas < 0 {
            faults.invalid("spec.replicas", replicas, metadata::NOT_NEGATIVE);
        }
    },
    validate_update: |_, _, _| {},
};

fn autoscaler_defaults(object: &mut Value) {
    // Version 1 has its one metric as a field.
    let second = text(object, "apiVersion") == "autoscaling/v2";
    within(object, "spec", |spec| {
        default(spec, "minReplicas", 1);
        if !second {
            return;
        }
        if items(spec, "metrics").is_empty() {
            let target = json!({"type": "Utilization", "averageUtilization": 80});
            super::reading::set(
                spec,
                "metrics",
                json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]),
            );
        }
        with(spec, "behavior", |behavior| {
            let policy = |kind: &str, value: i64, seconds: i64| json!({"type": kind, "value": value, "periodSeconds": seconds});
            within(behavior, "scaleUp", |up| {
                default(up, "stabilizationWindowSeconds", 0);
                default(up, "selectPolicy", "Max");
                default(up, "policies", json!([policy("Pods", 4, 15), policy("Percent", 100, 15)]));
            });
            within(behavior, "scaleDown", |down| {
                default(down, "selectPolicy", "Max");
                default(down, "policies", json!([policy("Percent", 100, 15)]));
            });
        });
    });
    within(object, "status", |_| {});
}

/// Source: `validateHorizontalPodAutoscalerSpec`.
fn autoscaler(object: &Value, faults: &mut Faults) {
    let spec = at(object, "spec");
    let (least, most) = (int(spec, "minReplicas"), int(spec, "maxReplicas").unwrap_or(0));
    if let Some(least) = least.filter(|least| *least < 1) {
        faults.invalid("spec.minReplicas", least, "must be greater than or equal to 1");
    }
    if most < 1 {
        faults.invalid("spec.maxReplicas", most, "must be greater than 0");
    }
    if least.is_some_and(|least| most < least) {
        faults.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`");
    }
    let target = at(spec, "scaleTargetRef");
    for key in ["kind", "name"] {
        let value = text(target, key);
        if value.is_empty() {
            faults.required(format!("spec.scaleTargetRef.{key}"), "");
        } else {
            metadata::told(names::path_segment(value), &format!("spec.scaleTargetRef.{key}"), value, faults);
        }
    }
    for (index, metric) in items(spec, "metrics").iter().enumerate() {
        self::metric(metric, &format!("spec.metrics[{index}]"), faults);
    }
}

fn metric(metric: &Value, field: &str, faults: &mut Faults) {
    const SOURCES: [(&str, &str); 5] = [
        ("ContainerResource", "containerResource"),
        ("External", "external"),
        ("Object", "object"),
        ("Pods", "pods"),
        ("Resource", "resource"),
    ];
    let kind = text(metric, "type");
    if kind.is_empty() {
        faults.required(format!("{field}.type"), "must specify a metric source type");
        return;
    }
    let Some((_, key)) = SOURCES.iter().find(|(name, _)| *name == kind) else {
        let known = SOURCES.map(|(name, _)| name);
        faults.not_supported(format!("{field}.type"), kind, &known);
        return;
    };
    if !has(metric, key) {
        faults.required(format!("{field}.{key}"), "must populate information for the given metric source");
        return;
    }
    let source = at(metric, key);
    let field = format!("{field}.{key}");
    if key.ends_with("esource") && text(source, "name").is_empty() {
        faults.required(format!("{field}.name"), "must specify a resource name");
    }
    let target = at(source, "target");
    if target.is_null() {
        return;
    }
    let kind = text(target, "type");
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let text = "must be either Utilization, Value, or AverageValue";
        faults.invalid(format!("{field}.target.type"), kind, text);
    }
    if int(target, "averageUtilization").is_some_and(|number| number < 1) {
        let value = at(target, "averageUtilization").clone();
        faults.invalid(format!("{field}.target.averageUtilization"), value, "must be greater than 0");
    }
    if key.ends_with("esource") && !has(target, "averageUtilization") && !has(target, "averageValue") {
        let text = "must set either a target raw value or a target utilization";
        faults.required(format!("{field}.target.averageUtilization"), text);
    }
}

/// Source: `ValidatePodDisruptionBudgetSpec`.
fn budget(object: &Value, faults: &mut Faults) {
    let spec = at(object, "spec");
    if has(spec, "minAvailable") && has(spec, "maxUnavailable") {
        let text = "minAvailable and maxUnavailable cannot be both set";
        faults.invalid("spec", spec.clone(), text);
    }
    for key in ["minAvailable", "maxUnavailable"] {
        number_or_percent(at(spec, key), &format!("spec.{key}"), true, faults);
    }
    label_selector(at(spec, "selector"), "spec.selector", faults);
    let policy = text(spec, "unhealthyPodEvictionPolicy");
    if !matches!(policy, "" | "AlwaysAllow" | "IfHealthyBudget") {
        let known = ["AlwaysAllow", "IfHealthyBudget"];
        faults.not_supported("spec.unhealthyPodEvictionPolicy", policy, &known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: TestValidateHPA, TestValidatePodDisruptionBudgetSpec.
    #[test]
    fn autoscalers_and_budgets() {
        let mut object = json!({"apiVersion": "autoscaling/v2", "spec": {"maxReplicas": 0, "scaleTargetRef": {"kind": "Deployment"}, "behavior": {}}});
        (AUTOSCALER.default)(&mut object);
        assert_eq!(object["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
        assert_eq!(object["spec"]["behavior"]["scaleUp"]["policies"][0]["type"], "Pods");
        let mut faults = Faults::default();
        (AUTOSCALER.validate)(&object, &mut faults);
        (DISRUPTION_BUDGET.validate)(
            &json!({"spec": {"minAvailable": "x", "maxUnavailable": 1}}),
            &mut faults,
        );
        let texts: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts[..4],
            [
                "spec.maxReplicas: Invalid value: 0: must be greater than 0",
                "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
                "spec.scaleTargetRef.name: Required value",
                "spec: Invalid value: {\"maxUnavailable\":1,\"minAvailable\":\"x\"}: minAvailable and maxUnavailable cannot be both set",
            ]
        );
        assert!(texts[4].starts_with("spec.minAvailable: Invalid value: \"x\": a valid percent string"));
    }
}
