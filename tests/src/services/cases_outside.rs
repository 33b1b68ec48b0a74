//! Load balancers' IPs, external IPs, and source ranges.

use super::bed::{Bed, PODS};
use super::case::Way;
use super::table::Table;
use serde_json::json;

/// Adds them.
pub fn add(t: &mut Table, bed: &Bed) {
    load_balancer(t, bed);
    external_ips(t);
    source_ranges(t, bed);
}

fn load_balancer(t: &mut Table, bed: &Bed) {
    let s = t.service("vip").load_balancer("VIP").on(&PODS);
    let s = t.add(s);
    for v4 in [true, false] {
        for way in [Way::Tcp, Way::Udp] {
            for from in ["gateway", "pod1", "pod5", "k8s-node2"] {
                t.case("a load balancer's IP leads to all pods", from, way, s.vip(v4)).spreads(&PODS);
            }
        }
    }
    let to = s.at(bed.node("k8s-node3", true));
    t.case("a load balancer's service has its NodePort too", "gateway", Way::Tcp, to).spreads(&PODS);
    let s = t.service("vip-local").load_balancer("VIP").with("externalTrafficPolicy", "Local");
    let s = t.add(s.on(&["pod2", "pod3"]));
    t.case("externalTrafficPolicy Local binds a load balancer's IP", "gateway", Way::Tcp, s.vip(true))
        .spreads(&["pod2"]);
    t.case("externalTrafficPolicy Local does not bind it for pods", "pod5", Way::Tcp, s.vip(true))
        .spreads(&["pod2", "pod3"]);
    let s = t.service("ip-mode-proxy").load_balancer("Proxy").on(&PODS);
    let s = t.add(s);
    for from in ["pod1", "gateway"] {
        t.case("an ingress IP of mode Proxy is left to the load balancer", from, Way::Tcp, s.vip(true))
            .silent();
    }
    t.case("its NodePort is served", "gateway", Way::Tcp, s.at(bed.node("k8s-node1", true))).spreads(&PODS);
    let s = t.service("no-node-ports").load_balancer("VIP").with("allocateLoadBalancerNodePorts", false);
    let ports = json!([{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 5201}]);
    let s = t.add(s.with("ports", ports).on(&PODS));
    t.case("a load balancer without NodePorts", "gateway", Way::Tcp, s.vip(true)).spreads(&PODS);
}

fn external_ips(t: &mut Table) {
    let s = t.service("external-ip");
    let ips = json!([s.vip(true).ip(), s.vip(false).ip()]);
    let s = t.add(s.with("externalIPs", ips).on(&PODS));
    for from in ["pod1", "k8s-node1", "gateway"] {
        t.case("externalIPs are left alone unless they are enabled", from, Way::Tcp, s.vip(true)).silent();
    }
    t.case("a service with externalIPs has its ClusterIP", "pod1", Way::Tcp, s.cluster(true)).spreads(&PODS);
}

fn source_ranges(t: &mut Table, bed: &Bed) {
    let allowed = json!(["10.0.2.0/28", "fd00:10:0:2::/124"]);
    let s = t.service("allowed").load_balancer("VIP").with("loadBalancerSourceRanges", allowed).on(&PODS);
    let allowed = t.add(s);
    let denied = json!(["198.51.100.0/24", "2001:db8:99::/64"]);
    let s = t.service("denied").load_balancer("VIP").with("loadBalancerSourceRanges", denied).on(&PODS);
    let denied = t.add(s);
    for v4 in [true, false] {
        for way in [Way::Tcp, Way::Udp] {
            t.case("a source in loadBalancerSourceRanges comes in", "gateway", way, allowed.vip(v4))
                .spreads(&PODS);
            t.case("a source out of loadBalancerSourceRanges gets nothing", "gateway", way, denied.vip(v4))
                .silent();
            t.case("a pod out of loadBalancerSourceRanges gets nothing", "pod1", way, denied.vip(v4))
                .silent();
            let to = denied.at(bed.node("k8s-node1", v4));
            t.case("loadBalancerSourceRanges do not bind a NodePort", "gateway", way, to).spreads(&PODS);
            t.case("loadBalancerSourceRanges do not bind a ClusterIP", "pod1", way, denied.cluster(v4))
                .spreads(&PODS);
        }
    }
}
