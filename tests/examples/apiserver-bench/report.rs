//! What was measured: medians over rounds, ratios within rounds, and JSON of all of it.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use weft_tests::measure::{Median, megabytes};

/// Megabytes of a process now, and at its peak.
pub fn memory(pid: u32) -> [f64; 2] {
    ["VmRSS", "VmHWM"].map(|key| megabytes(&pid.to_string(), key))
}

#[derive(Default)]
struct Row {
    beside: String,
    pairs: Vec<[f64; 2]>,
    cpu: Vec<f64>,
}

/// All of it.
#[derive(Default)]
pub struct Report {
    order: Vec<String>,
    rows: BTreeMap<String, Row>,
    figures: Map<String, Value>,
}

impl Report {
    /// A round's rates, ours and what it is beside, a second.
    pub fn rates(&mut self, name: &str, beside: &str, pair: [f64; 2]) {
        if !self.rows.contains_key(name) {
            self.order.push(name.to_owned());
        }
        let row = self.rows.entry(name.to_owned()).or_default();
        row.beside = beside.to_owned();
        row.pairs.push(pair);
    }

    /// CPU seconds of the server for one of them.
    pub fn cpu(&mut self, name: &str, seconds: f64) {
        self.rows.entry(name.to_owned()).or_default().cpu.push(seconds);
    }

    /// A line that says how something was.
    pub fn note(&self, line: &str) {
        println!("  {line}");
    }

    /// A figure with its target, if it has one: at most so much.
    pub fn figure(&mut self, name: &str, unit: &str, value: f64, at_most: Option<f64>) {
        let told = at_most.map_or(String::new(), |most| {
            format!("; at most {most}: {}", if value <= most { "reached" } else { "MISSED" })
        });
        println!("  {name}: {value:.2} {unit}{told}");
        self.figures.insert(name.to_owned(), json!({"value": value, "unit": unit, "at_most": at_most}));
    }

    /// Prints the rows that came since the last call.
    pub fn tell(&mut self) {
        for name in std::mem::take(&mut self.order) {
            let row = &self.rows[&name];
            let [ours, theirs] = [0, 1].map(|at| Median::of(row.pairs.iter().map(|pair| pair[at]).collect()));
            let ratio = Median::of(row.pairs.iter().map(|pair| pair[0] / pair[1]).collect());
            let cpu = Median::of(row.cpu.clone()).median * 1e6;
            println!(
                "  {name}: {:.0}/s, {cpu:.0} µs of CPU each; {} {:.0}/s; ratio {ratio}",
                ours.median, row.beside, theirs.median
            );
            self.figures.insert(
                name,
                json!({"ours": ours.json(), "beside": row.beside, "theirs": theirs.json(), "ratio": ratio.json(),
                    "cpu_us": cpu}),
            );
        }
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        Value::Object(self.figures.clone())
    }
}
