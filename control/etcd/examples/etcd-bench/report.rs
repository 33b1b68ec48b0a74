//! The measurements as a table, printed row by row, and as JSON: medians, and ratios of turns that follow
//! each other.

use super::Pair;
use super::load::Turn;
use serde_json::{Value, json};
use std::time::Duration;

/// What a row has to reach.
#[derive(Clone, Copy)]
pub enum Target {
    None,
    RatioAtLeast(f64),
    RatioAtMost(f64),
    OursAtMost(f64),
}

impl Target {
    fn text(self) -> String {
        match self {
            Target::None => String::new(),
            Target::RatioAtLeast(least) => format!("ratio ≥ {least:.2}"),
            Target::RatioAtMost(most) => format!("ratio ≤ {most:.2}"),
            Target::OursAtMost(most) => format!("ours ≤ {most:.0}"),
        }
    }

    fn reached(self, ours: f64, ratio: f64) -> Option<bool> {
        match self {
            Target::None => None,
            Target::RatioAtLeast(least) => Some(ratio >= least),
            Target::RatioAtMost(most) => Some(ratio <= most),
            Target::OursAtMost(most) => Some(ours <= most),
        }
    }
}

/// One kind of measurement of both.
pub struct Row {
    name: String,
    unit: &'static str,
    target: Target,
    values: Vec<Pair<f64>>,
    /// CPU of the servers per 1,000 requests, in milliseconds.
    cpu: Vec<Pair<f64>>,
    /// p50 and p99 of each turn, in milliseconds.
    latencies: Vec<Pair<[f64; 2]>>,
}

impl Row {
    pub fn new(name: &str, unit: &'static str, target: Target) -> Row {
        Row { name: name.into(), unit, target, values: vec![], cpu: vec![], latencies: vec![] }
    }

    /// One round's values.
    pub fn push(&mut self, values: Pair<f64>) {
        self.values.push(values);
    }

    /// One round's turns, with CPU and latencies.
    pub fn push_turns(&mut self, turns: Pair<Turn>) {
        self.values.push(turns.each_ref().map(|turn| turn.per_second));
        self.cpu.push(turns.each_ref().map(|turn| turn.cpu));
        let percentile = |sorted: &[Duration], part: usize| {
            sorted.get(sorted.len() * part / 100).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
        };
        let both = |turn: &Turn| [50, 99].map(|part| percentile(&turn.latencies, part));
        self.latencies.push(turns.each_ref().map(both));
    }

    fn line(&self) -> String {
        let [ours, theirs] = medians(&self.values);
        let [least, ratio, most] = ratios(&self.values);
        let spread = format!("{ratio:.2} ({least:.2}–{most:.2})");
        let verdict = match self.target.reached(ours, ratio) {
            None => "",
            Some(true) => "reached",
            Some(false) => "MISSED",
        };
        let cpu = match self.cpu.is_empty() {
            true => String::new(),
            false => {
                let [ours, theirs] = medians(&self.cpu);
                format!("{ours:.1} / {theirs:.1} ({:.2})", ratios(&self.cpu)[1])
            }
        };
        let latency = match self.latencies.is_empty() {
            true => String::new(),
            false => {
                let [ours, theirs] = self.latency(1);
                format!("{ours:.2} / {theirs:.2}")
            }
        };
        let (ours, theirs) = (format!("{} {}", shown(ours), self.unit), shown(theirs));
        format!(
            "{:<40} {ours:>12} {theirs:>9} {spread:>22} {:>12} {verdict:<7} {latency:>14} {cpu:>24}",
            self.name,
            self.target.text()
        )
    }

    /// The median over the rounds of p50 (0) or p99 (1).
    fn latency(&self, which: usize) -> Pair<f64> {
        let pairs: Vec<Pair<f64>> = self.latencies.iter().map(|pair| pair.map(|both| both[which])).collect();
        medians(&pairs)
    }

    fn json(&self) -> Value {
        let [ours, theirs] = medians(&self.values);
        let [least, ratio, most] = ratios(&self.values);
        let mut value = json!({"name": self.name, "unit": self.unit, "weft": ours, "etcd": theirs,
            "ratio": ratio, "ratio_min": least, "ratio_max": most, "rounds": self.values,
            "target": self.target.text(), "reached": self.target.reached(ours, ratio)});
        if !self.cpu.is_empty() {
            let [ours, theirs] = medians(&self.cpu);
            value["cpu_ms_per_1000"] = json!({"weft": ours, "etcd": theirs, "ratio": ratios(&self.cpu)[1]});
            let named = |[ours, theirs]: Pair<f64>| json!({"weft": ours, "etcd": theirs});
            value["p50_ms"] = named(self.latency(0));
            value["p99_ms"] = named(self.latency(1));
        }
        value
    }
}

/// All rows.
pub struct Report {
    rows: Vec<Row>,
    /// The machine's load when it began, as the kernel tells it: what else ran.
    load: String,
}

impl Report {
    /// Prints the table's head.
    pub fn begin() -> Report {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        println!("{cores} cores, load when it began: {load}");
        println!(
            "{:<40} {:>12} {:>9} {:>22} {:>12} {:<7} {:>14} {:>24}",
            "medians", "weft", "etcd", "ratio (spread)", "target", "", "p99 ms", "CPU ms / 1,000 (ratio)"
        );
        Report { rows: Vec::new(), load }
    }

    /// Adds a row and prints it.
    pub fn push(&mut self, row: Row) {
        println!("{}", row.line());
        self.rows.push(row);
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({"load": self.load, "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>()})
    }
}

fn shown(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    }
}

fn medians(pairs: &[Pair<f64>]) -> Pair<f64> {
    [0, 1].map(|who| spread(pairs.iter().map(|pair| pair[who]))[1])
}

/// Ours ÷ theirs of each round: least, median, most.
fn ratios(pairs: &[Pair<f64>]) -> [f64; 3] {
    spread(pairs.iter().map(|[ours, theirs]| ours / theirs.max(1e-9)))
}

fn spread(values: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or_default();
    [at(0), at(values.len() / 2), at(values.len().saturating_sub(1))]
}
