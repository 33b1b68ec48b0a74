//! LimitRanger: what containers ask for if they do not say, and how little and how much may be asked for.
//!
//! Source: `plugin/pkg/admission/limitranger/admission.go`, with its messages. It costs a look at the namespace's
//! limit ranges, of which there is rarely one.

use super::pod_resources::{Amounts, amounts, of_pod};
use super::{Cluster, Write, each, text};
use crate::refusal::Refusal;
use serde_json::{Map, Value};
use weft_objects::quantity::Quantity;

/// Fills in the containers' requests and limits, and tells of it in an annotation.
pub fn fill(write: &Write<'_>, pod: &mut Value, cluster: &dyn Cluster) {
    if !write.creates() {
        return;
    }
    for range in cluster.all("limitranges", write.namespace) {
        let (mut requests, mut limits) = (Map::new(), Map::new());
        for limit in each(&range["spec"]["limits"]).filter(|limit| limit["type"] == "Container") {
            requests.extend(limit["defaultRequest"].as_object().cloned().unwrap_or_default());
            limits.extend(limit["default"].as_object().cloned().unwrap_or_default());
        }
        let mut told = Vec::new();
        for (key, sort) in [("containers", "container"), ("initContainers", "init container")] {
            let containers = pod["spec"].get_mut(key).and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                let name = text(container, "name").to_owned();
                for (which, word, defaults) in
                    [("requests", "request", &requests), ("limits", "limit", &limits)]
                {
                    let set = missing(container, which, defaults);
                    if !set.is_empty() {
                        told.push(format!("{} {word} for {sort} {name}", set.join(", ")));
                    }
                }
            }
        }
        if !told.is_empty() {
            let told = format!("LimitRanger plugin set: {}", told.join("; "));
            pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"] = told.into();
        }
    }
}

/// Sets what a container does not say, and tells what that was.
fn missing(container: &mut Value, which: &str, defaults: &Map<String, Value>) -> Vec<String> {
    let mut set = Vec::new();
    for (resource, amount) in defaults {
        if container["resources"][which][resource].is_null() {
            container["resources"][which][resource] = amount.clone();
            set.push(resource.clone());
        }
    }
    set.sort();
    set
}

/// Whether a pod or a claim keeps to the limit ranges of its namespace.
pub fn check(write: &Write<'_>, object: &Value, cluster: &dyn Cluster) -> Result<(), Refusal> {
    let is_pod = write.resource == "pods";
    let going = !object["metadata"]["deletionTimestamp"].is_null();
    // A pod's resources change by `resize` only; what is on its way out is let go.
    if !write.creates() && (is_pod || going) {
        return Ok(());
    }
    for range in cluster.all("limitranges", write.namespace) {
        let mut wrong = Vec::new();
        for limit in each(&range["spec"]["limits"]) {
            match (text(limit, "type"), is_pod) {
                ("Container", true) => {
                    let spec = &object["spec"];
                    for container in each(&spec["containers"]).chain(each(&spec["initContainers"])) {
                        let own = &container["resources"];
                        judge(limit, &amounts(&own["requests"]), &amounts(&own["limits"]), &mut wrong);
                    }
                }
                ("Pod", true) => {
                    judge(limit, &of_pod(object, "requests"), &of_pod(object, "limits"), &mut wrong);
                }
                ("PersistentVolumeClaim", false) => {
                    claim(limit, &amounts(&object["spec"]["resources"]["requests"]), &mut wrong);
                }
                _ => {}
            }
        }
        match wrong.len() {
            0 => {}
            1 => return Err(write.forbidden(object, wrong.concat())),
            _ => return Err(write.forbidden(object, format!("[{}]", wrong.join(", ")))),
        }
    }
    Ok(())
}

fn judge(limit: &Value, requests: &Amounts, limits: &Amounts, wrong: &mut Vec<String>) {
    let sort = text(limit, "type");
    for (name, least) in amounts(&limit["min"]) {
        wrong.extend(too_little(sort, &name, least, requests.get(&name), limits.get(&name)));
    }
    for (name, most) in amounts(&limit["max"]) {
        let all = format!("maximum {name} usage per {sort} is {most}");
        match (requests.get(&name), limits.get(&name)) {
            (_, None) => wrong.push(format!("{all}.  No limit is specified")),
            (_, Some(limit)) if *limit > most => wrong.push(format!("{all}, but limit is {limit}")),
            (Some(request), _) if *request > most => wrong.push(format!("{all}, but request is {request}")),
            _ => {}
        }
    }
    for (name, most) in amounts(&limit["maxLimitRequestRatio"]) {
        let all = format!("{name} max limit to request ratio per {sort} is {most}, but");
        let milli = |amount: Option<&Quantity>| amount.map_or(0, |amount| amount.milli_value());
        let (request, limit) = (milli(requests.get(&name)), milli(limits.get(&name)));
        if request == 0 {
            wrong.push(format!("{all} no request is specified or request is 0"));
        } else if limit == 0 {
            wrong.push(format!("{all} no limit is specified or limit is 0"));
        } else if i128::from(limit) * 1000 > i128::from(request) * i128::from(most.milli_value()) {
            // A float to be shown only.
            wrong.push(format!("{all} provided ratio is {:.6}", limit as f64 / request as f64));
        }
    }
}

fn claim(limit: &Value, requests: &Amounts, wrong: &mut Vec<String>) {
    let sort = text(limit, "type");
    for (name, least) in amounts(&limit["min"]) {
        wrong.extend(too_little(sort, &name, least, requests.get(&name), None));
    }
    for (name, most) in amounts(&limit["max"]) {
        let all = format!("maximum {name} usage per {sort} is {most}");
        match requests.get(&name) {
            None => wrong.push(format!("{all}.  No request is specified")),
            Some(request) if *request > most => wrong.push(format!("{all}, but request is {request}")),
            Some(_) => {}
        }
    }
}

fn too_little(
    sort: &str,
    name: &str,
    least: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let all = format!("minimum {name} usage per {sort} is {least}");
    match (request, limit) {
        (None, _) => Some(format!("{all}.  No request is specified")),
        (Some(request), _) if *request < least => Some(format!("{all}, but request is {request}")),
        (_, Some(limit)) if *limit < least => Some(format!("{all}, but limit is {limit}")),
        _ => None,
    }
}
