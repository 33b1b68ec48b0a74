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

mod datapath;
mod paths;
mod rules;
mod world;

use serde_json::{Value, json};

/// A median, and the interval that it is in with 95 % confidence (by order statistics).
struct Median {
    median: f64,
    low: f64,
    high: f64,
}

impl Median {
    fn of(mut values: Vec<f64>) -> Median {
        values.sort_by(f64::total_cmp);
        let count = values.len();
        assert!(count > 0, "nothing was measured");
        // Ranks of the binomial's 95 % interval, as in the sign test.
        let spread = (0.98 * (count as f64).sqrt()).ceil() as usize;
        let (low, high) = ((count / 2).saturating_sub(spread), (count / 2 + spread).min(count - 1));
        let median = (values[(count - 1) / 2] + values[count / 2]) / 2.0;
        Median { median, low: values[low], high: values[high] }
    }

    fn json(&self) -> Value {
        json!({"median": self.median, "low": self.low, "high": self.high})
    }
}

impl std::fmt::Display for Median {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median < 10.0 { 3 } else { 1 };
        write!(f, "{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.low, self.high)
    }
}

fn flag(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}

fn main() {
    let pairs: usize = flag("--pairs").map_or(30, |text| text.parse().unwrap());
    let seconds: f64 = flag("--seconds").map_or(0.2, |text| text.parse().unwrap());
    let counts: Vec<usize> = flag("--services")
        .map_or(vec![1, 1_000, 10_000], |text| text.split(',').map(|n| n.parse().unwrap()).collect());
    let mut world = world::World::up();
    let mut found = serde_json::Map::new();
    for (phase, count) in (0..4).zip(counts) {
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
    if let Some(path) = flag("--json") {
        std::fs::write(path, serde_json::to_string_pretty(&found).unwrap()).unwrap();
    }
}
