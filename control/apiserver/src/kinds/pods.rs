//! Pods and their templates.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::{NONE, aged, condition, containers, named, or_none, pairs};
use super::kind::{Field, Kind, Subresource, column, wide};
use crate::object::{age, at, list, number, text};

pub(super) static POD: Kind = Kind::of("", "v1", "Pod", "pods", "pod")
    .short(&["po"])
    .categories(&["all"])
    .subresources(&[
        Subresource::Binding,
        Subresource::EphemeralContainers,
        Subresource::Eviction,
        Subresource::Resize,
        Subresource::Status,
    ])
    .status()
    .generation()
    .graceful()
    .fields(&[
        Field { path: "spec.nodeName", of: |pod| text(pod, "spec.nodeName").into() },
        Field { path: "spec.restartPolicy", of: |pod| text(pod, "spec.restartPolicy").into() },
        Field { path: "spec.schedulerName", of: |pod| text(pod, "spec.schedulerName").into() },
        Field { path: "spec.serviceAccountName", of: |pod| text(pod, "spec.serviceAccountName").into() },
        Field { path: "spec.hostNetwork", of: |pod| (at(pod, "spec.hostNetwork") == true).to_string() },
        Field { path: "status.phase", of: |pod| text(pod, "status.phase").into() },
        Field { path: "status.podIP", of: |pod| text(pod, "status.podIP").into() },
        Field { path: "status.podIPs", of: |pod| text(pod, "status.podIP").into() },
        Field { path: "status.nominatedNodeName", of: |pod| text(pod, "status.nominatedNodeName").into() },
    ])
    .table(
        &[
            column("Name", "string"),
            column("Ready", "string"),
            column("Status", "string"),
            column("Restarts", "string"),
            column("Age", "string"),
            wide("IP", "string"),
            wide("Node", "string"),
            wide("Nominated Node", "string"),
            wide("Readiness Gates", "string"),
        ],
        row,
    );

pub(super) static TEMPLATE: Kind = Kind::of("", "v1", "PodTemplate", "podtemplates", "podtemplate").table(
    &[
        column("Name", "string"),
        column("Containers", "string"),
        column("Images", "string"),
        column("Pod Labels", "string"),
    ],
    |template, _| {
        let [names, images] = containers(template, "template.spec.containers");
        vec![named(template), names, images, pairs(at(template, "template.metadata.labels")).into()]
    },
);

fn row(pod: &Value, now: Timestamp) -> Vec<Value> {
    let seen = Seen::of(pod);
    let restarts = match seen.last_restart {
        Some(at) if seen.restarts > 0 => format!("{} ({} ago)", seen.restarts, age(at, now)),
        _ => seen.restarts.to_string(),
    };
    vec![
        named(pod),
        format!("{}/{}", seen.ready, list(pod, "spec.containers").len() + seen.sidecars).into(),
        seen.reason.into(),
        restarts.into(),
        aged(pod, now),
        or_none(list(pod, "status.podIPs").first().map_or(text(pod, "status.podIP"), |ip| text(ip, "ip"))),
        or_none(text(pod, "spec.nodeName")),
        or_none(text(pod, "status.nominatedNodeName")),
        gates(pod).into(),
    ]
}

/// What the containers' statuses come to.
struct Seen<'a> {
    reason: String,
    ready: usize,
    /// Init containers that go on running beside the others.
    sidecars: usize,
    restarts: i64,
    last_restart: Option<&'a str>,
}

impl<'a> Seen<'a> {
    /// `printPod` of upstream's printers.
    fn of(pod: &'a Value) -> Self {
        let reason = match text(pod, "status.reason") {
            "" => text(pod, "status.phase"),
            reason => reason,
        };
        let mut seen = Seen { reason: reason.into(), ready: 0, sidecars: 0, restarts: 0, last_restart: None };
        let gated = condition(pod, "PodScheduled").is_some_and(|c| text(c, "reason") == "SchedulingGated");
        if gated {
            seen.reason = "SchedulingGated".into();
        }
        if !seen.initializes(pod) {
            seen.runs(pod);
        }
        if !at(pod, "metadata.deletionTimestamp").is_null() {
            let ended = ["Succeeded", "Failed"].contains(&text(pod, "status.phase"));
            if text(pod, "status.reason") == "NodeLost" {
                seen.reason = "Unknown".into();
            } else if !ended {
                seen.reason = "Terminating".into();
            }
        }
        seen
    }

