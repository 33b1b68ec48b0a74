//! What benches share: a median with its interval, and their flags.

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
