//! A NodePort in use is not to be bound on its node; everything else is.

use super::bed::Bed;
use super::case::{EADDRINUSE, Way};
use super::table::Table;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Adds them.
pub fn add(t: &mut Table, bed: &Bed) {
    let s = t.service("bind").node_port().on(&["pod1"]);
    let s = t.add(s);
    for way in [Way::Bind, Way::BindUdp] {
        for ip in [V4, V6, bed.node("k8s-node1", true), bed.node("k8s-node1", false)] {
            t.case("a NodePort in use cannot be bound on a node", "k8s-node1", way, s.at(ip))
                .fails_with(EADDRINUSE);
        }
        for ip in [V4, V6] {
            t.case("a pod can bind the number of a NodePort", "pod1", way, s.at(ip)).spreads(&["pod1"]);
            let free = SocketAddr::new(ip, 31998);
            t.case("a port of no service can be bound on a node", "k8s-node1", way, free)
                .spreads(&["k8s-node1"]);
        }
    }
    let s = t.service("bind-cluster-port").on(&["pod1"]);
    let s = t.add(s);
    let port = SocketAddr::new(V6, s.cluster(true).port());
    t.case("the port of a ClusterIP can be bound on a node", "k8s-node1", Way::Bind, port)
        .spreads(&["k8s-node1"]);
}
