//! Where a service port is reached, and by which policies.

use super::objects::*;
use crate::{Family, Frontend, FrontendKind, NodePortAddresses, NodeView, Policy, ServiceTable};
use serde_json::json;
use std::net::IpAddr;

fn of_kind(table: &ServiceTable, kind: FrontendKind) -> Frontend {
    web(table).frontends.iter().find(|frontend| frontend.kind == kind).unwrap().clone()
}

#[test]
fn node_ports_are_of_the_types_node_port_and_load_balancer() {
    let ports = json!([{"port": 80, "nodePort": 30080}]);
    for (type_, expected) in [("NodePort", 1), ("LoadBalancer", 1), ("ClusterIP", 0)] {
        let table = table(service("web", json!({"type": type_, "ports": ports})), &[]);
        let node_ports = frontends(web(&table)).iter().filter(|text| *text == "NodePort 30080").count();
        assert_eq!(node_ports, expected, "{type_}");
    }
}

#[test]
fn a_load_balancer_without_node_ports_has_none() {
    let spec = json!({"allocateLoadBalancerNodePorts": false, "ports": [{"port": 80, "nodePort": 0}]});
    let table = table(balanced("web", spec, json!([{"ip": "203.0.113.1"}])), &[]);
    assert_eq!(frontends(web(&table)), ["ClusterIP 10.96.0.1:80", "LoadBalancer 203.0.113.1:80"]);
    assert!(web(&table).refused.is_empty());
}

#[test]
fn a_node_port_out_of_range_is_refused() {
    let table =
        table(service("web", json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": -1}]})), &[]);
    assert_eq!(web(&table).refused, ["NodePort -1: not in 1 to 65535"]);
}

#[test]
fn ingress_addresses_in_proxy_mode_are_not_frontends() {
    let ingress = json!([
        {"ip": "203.0.113.1", "ipMode": "VIP"},
        {"ip": "203.0.113.2", "ipMode": "Proxy"},
        {"ip": "203.0.113.3"},
        {"ip": "2001:db8::99"},
        {"hostname": "lb.example.com"},
    ]);
    let table = table(balanced("web", json!({}), ingress), &[]);
    let expected = ["ClusterIP 10.96.0.1:80", "LoadBalancer 203.0.113.1:80", "LoadBalancer 203.0.113.3:80"];
    assert_eq!(frontends(web(&table)), expected);
}

#[test]
fn ingress_addresses_count_only_for_load_balancers() {
    let table = table(balanced("web", json!({"type": "ClusterIP"}), json!([{"ip": "203.0.113.1"}])), &[]);
    assert_eq!(frontends(web(&table)), ["ClusterIP 10.96.0.1:80"]);
    assert_eq!(web(&table).refused, ["LoadBalancer 203.0.113.1: the service's type is ClusterIP"]);
}

#[test]
fn external_ips_need_their_flag() {
    let web_service = service("web", json!({"externalIPs": ["203.0.113.7", "2001:db8::7", "x"]}));
    let off = table(web_service.clone(), &[]);
    assert_eq!(frontends(web(&off)), ["ClusterIP 10.96.0.1:80"]);
    let refused = "externalIP 203.0.113.7: external IPs are off, --enable-external-ips turns them on";
    assert_eq!(web(&off).refused[0], refused);
    let on = NodeView { external_ips_enabled: true, ..node() };
    let on = ServiceTable::build(&[web_service], &[], &on);
    assert_eq!(frontends(web(&on)), ["ClusterIP 10.96.0.1:80", "externalIP 203.0.113.7:80"]);
    assert_eq!(web(&on).refused, ["externalIP x: not an IP address"]);
}

#[test]
fn special_addresses_are_no_frontends() {
    let ingress = json!([{"ip": "127.0.0.1"}, {"ip": "0.0.0.0"}, {"ip": "224.0.0.1"}, {"ip": "169.254.0.1"}]);
    let table = table(balanced("web", json!({}), ingress), &[]);
    assert_eq!(frontends(web(&table)), ["ClusterIP 10.96.0.1:80"]);
    assert_eq!(web(&table).refused.len(), 4);
    assert_eq!(web(&table).refused[0], "LoadBalancer 127.0.0.1: is a loopback address");
}

#[test]
fn a_cluster_ip_follows_the_internal_policy_for_everyone() {
    let table = table(service("web", json!({"internalTrafficPolicy": "Local"})), &[]);
    let frontend = of_kind(&table, FrontendKind::ClusterIp);
    assert_eq!(
        (frontend.inside, frontend.outside, frontend.keep_source),
        (Policy::Local, Policy::Local, false)
    );
}

#[test]
fn the_external_policy_is_for_clients_elsewhere() {
    let spec = json!({"externalTrafficPolicy": "Local", "ports": [{"port": 80, "nodePort": 30080}]});
    let local = table(balanced("web", spec, json!([{"ip": "203.0.113.1"}])), &[]);
    for kind in [FrontendKind::NodePort, FrontendKind::LoadBalancer] {
        let frontend = of_kind(&local, kind);
        assert_eq!(
            (frontend.inside, frontend.outside, frontend.keep_source),
            (Policy::Cluster, Policy::Local, true)
        );
    }
    let frontend = of_kind(&local, FrontendKind::ClusterIp);
    assert_eq!(
        (frontend.inside, frontend.outside, frontend.keep_source),
        (Policy::Cluster, Policy::Cluster, false)
    );
    let cluster =
        table(service("web", json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]})), &[]);
    let frontend = of_kind(&cluster, FrontendKind::NodePort);
    assert_eq!(
        (frontend.inside, frontend.outside, frontend.keep_source),
        (Policy::Cluster, Policy::Cluster, false)
    );
}

