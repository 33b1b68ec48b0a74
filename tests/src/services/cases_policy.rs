//! Traffic policies, and services without endpoints.

use super::bed::{Bed, PODS};
use super::case::{Seen, Way};
use super::manifest::End;
use super::table::Table;

/// Adds them.
pub fn add(t: &mut Table, bed: &Bed) {
    external_local(t, bed);
    internal_local(t, bed);
    nobody(t, bed);
}

fn external_local(t: &mut Table, bed: &Bed) {
    let s = t.service("external-local").node_port().with("externalTrafficPolicy", "Local");
    let s = t.add(s.on(&["pod1", "pod2", "pod3"]));
    for v4 in [true, false] {
        for way in [Way::Tcp, Way::Udp, Way::UdpUnconnected] {
            let client =
                Seen::Is(if v4 { [10, 0, 2, 1].into() } else { [0xfd00, 0x10, 0, 2, 0, 0, 0, 1].into() });
            let to = s.at(bed.node("k8s-node1", v4));
            t.case(
                "externalTrafficPolicy Local leads to the node's own pods and keeps the source",
                "gateway",
                way,
                to,
            )
            .spreads(&["pod1", "pod2"])
            .seen(client);
            let bare = s.at(bed.node("k8s-node3", v4));
            t.case("externalTrafficPolicy Local without a local pod gives no answer", "gateway", way, bare)
                .silent();
            let all = ["pod1", "pod2", "pod3"];
            t.case("externalTrafficPolicy Local does not bind a pod of the node", "pod5", way, bare)
                .spreads(&all);
            t.case("externalTrafficPolicy Local does not bind the node itself", "k8s-node3", way, bare)
                .spreads(&all);
            t.case("externalTrafficPolicy Local does not bind the ClusterIP", "pod5", way, s.cluster(v4))
                .spreads(&all);
        }
    }
}

fn internal_local(t: &mut Table, bed: &Bed) {
    let s = t.service("internal-local").node_port().with("internalTrafficPolicy", "Local");
    let s = t.add(s.on(&["pod1", "pod2", "pod3"]));
    for v4 in [true, false] {
        for way in [Way::Tcp, Way::Udp, Way::UdpUnconnected] {
            t.case("internalTrafficPolicy Local: a pod gets its node's pods", "pod2", way, s.cluster(v4))
                .spreads(&["pod1", "pod2"]);
            t.case("internalTrafficPolicy Local: a node gets its own pods", "k8s-node2", way, s.cluster(v4))
                .spreads(&["pod3"]);
            t.case(
                "internalTrafficPolicy Local: without a local pod a pod fails at once",
                "pod5",
                way,
                s.cluster(v4),
            )
            .fails_at_once();
            t.case(
                "internalTrafficPolicy Local: without a local pod a node fails at once",
                "k8s-node3",
                way,
                s.cluster(v4),
            )
            .fails_at_once();
        }
        let to = s.at(bed.node("k8s-node3", v4));
        t.case("internalTrafficPolicy Local does not bind a NodePort", "gateway", Way::Tcp, to)
            .spreads(&["pod1", "pod2", "pod3"]);
    }
}

fn nobody(t: &mut Table, bed: &Bed) {
    let s = t.service("nobody").load_balancer("VIP");
    let none = t.add(s);
    let s = t.service("only-unready").load_balancer("VIP");
    let unready = t.add(s.slice(&PODS.map(End::unready)));
    for (s, what) in [(&none, "no endpoints"), (&unready, "no ready endpoints")] {
        for v4 in [true, false] {
            for way in [Way::Tcp, Way::Udp] {
                for from in ["pod1", "k8s-node2"] {
                    t.case(&format!("{what}: a ClusterIP refuses at once"), from, way, s.cluster(v4))
                        .refused();
                }
                let to = s.at(bed.node("k8s-node1", v4));
                for from in ["pod1", "k8s-node2", "gateway"] {
                    t.case(&format!("{what}: a NodePort refuses at once"), from, way, to).refused();
                    t.case(&format!("{what}: a load balancer's IP refuses at once"), from, way, s.vip(v4))
                        .refused();
                }
                t.case(
                    &format!("{what}: a ClusterIP refuses a routed client"),
                    "gateway",
                    way,
                    s.cluster(v4),
                )
                .refused();
            }
            let to = s.cluster(v4);
            t.case(&format!("{what}: sendto is refused at once"), "pod1", Way::UdpUnconnected, to).refused();
        }
    }
}
