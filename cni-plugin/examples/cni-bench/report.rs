//! The measurements as a table and as JSON: medians, and ratios of one run.

use super::measure::Cost;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// One kind of call.
#[derive(Default)]
pub struct Row {
    name: String,
    /// Of the reference plugins, of ours under their names, of our chain in one process.
    pub costs: [Vec<Cost>; 3],
    /// Resident memory at most, bytes, where it was measured.
    pub memory: [Vec<u64>; 3],
    /// Of bare netlink calls, where there are such.
    pub kernel: Vec<Cost>,
}

impl Row {
    /// An empty row.
    fn new(name: &str) -> Self {
        Row { name: name.to_string(), ..Row::default() }
    }
}

/// All rows.
#[derive(Default)]
pub struct Report(Vec<Row>);

impl Report {
    /// The row of a name, new if there is none.
    pub fn row(&mut self, name: &str) -> &mut Row {
        let at = self.0.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.0.push(Row::new(name));
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<34} {:>17} {:>17} {:>17} {:>17} {:>13} {:>13} {:>16}\n",
            "medians, wall / CPU ms",
            "reference",
            "weft by names",
            "weft in one",
            "kernel alone",
            "names ÷ ref",
            "one ÷ ref",
            "memory, MB"
        );
        for row in &self.0 {
            let [reference, names, one] = [0, 1, 2].map(|side| median(&row.costs[side]));
            let kernel = median(&row.kernel);
            let memory = row.memory.each_ref().map(|bytes| middle(bytes.iter().copied()));
            let memory = match memory.iter().any(Option::is_some) {
                true => memory
                    .map(|bytes| bytes.map_or("-".into(), |b| format!("{:.1}", b as f64 / 1e6)))
                    .join("/"),
                false => String::new(),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{:<34} {:>17} {:>17} {:>17} {:>17} {:>13} {:>13} {:>16}",
                row.name,
                pair(reference),
                pair(names),
                pair(one),
                pair(kernel),
                ratios(names, reference),
                ratios(one, reference),
                memory,
            );
        }
        text
    }

    /// For programs; times in milliseconds, memory in bytes.
    pub fn json(&self) -> Value {
        let cost = |costs: &Vec<Cost>| {
            let walls = || costs.iter().map(|c| c.wall);
            let (low, high) = (walls().min().unwrap_or_default(), walls().max().unwrap_or_default());
            median(costs).map(|middle| {
                json!({"wall": ms(middle.wall), "cpu": ms(middle.cpu), "wall_min": ms(low), "wall_max": ms(high), "samples": costs.len()})
            })
        };
        let row = |row: &Row| {
            let [reference, names, one] = [0, 1, 2].map(|side| cost(&row.costs[side]));
            json!({"name": row.name, "reference": reference, "weft": names, "weft_one_process": one,
                "memory": row.memory.each_ref().map(|bytes| middle(bytes.iter().copied())),
                "kernel": cost(&row.kernel)})
        };
        json!({"unit": "ms", "rows": self.0.iter().map(row).collect::<Vec<_>>()})
    }
}

fn median(costs: &[Cost]) -> Option<Cost> {
    let time = |pick: fn(&Cost) -> Duration| middle(costs.iter().map(pick));
    Some(Cost { wall: time(|c| c.wall)?, cpu: time(|c| c.cpu)? })
}

fn middle<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn pair(cost: Option<Cost>) -> String {
    cost.map_or("-".into(), |cost| format!("{:.2} / {:.2}", ms(cost.wall), ms(cost.cpu)))
}

/// Of wall time and of CPU.
fn ratios(ours: Option<Cost>, reference: Option<Cost>) -> String {
    let ratio = |ours: Duration, reference: Duration| ours.as_secs_f64() / reference.as_secs_f64().max(1e-9);
    match (ours, reference) {
        (Some(ours), Some(reference)) => {
            format!("{:.3} {:.3}", ratio(ours.wall, reference.wall), ratio(ours.cpu, reference.cpu))
        }
        _ => "-".into(),
    }
}
