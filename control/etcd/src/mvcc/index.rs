//! The index in memory: for each key, at which revisions it changed.
//!
//! ```text
//! "a" → [3.0] [5.1] [9.0 deleted] [12.0]      state of the last: created 12, version 1, lease 0
//! ```
//!
//! A key at revision R is its last change at or before R, unless that is a deletion. etcd keeps "generations" for the
//! same; a flat list with marks says as much. Values stay on disk. Some 100 bytes and the key for each key, 16 bytes
//! for each change that compaction has not removed.
//!
//! Changes are entered before they are on disk. Readers ask at a revision that is published only when it is durable,
//! and never see such ones; if the disk refuses them, the index is made anew from what it holds.

use super::revision::Revision;
use crate::keys::KeyRange;
use std::collections::{BTreeMap, HashSet};

/// One change of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub revision: Revision,
    /// Whether the key went.
    pub deletion: bool,
}

/// What a put needs to know of the key as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Last {
    /// The revision that made the key.
    pub created: i64,
    /// How many puts since, with that.
    pub version: i64,
    /// Its lease, or 0.
    pub lease: i64,
}

#[derive(Debug)]
struct History {
    changes: Vec<Change>,
    last: Last,
}

impl History {
    fn at(&self, main: i64) -> Option<Revision> {
        let until = self.changes.partition_point(|c| c.revision.main <= main);
        let change = self.changes[..until].last()?;
        (!change.deletion).then_some(change.revision)
    }

    fn lives(&self) -> bool {
        self.changes.last().is_some_and(|c| !c.deletion)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Index {
    keys: BTreeMap<Box<[u8]>, History>,
    live: usize,
}

impl Index {
    /// How many keys there are now.
    pub fn live(&self) -> usize {
        self.live
    }

    /// The revision of a key as of a transaction.
    pub fn get(&self, key: &[u8], at: i64) -> Option<Revision> {
        self.keys.get(key)?.at(at)
    }

    /// What a put on this key builds upon: `None` if it is not there now.
    pub fn last(&self, key: &[u8]) -> Option<Last> {
        self.keys.get(key).filter(|history| history.lives()).map(|history| history.last)
    }

    /// Keys in a range as of a transaction, in order: at most `limit` of them (0: all), and how many there are.
    pub fn range(&self, range: &KeyRange, at: i64, limit: usize) -> (Vec<Revision>, usize) {
        let mut found = Vec::new();
        let mut total = 0;
        self.each(range, at, |_, revision| {
            total += 1;
            if limit == 0 || found.len() < limit {
                found.push(revision);
            }
        });
        (found, total)
    }

    /// How many keys of a range there are as of a transaction.
    pub fn count(&self, range: &KeyRange, at: i64) -> usize {
        let mut total = 0;
        self.each(range, at, |_, _| total += 1);
        total
    }

    /// The keys themselves.
    pub fn keys(&self, range: &KeyRange, at: i64) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        self.each(range, at, |key, _| found.push(key.to_vec()));
        found
    }

    fn each(&self, range: &KeyRange, at: i64, mut visit: impl FnMut(&[u8], Revision)) {
        match range {
            KeyRange::One(key) => {
                if let Some(revision) = self.get(key, at) {
                    visit(key, revision);
                }
            }
            _ if range.is_empty() => {}
            _ => {
                for (key, history) in self.keys.range::<[u8], _>(range.bounds()) {
                    if let Some(revision) = history.at(at) {
                        visit(key, revision);
                    }
                }
            }
        }
    }

    /// Enters a put.
    pub fn put(&mut self, key: &[u8], revision: Revision, last: Last) {
        self.enter(key, Change { revision, deletion: false }, last);
    }

    /// Enters a deletion.
    pub fn delete(&mut self, key: &[u8], revision: Revision) {
        self.enter(key, Change { revision, deletion: true }, Last::default());
    }

    fn enter(&mut self, key: &[u8], change: Change, last: Last) {
        let history = match self.keys.get_mut(key) {
            Some(history) => history,
            None => {
                let empty = History { changes: Vec::with_capacity(1), last: Last::default() };
                self.keys.entry(key.into()).or_insert(empty)
            }
        };
        self.live -= usize::from(history.lives());
        history.changes.push(change);
        history.last = last;
        self.live += usize::from(history.lives());
    }

    /// Forgets what nobody can ask for after a compaction at `at`, and names the rows that go.
    ///
    /// Of each key the last change at or before `at` stays. A deletion stays only if it is at `at` itself: a watch may
    /// begin there (etcd since 3.5.16; earlier ones lost that event).
    pub fn compact(&mut self, at: i64) -> Vec<Change> {
        let mut gone = Vec::new();
        self.keys.retain(|_, history| {
            let until = history.changes.partition_point(|c| c.revision.main <= at);
            if until == 0 {
                return true;
            }
            let last = history.changes[until - 1];
            let keeps = !last.deletion || last.revision.main == at;
            gone.extend(history.changes.drain(..until - usize::from(keeps)));
            if history.changes.capacity() > 4 * history.changes.len().max(1) {
                history.changes.shrink_to_fit();
            }
            !history.changes.is_empty()
        });
        gone
    }

    /// The rows that make up the state as of a transaction.
    pub fn state_at(&self, at: i64) -> HashSet<Revision> {
        self.keys.values().filter_map(|history| history.at(at)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision(main: i64) -> Revision {
        Revision { main, sub: 0 }
    }

    fn last(created: i64, version: i64) -> Last {
        Last { created, version, lease: 0 }
    }

    /// etcd's own example: put 1, put 2, delete 3, put 4, delete 5.
    fn example() -> Index {
        let mut index = Index::default();
        index.put(b"foo", revision(1), last(1, 1));
        index.put(b"foo", revision(2), last(1, 2));
        index.delete(b"foo", revision(3));
        index.put(b"foo", revision(4), last(4, 1));
        index.delete(b"foo", revision(5));
        index
    }

    #[test]
    fn a_key_is_its_last_change_unless_that_is_a_deletion() {
        let index = example();
        let at: Vec<_> = (0..7).map(|at| index.get(b"foo", at).map(|r| r.main)).collect();
        assert_eq!(at, [None, Some(1), Some(2), None, Some(4), None, None]);
        assert_eq!(index.live(), 0);
        assert_eq!(index.last(b"foo"), None);
    }

    #[test]
    fn compaction_keeps_what_can_still_be_asked_for() {
        let gone = |at| example().compact(at).iter().map(|c| c.revision.main).collect::<Vec<_>>();
        assert_eq!(gone(2), [1]);
        assert_eq!(gone(3), [1, 2], "the deletion at 3 stays for a watch from 3");
        assert_eq!(gone(4), [1, 2, 3]);
        assert_eq!(gone(6), [1, 2, 3, 4, 5]);
        let mut index = example();
        index.compact(6);
        assert!(index.keys.is_empty());
    }

    #[test]
    fn ranges_count_all_and_give_some() {
        let mut index = Index::default();
        for (at, key) in [b"a", b"b", b"c"].into_iter().enumerate() {
            index.put(key, revision(2 + at as i64), last(2 + at as i64, 1));
        }
        let all = KeyRange::of(b"\0", b"\0");
        assert_eq!(index.range(&all, 9, 2), (vec![revision(2), revision(3)], 3));
        assert_eq!(index.count(&all, 3), 2);
        assert_eq!(index.range(&KeyRange::of(b"c", b"a"), 9, 0), (vec![], 0));
    }
}
