//! The service proxy's bench: connections through services beside direct ones and beside nftables rules, a cold start,
//! a changed object's way to the datapath, memory, and what each program costs.
//!
//! ```text
//! k8s-node1  weft proxy        pod1, pod2        pod1 → ClusterIP → pod2 | pod3;  node1 → own NodePort → pod1
//! k8s-node2  nftables rules    pod3, pod4        node3 → NodePort of node2 → pod3
//! k8s-node3  the client        pod5, pod6        node3 → NodePort of node1 → pod1
//! ```
//!
//! Each round measures every path once, one after another, and ratios are taken within a round: what disturbs the
//! machine disturbs all paths alike. Each path has a port of its own at the server (4-tuples in TIME_WAIT cost 50
//! times a connection). CPU is the whole machine's for each connection, client and server: run it on a quiet machine.
//!
//! `cargo run -p weft-tests --example services-bench -- --json FILE`, as root, with WEFT_BIN and WEFT_CNI_BIN_DIR.

#![allow(clippy::unwrap_used, reason = "a bench ends where something is not as it should be")]

mod api;
mod datapath;
mod paths;
mod rules;
mod world;

use serde_json::json;
use weft_tests::measure::flag;

fn main() {
    let pairs: usize = flag("--pairs").map_or(30, |text| text.parse().unwrap());
    let seconds: f64 = flag("--seconds").map_or(0.2, |text| text.parse().unwrap());
    let counts: Vec<usize> = flag("--services")
        .map_or(vec![1, 1_000, 10_000], |text| text.split(',').map(|n| n.parse().unwrap()).collect());
    let wants = |part: &str| flag("--only").is_none_or(|only| only == part);
    let mut found = serde_json::Map::new();
    if wants("api") {
        found.insert("api".into(), api::measure(counts.iter().copied().max().unwrap_or(1)));
    }
    if wants("manifests") {
        manifests(&counts, pairs, seconds, &mut found);
    }
    if let Some(path) = flag("--json") {
        std::fs::write(path, serde_json::to_string_pretty(&found).unwrap()).unwrap();
    }
}

/// All that is measured on services from manifests.
fn manifests(
    counts: &[usize],
    pairs: usize,
    seconds: f64,
    found: &mut serde_json::Map<String, serde_json::Value>,
) {
    let mut world = world::World::up();
    for (phase, count) in (0..4).zip(counts.iter().copied()) {
        world.phase = phase;
        println!("services: {count}, 10 endpoints each");
        let start = datapath::cold_start(&world, count);
        let change = datapath::changes(&world, count);
        rules::write(&world, count);
        let measured = paths::measure(&world, pairs, seconds);
        let programs = datapath::programs(&world);
        let all = json!({"start": start, "change": change, "paths": measured, "programs": programs});
        found.insert(count.to_string(), all);
    }
}
