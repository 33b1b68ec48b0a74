//! Frontends that several services want.

use super::objects::*;
use crate::{Family, NodeView, ServiceTable};
use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

fn created(mut service: Service, time: &str) -> Service {
    service.metadata.creation_timestamp = serde_json::from_value(Value::String(time.to_owned())).unwrap();
    service
}

#[test]
fn the_oldest_service_has_a_contested_frontend() {
    let young = created(service("a", json!({})), "2026-01-02T00:00:00Z");
    let old = created(service("b", json!({})), "2026-01-01T00:00:00Z");
    let table = ServiceTable::build(&[young, old], &[], &node());
    assert_eq!(frontends(&table.ports[&id("b", Family::V4)]), ["ClusterIP 10.96.0.1:80"]);
    let loser = &table.ports[&id("a", Family::V4)];
    assert!(loser.frontends.is_empty());
    assert_eq!(loser.refused, ["ClusterIP 10.96.0.1:80: taken by default/b"]);
}

#[test]
fn of_services_of_one_age_the_first_by_name_has_it() {
    let table = ServiceTable::build(&[service("b", json!({})), service("a", json!({}))], &[], &node());
    assert!(table.ports[&id("b", Family::V4)].frontends.is_empty());
    assert_eq!(table.ports[&id("a", Family::V4)].frontends.len(), 1);
}

#[test]
fn a_contested_node_port_leaves_the_cluster_ips_alone() {
    let with = |name, ip| {
        let ports = json!([{"port": 80, "nodePort": 30080}]);
        service(name, json!({"type": "NodePort", "clusterIPs": [ip], "ports": ports}))
    };
    let table = ServiceTable::build(&[with("a", "10.96.0.1"), with("b", "10.96.0.2")], &[], &node());
    assert_eq!(frontends(&table.ports[&id("a", Family::V4)]), ["ClusterIP 10.96.0.1:80", "NodePort 30080"]);
    let loser = &table.ports[&id("b", Family::V4)];
    assert_eq!(frontends(loser), ["ClusterIP 10.96.0.2:80"]);
    assert_eq!(loser.refused, ["NodePort 30080: taken by default/a"]);
}

#[test]
fn one_node_port_by_two_protocols_is_no_conflict() {
    let ports = json!([
        {"name": "udp", "port": 53, "protocol": "UDP", "nodePort": 30053},
        {"name": "tcp", "port": 53, "protocol": "TCP", "nodePort": 30053},
    ]);
    let table = table(service("web", json!({"type": "NodePort", "ports": ports})), &[]);
    assert!(table.ports.values().all(|port| port.frontends.len() == 2 && port.refused.is_empty()));
}

#[test]
fn two_ports_of_one_service_with_one_number_conflict() {
    let ports = json!([{"name": "b", "port": 80}, {"name": "a", "port": 80}]);
    let table = table(service("web", json!({"ports": ports})), &[]);
    let loser = table.ports.iter().find(|(id, _)| &*id.port == "a").unwrap().1;
    assert_eq!(loser.refused, ["ClusterIP 10.96.0.1:80: taken by default/web"]);
}

#[test]
fn an_address_that_is_two_things_to_one_service_is_one_frontend() {
    let both = balanced("web", json!({"externalIPs": ["203.0.113.1"]}), json!([{"ip": "203.0.113.1"}]));
    let on = NodeView { external_ips_enabled: true, ..node() };
    let table = ServiceTable::build(&[both], &[], &on);
    assert_eq!(frontends(web(&table)), ["ClusterIP 10.96.0.1:80", "LoadBalancer 203.0.113.1:80"]);
}

#[test]
fn an_external_ip_does_not_take_an_older_services_cluster_ip() {
    let victim = service("victim", json!({}));
    let thief = service("a-thief", json!({"clusterIPs": ["10.96.0.2"], "externalIPs": ["10.96.0.1"]}));
    let on = NodeView { external_ips_enabled: true, ..node() };
    let services = [created(victim, "2026-01-01T00:00:00Z"), created(thief, "2026-01-02T00:00:00Z")];
    let table = ServiceTable::build(&services, &[], &on);
    assert_eq!(table.ports[&id("victim", Family::V4)].frontends.len(), 1);
    assert_eq!(
        table.ports[&id("a-thief", Family::V4)].refused,
        ["externalIP 10.96.0.1:80: taken by default/victim"]
    );
}

#[test]
fn a_contested_health_check_port_is_the_oldest_services() {
    let with = |name, ip| {
        let spec =
            json!({"clusterIPs": [ip], "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000});
        balanced(name, spec, json!([]))
    };
    let table = ServiceTable::build(&[with("b", "10.96.0.2"), with("a", "10.96.0.1")], &[], &node());
    assert_eq!(table.health_checks[&32000].service.name, "a");
    assert_eq!(table.ports[&id("b", Family::V4)].refused, ["healthCheckNodePort 32000: taken by default/a"]);
}
