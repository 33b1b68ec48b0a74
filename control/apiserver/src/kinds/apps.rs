//! Workloads: deployments, replica sets, daemon sets, stateful sets, their revisions, replication controllers.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::{aged, containers, named, pairs, selector};
use super::kind::{Field, Kind, Subresource, column, wide};
use crate::object::{at, list, number, text};

const TEMPLATE: &str = "spec.template.spec.containers";
const SCALED: &[Subresource] = &[Subresource::Scale, Subresource::Status];

fn wanted(object: &Value) -> i64 {
    at(object, "spec.replicas").as_i64().unwrap_or_default()
}

pub(super) static DEPLOYMENT: Kind = Kind::of("apps", "v1", "Deployment", "deployments", "deployment")
    .short(&["deploy"])
    .categories(&["all"])
    .subresources(SCALED)
    .status()
    .generation()
    .table(
        &[
            column("Name", "string"),
            column("Ready", "string"),
            column("Up-to-date", "integer"),
            column("Available", "integer"),
            column("Age", "string"),
            wide("Containers", "string"),
            wide("Images", "string"),
            wide("Selector", "string"),
        ],
        |one, now| {
            let [names, images] = containers(one, TEMPLATE);
            vec![
                named(one),
                format!("{}/{}", number(one, "status.readyReplicas"), wanted(one)).into(),
                number(one, "status.updatedReplicas").into(),
                number(one, "status.availableReplicas").into(),
                aged(one, now),
                names,
                images,
                selector(at(one, "spec.selector")).into(),
            ]
        },
    );

/// The columns of what keeps a number of pods.
const REPLICAS: &[super::Column] = &[
    column("Name", "string"),
    column("Desired", "integer"),
    column("Current", "integer"),
    column("Ready", "integer"),
    column("Age", "string"),
    wide("Containers", "string"),
    wide("Images", "string"),
    wide("Selector", "string"),
];

fn replicas(one: &Value, now: Timestamp, selector: String) -> Vec<Value> {
    let [names, images] = containers(one, TEMPLATE);
    vec![
        named(one),
        wanted(one).into(),
        number(one, "status.replicas").into(),
        number(one, "status.readyReplicas").into(),
        aged(one, now),
        names,
        images,
        selector.into(),
    ]
}

const OF_REPLICAS: &[Field] =
    &[Field { path: "status.replicas", of: |one| number(one, "status.replicas").to_string() }];

pub(super) static REPLICA_SET: Kind = Kind::of("apps", "v1", "ReplicaSet", "replicasets", "replicaset")
    .short(&["rs"])
    .categories(&["all"])
    .subresources(SCALED)
    .status()
    .generation()
    .fields(OF_REPLICAS)
    .table(REPLICAS, |one, now| replicas(one, now, selector(at(one, "spec.selector"))));

pub(super) static REPLICATION_CONTROLLER: Kind =
    Kind::of("", "v1", "ReplicationController", "replicationcontrollers", "replicationcontroller")
        .short(&["rc"])
        .categories(&["all"])
        .stored("controllers")
        .subresources(SCALED)
        .status()
        .generation()
        .fields(OF_REPLICAS)
        .table(REPLICAS, |one, now| replicas(one, now, pairs(at(one, "spec.selector"))));

pub(super) static DAEMON_SET: Kind = Kind::of("apps", "v1", "DaemonSet", "daemonsets", "daemonset")
    .short(&["ds"])
    .categories(&["all"])
    .subresources(&[Subresource::Status])
    .status()
    .generation()
    .table(
        &[
            column("Name", "string"),
            column("Desired", "integer"),
            column("Current", "integer"),
            column("Ready", "integer"),
            column("Up-to-date", "integer"),
            column("Available", "integer"),
            column("Node Selector", "string"),
            column("Age", "string"),
            wide("Containers", "string"),
            wide("Images", "string"),
            wide("Selector", "string"),
        ],
        |one, now| {
            let [names, images] = containers(one, TEMPLATE);
            vec![
                named(one),
                number(one, "status.desiredNumberScheduled").into(),
                number(one, "status.currentNumberScheduled").into(),
                number(one, "status.numberReady").into(),
                number(one, "status.updatedNumberScheduled").into(),
                number(one, "status.numberAvailable").into(),
                pairs(at(one, "spec.template.spec.nodeSelector")).into(),
                aged(one, now),
                names,
                images,
                selector(at(one, "spec.selector")).into(),
            ]
        },
    );

pub(super) static STATEFUL_SET: Kind = Kind::of("apps", "v1", "StatefulSet", "statefulsets", "statefulset")
    .short(&["sts"])
    .categories(&["all"])
    .subresources(SCALED)
    .status()
    .generation()
    .table(
        &[
            column("Name", "string"),
            column("Ready", "string"),
            column("Age", "string"),
            wide("Containers", "string"),
            wide("Images", "string"),
        ],
        |one, now| {
            let [names, images] = containers(one, TEMPLATE);
            let ready = format!("{}/{}", number(one, "status.readyReplicas"), wanted(one));
            vec![named(one), ready.into(), aged(one, now), names, images]
        },
    );

pub(super) static CONTROLLER_REVISION: Kind =
    Kind::of("apps", "v1", "ControllerRevision", "controllerrevisions", "controllerrevision").table(
        &[
            column("Name", "string"),
            column("Controller", "string"),
            column("Revision", "string"),
            column("Age", "string"),
        ],
        |one, now| {
            let owner = list(one, "metadata.ownerReferences").iter().find(|o| at(o, "controller") == true);
            let controller = owner.map_or_else(
                || super::cells::NONE.to_owned(),
                |owner| {
                    let group = text(owner, "apiVersion").split_once('/').map_or("", |(group, _)| group);
                    let kind = text(owner, "kind").to_lowercase();
                    let dot = if group.is_empty() { "" } else { "." };
                    format!("{kind}{dot}{group}/{}", text(owner, "name"))
                },
            );
            vec![named(one), controller.into(), number(one, "revision").into(), aged(one, now)]
        },
    );
