//! How many requests may be at work at once: in all, and of one user.
//!
//! Source: `k8s.io/apiserver/pkg/server/filters/maxinflight.go` for the two limits in all and for system:masters, whose
//! requests always get an answer. The limit of one user is ours: it keeps one busy client from taking all places,
//! where upstream has queues (priority and fairness). Long-running requests (watches, logs, streams) are not counted.

use super::MASTERS;
use crate::request::User;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The limits; zero for none.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `--max-requests-inflight`: requests that read.
    pub reading: usize,
    /// `--max-mutating-requests-inflight`: requests that write.
    pub writing: usize,
    /// Requests of one user, of either sort.
    pub user: usize,
}

impl Default for Limits {
    /// Upstream's defaults, and for one user as much as all may write.
    fn default() -> Limits {
        Limits { reading: 400, writing: 200, user: 200 }
    }
}

#[derive(Debug, Default)]
struct Counts {
    reading: usize,
    writing: usize,
    users: HashMap<String, usize>,
}

/// Requests at work.
#[derive(Clone, Debug)]
pub struct InFlight {
    limits: Limits,
    counts: Arc<Mutex<Counts>>,
}

/// A request at work: it is one until this is dropped.
#[derive(Debug)]
pub struct Place {
    counts: Arc<Mutex<Counts>>,
    user: String,
    writes: bool,
}

/// No place: 429, `TooManyRequests`, with this `Retry-After` in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Too many requests, please try again later.")]
pub struct Busy {
    /// When to come again.
    pub retry_after: u64,
}

impl InFlight {
    /// With nothing at work.
    pub fn new(limits: Limits) -> InFlight {
        InFlight { limits, counts: Arc::default() }
    }

    /// A place for a request of a user.
    pub fn enter(&self, user: &User, writes: bool) -> Result<Place, Busy> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |held: usize, limit: usize| limit != 0 && held >= limit;
        let of_user = counts.users.get(&user.name).copied().unwrap_or(0);
        let crowded = match writes {
            true => full(counts.writing, self.limits.writing),
            false => full(counts.reading, self.limits.reading),
        };
        if (crowded || full(of_user, self.limits.user)) && !user.is_in(MASTERS) {
            return Err(Busy { retry_after: 1 });
        }
        match writes {
            true => counts.writing += 1,
            false => counts.reading += 1,
        }
        *counts.users.entry(user.name.clone()).or_default() += 1;
        Ok(Place { counts: self.counts.clone(), user: user.name.clone(), writes })
    }

    /// How many read and how many write now, for the metrics.
    pub fn now(&self) -> (usize, usize) {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        (counts.reading, counts.writing)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match self.writes {
            true => counts.writing -= 1,
            false => counts.reading -= 1,
        }
        // Users come and go: those without a request are not kept.
        if let Some(held) = counts.users.get_mut(&self.user) {
            *held -= 1;
            if *held == 0 {
                counts.users.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back_and_nobody_takes_them_all() {
        let flight = InFlight::new(Limits { reading: 3, writing: 1, user: 2 });
        let (jane, joe) = (User::of("jane", &[]), User::of("joe", &[]));
        let held = [flight.enter(&jane, false).unwrap(), flight.enter(&jane, false).unwrap()];
        assert_eq!(flight.enter(&jane, true).unwrap_err().retry_after, 1, "two of one user");
        let third = flight.enter(&joe, false).unwrap();
        assert!(flight.enter(&User::of("eve", &[]), false).is_err(), "three in all");
        drop(flight.enter(&User::of("admin", &[MASTERS]), false).unwrap());
        drop(held);
        assert_eq!(flight.now(), (1, 0));
        drop(flight.enter(&jane, true).unwrap());
        drop(third);
        assert!(flight.counts.lock().unwrap().users.is_empty());
    }
}
