//! Cluster IPs: from pods, nodes and outside, in every way of dialling.

use super::bed::{Bed, NODES, PODS};
use super::case::{Seen, Way};
use super::manifest::End;
use super::table::Table;
use serde_json::json;
use std::net::SocketAddr;

const WAYS: [Way; 3] = [Way::Tcp, Way::Udp, Way::UdpUnconnected];

/// Adds them.
pub fn add(t: &mut Table, bed: &Bed) {
    plain(t, bed);
    families(t);
    ports(t);
    hairpin(t, bed);
    left_alone(t, bed);
}

fn plain(t: &mut Table, bed: &Bed) {
    let s = t.service("plain").on(&PODS);
    let s = t.add(s);
    for v4 in [true, false] {
        for way in WAYS {
            let own = Seen::Is(bed.pod("pod1", v4));
            t.case("a ClusterIP spreads a pod's dials over all pods", "pod1", way, s.cluster(v4))
                .spreads(&PODS)
                .seen(own);
            let node = Seen::Node("k8s-node2".into());
            t.case("a ClusterIP spreads a node's dials over all pods", "k8s-node2", way, s.cluster(v4))
                .spreads(&PODS)
                .seen(node);
            t.case("a client beyond the nodes reaches a ClusterIP by a route", "gateway", way, s.cluster(v4))
                .spreads(&PODS);
        }
    }
    for way in WAYS {
        t.case("an IPv6 socket reaches an IPv4 ClusterIP by its mapped form", "pod2", way, s.mapped())
            .spreads(&PODS);
        t.case(
            "a node's IPv6 socket reaches an IPv4 ClusterIP by its mapped form",
            "k8s-node1",
            way,
            s.mapped(),
        )
        .spreads(&PODS);
    }
    for way in [Way::Tcp, Way::Udp] {
        let other = SocketAddr::new(s.cluster(true).ip(), 81);
        t.case("another port of a ClusterIP is nobody's", "pod1", way, other).silent();
    }
}

fn families(t: &mut Table) {
    let v4 = t.service("v4-only").only(true).on(&PODS);
    let v4 = t.add(v4);
    let v6 = t.service("v6-only").only(false).on(&PODS);
    let v6 = t.add(v6);
    for way in WAYS {
        t.case("a service of IPv4 alone", "pod3", way, v4.cluster(true)).spreads(&PODS);
        t.case("a service of IPv6 alone", "pod3", way, v6.cluster(false)).spreads(&PODS);
    }
    t.case("a service of IPv4 alone has no IPv6 address", "pod3", Way::Tcp, v4.cluster(false)).silent();
    t.case("a service of IPv6 alone has no IPv4 address", "pod3", Way::Tcp, v6.cluster(true)).silent();
}

fn ports(t: &mut Table) {
    let both = ["pod1", "pod3"];
    let s = t.service("target-per-slice").slice_at(&[End::of("pod1")], &[("http", "TCP", 7001)]);
    let s = t.add(s.slice_at(&[End::of("pod3")], &[("http", "TCP", 7002)]));
    for v4 in [true, false] {
        t.case("each slice has a targetPort of its own", "pod5", Way::Tcp, s.cluster(v4)).spreads(&both);
    }
    let port = |name: &str, port: u16, target: serde_json::Value| json!({"name": name, "protocol": "TCP", "port": port, "targetPort": target});
    let s = t
        .service("several-ports")
        .with("ports", json!([port("one", 80, json!("named")), port("two", 81, json!(7002))]));
    let s = s.slice_at(&[End::of("pod1")], &[("one", "TCP", 7001)]);
    let s = t.add(s.slice_at(&[End::of("pod3")], &[("two", "TCP", 7002)]));
    t.case("the first of several ports, by the name of its slice's port", "pod2", Way::Tcp, s.cluster(true))
        .spreads(&["pod1"]);
    let second = SocketAddr::new(s.cluster(true).ip(), 81);
    t.case("the second of several ports has its own endpoints", "pod2", Way::Tcp, second).spreads(&["pod3"]);
    t.case("UDP is not served where only TCP is", "pod2", Way::Udp, s.cluster(true)).silent();
    let s = t.service("on-nodes").on(&NODES);
    let s = t.add(s);
    for from in ["pod1", "k8s-node1"] {
        t.case("endpoints on the nodes' own addresses", from, Way::Tcp, s.cluster(true)).spreads(&NODES);
    }
}

fn hairpin(t: &mut Table, bed: &Bed) {
    let s = t.service("myself").node_port().on(&["pod1"]);
    let s = t.add(s);
    for v4 in [true, false] {
        for way in WAYS {
            t.case("a pod reaches itself by its ClusterIP", "pod1", way, s.cluster(v4)).spreads(&["pod1"]);
        }
        let to = s.at(bed.node("k8s-node1", v4));
        t.case("a pod reaches itself by its node's NodePort", "pod1", Way::Tcp, to).spreads(&["pod1"]);
        t.case("a pod reaches itself by its node's NodePort, UDP", "pod1", Way::Udp, to).spreads(&["pod1"]);
        let to = s.at(bed.node("k8s-node3", v4));
        t.case("a pod reaches itself by another node's NodePort", "pod1", Way::Tcp, to).spreads(&["pod1"]);
    }
}

fn left_alone(t: &mut Table, bed: &Bed) {
    let s = t.service("headless").with("clusterIP", "None").on(&PODS);
    t.add(s);
    for v4 in [true, false] {
        let direct = SocketAddr::new(bed.pod("pod4", v4), super::manifest::TARGET);
        t.case("a headless service changes nothing for its pods", "pod1", Way::Tcp, direct)
            .spreads(&["pod4"]);
    }
    let s = t.service("external-name").with("type", "ExternalName").with("externalName", "example.com");
    let s = t.add(s);
    t.case("an ExternalName service has no address", "pod1", Way::Tcp, s.cluster(true)).silent();
    let s = t.service("others-proxy").node_port().label("service.kubernetes.io/service-proxy-name", "other");
    let s = t.add(s.on(&PODS));
    t.case("another proxy's service is left alone", "pod1", Way::Tcp, s.cluster(true)).silent();
    let to = s.at(bed.node("k8s-node1", true));
    t.case("another proxy's NodePort is no port of ours", "k8s-node1", Way::Bind, to).spreads(&["k8s-node1"]);
    let sctp = json!([{"name": "s", "protocol": "SCTP", "port": 80, "targetPort": 5201}]);
    let s = t.service("sctp").with("ports", sctp).slice_at(&[End::of("pod1")], &[("s", "SCTP", 5201)]);
    let s = t.add(s);
    t.case("an SCTP service has nothing for TCP", "pod1", Way::Tcp, s.cluster(true)).silent();
}
