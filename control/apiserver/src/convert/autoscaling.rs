//! Autoscalers: `autoscaling/v1` has the CPU's target as a field, and keeps all else of v2 in annotations
//! (`pkg/apis/autoscaling/v1/conversion.go`).

use serde_json::{Value, json};

use crate::object::{at, list, put, text};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const ANNOTATIONS: [&str; 4] = [METRICS, CURRENT, CONDITIONS, BEHAVIOR];

fn is_cpu(metric: &&Value) -> bool {
    text(metric, "type") == "Resource" && text(metric, "resource.name") == "cpu"
}

fn utilization<'a>(metric: &'a Value, of: &str) -> &'a Value {
    at(at(at(metric, "resource"), of), "averageUtilization")
}

pub(super) fn outgoing(mut object: Value) -> Value {
    let metrics = list(&object, "spec.metrics").to_vec();
    let current = list(&object, "status.currentMetrics").to_vec();
    let cpu = metrics.iter().find(|metric| is_cpu(metric) && !utilization(metric, "target").is_null());
    let others: Vec<&Value> =
        metrics.iter().filter(|metric| !cpu.is_some_and(|cpu| std::ptr::eq(cpu, *metric))).collect();
    let kept = [
        (METRICS, (!others.is_empty()).then(|| json!(others))),
        (CURRENT, (!current.is_empty()).then(|| json!(current))),
        (CONDITIONS, Some(at(&object, "status.conditions").clone()).filter(|value| !value.is_null())),
        (BEHAVIOR, Some(at(&object, "spec.behavior").clone()).filter(|value| !value.is_null())),
    ];
    let target = cpu.map_or(Value::Null, |cpu| utilization(cpu, "target").clone());
    let now = current.iter().find(is_cpu).map_or(Value::Null, |cpu| utilization(cpu, "current").clone());
    for path in ["spec.metrics", "spec.behavior", "status.currentMetrics", "status.conditions"] {
        if !at(&object, path).is_null() {
            put(&mut object, path, Value::Null);
        }
    }
    if !target.is_null() {
        put(&mut object, "spec.targetCPUUtilizationPercentage", target);
    }
    if !now.is_null() {
        put(&mut object, "status.currentCPUUtilizationPercentage", now);
    }
    for (key, value) in kept {
        let Some(value) = value else { continue };
        annotations(&mut object).insert(key.into(), value.to_string().into());
    }
    object["apiVersion"] = json!("autoscaling/v1");
    object
}

fn annotations(object: &mut Value) -> &mut serde_json::Map<String, Value> {
    let metadata = crate::object::metadata(object);
    crate::object::map(metadata.entry("annotations").or_insert_with(|| json!({})))
}

pub(super) fn incoming(mut object: Value) -> Value {
    let mut metrics = Vec::new();
    let target = at(&object, "spec.targetCPUUtilizationPercentage").clone();
    if !target.is_null() {
        let target = json!({"type": "Utilization", "averageUtilization": target});
        metrics.push(json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
        put(&mut object, "spec.targetCPUUtilizationPercentage", Value::Null);
    }
    let mut kept = |key: &str| -> Option<Value> {
        let own = object.get_mut("metadata")?.get_mut("annotations")?.as_object_mut()?.remove(key)?;
        serde_json::from_str(own.as_str()?).ok()
    };
    let [others, current, conditions, behavior] = ANNOTATIONS.map(&mut kept);
    if let Some(Value::Array(others)) = others {
        metrics.extend(others);
    }
    if !metrics.is_empty() {
        put(&mut object, "spec.metrics", metrics.into());
    }
    for (path, value) in
        [("status.currentMetrics", current), ("status.conditions", conditions), ("spec.behavior", behavior)]
    {
        if let Some(value) = value {
            put(&mut object, path, value);
        }
    }
    if !at(&object, "status.currentCPUUtilizationPercentage").is_null() {
        put(&mut object, "status.currentCPUUtilizationPercentage", Value::Null);
    }
    object["apiVersion"] = json!("autoscaling/v2");
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_autoscaler_goes_there_and_back() {
        let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target":
            {"type": "Utilization", "averageUtilization": 80}}});
        let memory = json!({"type": "Resource", "resource": {"name": "memory", "target":
            {"type": "AverageValue", "averageValue": "1Gi"}}});
        let stored = json!({"apiVersion": "autoscaling/v2", "metadata": {"name": "a", "annotations": {}},
            "spec": {"metrics": [cpu, memory], "behavior": {"scaleUp": {}}}});
        let out = outgoing(stored.clone());
        assert_eq!(at(&out, "spec.targetCPUUtilizationPercentage"), 80);
        assert!(at(&out, "spec.metrics").is_null());
        assert_eq!(incoming(out), stored);
    }
}