#[test]
fn source_ranges_are_for_load_balancers_and_by_family() {
    let spec = json!({
        "clusterIPs": ["10.96.0.1", "fd00::1"],
        "ports": [{"port": 80, "nodePort": 30080}],
        "loadBalancerSourceRanges": ["198.51.100.9/24 ", "198.51.100.0/24", "2001:db8::/32", "10.0.0.1", "x"],
    });
    let table = table(balanced("web", spec, json!([{"ip": "203.0.113.1"}, {"ip": "2001:db8::9"}])), &[]);
    assert_eq!(
        of_kind(&table, FrontendKind::LoadBalancer).source_ranges,
        ["198.51.100.0/24".parse().unwrap()]
    );
    assert!(of_kind(&table, FrontendKind::NodePort).source_ranges.is_empty());
    assert!(of_kind(&table, FrontendKind::ClusterIp).source_ranges.is_empty());
    let refused = [
        "loadBalancerSourceRanges 10.0.0.1: not a network, such as 10.0.0.0/8",
        "loadBalancerSourceRanges x: not a network, such as 10.0.0.0/8",
    ];
    assert_eq!(web(&table).refused, refused);
    let v6 = &table.ports[&id("web", Family::V6)];
    let v6 = v6.frontends.iter().find(|frontend| frontend.kind == FrontendKind::LoadBalancer).unwrap();
    assert_eq!(v6.source_ranges, ["2001:db8::/32".parse().unwrap()]);
}

#[test]
fn source_ranges_of_the_other_family_alone_let_nobody_in() {
    let spec = json!({"loadBalancerSourceRanges": ["2001:db8::/32"]});
    let denied = table(balanced("web", spec, json!([{"ip": "203.0.113.1"}])), &[]);
    assert_eq!(of_kind(&denied, FrontendKind::LoadBalancer).source_ranges, ["0.0.0.0/32".parse().unwrap()]);
}

#[test]
fn the_annotation_gives_source_ranges_where_the_field_does_not() {
    let annotated = |spec| {
        let mut service = balanced("web", spec, json!([{"ip": "203.0.113.1"}]));
        let annotation = "service.beta.kubernetes.io/load-balancer-source-ranges";
        service.metadata.annotations =
            Some([(annotation.to_owned(), "10.0.0.0/8, 11.0.0.0/8".to_owned())].into());
        of_kind(&table(service, &[]), FrontendKind::LoadBalancer).source_ranges
    };
    assert_eq!(annotated(json!({})), ["10.0.0.0/8".parse().unwrap(), "11.0.0.0/8".parse().unwrap()]);
    assert_eq!(
        annotated(json!({"loadBalancerSourceRanges": ["12.0.0.0/8"]})),
        ["12.0.0.0/8".parse().unwrap()]
    );
}

#[test]
fn node_ports_are_answered_by_the_first_address_of_each_family_or_by_networks() {
    let local: Vec<IpAddr> =
        ["192.0.2.1", "192.0.2.77", "127.0.0.1", "fd00::5"].map(|ip| ip.parse().unwrap()).to_vec();
    let mut view = node();
    view.addresses.push("192.0.2.200".parse().unwrap());
    assert_eq!(view.answers_node_ports(&local), node().addresses);
    view.node_port_addresses = "192.0.2.0/25,fd00::/8".parse().unwrap();
    let expected: Vec<IpAddr> = ["192.0.2.1", "192.0.2.77", "fd00::5"].map(|ip| ip.parse().unwrap()).to_vec();
    assert_eq!(view.answers_node_ports(&local), expected);
    assert_eq!("primary".parse(), Ok(NodePortAddresses::Primary));
    assert!("eth0".parse::<NodePortAddresses>().unwrap_err().to_string().contains("eth0"));
}
