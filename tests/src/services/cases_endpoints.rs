//! Which endpoints count: conditions, slices, and hints for zones.

use super::bed::{Bed, PODS};
use super::case::Way;
use super::manifest::End;
use super::table::Table;

/// Adds them. The nodes' zones are a, b and c.
pub fn add(t: &mut Table, bed: &Bed) {
    conditions(t, bed);
    slices(t);
    zones(t, bed);
}

fn conditions(t: &mut Table, bed: &Bed) {
    let s = t.service("some-unready").node_port();
    let s = t.add(s.slice(&[End::of("pod1"), End::unready("pod2"), End::of("pod3"), End::unready("pod5")]));
    let to = s.at(bed.node("k8s-node1", true));
    t.case("endpoints that are not ready get nothing", "pod5", Way::Tcp, s.cluster(true))
        .spreads(&["pod1", "pod3"]);
    t.case("endpoints that are not ready get nothing from outside", "gateway", Way::Tcp, to)
        .spreads(&["pod1", "pod3"]);
    let s = t.service("some-terminating").node_port();
    let s = t.add(s.slice(&[End::of("pod1"), End::terminating("pod3", true)]));
    let to = s.at(bed.node("k8s-node1", true));
    t.case("terminating endpoints get nothing while one is ready", "pod5", Way::Tcp, s.cluster(true))
        .spreads(&["pod1"]);
    t.case("terminating endpoints get nothing from outside while one is ready", "gateway", Way::Tcp, to)
        .spreads(&["pod1"]);
    let s = t.service("all-terminating").node_port();
    let s = t.add(s.slice(&[
        End::terminating("pod1", true),
        End::terminating("pod3", true),
        End::terminating("pod5", false),
    ]));
    let to = s.at(bed.node("k8s-node1", true));
    t.case("serving terminating endpoints are used when none is ready", "pod5", Way::Tcp, s.cluster(true))
        .spreads(&["pod1", "pod3"]);
    t.case("serving terminating endpoints are used from outside when none is ready", "gateway", Way::Tcp, to)
        .spreads(&["pod1", "pod3"]);
    let s = t.service("ends-unserved").slice(&[End::terminating("pod1", false), End::unready("pod3")]);
    let s = t.add(s);
    t.case("terminating endpoints that do not serve get nothing", "pod5", Way::Tcp, s.cluster(true))
        .refused();
    let s = t.service("local-terminating").node_port().with("externalTrafficPolicy", "Local");
    let s = t.add(s.slice(&[End::terminating("pod1", true), End::of("pod3")]));
    let to = s.at(bed.node("k8s-node1", true));
    t.case(
        "externalTrafficPolicy Local uses the node's terminating pod when it has no ready one",
        "gateway",
        Way::Tcp,
        to,
    )
    .spreads(&["pod1"]);
}

fn slices(t: &mut Table) {
    let s = t.service("several-slices").on(&["pod1", "pod2"]).on(&["pod3"]).on(&["pod4", "pod5", "pod6"]);
    let s = t.add(s);
    t.case("several slices make one service", "pod1", Way::Tcp, s.cluster(true)).spreads(&PODS);
    t.case("several slices make one service, UDP", "pod1", Way::Udp, s.cluster(false)).spreads(&PODS);
    let s = t.service("twice").on(&["pod1", "pod3"]).on(&["pod3", "pod1"]);
    let s = t.add(s);
    t.case("an endpoint in two slices counts once", "pod5", Way::Tcp, s.cluster(true))
        .spreads(&["pod1", "pod3"]);
    let s = t.service("moves-on").slice(&[End::unready("pod1")]).on(&["pod1", "pod3"]);
    let s = t.add(s);
    t.case("an endpoint is ready if one of its slices says so", "pod5", Way::Tcp, s.cluster(true))
        .spreads(&["pod1", "pod3"]);
}

fn zones(t: &mut Table, bed: &Bed) {
    let hinted = [("pod1", "a"), ("pod2", "a"), ("pod3", "b"), ("pod4", "b"), ("pod5", "c"), ("pod6", "c")];
    let ends = hinted.map(|(pod, zone)| End::for_zone(pod, zone));
    let s = t.service("zones").node_port().slice(&ends);
    let s = t.add(s);
    for way in [Way::Tcp, Way::Udp] {
        t.case("hints keep a pod in its zone", "pod1", way, s.cluster(true)).spreads(&["pod1", "pod2"]);
        t.case("hints keep a node in its zone", "k8s-node2", way, s.cluster(false))
            .spreads(&["pod3", "pod4"]);
        let to = s.at(bed.node("k8s-node3", true));
        t.case("hints keep outside clients in the zone of the node", "gateway", way, to)
            .spreads(&["pod5", "pod6"]);
    }
    let mut ends = hinted.map(|(pod, zone)| End::for_zone(pod, zone));
    ends[5] = End::of("pod6");
    let s = t.service("a-hint-missing").slice(&ends);
    let s = t.add(s);
    t.case("hints are ignored when an endpoint has none", "pod1", Way::Tcp, s.cluster(true)).spreads(&PODS);
    let ends = PODS.map(|pod| End::for_zone(pod, "elsewhere"));
    let s = t.service("no-zone-of-ours").slice(&ends);
    let s = t.add(s);
    t.case("hints are ignored when none is for the node's zone", "pod1", Way::Tcp, s.cluster(true))
        .spreads(&PODS);
}
