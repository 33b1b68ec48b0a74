//! Session affinity: a client keeps its endpoint.

use super::bed::{Bed, PODS};
use super::case::Way;
use super::table::Table;
use serde_json::json;

/// Adds them.
pub fn add(t: &mut Table, bed: &Bed) {
    let s = t.service("affinity").load_balancer("VIP").with("sessionAffinity", "ClientIP");
    let config = json!({"clientIP": {"timeoutSeconds": 10800}});
    let s = t.add(s.with("sessionAffinityConfig", config).on(&PODS));
    for v4 in [true, false] {
        for way in [Way::Tcp, Way::Udp] {
            for from in ["pod1", "k8s-node2", "gateway"] {
                let to = s.at(bed.node("k8s-node3", v4));
                t.case("session affinity by a NodePort", from, way, to).keeps_to_one(&PODS);
                t.case("session affinity by a load balancer's IP", from, way, s.vip(v4)).keeps_to_one(&PODS);
            }
            for from in ["pod1", "k8s-node2"] {
                t.case("session affinity by a ClusterIP", from, way, s.cluster(v4)).keeps_to_one(&PODS);
            }
        }
        t.case("session affinity of sendto", "pod2", Way::UdpUnconnected, s.cluster(v4)).keeps_to_one(&PODS);
    }
}
