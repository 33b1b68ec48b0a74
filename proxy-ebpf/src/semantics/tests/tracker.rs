//! Updates: what changes, in which order, and what does not.

use super::objects::*;
use crate::{Family, NodeOptions, Object, ObjectKey, ObjectKind, TableChanges, Tracker, Update};
use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

fn options() -> NodeOptions {
    let addresses = vec!["192.0.2.1".parse().unwrap()];
    NodeOptions { name: "here".to_owned(), addresses, ..NodeOptions::default() }
}

fn set(object: impl Into<Object>) -> Update {
    Update::from(object.into())
}

fn delete(kind: ObjectKind, name: &str) -> Update {
    let namespace = if kind == ObjectKind::Node { "" } else { "default" };
    Update { key: ObjectKey { kind, namespace: namespace.into(), name: name.into() }, object: None }
}

fn node_object(zone: &str, address: &str) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": "here", "labels": {"topology.kubernetes.io/zone": zone}},
        "status": {"addresses": [
            {"type": "Hostname", "address": "here"},
            {"type": "ExternalIP", "address": "203.0.113.1"},
            {"type": "InternalIP", "address": address},
        ]},
    }))
    .unwrap()
}

fn names(changes: &TableChanges) -> Vec<&str> {
    changes.ports.iter().map(|change| change.id.service.name.as_str()).collect()
}

fn at(name: &str, ip: &str) -> Update {
    set(service(name, json!({"clusterIPs": [ip]})))
}

fn endpoints(of: &str, listed: Value) -> Update {
    set(slice(&format!("{of}-1"), of, listed, json!({})))
}

#[test]
fn only_services_that_change_are_told_of() {
    let mut tracker = Tracker::new(options());
    assert_eq!(names(&tracker.apply(vec![at("a", "10.96.0.1"), at("b", "10.96.0.2")])), ["a", "b"]);
    assert_eq!(tracker.apply(vec![at("a", "10.96.0.1")]), TableChanges::default());
    let changes = tracker.apply(vec![endpoints("b", json!([{"addresses": ["10.244.0.1"]}]))]);
    assert_eq!(names(&changes), ["b"]);
    assert_eq!(changes.ports[0].before.as_ref().unwrap().cluster.len(), 0);
    assert_eq!(changes.ports[0].after.as_ref().unwrap().cluster.len(), 1);
    let gone = tracker.apply(vec![delete(ObjectKind::Service, "b")]);
    assert_eq!((names(&gone), gone.ports[0].after.is_none()), (vec!["b"], true));
    assert_eq!(tracker.apply(vec![delete(ObjectKind::EndpointSlice, "b-1")]), TableChanges::default());
}

#[test]
fn slices_may_come_before_their_service_and_move_to_another() {
    let mut tracker = Tracker::new(options());
    let listed = json!([{"addresses": ["10.244.0.1"]}]);
    assert_eq!(tracker.apply(vec![set(slice("s", "a", listed.clone(), json!({})))]), TableChanges::default());
    tracker.apply(vec![at("a", "10.96.0.1"), at("b", "10.96.0.2")]);
    assert_eq!(tracker.table().ports[&id("a", Family::V4)].cluster.len(), 1);
    tracker.apply(vec![set(slice("s", "b", listed, json!({})))]);
    assert_eq!(tracker.table().ports[&id("a", Family::V4)].cluster.len(), 0);
    assert_eq!(tracker.table().ports[&id("b", Family::V4)].cluster.len(), 1);
}

#[test]
fn a_freed_frontend_goes_to_who_waits_for_it() {
    let mut tracker = Tracker::new(options());
    tracker.apply(vec![at("a", "10.96.0.1"), at("b", "10.96.0.1")]);
    assert!(tracker.table().ports[&id("b", Family::V4)].frontends.is_empty());
    let changes = tracker.apply(vec![delete(ObjectKind::Service, "a")]);
    assert_eq!(names(&changes), ["a", "b"]);
    let port = &tracker.table().ports[&id("b", Family::V4)];
    assert_eq!((port.frontends.len(), port.refused.len()), (1, 0));
}

#[test]
fn a_frontend_is_released_before_it_is_taken() {
    let mut tracker = Tracker::new(options());
    tracker.apply(vec![at("b", "10.96.0.1")]);
    let changes = tracker.apply(vec![at("a", "10.96.0.1"), at("b", "10.96.0.2")]);
    assert_eq!(names(&changes), ["b", "a"]);
}

#[test]
fn a_swap_of_frontends_is_in_three_steps() {
    let mut tracker = Tracker::new(options());
    tracker.apply(vec![at("a", "10.96.0.1"), at("b", "10.96.0.2")]);
    let changes = tracker.apply(vec![at("a", "10.96.0.2"), at("b", "10.96.0.1")]);
    assert_eq!(names(&changes), ["a", "b", "a", "b"]);
    assert!(changes.ports[..2].iter().all(|change| change.after.as_ref().unwrap().frontends.is_empty()));
    assert_eq!(changes.ports[0].after, changes.ports[2].before);
}

#[test]
fn this_nodes_object_says_its_zone_and_addresses() {
    let mut tracker = Tracker::new(options());
    let zone =
        |address: &str, zone: &str| json!({"addresses": [address], "hints": {"forZones": [{"name": zone}]}});
    let listed = json!([zone("10.244.0.1", "a"), zone("10.244.1.1", "b")]);
    tracker.apply(vec![at("web", "10.96.0.1"), endpoints("web", listed)]);
    assert_eq!(web(tracker.table()).cluster.len(), 2);
    let changes = tracker.apply(vec![set(node_object("b", "192.0.2.5"))]);
    assert_eq!((names(&changes), changes.node), (vec!["web"], true));
    assert_eq!(texts(&web(tracker.table()).cluster), ["10.244.1.1:8080"]);
    assert_eq!(tracker.node().addresses[0].to_string(), "192.0.2.5");
    assert_eq!(tracker.node().addresses[1].to_string(), "203.0.113.1");
    assert_eq!(tracker.apply(vec![set(node_object("b", "192.0.2.5"))]), TableChanges::default());
    let mut other = node_object("c", "192.0.2.6");
    other.metadata.name = Some("there".to_owned());
    assert_eq!(tracker.apply(vec![set(other)]), TableChanges::default());
    let changes = tracker.apply(vec![delete(ObjectKind::Node, "here")]);
    assert!(changes.node && tracker.node().addresses == options().addresses);
    assert_eq!(web(tracker.table()).cluster.len(), 2);
}

#[test]
fn health_checks_change_with_local_endpoints_and_move_between_ports() {
    let mut tracker = Tracker::new(options());
    let balanced = |port: i32| {
        set(balanced(
            "web",
            json!({"externalTrafficPolicy": "Local", "healthCheckNodePort": port}),
            json!([]),
        ))
    };
    let changes = tracker.apply(vec![balanced(32000)]);
    assert_eq!(changes.health_checks[&32000].as_ref().unwrap().local_endpoints, 0);
    let changes =
        tracker.apply(vec![endpoints("web", json!([{"addresses": ["10.244.0.1"], "nodeName": "here"}]))]);
    assert_eq!(changes.health_checks[&32000].as_ref().unwrap().local_endpoints, 1);
    let changes = tracker.apply(vec![balanced(32001)]);
    assert_eq!(
        (changes.health_checks[&32000].is_none(), changes.health_checks[&32001].is_some()),
        (true, true)
    );
    assert!(tracker.apply(vec![balanced(32001)]).health_checks.is_empty());
}
