//! What a bench found: medians with least and greatest, as a table and as JSON.

use super::{BenchSpec, Measured};
use crate::error::{LabError, Result};
use crate::load::{Measurement, Workload};
use crate::status::table;
use serde::Serialize;

/// A median with the least and the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of some values; of none, all is 0.
    pub fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        let at = |i: usize| values.get(i).copied().unwrap_or_default();
        let half = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { at(half) } else { (at(half.saturating_sub(1)) + at(half)) / 2.0 };
        Spread { median, min: at(0), max: at(values.len().saturating_sub(1)) }
    }
}

/// One workload on one path.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// The path.
    pub path: String,
    /// The workload.
    pub workload: Workload,
    /// What the rate is counted in.
    pub unit: &'static str,
    /// The rate.
    pub rate: Spread,
    /// The rate over the baseline's of the same repeat.
    pub ratio: Spread,
    /// CPU time of the machine for each operation, in microseconds.
    pub cpu_us_per_operation: Spread,
    /// What an operation is.
    pub operation: &'static str,
    /// Median latency in microseconds.
    pub p50_us: Option<Spread>,
    /// 99th percentile.
    pub p99_us: Option<Spread>,
}

/// A workload between our pods over the same between pods of the reference plugins.
#[derive(Clone, Debug, Serialize)]
pub struct Beside {
    /// The workload.
    pub workload: Workload,
    /// "one node" or "two nodes".
    pub path: &'static str,
    /// Our rate over theirs in the same repeat.
    pub ratio: Spread,
    /// The least that the median shall be, for workloads that have such a target.
    pub target: Option<f64>,
    /// Whether it is.
    pub met: Option<bool>,
}

/// What our pods shall reach of the reference plugins' throughput, as the median of the paired ratios.
pub const TARGET: f64 = 0.95;

/// All of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Number of repeats.
    pub repeats: u16,
    /// Seconds of each measurement.
    pub seconds: f64,
    /// "ipv4" or "ipv6".
    pub family: &'static str,
    /// The paths, the baseline first.
    pub paths: Vec<String>,
    /// By workload, then by path.
    pub figures: Vec<Figure>,
    /// Ours over the reference plugins', by workload, then by path; empty without them.
    pub beside: Vec<Beside>,
}

