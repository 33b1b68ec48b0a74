//! NodePorts: on every node, from everywhere, and what else is on the nodes' ports.

use super::bed::{Bed, NODES, PODS};
use super::case::{Seen, Way};
use super::manifest::TARGET;
use super::table::Table;
use std::net::SocketAddr;

const BOTH: [Way; 2] = [Way::Tcp, Way::Udp];

/// Adds them.
pub fn add(t: &mut Table, bed: &Bed) {
    everywhere(t, bed);
    far(t, bed);
    other_addresses(t, bed);
    loopback(t);
    direct(t, bed);
    conflict(t, bed);
}

fn everywhere(t: &mut Table, bed: &Bed) {
    let s = t.service("node-port").node_port().on(&PODS);
    let s = t.add(s);
    for v4 in [true, false] {
        for way in [Way::Tcp, Way::Udp, Way::UdpUnconnected] {
            for node in NODES {
                let to = s.at(bed.node(node, v4));
                t.case("a NodePort of each node leads outside clients to all pods", "gateway", way, to)
                    .spreads(&PODS);
            }
            let own = s.at(bed.node("k8s-node1", v4));
            let other = s.at(bed.node("k8s-node2", v4));
            t.case("a NodePort from a pod of the node", "pod1", way, own).spreads(&PODS);
            t.case("a NodePort from another node's pod", "pod1", way, other).spreads(&PODS);
            t.case("a NodePort from its own node", "k8s-node1", way, own).spreads(&PODS);
            t.case("a NodePort from another node", "k8s-node1", way, other).spreads(&PODS);
        }
    }
}

fn other_addresses(t: &mut Table, bed: &Bed) {
    let s = t.service("primary-addresses").node_port().on(&PODS);
    let s = t.add(s);
    let to = s.at(bed.bridge("k8s-node1"));
    for from in ["pod1", "pod5", "k8s-node1"] {
        t.case("a NodePort is on the primary addresses alone", from, Way::Tcp, to).refused();
    }
}

fn far(t: &mut Table, bed: &Bed) {
    let s = t.service("far").node_port().on(&["pod3", "pod4"]);
    let s = t.add(s);
    for v4 in [true, false] {
        for way in [Way::Tcp, Way::Udp] {
            let to = s.at(bed.node("k8s-node1", v4));
            t.case("a node without endpoints forwards, and the server sees its address", "gateway", way, to)
                .spreads(&["pod3", "pod4"])
                .seen(Seen::Node("k8s-node1".into()));
        }
    }
}

fn loopback(t: &mut Table) {
    let s = t.service("loopback").node_port().on(&PODS);
    let s = t.add(s);
    for text in ["127.0.0.1", "::1"] {
        let Ok(ip) = text.parse() else { continue };
        for way in [Way::Tcp, Way::Udp, Way::UdpUnconnected] {
            t.case("a node's process reaches a NodePort on the loopback", "k8s-node3", way, s.at(ip))
                .spreads(&PODS);
        }
        t.case("a pod's loopback has no NodePort", "pod1", Way::Tcp, s.at(ip)).refused();
        t.case("a pod's loopback has no NodePort, UDP", "pod1", Way::Udp, s.at(ip)).refused();
    }
}

fn direct(t: &mut Table, bed: &Bed) {
    for v4 in [true, false] {
        // A server on all addresses answers UDP by the address that its route to a pod has.
        for (from, ways) in [("gateway", &BOTH[..]), ("k8s-node2", &BOTH[..]), ("pod1", &BOTH[..1])] {
            for way in ways.iter().copied() {
                let to = SocketAddr::new(bed.node("k8s-node1", v4), TARGET);
                t.case("a node's own server answers on its port", from, way, to).spreads(&["k8s-node1"]);
            }
        }
        let to = SocketAddr::new(bed.node("k8s-node1", v4), 31999);
        t.case("a port of no service is refused by the node itself", "gateway", Way::Tcp, to).refused();
        let to = SocketAddr::new(bed.pod("pod3", v4), TARGET);
        t.case("a pod is reached directly, as itself", "pod1", Way::Tcp, to)
            .spreads(&["pod3"])
            .seen(Seen::Is(bed.pod("pod1", v4)));
    }
}

fn conflict(t: &mut Table, bed: &Bed) {
    let s = t.service("older").load_balancer("VIP").on(&["pod3"]);
    let older = t.add(s);
    let port = serde_json::json!([
        {"name": "http", "protocol": "TCP", "port": 80, "targetPort": TARGET, "nodePort": older.port_number()},
    ]);
    let same =
        serde_json::json!({"loadBalancer": {"ingress": [{"ip": older.vip(true).ip(), "ipMode": "VIP"}]}});
    let s = t.service("younger").load_balancer("VIP").with("ports", port).status(same).on(&["pod5"]);
    let younger = t.add(s);
    let to = older.at(bed.node("k8s-node2", true));
    for from in ["pod1", "gateway"] {
        t.case("the older of two services has a NodePort", from, Way::Tcp, to).spreads(&["pod3"]);
        t.case("the older of two services has a load balancer's IP", from, Way::Tcp, older.vip(true))
            .spreads(&["pod3"]);
    }
    t.case("the younger keeps what is its own", "pod1", Way::Tcp, younger.cluster(true)).spreads(&["pod5"]);
}
