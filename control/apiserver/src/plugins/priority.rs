//! Priority: a pod's class as a number.
//!
//! Source: `plugin/pkg/admission/priority/admission.go`.

use super::{Cluster, Write, text};
use crate::refusal::Refusal;
use serde_json::Value;
use std::sync::Arc;

/// Gives a pod the number and the policy of its class, or of the default one.
pub fn fill(write: &Write<'_>, pod: &mut Value, cluster: &dyn Cluster) -> Result<(), Refusal> {
    if let Some(old) = write.old {
        // Neither can change; who leaves them out means them as they are.
        for key in ["priority", "preemptionPolicy"] {
            if pod["spec"][key].is_null() && !old["spec"][key].is_null() {
                pod["spec"][key] = old["spec"][key].clone();
            }
        }
        return Ok(());
    }
    let name = text(&pod["spec"], "priorityClassName").to_owned();
    let class = match name.as_str() {
        "" => default_class(cluster),
        name => {
            let found = cluster.object("priorityclasses", "", name);
            let missing = || write.forbidden(pod, format!("no PriorityClass with name {name} was found"));
            Some(found.ok_or_else(missing)?)
        }
    };
    let (value, policy) = match &class {
        Some(class) => (class["value"].as_i64().unwrap_or(0), class["preemptionPolicy"].as_str()),
        None => (0, Some("PreemptLowerPriority")),
    };
    if let Some(class) = class.as_ref().filter(|_| name.is_empty()) {
        pod["spec"]["priorityClassName"] = class["metadata"]["name"].clone();
    }
    if let Some(told) = pod["spec"]["priority"].as_i64().filter(|told| *told != value) {
        let why = format!(
            "the integer value of priority ({told}) must not be provided in pod spec; priority admission controller \
             computed {value} from the given PriorityClass name"
        );
        return Err(write.forbidden(pod, why));
    }
    pod["spec"]["priority"] = value.into();
    if let Some(policy) = policy {
        let told = text(&pod["spec"], "preemptionPolicy");
        if !told.is_empty() && told != policy {
            let why = format!(
                "the string value of PreemptionPolicy ({told}) must not be provided in pod spec; priority admission \
                 controller computed {policy} from the given PriorityClass name"
            );
            return Err(write.forbidden(pod, why));
        }
        pod["spec"]["preemptionPolicy"] = policy.into();
    }
    Ok(())
}

/// Only one class is the default.
pub fn check_class(write: &Write<'_>, class: &Value, cluster: &dyn Cluster) -> Result<(), Refusal> {
    if class["globalDefault"] != true {
        return Ok(());
    }
    match default_class(cluster) {
        Some(other) if other["metadata"]["name"] != class["metadata"]["name"] => {
            let other = text(&other["metadata"], "name");
            let why =
                format!("PriorityClass {other} is already marked as default. Only one default can exist");
            Err(write.forbidden(class, why))
        }
        _ => Ok(()),
    }
}

/// The default: of several (two servers may have let them in at once) the lowest.
fn default_class(cluster: &dyn Cluster) -> Option<Arc<Value>> {
    let all = cluster.all("priorityclasses", "").into_iter();
    all.filter(|class| class["globalDefault"] == true).min_by_key(|class| class["value"].as_i64())
}
