//! Connections by every path, in rounds.

use crate::world::{FIRST, LAST, NODES, World};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use weft_tests::measure::Median;

/// A way of reaching a load server.
struct Path {
    name: &'static str,
    from: &'static str,
    to: String,
    port: u16,
    /// The path that it is measured against.
    against: Option<&'static str>,
}

fn all(world: &World) -> Vec<Path> {
    let path = |name, from, to: &str, port, against| Path { name, from, to: to.to_owned(), port, against };
    let [pod1, pod2, pod3] = ["pod1", "pod2", "pod3"].map(|pod| world.pod(pod));
    let direct_here = "pod → pod, one node";
    let direct_there = "pod → pod, two nodes";
    let host = "node → pod of it";
    let remote = "node → pod of another";
    let nftables = "node → NodePort of another, nftables";
    let nftables_snat = "node → NodePort of another → third, nftables";
    vec![
        path(direct_here, "pod1", &pod2, world.port(0), None),
        path("pod → ClusterIP, one node, first", "pod1", FIRST[0].cluster_ip, 80, Some(direct_here)),
        path("pod → ClusterIP, one node, last", "pod1", LAST[0].cluster_ip, 80, Some(direct_here)),
        path(direct_there, "pod1", &pod3, world.port(0), None),
        path("pod → ClusterIP, two nodes, first", "pod1", FIRST[1].cluster_ip, 80, Some(direct_there)),
        path("pod → ClusterIP, two nodes, last", "pod1", LAST[1].cluster_ip, 80, Some(direct_there)),
        path(host, NODES[0], &pod2, world.port(3), None),
        path("node → own NodePort, first", NODES[0], world.node(0), 30100, Some(host)),
        path(remote, NODES[2], &pod1, world.port(4), None),
        path(nftables, NODES[2], world.node(1), 30200, Some(remote)),
        path("node → NodePort of another, eBPF, first", NODES[2], world.node(0), 30100, Some(nftables)),
        path("node → NodePort of another, eBPF, last", NODES[2], world.node(0), 30102, Some(nftables)),
        path(nftables_snat, NODES[2], world.node(1), 30201, Some(remote)),
        path("node → NodePort of another → third, eBPF", NODES[2], world.node(0), 30101, Some(nftables_snat)),
    ]
}

/// Connections: rate and CPU of the machine for each, and both over those of the path that each is measured against.
pub fn measure(world: &World, rounds: usize, seconds: f64) -> Value {
    let paths = all(world);
    let mut measured: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for _ in 0..rounds {
        for path in &paths {
            let (port, time) = (path.port.to_string(), seconds.to_string());
            let words =
                ["lab", "load", "client", "--to", &path.to, "--port", &port, "--seconds", &time, "connect"];
            let result: Value = serde_json::from_str(&world.weft(path.from, &words)).unwrap();
            let figure = |name: &str| result[name].as_f64().unwrap();
            measured.entry(path.name).or_default().push((figure("rate"), figure("cpu_us_per_operation")));
        }
    }
    println!(
        "  connect-request-close, {rounds} rounds of {seconds} s: rate, CPU, and CPU against another path"
    );
    let mut found = serde_json::Map::new();
    for path in &paths {
        let own = &measured[path.name];
        let rate = Median::of(own.iter().map(|(rate, _)| *rate).collect());
        let cpu = Median::of(own.iter().map(|(_, cpu)| *cpu).collect());
        let ratio = path.against.map(|name| {
            Median::of(own.iter().zip(&measured[name]).map(|((_, own), (_, other))| own / other).collect())
        });
        let shown =
            ratio.as_ref().zip(path.against).map_or(String::new(), |(r, name)| format!("× {r} of {name}"));
        println!("  {:<46} {rate:>28} /s {cpu:>26} µs {shown}", path.name);
        let figures = json!({"rate": rate.json(), "cpu_us": cpu.json(), "cpu_ratio": ratio.map(|r| r.json()),
            "against": path.against});
        found.insert(path.name.to_owned(), figures);
    }
    Value::Object(found)
}
