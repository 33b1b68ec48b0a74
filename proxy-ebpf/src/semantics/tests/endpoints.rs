//! Which endpoints slices give a service port, and in which condition.

use super::objects::*;
use crate::{Family, ServiceTable};
use serde_json::{Value, json};

fn one_slice(endpoints: Value, more: Value) -> ServiceTable {
    table(service("web", json!({})), &[slice("web-1", "web", endpoints, more)])
}

#[test]
fn ports_are_matched_by_name_in_each_slice_by_itself() {
    let named =
        service("web", json!({"ports": [{"port": 80}, {"name": "admin", "port": 81, "targetPort": "adm"}]}));
    let first = slice(
        "1",
        "web",
        json!([{"addresses": ["10.244.0.1"]}]),
        json!({"ports": [
            {"name": "", "port": 8080}, {"name": "admin", "port": 9090},
        ]}),
    );
    let second = slice(
        "2",
        "web",
        json!([{"addresses": ["10.244.0.2"]}]),
        json!({"ports": [
            {"port": 8081, "protocol": "TCP"},
        ]}),
    );
    let table = table(named, &[first, second]);
    assert_eq!(texts(&web(&table).cluster), ["10.244.0.1:8080", "10.244.0.2:8081"]);
    let admin = table.ports.iter().find(|(id, _)| &*id.port == "admin").unwrap().1;
    assert_eq!(texts(&admin.cluster), ["10.244.0.1:9090"]);
    assert_eq!(left_out(admin), ["10.244.0.2: port name \"admin\" is not in the slice"]);
}

#[test]
fn protocol_and_number_of_the_slice_port_must_fit() {
    let endpoints = json!([{"addresses": ["10.244.0.1"]}]);
    for (port, reason) in [
        (json!({"port": 8080, "protocol": "UDP"}), "10.244.0.1: port \"\" is UDP in the slice, not TCP"),
        (json!({}), "10.244.0.1: port \"\" has no number in the slice"),
        (json!({"port": -5}), "10.244.0.1: port number -5 is not in 1 to 65535"),
    ] {
        let table = one_slice(endpoints.clone(), json!({"ports": [port]}));
        assert!(web(&table).cluster.is_empty() && !web(&table).any_endpoint);
        assert_eq!(left_out(web(&table)), [reason]);
    }
}

#[test]
fn slices_belong_to_a_service_by_label_and_namespace() {
    let endpoints = json!([{"addresses": ["10.244.0.1"]}]);
    let mut elsewhere = slice("1", "web", endpoints.clone(), json!({}));
    elsewhere.metadata.namespace = Some("other".to_owned());
    let other = slice("2", "other", endpoints.clone(), json!({}));
    let mut unlabelled = slice("3", "web", endpoints.clone(), json!({}));
    unlabelled.metadata.labels = None;
    let mut headless = slice("4", "web", endpoints, json!({}));
    let labels = headless.metadata.labels.get_or_insert_default();
    labels.insert("service.kubernetes.io/headless".to_owned(), String::new());
    let table = table(service("web", json!({})), &[elsewhere, other, unlabelled, headless]);
    assert!(web(&table).cluster.is_empty() && web(&table).left_out.is_empty());
}

#[test]
fn slices_of_names_are_left_out() {
    let table = one_slice(json!([{"addresses": ["db.example.com"]}]), json!({"addressType": "FQDN"}));
    assert_eq!(left_out(web(&table)), ["db.example.com: address type \"FQDN\" is neither IPv4 nor IPv6"]);
}

#[test]
fn each_family_has_the_endpoints_of_its_slices() {
    let v4 = slice("v4", "web", json!([{"addresses": ["10.244.0.1"]}]), json!({}));
    let v6 = slice("v6", "web", json!([{"addresses": ["fd01::1"]}]), json!({"addressType": "IPv6"}));
    let table = table(service("web", json!({"clusterIPs": ["10.96.0.1", "fd00::1"]})), &[v4, v6]);
    assert_eq!(texts(&web(&table).cluster), ["10.244.0.1:8080"]);
    assert_eq!(texts(&table.ports[&id("web", Family::V6)].cluster), ["[fd01::1]:8080"]);
    assert!(table.ports.values().all(|port| port.left_out.is_empty()));
}

#[test]
fn addresses_that_cannot_be_pods_are_left_out() {
    for (address, reason) in [
        ("x", "not an IP address"),
        ("fd01::1", "not an IPv4 address, and the slice is of IPv4"),
        ("127.0.0.1", "is a loopback address"),
        ("169.254.1.1", "is a link-local address"),
        ("224.0.0.5", "is a multicast address"),
        ("0.0.0.0", "is the unspecified address"),
    ] {
        let table = one_slice(json!([{"addresses": [address]}, {"addresses": []}]), json!({}));
        assert!(web(&table).cluster.is_empty());
        assert_eq!(left_out(web(&table)), [format!("{address}:8080: {reason}")]);
    }
}

#[test]
fn without_conditions_an_endpoint_is_ready() {
    let table = one_slice(json!([{"addresses": ["10.244.0.1"], "conditions": {}}]), json!({}));
    assert_eq!(texts(&web(&table).cluster), ["10.244.0.1:8080"]);
    assert!(web(&table).any_endpoint);
}

#[test]
fn terminating_endpoints_serve_only_when_none_is_ready() {
    let going = json!({"addresses": ["10.244.0.1"], "conditions": {"ready": false, "serving": true, "terminating": true}});
    let gone = json!({"addresses": ["10.244.0.2"], "conditions": {"ready": false, "serving": false, "terminating": true}});
    let unready = json!({"addresses": ["10.244.0.3"], "conditions": {"ready": false, "serving": false}});
    let ready = json!({"addresses": ["10.244.0.4"]});
    let last = one_slice(json!([going, gone, unready]), json!({}));
    assert_eq!(texts(&web(&last).cluster), ["10.244.0.1:8080"]);
    assert!(web(&last).any_endpoint);
    let others = ["10.244.0.2:8080: terminating, and not serving", "10.244.0.3:8080: not ready"];
    assert_eq!(left_out(web(&last)), others);
    let first = one_slice(json!([going, ready]), json!({}));
    assert_eq!(texts(&web(&first).cluster), ["10.244.0.4:8080"]);
    assert_eq!(left_out(web(&first)), ["10.244.0.1:8080: terminating, and others are ready"]);
    let none = one_slice(json!([gone, unready]), json!({}));
    assert!(!web(&none).any_endpoint);
}

#[test]
fn an_endpoint_listed_twice_counts_once_and_ready_wins() {
    let unready =
        slice("1", "web", json!([{"addresses": ["10.244.0.1"], "conditions": {"ready": false}}]), json!({}));
    let ready =
        slice("2", "web", json!([{"addresses": ["10.244.0.1"]}, {"addresses": ["10.244.0.1"]}]), json!({}));
    let local = slice(
        "3",
        "web",
        json!([
            {"addresses": ["10.244.0.1"], "nodeName": "here", "conditions": {"ready": false}},
        ]),
        json!({}),
    );
    let table = table(service("web", json!({})), &[unready, ready, local]);
    assert_eq!(texts(&web(&table).cluster), ["10.244.0.1:8080 (local)"]);
    assert!(web(&table).left_out.is_empty());
}

#[test]
fn only_the_first_address_of_an_endpoint_counts() {
    let table = one_slice(json!([{"addresses": ["10.244.0.1", "10.244.0.2"]}]), json!({}));
    assert_eq!(texts(&web(&table).cluster), ["10.244.0.1:8080"]);
}