impl Report {
    /// `pairs`: a path's name, and which of `paths` is ours on it and which the reference plugins'.
    pub(super) fn of(
        paths: Vec<String>,
        pairs: &[(&'static str, usize, usize)],
        spec: &BenchSpec,
        measured: &Measured,
    ) -> Report {
        let figures = measured.iter().flat_map(|(workload, by_way)| {
            paths.iter().zip(by_way).map(|(path, values)| figure(*workload, path, values, &by_way[0]))
        });
        let family = if spec.ipv6 { "ipv6" } else { "ipv4" };
        let figures = figures.collect();
        let beside = measured.iter().flat_map(|(workload, by_way)| {
            pairs.iter().map(|(path, ours, theirs)| beside(*workload, path, &by_way[*ours], &by_way[*theirs]))
        });
        let beside = beside.collect();
        Report { repeats: spec.repeats, seconds: spec.seconds, family, paths, figures, beside }
    }

    /// As JSON.
    pub fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map_err(|source| LabError::Form { what: "the report".into(), source })
    }

    /// As a table.
    pub fn table(&self) -> String {
        let mut shown =
            table(["workload", "path", "rate", "ratio to baseline (min–max)", "CPU", "p50", "p99"]);
        let micros = |s: &Option<Spread>| s.map_or(String::new(), |s| format!("{:.1} µs", s.median));
        let mut before = None;
        for figure in &self.figures {
            let title = if before == Some(figure.workload) { "" } else { figure.workload.title() };
            before = Some(figure.workload);
            shown.add_row([
                title.to_owned(),
                figure.path.clone(),
                rate(figure),
                format!("{:.2} ({:.2}–{:.2})", figure.ratio.median, figure.ratio.min, figure.ratio.max),
                format!("{:.1} µs/{}", figure.cpu_us_per_operation.median, figure.operation),
                micros(&figure.p50_us),
                micros(&figure.p99_us),
            ]);
        }
        let mut text = format!(
            "{shown}\nmedians of {} repeats of {} s, {}; a ratio is to the baseline of the same repeat; CPU is the \
             whole machine's",
            self.repeats, self.seconds, self.family
        );
        if !self.beside.is_empty() {
            text.push_str(&self.beside_table());
        }
        text
    }

    /// Ours beside the reference plugins', and what was to be reached.
    fn beside_table(&self) -> String {
        let mut shown = table(["workload", "path", "ours ÷ reference (min–max)", "target", ""]);
        for row in &self.beside {
            shown.add_row([
                row.workload.title().to_owned(),
                row.path.to_owned(),
                format!("{:.3} ({:.3}–{:.3})", row.ratio.median, row.ratio.min, row.ratio.max),
                row.target.map_or(String::new(), |t| format!("≥ {t:.2}")),
                row.met.map_or("", |met| if met { "met" } else { "MISSED" }).to_owned(),
            ]);
        }
        let with_target = self.beside.iter().filter(|row| row.target.is_some());
        let least = with_target.min_by(|a, b| a.ratio.median.total_cmp(&b.ratio.median));
        let verdict = least.map_or(String::new(), |row| {
            format!(
                "pod throughput, paired median at least {TARGET:.2} of the reference bridge's: {} (the least is {:.3}: \
                 {}, {})",
                if row.met == Some(true) { "met" } else { "MISSED" },
                row.ratio.median,
                row.workload.title(),
                row.path
            )
        });
        format!("\n\n{shown}\n{verdict}")
    }
}

fn beside(workload: Workload, path: &'static str, ours: &[Measurement], theirs: &[Measurement]) -> Beside {
    let ratio = ratios(ours, theirs);
    let throughput = matches!(workload, Workload::Tcp1 | Workload::Tcp4 | Workload::Udp);
    let target = throughput.then_some(TARGET);
    Beside { workload, path, ratio, target, met: target.map(|t| ratio.median >= t) }
}

/// Rates over others of the same repeats.
fn ratios(values: &[Measurement], others: &[Measurement]) -> Spread {
    let pairs = values.iter().zip(others);
    Spread::of(pairs.map(|(v, o)| v.rate / o.rate.max(f64::MIN_POSITIVE)).collect())
}

fn figure(workload: Workload, path: &str, values: &[Measurement], baseline: &[Measurement]) -> Figure {
    let spread = |f: fn(&Measurement) -> f64| Spread::of(values.iter().map(f).collect());
    let latency = |f: fn(&Measurement) -> Option<f64>| -> Option<Spread> {
        values.iter().map(f).collect::<Option<Vec<_>>>().map(Spread::of)
    };
    Figure {
        path: path.to_owned(),
        workload,
        unit: workload.unit(),
        rate: spread(|m| m.rate),
        ratio: ratios(values, baseline),
        cpu_us_per_operation: spread(|m| m.cpu_us_per_operation),
        operation: workload.operation(),
        p50_us: latency(|m| m.p50_us),
        p99_us: latency(|m| m.p99_us),
    }
}

fn rate(figure: &Figure) -> String {
    match figure.unit {
        "1/s" => format!("{:.0} /s", figure.rate.median),
        unit => format!("{:.2} {unit}", figure.rate.median),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_medians() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of(vec![4.0, 1.0]).median, 2.5);
        assert_eq!(Spread::of(vec![]).median, 0.0);
    }

    fn m(rate: f64) -> Measurement {
        let workload = Workload::Request;
        Measurement {
            workload,
            rate,
            cpu_us_per_operation: 1.0,
            p50_us: Some(1.0),
            p99_us: None,
            seconds: 1.0,
        }
    }

    #[test]
    fn the_target_is_told_of_throughput() {
        let values = |rates: [f64; 3]| rates.map(m).to_vec();
        let spec = BenchSpec { repeats: 3, seconds: 1.0, ipv6: false, workloads: vec![], beside: None };
        let by_way = vec![values([10.0; 3]), values([9.0, 6.0, 8.0]), values([10.0, 5.0, 8.0])];
        let paths = ["host", "ours", "theirs"].map(str::to_owned).to_vec();
        let measured = vec![(Workload::Tcp1, by_way.clone()), (Workload::Request, by_way)];
        let report = Report::of(paths, &[("one node", 1, 2)], &spec, &measured);
        assert_eq!(report.beside[0].ratio, Spread { median: 1.0, min: 0.9, max: 1.2 });
        assert_eq!(report.beside[0].met, Some(true));
        assert_eq!(report.beside[1].met, None);
        let table = report.table();
        assert!(
            table.contains("reference bridge's: met (the least is 1.000: TCP, 1 stream, one node)"),
            "{table}"
        );
    }

    #[test]
    fn ratios_are_of_the_same_repeat() {
        let figure = figure(Workload::Request, "x", &[m(50.0), m(10.0)], &[m(100.0), m(20.0)]);
        assert_eq!(figure.ratio, Spread { median: 0.5, min: 0.5, max: 0.5 });
        assert!(figure.p50_us.is_some() && figure.p99_us.is_none());
    }
}
