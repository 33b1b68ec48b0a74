//! Compaction that nobody has to ask for: by age or number of revisions, and by size.
//!
//! Every now and then the revision and the bytes of rows are noted. By age: history up to the newest note that is old
//! enough goes. By size: when the rows of history pass the bound, the older half of the notes goes, whatever its age;
//! so a small cluster that nobody compacts runs for good. Source of the two modes: `server/etcdserver/api/v3compactor`.

use crate::config::AutoCompaction;
use crate::error::Error;
use crate::server::Server;
use crate::write::job::Job;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Notes in one retention.
const NOTES: u32 = 10;

/// How often one looks at most.
const EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// As etcd's in the mode by number.
const EVERY_REVISIONS: Duration = Duration::from_secs(300);

/// A look at the store.
#[derive(Clone, Copy, Debug)]
struct Note {
    at: Instant,
    revision: i64,
}

/// Notes, the oldest first.
#[derive(Debug, Default)]
struct Notes {
    notes: VecDeque<Note>,
}

impl Notes {
    fn add(&mut self, note: Note, keep: Duration) {
        self.notes.push_back(note);
        // One older than the retention stays: it is what may go.
        while self.notes.get(1).is_some_and(|second| note.at - second.at >= keep) {
            self.notes.pop_front();
        }
    }

    /// The newest revision that is at least so old.
    fn older_than(&self, age: Duration, now: Instant) -> Option<i64> {
        let old = self.notes.iter().rev().find(|note| now - note.at >= age);
        old.map(|note| note.revision)
    }
}

/// How often to look.
fn interval(mode: AutoCompaction) -> Duration {
    match mode {
        AutoCompaction::Age(age) => (age / NOTES).clamp(EVERY.0, EVERY.1),
        AutoCompaction::Revisions(_) => EVERY_REVISIONS.min(EVERY.1),
        AutoCompaction::Off => EVERY.1,
    }
}

/// Runs until the server ends.
pub async fn run(server: Arc<Server>) {
    let mode = server.config.auto_compaction;
    let mut stopping = server.stopping();
    let mut notes = Notes::default();
    // Bytes of rows right after the last compaction: about what is current.
    let mut base = server.store.bytes.load(Ordering::Relaxed);
    loop {
        tokio::select! {
            () = stopping.stopped() => return,
            () = tokio::time::sleep(interval(mode)) => {}
        }
        let (now, revision) = (Instant::now(), server.store.revision());
        let bytes = server.store.bytes.load(Ordering::Relaxed);
        base = base.min(bytes);
        let keep = if let AutoCompaction::Age(age) = mode { age } else { Duration::ZERO };
        let by_age = match mode {
            AutoCompaction::Off => None,
            AutoCompaction::Age(age) => notes.older_than(age, now),
            AutoCompaction::Revisions(kept) => Some(revision - kept),
        };
        let too_much = server.config.history_bytes != 0 && bytes - base > server.config.history_bytes;
        let by_size = too_much.then(|| middle(server.store.compacted(), revision));
        notes.add(Note { at: now, revision }, keep);
        let Some(at) = by_age.max(by_size).filter(|at| *at > server.store.compacted().max(1)) else {
            continue;
        };
        if compact(&server, at).await && too_much {
            base = server.store.bytes.load(Ordering::Relaxed);
        }
    }
}

/// The revision that halves what is left of history.
fn middle(compacted: i64, revision: i64) -> i64 {
    compacted.max(1) + (revision - compacted.max(1)) / 2
}

async fn compact(server: &Server, at: i64) -> bool {
    match server.writer.ask(|answer| Job::Compact(at, answer)).await {
        Ok(compaction) => {
            tracing::debug!(at, "history is compacted");
            // Ended with the server, if it is not done before.
            let _ = compaction.done.await;
            true
        }
        Err(Error::Compacted) => true,
        Err(error) => {
            tracing::warn!(at, %error, "history is not compacted; tried again later");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_enough_goes() {
        let start = Instant::now();
        let (age, mut notes) = (Duration::from_secs(10), Notes::default());
        for (second, revision) in [(0, 5), (4, 7), (8, 7), (12, 20)] {
            notes.add(Note { at: start + Duration::from_secs(second), revision }, age);
        }
        let older = |second| notes.older_than(age, start + Duration::from_secs(second));
        assert_eq!((older(9), older(11), older(14), older(30)), (None, Some(5), Some(7), Some(20)));
    }

    #[test]
    fn notes_do_not_pile_up() {
        let start = Instant::now();
        let mut notes = Notes::default();
        for second in 0..1000 {
            notes.add(Note { at: start + Duration::from_secs(second), revision: 1 }, Duration::from_secs(10));
        }
        assert!(notes.notes.len() <= 12, "{}", notes.notes.len());
        assert_eq!(middle(-1, 101), 51);
    }
}
