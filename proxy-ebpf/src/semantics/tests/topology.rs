//! Traffic policies and topology hints.

use super::objects::*;
use crate::{NodeView, ServiceTable};
use serde_json::{Value, json};

fn on(address: &str, node: &str) -> Value {
    json!({"addresses": [address], "nodeName": node})
}

fn zone(address: &str, zones: &[&str]) -> Value {
    let zones: Vec<Value> = zones.iter().map(|zone| json!({"name": zone})).collect();
    json!({"addresses": [address], "hints": {"forZones": zones}})
}

fn node_hint(address: &str, node: &str, zone: &str) -> Value {
    json!({"addresses": [address], "hints": {"forNodes": [{"name": node}], "forZones": [{"name": zone}]}})
}

fn going(mut endpoint: Value) -> Value {
    endpoint["conditions"] = json!({"ready": false, "serving": true, "terminating": true});
    endpoint
}

fn with(spec: Value, endpoints: Value) -> ServiceTable {
    table(service("web", spec), &[slice("web-1", "web", endpoints, json!({}))])
}

#[test]
fn local_policies_use_this_nodes_endpoints() {
    let endpoints =
        json!([on("10.244.0.1", "here"), on("10.244.1.1", "there"), {"addresses": ["10.244.2.1"]}]);
    let table = with(json!({"internalTrafficPolicy": "Local"}), endpoints);
    assert_eq!(texts(&web(&table).local), ["10.244.0.1:8080 (local)"]);
    assert!(web(&table).cluster.is_empty() && web(&table).any_endpoint);
    let reasons = [
        "10.244.1.1:8080: on node there, and the traffic policy is Local",
        "10.244.2.1:8080: on no node, and the traffic policy is Local",
    ];
    assert_eq!(left_out(web(&table)), reasons);
}

#[test]
fn a_local_policy_outside_keeps_all_endpoints_inside() {
    let spec = json!({"type": "NodePort", "externalTrafficPolicy": "Local", "ports": [{"port": 80, "nodePort": 30080}]});
    let table = with(spec, json!([on("10.244.0.1", "here"), on("10.244.1.1", "there")]));
    assert_eq!(texts(&web(&table).cluster), ["10.244.0.1:8080 (local)", "10.244.1.1:8080"]);
    assert_eq!(texts(&web(&table).local), ["10.244.0.1:8080 (local)"]);
    assert!(web(&table).left_out.is_empty());
}

#[test]
fn no_local_endpoint_leaves_the_local_policy_without_any_though_there_are_some() {
    let table = with(json!({"internalTrafficPolicy": "Local"}), json!([on("10.244.1.1", "there")]));
    assert!(web(&table).local.is_empty() && web(&table).any_endpoint);
}

#[test]
fn terminating_endpoints_are_the_last_resort_of_each_policy_by_itself() {
    let spec = json!({"type": "NodePort", "externalTrafficPolicy": "Local", "ports": [{"port": 80, "nodePort": 30080}]});
    let table = with(
        spec,
        json!([going(on("10.244.0.1", "here")), on("10.244.1.1", "there"), going(on("10.244.2.1", "there"))]),
    );
    assert_eq!(texts(&web(&table).cluster), ["10.244.1.1:8080"]);
    assert_eq!(texts(&web(&table).local), ["10.244.0.1:8080 (local)"]);
    assert_eq!(left_out(web(&table)), ["10.244.2.1:8080: terminating, and others are ready"]);
}

#[test]
fn zone_hints_keep_connections_in_the_zone() {
    let table = with(json!({}), json!([zone("10.244.0.1", &["a", "c"]), zone("10.244.1.1", &["b", "c"])]));
    assert_eq!(texts(&web(&table).cluster), ["10.244.0.1:8080"]);
    assert_eq!(left_out(web(&table)), ["10.244.1.1:8080: hinted for zone b, c, this node is in a"]);
}

#[test]
fn zone_hints_do_not_hold_unless_all_ready_endpoints_have_them() {
    let unhinted = json!({"addresses": ["10.244.2.1"]});
    let some = with(json!({}), json!([zone("10.244.0.1", &["a"]), zone("10.244.1.1", &["b"]), unhinted]));
    assert_eq!(web(&some).cluster.len(), 3);
    let unready = json!({"addresses": ["10.244.2.1"], "conditions": {"ready": false, "serving": false}});
    let all_ready = with(json!({}), json!([zone("10.244.0.1", &["a"]), zone("10.244.1.1", &["b"]), unready]));
    assert_eq!(web(&all_ready).cluster.len(), 1);
}

#[test]
fn zone_hints_do_not_hold_for_a_zone_without_endpoints_or_a_node_without_zone() {
    let endpoints = json!([zone("10.244.0.1", &["c"]), zone("10.244.1.1", &["b"])]);
    assert_eq!(web(&with(json!({}), endpoints.clone())).cluster.len(), 2);
    let nowhere = NodeView { zone: None, ..node() };
    let slices = [slice("web-1", "web", endpoints, json!({}))];
    assert_eq!(web(&ServiceTable::build(&[service("web", json!({}))], &slices, &nowhere)).cluster.len(), 2);
}

#[test]
fn node_hints_come_before_zone_hints() {
    let here = node_hint("10.244.0.1", "here", "a");
    let table = with(json!({}), json!([here, node_hint("10.244.1.1", "there", "a")]));
    assert_eq!(texts(&web(&table).cluster), ["10.244.0.1:8080"]);
    assert_eq!(left_out(web(&table)), ["10.244.1.1:8080: hinted for node there, this node is here"]);
    let elsewhere = json!([node_hint("10.244.1.1", "there", "a"), node_hint("10.244.2.1", "there", "b")]);
    assert_eq!(texts(&web(&with(json!({}), elsewhere)).cluster), ["10.244.1.1:8080"]);
}

#[test]
fn local_policies_do_not_regard_hints() {
    let mut here = zone("10.244.0.1", &["b"]);
    here["nodeName"] = json!("here");
    let table = with(json!({"internalTrafficPolicy": "Local"}), json!([here, zone("10.244.1.1", &["a"])]));
    assert_eq!(texts(&web(&table).local), ["10.244.0.1:8080 (local)"]);
}

#[test]
fn terminating_last_resorts_do_not_regard_hints() {
    let endpoints = json!([going(zone("10.244.0.1", &["a"])), going(zone("10.244.1.1", &["b"]))]);
    assert_eq!(web(&with(json!({}), endpoints)).cluster.len(), 2);
}
