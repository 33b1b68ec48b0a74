//! The packet programs beside others': by tcx and by clsact filters, from one way to the other, and what stays.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, SchedClassifier, TcAttachType};
use aya::{Ebpf, EbpfLoader};
use netstate::NetNs;
use std::net::SocketAddr;
use weft_tests::services::{Backend, Bed, HEALED, Service};

const NODE: &str = "k8s-node1";
const UPLINK: &str = "eth0";
const SIDES: [TcAttachType; 2] = [TcAttachType::Ingress, TcAttachType::Egress];

/// No program at either hook.
const NONE: [Vec<u32>; 2] = [Vec::new(), Vec::new()];

/// A service whose endpoints are on other nodes, dialled from a pod and from outside.
fn service(bed: &Bed) -> [(&'static str, SocketAddr); 4] {
    let service = Service::of("far", 1).node_port().on(&["pod3", "pod4"]);
    bed.apply("far.json", &service.objects(bed), std::slice::from_ref(&service.name));
    let [v4, v6] = [true, false].map(|v4| ("gateway", service.at(bed.node(NODE, v4))));
    [("pod1", service.cluster(true)), ("pod1", service.cluster(false)), v4, v6]
}

fn all_answer(bed: &Bed, clients: &[(&str, SocketAddr)]) {
    for (from, to) in clients {
        assert!(bed.answers(from, *to), "{from} to {to}");
    }
}

fn tc(bed: &Bed, words: &[&str]) -> String {
    let output = bed.lab.exec(NODE, &[&["tc"], words].concat());
    assert!(output.status.success(), "tc {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn filters(bed: &Bed) -> String {
    ["ingress", "egress"].map(|side| tc(bed, &["filter", "show", "dev", UPLINK, side])).concat()
}

/// Runs something in the node's network namespace.
fn in_node<T: Send>(bed: &Bed, f: impl FnOnce() -> T + Send) -> T {
    NetNs::of_pid(bed.lab.pid(NODE, "flannel").parse().unwrap()).unwrap().run(f).unwrap()
}

/// Numbers of the programs at the uplink's tcx hooks, in their order.
fn by_tcx(bed: &Bed) -> [Vec<u32>; 2] {
    in_node(bed, || {
        SIDES.map(|side| {
            let (_, programs) = SchedClassifier::query_tcx(UPLINK, side).unwrap();
            programs.iter().map(aya::programs::ProgramInfo::id).collect()
        })
    })
}

#[test]
fn programs_of_others_run_before_and_after_ours_and_stay() {
    let bed = Bed::up("t-proxy-tcx", Backend::Ebpf);
    let clients = service(&bed);
    let object = include_bytes!("../../proxy-ebpf/ebpf/weft-proxy.o");
    // The same programs with maps of their own: without services they let everything pass.
    let mut foreign: [Ebpf; 2] = std::array::from_fn(|_| EbpfLoader::new().load(object).unwrap());
    let orders = [LinkOrder::first, LinkOrder::last];
    for (ebpf, order) in foreign.iter_mut().zip(orders) {
        for (name, side) in ["ingress", "egress"].into_iter().zip(SIDES) {
            let program: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
            let options = TcAttachOptions::TcxOrder(order());
            in_node(&bed, || program.attach_with_options(UPLINK, side, options)).unwrap();
        }
    }
    let between = by_tcx(&bed);
    assert!(between.iter().all(|side| side.len() == 3), "{between:?}");
    all_answer(&bed, &clients);
    let others = between.map(|side| vec![side[0], side[2]]);

    bed.kill_proxy(NODE);
    assert!(bed.proxy(NODE, &["--cleanup"]).status.success());
    assert_eq!(by_tcx(&bed), others, "after --cleanup");
    bed.lab.run("start", &[NODE, "proxy"]);
    bed.lab.wait("services behind the others' programs", HEALED, || bed.answers(clients[2].0, clients[2].1));
    all_answer(&bed, &clients);
    // One that comes later goes to the end.
    let after = by_tcx(&bed);
    assert!(
        after.iter().zip(&others).all(|(now, others)| now.len() == 3 && now.starts_with(others)),
        "{after:?}"
    );
}

#[test]
fn clsact_filters_serve_as_tcx_does_and_each_way_takes_the_others_place() {
    let bed = Bed::up("t-proxy-clsact", Backend::Ebpf);
    let clients = service(&bed);
    let before = by_tcx(&bed);
    assert!(before.iter().all(|side| side.len() == 1), "{before:?}");
    bed.kill_proxy(NODE);
    tc(&bed, &["qdisc", "add", "dev", UPLINK, "clsact"]);
    let other = ["filter", "add", "dev", UPLINK, "ingress", "protocol", "all", "prio", "900", "u32"];
    tc(&bed, &[&other[..], &["match", "u32", "0", "0", "flowid", "1:1"]].concat());
    let foreign = filters(&bed);

    for round in ["from tcx", "from clsact"] {
        let started = bed.start_proxy(NODE, &[], &["--clsact"]);
        assert_eq!(by_tcx(&bed), NONE, "{round}: {}", started.log());
        let now = filters(&bed);
        assert_eq!(now.matches("direct-action").count(), 2, "{round}: {now}");
        assert!(now.contains("match 00000000/00000000"), "{round}: {now}");
        all_answer(&bed, &clients);
        drop(started);
        // Filters need no daemon either.
        all_answer(&bed, &clients);
    }

    let started = bed.start_proxy(NODE, &[], &[]);
    assert_eq!(filters(&bed), foreign, "{}", started.log());
    assert!(by_tcx(&bed).iter().all(|side| side.len() == 1));
    all_answer(&bed, &clients);
    drop(started);

    drop(bed.start_proxy(NODE, &[], &["--clsact"]));
    assert!(bed.proxy(NODE, &["--cleanup"]).status.success());
    assert_eq!(filters(&bed), foreign, "after --cleanup");
    assert_eq!(by_tcx(&bed), NONE, "after --cleanup");
    assert!(clients.iter().all(|(from, to)| bed.dial_tcp(from, *to, 1)[0].host().is_none()), "nobody serves");
}
