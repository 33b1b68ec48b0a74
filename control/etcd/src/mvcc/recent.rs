//! The recent past, for watchers that keep up: the last events in memory.
//!
//! Watchers pull from here when told that there is something new, each at its own pace; one that falls behind the
//! oldest reads the rows on disk instead. So no watcher has a queue of its own, and none can hold up another.

use crate::proto::Event;
use prost::Message;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is kept at most, in bytes of events.
const MOST_BYTES: usize = 512 << 10;

/// The events of one transaction.
#[derive(Debug)]
pub struct Transaction {
    /// Its revision.
    pub revision: i64,
    /// Its changes, in order, without previous values.
    pub events: Vec<Event>,
    bytes: usize,
}

impl Transaction {
    /// Of events.
    pub fn of(revision: i64, events: Vec<Event>) -> Transaction {
        let bytes = events.iter().map(|e| e.encoded_len() + size_of::<Event>()).sum();
        Transaction { revision, events, bytes }
    }
}

#[derive(Debug, Default)]
struct Kept {
    transactions: VecDeque<Arc<Transaction>>,
    bytes: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Recent {
    kept: Mutex<Kept>,
}

impl Recent {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds transactions, and lets the oldest go when there are too many.
    pub fn add(&self, new: impl IntoIterator<Item = Transaction>) {
        let mut kept = self.kept();
        for transaction in new {
            kept.bytes += transaction.bytes;
            kept.transactions.push_back(Arc::new(transaction));
        }
        while kept.bytes > MOST_BYTES && kept.transactions.len() > 1 {
            let oldest = kept.transactions.pop_front();
            kept.bytes -= oldest.map_or(0, |t| t.bytes);
        }
    }

    /// Forgets everything: what comes next need not follow on what is kept.
    pub fn clear(&self) {
        *self.kept() = Kept::default();
    }

    /// Transactions from a revision on, about `most_bytes` of them at once. `None`: it goes back too far.
    pub fn since(&self, from: i64, most_bytes: usize) -> Option<Vec<Arc<Transaction>>> {
        let kept = self.kept();
        if kept.transactions.front()?.revision > from {
            return None;
        }
        let start = kept.transactions.partition_point(|t| t.revision < from);
        let mut bytes = 0;
        let some = kept.transactions.range(start..).take_while(|t| {
            let before = bytes;
            bytes += t.bytes;
            before <= most_bytes
        });
        Some(some.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::KeyValue;

    fn transaction(revision: i64, bytes: usize) -> Transaction {
        let kv = KeyValue { value: vec![0; bytes], mod_revision: revision, ..Default::default() };
        Transaction::of(revision, vec![Event { kv: Some(kv), ..Default::default() }])
    }

    fn revisions(got: Option<Vec<Arc<Transaction>>>) -> Option<Vec<i64>> {
        got.map(|all| all.iter().map(|t| t.revision).collect())
    }

    #[test]
    fn gives_what_is_there_and_says_when_it_is_not() {
        let recent = Recent::default();
        assert_eq!(revisions(recent.since(2, 100)), None);
        recent.add((5..9).map(|r| transaction(r, 10)));
        assert_eq!(revisions(recent.since(6, 1 << 20)), Some(vec![6, 7, 8]));
        assert_eq!(revisions(recent.since(6, 0)), Some(vec![6]), "at least one");
        assert_eq!(revisions(recent.since(4, 100)), None);
        assert_eq!(revisions(recent.since(9, 100)), Some(vec![]));
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let recent = Recent::default();
        recent.add((2..12).map(|r| transaction(r, MOST_BYTES / 4)));
        assert_eq!(revisions(recent.since(2, 1)), None);
        assert!(revisions(recent.since(11, 1)).is_some());
    }
}
