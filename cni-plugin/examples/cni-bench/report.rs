//! The measurements as a table and as JSON: medians, and ratios of one run.

use super::measure::Cost;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// One kind of call.
#[derive(Default)]
pub struct Row {
    name: String,
    /// Of the reference plugins and of ours.
    pub costs: [Vec<Cost>; 2],
    /// Of bare netlink calls, where there are such.
    pub kernel: Vec<Cost>,
}

impl Row {
    /// An empty row.
    pub fn new(name: &str) -> Self {
        Row { name: name.to_string(), ..Row::default() }
    }
}

/// All rows.
#[derive(Default)]
pub struct Report(Vec<Row>);

impl Report {
    /// Adds a row.
    pub fn push(&mut self, row: Row) {
        self.0.push(row);
    }

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
            "{:<22} {:>20} {:>20} {:>20} {:>7} {:>7}\n",
            "medians, wall / CPU ms", "reference", "weft-cni", "kernel alone", "× wall", "× CPU"
        );
        for row in &self.0 {
            let [reference, ours] = [median(&row.costs[0]), median(&row.costs[1])];
            let kernel = match row.kernel.is_empty() {
                true => String::from("-"),
                false => pair(median(&row.kernel)),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{:<22} {:>20} {:>20} {:>20} {:>7.3} {:>7.3}",
                row.name,
                pair(reference),
                pair(ours),
                kernel,
                ratio(ours.wall, reference.wall),
                ratio(ours.cpu, reference.cpu)
            );
        }
        text
    }

    /// For programs; times in milliseconds.
    pub fn json(&self) -> Value {
        let cost = |costs: &[Cost]| {
            let walls = || costs.iter().map(|c| c.wall);
            let (low, high) = (walls().min().unwrap_or_default(), walls().max().unwrap_or_default());
            let middle = median(costs);
            json!({"wall": ms(middle.wall), "cpu": ms(middle.cpu), "wall_min": ms(low), "wall_max": ms(high),
                "samples": costs.len()})
        };
        let row = |row: &Row| {
            let [reference, ours] = [median(&row.costs[0]), median(&row.costs[1])];
            json!({"name": row.name, "reference": cost(&row.costs[0]), "weft": cost(&row.costs[1]),
                "kernel": (!row.kernel.is_empty()).then(|| cost(&row.kernel)),
                "wall_ratio": ratio(ours.wall, reference.wall), "cpu_ratio": ratio(ours.cpu, reference.cpu)})
        };
        json!({"unit": "ms", "rows": self.0.iter().map(row).collect::<Vec<_>>()})
    }
}

fn median(costs: &[Cost]) -> Cost {
    let middle = |pick: fn(&Cost) -> Duration| {
        let mut values: Vec<Duration> = costs.iter().map(pick).collect();
        values.sort();
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Cost { wall: middle(|c| c.wall), cpu: middle(|c| c.cpu) }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn pair(cost: Cost) -> String {
    format!("{:.2} / {:.2}", ms(cost.wall), ms(cost.cpu))
}

fn ratio(ours: Duration, reference: Duration) -> f64 {
    ours.as_secs_f64() / reference.as_secs_f64().max(1e-9)
}