    fn restarted(&mut self, status: &'a Value) {
        self.restarts += number(status, "restartCount");
        let at = text(status, "lastState.terminated.finishedAt");
        if !at.is_empty() && self.last_restart.is_none_or(|last| last < at) {
            self.last_restart = Some(at);
        }
    }

    /// Goes through the init containers; true while one of them is not done.
    fn initializes(&mut self, pod: &'a Value) -> bool {
        let specs = list(pod, "spec.initContainers");
        let is_sidecar = |name: &str| {
            specs.iter().any(|c| text(c, "name") == name && text(c, "restartPolicy") == "Always")
        };
        self.sidecars = specs.iter().filter(|c| text(c, "restartPolicy") == "Always").count();
        let mut waits = false;
        for (done, status) in list(pod, "status.initContainerStatuses").iter().enumerate() {
            self.restarted(status);
            let sidecar = is_sidecar(text(status, "name"));
            if sidecar && at(status, "ready") == true {
                self.ready += 1;
            }
            let ended = at(status, "state.terminated");
            let started = sidecar && at(status, "started") == true;
            if waits || started || (!ended.is_null() && number(ended, "exitCode") == 0) {
                continue;
            }
            let waiting = text(status, "state.waiting.reason");
            self.reason = match (ended.is_null(), waiting) {
                (false, _) => format!("Init:{}", ended_as(ended)),
                (true, "" | "PodInitializing") => format!("Init:{done}/{}", specs.len()),
                (true, reason) => format!("Init:{reason}"),
            };
            waits = true;
        }
        waits
    }

    fn runs(&mut self, pod: &'a Value) {
        let mut running = false;
        for status in list(pod, "status.containerStatuses").iter().rev() {
            self.restarted(status);
            let ended = at(status, "state.terminated");
            let waiting = text(status, "state.waiting.reason");
            if !waiting.is_empty() {
                self.reason = waiting.into();
            } else if !ended.is_null() {
                self.reason = ended_as(ended);
            } else if at(status, "ready") == true && !at(status, "state.running").is_null() {
                running = true;
                self.ready += 1;
            }
        }
        if self.reason == "Completed" && running {
            let ready = condition(pod, "Ready").is_some_and(|c| text(c, "status") == "True");
            self.reason = if ready { "Running" } else { "NotReady" }.into();
        }
    }
}

fn ended_as(ended: &Value) -> String {
    match (text(ended, "reason"), number(ended, "signal")) {
        ("", 0) => format!("ExitCode:{}", number(ended, "exitCode")),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.into(),
    }
}

fn gates(pod: &Value) -> String {
    let gates = list(pod, "spec.readinessGates");
    if gates.is_empty() {
        return NONE.into();
    }
    let open = |gate: &&Value| {
        condition(pod, text(gate, "conditionType")).is_some_and(|c| text(c, "status") == "True")
    };
    format!("{}/{}", gates.iter().filter(open).count(), gates.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cells(pod: Value) -> Vec<String> {
        let row = row(&pod, "2026-01-01T00:10:00Z".parse().unwrap_or_default());
        row.iter().take(4).map(|cell| cell.as_str().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn a_pod_is_told_as_kubectl_tells_it() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}, {"name": "d"}]},
            "status": {"phase": "Running", "containerStatuses": [
                {"ready": true, "state": {"running": {}}, "restartCount": 2,
                 "lastState": {"terminated": {"finishedAt": "2026-01-01T00:05:00Z"}}},
                {"ready": false, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 1}]}});
        assert_eq!(cells(pod.clone()), ["a", "1/2", "CrashLoopBackOff", "3 (5m ago)"]);
        let mut going = pod;
        going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        assert_eq!(cells(going)[2], "Terminating");
    }

    #[test]
    fn init_containers_come_first() {
        let pod = json!({"metadata": {"name": "a"},
            "spec": {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}, {"name": "j"}]},
            "status": {"phase": "Pending", "initContainerStatuses": [
                {"name": "i", "state": {"terminated": {"exitCode": 0}}},
                {"name": "j", "state": {"terminated": {"exitCode": 3}}}]}});
        assert_eq!(cells(pod), ["a", "0/1", "Init:ExitCode:3", "0"]);
    }
}
