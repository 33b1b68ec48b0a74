//! CPU time that the whole machine spent between two moments, from /proc/stat.
//!
//! Most of the work of a packet is done in softirq context and belongs to no process, so adding up processes
//! would miss it. The price: whatever else runs on the machine is counted too, which is why a bench pairs each
//! figure with a baseline of the same moment.

use super::LoadError;
use std::io;
use std::time::Duration;

/// /proc/stat counts in hundredths of a second, whatever the kernel's own tick is.
const TICKS_PER_SECOND: u64 = 100;

/// Busy time of all processors since boot, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Busy {
    ticks: u64,
}

impl Busy {
    /// Reads it.
    pub fn now() -> Result<Busy, LoadError> {
        let text = std::fs::read_to_string("/proc/stat").map_err(LoadError::Stat)?;
        let ticks = busy_ticks(&text).ok_or_else(|| LoadError::Stat(io::ErrorKind::InvalidData.into()))?;
        Ok(Busy { ticks })
    }

    /// Busy time from then until now.
    pub fn since(self) -> Result<Duration, LoadError> {
        let ticks = Busy::now()?.ticks.saturating_sub(self.ticks);
        Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
    }
}

/// user + nice + system + irq + softirq: not idle, iowait, or what a hypervisor stole.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|f| f.parse().ok()).collect();
    match fields[..] {
        [user, nice, system, _idle, _iowait, irq, softirq, ..] => Some(user + nice + system + irq + softirq),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_stolen_time_is_not_busy() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 500 8 16 900 0 0\ncpu0 9 9\n"), Some(31));
        assert_eq!(busy_ticks("intr 5\n"), None);
    }

    #[test]
    fn spinning_is_busy() {
        let before = Busy::now().unwrap();
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(150) {
            std::hint::spin_loop();
        }
        assert!(before.since().unwrap() >= Duration::from_millis(50));
    }
}
