//! How long the server has been up, as leases count it.
//!
//! Between the start of the program and its first answer it may or may not count already, so there are two sums:
//! the least and the most that it can have counted.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Bounds of the time that the server has been up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Up {
    /// Since it served.
    pub least: Duration,
    /// Since it was started.
    pub most: Duration,
}

#[derive(Default)]
struct Now {
    /// Of all runs that ended.
    ended: Up,
    started: Option<Instant>,
    serves: Option<Instant>,
}

/// A clock that stands still while the server is down.
#[derive(Default)]
pub struct Uptime(Mutex<Now>);

impl Uptime {
    /// The program is being started.
    pub fn starts(&self) {
        self.with(|now| now.started = Some(Instant::now()));
    }

    /// It serves.
    pub fn serves(&self) {
        self.with(|now| now.serves = Some(Instant::now()));
    }

    /// It was killed.
    pub fn ends(&self) {
        let up = self.up();
        self.with(|now| *now = Now { ended: up, ..Now::default() });
    }

    /// How long it has been up.
    pub fn up(&self) -> Up {
        self.with(|now| {
            let since = |start: Option<Instant>| start.map_or(Duration::ZERO, |start| start.elapsed());
            Up { least: now.ended.least + since(now.serves), most: now.ended.most + since(now.started) }
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Now) -> T) -> T {
        // A thread that panicked while it held this left two instants, which are whole.
        change(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_still_while_the_server_is_down() {
        let clock = Uptime::default();
        assert_eq!(clock.up(), Up::default());
        clock.starts();
        std::thread::sleep(Duration::from_millis(2));
        clock.serves();
        clock.ends();
        let up = clock.up();
        assert!(up.most > up.least);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(clock.up(), up);
    }
}
