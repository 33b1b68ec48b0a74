//! Nodes.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::{NONE, aged, condition, named};
use super::kind::{Field, Kind, Subresource, column, wide};
use crate::object::{at, list, text};

pub(super) static NODE: Kind = Kind::of("", "v1", "Node", "nodes", "node")
    .short(&["no"])
    .cluster()
    .stored("minions")
    .subresources(&[Subresource::Status])
    .status()
    .fields(&[Field {
        path: "spec.unschedulable",
        of: |node| (at(node, "spec.unschedulable") == true).to_string(),
    }])
    .table(
        &[
            column("Name", "string"),
            column("Status", "string"),
            column("Roles", "string"),
            column("Age", "string"),
            column("Version", "string"),
            wide("Internal-IP", "string"),
            wide("External-IP", "string"),
            wide("OS-Image", "string"),
            wide("Kernel-Version", "string"),
            wide("Container-Runtime", "string"),
        ],
        row,
    );

fn row(node: &Value, now: Timestamp) -> Vec<Value> {
    let address = |kind: &str| -> Value {
        let all = list(node, "status.addresses");
        let first = all.iter().find(|address| text(address, "type") == kind);
        first.map_or(NONE, |address| text(address, "address")).into()
    };
    let known = |path: &str| -> Value {
        match text(node, path) {
            "" => "<unknown>".into(),
            text => text.into(),
        }
    };
    vec![
        named(node),
        status(node).into(),
        roles(node).into(),
        aged(node, now),
        text(node, "status.nodeInfo.kubeletVersion").into(),
        address("InternalIP"),
        address("ExternalIP"),
        known("status.nodeInfo.osImage"),
        known("status.nodeInfo.kernelVersion"),
        known("status.nodeInfo.containerRuntimeVersion"),
    ]
}

fn status(node: &Value) -> String {
    let mut status = match condition(node, "Ready") {
        Some(ready) if text(ready, "status") == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if at(node, "spec.unschedulable") == true {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn roles(node: &Value) -> String {
    let labels = at(node, "metadata.labels").as_object();
    let role = |(key, value): (&String, &Value)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some("") | None => {
            (key == "kubernetes.io/role").then(|| value.as_str().unwrap_or_default().to_owned())
        }
        Some(role) => Some(role.to_owned()),
    };
    let mut roles: Vec<String> = labels.into_iter().flatten().filter_map(role).collect();
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() { NONE.into() } else { roles.join(",") }
}
