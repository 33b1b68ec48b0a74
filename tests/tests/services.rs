//! What services do, against real sockets: the whole table in one lab.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use serde_json::json;
use std::time::Instant;
use weft_tests::services::{Backend, Bed, CHANGES, all};

/// Servers on ports that no other server has, for slices with ports of their own.
const SERVERS: [(&str, &str); 2] = [("pod1", "7001"), ("pod3", "7002")];

#[test]
fn services_behave_as_the_table_says() {
    let bed = Bed::up("t-services", Backend::Ebpf);
    let weft = weft_tests::weft().display().to_string();
    let mut servers = SERVERS.map(|(pod, port)| {
        let words = [&weft, "lab", "load", "server", "--port", port, "--ports", "1"];
        bed.lab.exec_command(pod, &words).spawn().unwrap()
    });
    let zone = |(node, zone): (&str, &str)| {
        let addresses = [true, false].map(|v4| json!({"type": "InternalIP", "address": bed.node(node, v4)}));
        json!({
            "apiVersion": "v1", "kind": "Node", "status": {"addresses": addresses},
            "metadata": {"name": node, "labels": {"topology.kubernetes.io/zone": zone}},
        })
    };
    let zones = [("k8s-node1", "a"), ("k8s-node2", "b"), ("k8s-node3", "c")].map(zone);
    // Of two files with the same object the first by name counts.
    bed.apply("a-nodes.json", &zones, &[]);
    let table = all(&bed);
    let start = Instant::now();
    bed.apply("cases.json", &table.objects(&bed), &table.names());
    println!("{} services are in the datapath after {:?}", table.names().len(), start.elapsed());
    let mut failed = table.run(&bed);
    println!("{} cases after {:?}", table.cases.len(), start.elapsed());
    for (name, case) in CHANGES {
        failed.extend(case(&bed).err().map(|why| format!("{name}: {why}")));
    }
    println!("{} cases with changes after {:?}", CHANGES.len(), start.elapsed());
    servers.iter_mut().for_each(|server| server.kill().and_then(|()| server.wait()).map(drop).unwrap());
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}
