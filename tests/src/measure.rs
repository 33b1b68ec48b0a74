//! What benches share: a median with its interval, what a process has used, and their flags.

use serde_json::{Value, json};

/// A median, and the interval that it is in with 95 % confidence (by order statistics).
pub struct Median {
    /// The median.
    pub median: f64,
    /// The interval's lower end.
    pub low: f64,
    /// And its upper end.
    pub high: f64,
}

impl Median {
    /// Of what was measured.
    ///
    /// # Panics
    /// When nothing was.
    pub fn of(mut values: Vec<f64>) -> Median {
        values.sort_by(f64::total_cmp);
        let count = values.len();
        assert!(count > 0, "nothing was measured");
        // Ranks of the binomial's 95 % interval, as in the sign test.
        let spread = (0.98 * (count as f64).sqrt()).ceil() as usize;
        let (low, high) = ((count / 2).saturating_sub(spread), (count / 2 + spread).min(count - 1));
        let median = (values[(count - 1) / 2] + values[count / 2]) / 2.0;
        Median { median, low: values[low], high: values[high] }
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        json!({"median": self.median, "low": self.low, "high": self.high})
    }
}

impl std::fmt::Display for Median {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median < 10.0 { 3 } else { 1 };
        write!(f, "{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.low, self.high)
    }
}

/// The word after a flag of the command line.
pub fn flag(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)
}

/// CPU seconds that a process has used.
///
/// # Panics
/// When there is no such process.
pub fn cpu_seconds(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    // Behind the name, which may have spaces.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = [11, 12].map(|at: usize| fields[at].parse::<f64>().expect("utime and stime are numbers"));
    ticks.iter().sum::<f64>() / rustix::param::clock_ticks_per_second() as f64
}

/// Megabytes of a process, by the key of its status: `VmRSS`, `VmHWM`, `RssAnon`.
///
/// # Panics
/// When there is no such process.
pub fn megabytes(pid: &str, key: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.expect("the key is there") * 1024.0 / 1e6
}
