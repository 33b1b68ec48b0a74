//! One table in Markdown: medians of the rounds, and in brackets the median of the ratios to the log.

use std::fmt::Write;

/// What is measured, and with how many decimals it is shown.
pub const COLUMNS: [(&str, usize); 8] = [
    ("commit of 1, µs", 0),
    ("commit of 16, µs", 0),
    ("random get, µs", 2),
    ("open after kill, ms", 1),
    ("open after close, ms", 1),
    ("VmRSS, MB", 1),
    ("of it anonymous, MB", 1),
    ("on disk, MB", 1),
];

/// Figures of one engine in one round.
pub type Round = [f64; COLUMNS.len()];

/// The table; the first engine is the floor.
pub fn of(engines: &[&str], measured: &[Vec<Round>]) -> String {
    let mut text = String::from("| |");
    for engine in engines {
        let _ = write!(text, " {engine} |");
    }
    text += "\n| --- |";
    text += &" --- |".repeat(engines.len());
    for (column, (name, decimals)) in COLUMNS.iter().enumerate() {
        let _ = write!(text, "\n| {name} |");
        for (engine, rounds) in measured.iter().enumerate() {
            let value = median(rounds.iter().map(|round| round[column]));
            let _ = write!(text, " {value:.decimals$}");
            if engine > 0 {
                let pairs = rounds.iter().zip(&measured[0]);
                let _ =
                    write!(text, " ({:.2})", median(pairs.map(|(own, floor)| own[column] / floor[column])));
            }
            text += " |";
        }
    }
    text + "\n"
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
