//! Which services there are: families, what is left alone, ports, affinity, health checks.

use super::objects::*;
use crate::{Family, PortId, Protocol};
use serde_json::json;

#[test]
fn a_port_exists_in_each_family_of_a_cluster_ip() {
    let both = table(service("web", json!({"clusterIPs": ["10.96.0.1", "fd00::1"]})), &[]);
    let ids: Vec<&PortId> = both.ports.keys().collect();
    assert_eq!(ids, [&id("web", Family::V4), &id("web", Family::V6)]);
    assert_eq!(frontends(&both.ports[&id("web", Family::V6)]), ["ClusterIP [fd00::1]:80"]);
    let single =
        table(service("web", json!({"clusterIPs": ["fd00::1"], "ipFamilyPolicy": "SingleStack"})), &[]);
    assert_eq!(single.ports.keys().collect::<Vec<_>>(), [&id("web", Family::V6)]);
}

#[test]
fn the_old_cluster_ip_field_counts_without_the_new_one() {
    let table = table(service("web", json!({"clusterIPs": null, "clusterIP": "10.96.0.9"})), &[]);
    assert_eq!(frontends(web(&table)), ["ClusterIP 10.96.0.9:80"]);
}

#[test]
fn a_second_cluster_ip_of_a_family_is_refused() {
    let table = table(service("web", json!({"clusterIPs": ["10.96.0.1", "10.96.0.2"]})), &[]);
    assert_eq!(frontends(web(&table)), ["ClusterIP 10.96.0.1:80"]);
    assert_eq!(web(&table).refused, ["ClusterIP 10.96.0.2: a second IPv4 cluster IP"]);
}

#[test]
fn headless_external_name_and_unassigned_services_are_left_alone() {
    for (spec, reason) in [
        (json!({"clusterIPs": ["None"]}), "headless (clusterIP None)"),
        (json!({"type": "ExternalName", "externalName": "example.com"}), "type ExternalName"),
        (json!({"clusterIPs": []}), "it has no cluster IP"),
        (json!({"clusterIPs": ["10.96.0.300"]}), "ClusterIP 10.96.0.300: not an IP address"),
        (json!({"ports": []}), "it has no ports"),
    ] {
        let table = table(service("web", spec), &[]);
        assert!(table.ports.is_empty());
        assert_eq!(table.left_alone.values().collect::<Vec<_>>(), [reason]);
    }
}

#[test]
fn services_of_another_proxy_are_left_alone() {
    for (label, value) in
        [("service.kubernetes.io/service-proxy-name", "mine"), ("service.kubernetes.io/headless", "")]
    {
        let mut labelled = service("web", json!({}));
        labelled.metadata.labels = Some([(label.to_owned(), value.to_owned())].into());
        let table = table(labelled, &[]);
        assert!(table.ports.is_empty());
        assert_eq!(table.left_alone.values().collect::<Vec<_>>(), [&format!("label {label}={value}")]);
    }
}

#[test]
fn one_port_number_by_two_protocols_is_two_ports() {
    let ports = json!({"ports": [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        {"name": "sctp", "port": 53, "protocol": "SCTP"},
    ]});
    let table = table(service("web", ports), &[]);
    let protocols: Vec<Protocol> = table.ports.keys().map(|id| id.protocol).collect();
    assert_eq!(protocols, [Protocol::Udp, Protocol::Tcp, Protocol::Sctp]);
    assert!(table.ports.values().all(|port| port.frontends.len() == 1 && port.refused.is_empty()));
}

#[test]
fn ports_that_cannot_be_are_refused_and_the_others_stay() {
    let ports = json!({"ports": [
        {"port": 80},
        {"port": 81},
        {"name": "odd", "port": 1, "protocol": "ICMP"},
        {"name": "big", "port": 70000},
    ]});
    let table = table(service("web", ports), &[]);
    assert_eq!(frontends(web(&table)), ["ClusterIP 10.96.0.1:80"]);
    let refused =
        ["port 81: a second TCP port named \"\"", "port 1 \"odd\": protocol ICMP is none of TCP, UDP, SCTP"];
    assert_eq!(web(&table).refused, refused);
    let big = table.ports.iter().find(|(id, _)| &*id.port == "big").unwrap().1;
    assert!(big.frontends.is_empty());
    assert_eq!(big.refused[0], "port 70000: not in 1 to 65535");
}

#[test]
fn client_ip_affinity_lasts_as_said_or_three_hours() {
    let affinity = |spec| web(&table(service("web", spec), &[])).affinity;
    assert_eq!(affinity(json!({})), None);
    assert_eq!(affinity(json!({"sessionAffinity": "None"})), None);
    assert_eq!(affinity(json!({"sessionAffinity": "ClientIP"})), Some(10_800));
    let timeout = |seconds: i32| json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}}});
    assert_eq!(affinity(timeout(60)), Some(60));
    assert_eq!(affinity(timeout(-1)), Some(10_800));
    let table = table(service("web", timeout(100_000)), &[]);
    assert_eq!(
        web(&table).refused,
        ["sessionAffinityConfig.clientIP.timeoutSeconds 100000: not in 1 to 86400, 10800 is used"]
    );
}

#[test]
fn a_health_check_counts_local_ready_endpoints_once_per_address() {
    let spec = json!({
        "externalTrafficPolicy": "Local",
        "healthCheckNodePort": 32000,
        "clusterIPs": ["10.96.0.1", "fd00::1"],
        "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}],
    });
    let ports = json!({"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]});
    let v4 = slice(
        "v4",
        "web",
        json!([
            {"addresses": ["10.244.0.1"], "nodeName": "here"},
            {"addresses": ["10.244.0.2"], "nodeName": "here", "conditions": {"ready": false}},
            {"addresses": ["10.244.0.3"], "nodeName": "there"},
        ]),
        ports.clone(),
    );
    let mut v6 = slice("v6", "web", json!([{"addresses": ["fd01::1"], "nodeName": "here"}]), ports);
    v6.address_type = "IPv6".to_owned();
    let table = table(balanced("web", spec.clone(), json!([])), &[v4, v6]);
    let check = &table.health_checks[&32000];
    assert_eq!((check.service.name.as_str(), check.local_endpoints), ("web", 1));
    for without in [json!({"externalTrafficPolicy": "Cluster"}), json!({"type": "NodePort"})] {
        let mut spec = spec.clone();
        spec.as_object_mut().unwrap().extend(without.as_object().unwrap().clone());
        assert!(super::objects::table(balanced("web", spec, json!([])), &[]).health_checks.is_empty());
    }
}
