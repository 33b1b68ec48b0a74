//! The index in memory: for each key, at which revisions it changed.
//!
//! ```text
//! "a" → [3.0] [5.1] [9.0 deleted] [12.0]      state of the last: created 12, version 1, lease 0
//! ```
//!
//! A key at revision R is its last change at or before R, unless that is a deletion. etcd keeps "generations" for the
//! same; a flat list with marks says as much. Some 100 bytes and the key for each key, 24 bytes for each change that
//! compaction has not removed. Values stay on disk, but for the rows that were put last ([`HOT_BYTES`] of them): what
//! was just written is what is read.
//!
//! Changes are entered before they are on disk. Readers ask at a revision that is published only when it is durable,
//! and never see such ones; if the disk refuses them, the index is made anew from what it holds.

use super::revision::Revision;
use crate::keys::KeyRange;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

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

/// Bytes of rows that are kept at hand.
const HOT_BYTES: usize = 1 << 20;

/// A row as it is on disk.
pub type Row = Arc<[u8]>;

/// A key that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Where its row is.
    pub revision: Revision,
    /// The row, if it is at hand.
    pub row: Option<Row>,
}

#[derive(Debug)]
struct History {
    changes: Vec<Change>,
    last: Last,
    /// The row of the last change.
    row: Option<Row>,
}

impl History {
    fn at(&self, main: i64) -> Option<Revision> {
        let until = self.changes.partition_point(|c| c.revision.main <= main);
        let change = self.changes[..until].last()?;
        (!change.deletion).then_some(change.revision)
    }

    fn hit(&self, main: i64) -> Option<Hit> {
        let revision = self.at(main)?;
        let is_last = self.changes.last().is_some_and(|change| change.revision == revision);
        Some(Hit { revision, row: self.row.clone().filter(|_| is_last) })
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
    /// Keys with a row at hand, the oldest first; some may have lost it since.
    hot: VecDeque<Box<[u8]>>,
    hot_bytes: usize,
}

impl Index {
    /// Of all changes in the order of history. Sorted once and built in one go, in a third of the time that entering
    /// them one by one takes.
    pub fn of(mut changes: Vec<(Box<[u8]>, Change, Last)>) -> Index {
        changes.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        let mut histories: Vec<(Box<[u8]>, History)> = Vec::with_capacity(changes.len());
        for (key, change, last) in changes {
            match histories.last_mut() {
                Some((known, history)) if *known == key => {
                    history.changes.push(change);
                    history.last = last;
                }
                _ => histories.push((key, History { changes: vec![change], last, row: None })),
            }
        }
        let live = histories.iter().filter(|(_, history)| history.lives()).count();
        Index { keys: histories.into_iter().collect(), live, ..Index::default() }
    }

    /// Keys that hang on a lease now, with it.
    pub fn leased(&self) -> impl Iterator<Item = (&[u8], i64)> {
        let leased = self.keys.iter().filter(|(_, history)| history.lives() && history.last.lease != 0);
        leased.map(|(key, history)| (&key[..], history.last.lease))
    }

    /// How many keys there are now.
    pub fn live(&self) -> usize {
        self.live
    }

    /// A key as of a transaction.
    pub fn get(&self, key: &[u8], at: i64) -> Option<Hit> {
        self.keys.get(key)?.hit(at)
    }

    /// What a put on this key builds upon: `None` if it is not there now.
    pub fn last(&self, key: &[u8]) -> Option<Last> {
        self.keys.get(key).filter(|history| history.lives()).map(|history| history.last)
    }

    /// Keys in a range as of a transaction, in order: at most `limit` of them (0: all), and how many there are.
    pub fn range(&self, range: &KeyRange, at: i64, limit: usize) -> (Vec<Hit>, usize) {
        let mut found = Vec::new();
        let mut total = 0;
        self.each(range, at, |_, history| {
            if limit == 0 || found.len() < limit {
                found.extend(history.hit(at));
            }
            total += 1;
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

    fn each(&self, range: &KeyRange, at: i64, mut visit: impl FnMut(&[u8], &History)) {
        let there = |history: &&History| history.at(at).is_some();
        match range {
            KeyRange::One(key) => {
                if let Some(history) = self.keys.get(&key[..]).filter(there) {
                    visit(key, history);
                }
            }
            _ if range.is_empty() => {}
            _ => {
                let keys = self.keys.range::<[u8], _>(range.bounds());
                keys.filter(|(_, history)| there(history)).for_each(|(key, history)| visit(key, history));
            }
        }
    }

    /// Enters a put.
    pub fn put(&mut self, key: &[u8], revision: Revision, last: Last, row: Option<Row>) {
        self.enter(key, Change { revision, deletion: false }, last, row);
    }

    /// Enters a deletion.
    pub fn delete(&mut self, key: &[u8], revision: Revision) {
        self.enter(key, Change { revision, deletion: true }, Last::default(), None);
    }

    fn enter(&mut self, key: &[u8], change: Change, last: Last, row: Option<Row>) {
        let history = match self.keys.get_mut(key) {
            Some(history) => history,
            None => {
                let empty = History { changes: Vec::with_capacity(1), last: Last::default(), row: None };
                self.keys.entry(key.into()).or_insert(empty)
            }
        };
        self.live -= usize::from(history.lives());
        history.changes.push(change);
        history.last = last;
        self.live += usize::from(history.lives());
        let length = |row: &Option<Row>| row.as_ref().map_or(0, |row| row.len());
        self.hot_bytes = self.hot_bytes + length(&row) - length(&history.row);
        let newly_hot = row.is_some() && history.row.is_none();
        history.row = row;
        if newly_hot {
            self.hot.push_back(key.into());
        }
        while self.hot_bytes > HOT_BYTES
            && let Some(oldest) = self.hot.pop_front()
        {
            let row = self.keys.get_mut(&oldest).and_then(|history| history.row.take());
            self.hot_bytes -= length(&row);
        }
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
        index.put(b"foo", revision(1), last(1, 1), None);
        index.put(b"foo", revision(2), last(1, 2), None);
        index.delete(b"foo", revision(3));
        index.put(b"foo", revision(4), last(4, 1), None);
        index.delete(b"foo", revision(5));
        index
    }

    #[test]
    fn a_key_is_its_last_change_unless_that_is_a_deletion() {
        let index = example();
        let at: Vec<_> = (0..7).map(|at| index.get(b"foo", at).map(|hit| hit.revision.main)).collect();
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
    fn history_gives_the_same_index_as_entering_it() {
        let put = |main, created, version, lease| {
            let change = Change { revision: revision(main), deletion: false };
            (change, Last { created, version, lease })
        };
        let gone = |main| (Change { revision: revision(main), deletion: true }, Last::default());
        let all = [
            (&b"b"[..], put(2, 2, 1, 7)),
            (b"a", put(3, 3, 1, 0)),
            (b"b", gone(4)),
            (b"c", put(5, 5, 1, 7)),
            (b"b", put(6, 6, 1, 9)),
            (b"a", gone(7)),
        ];
        let mut entered = Index::default();
        for (key, (change, last)) in all {
            entered.enter(key, change, last, None);
        }
        let built = Index::of(all.map(|(key, (change, last))| (key.into(), change, last)).to_vec());
        assert_eq!((built.live, format!("{:?}", built.keys)), (entered.live, format!("{:?}", entered.keys)));
        assert_eq!(built.leased().collect::<Vec<_>>(), [(&b"b"[..], 9), (b"c", 7)]);
    }

    #[test]
    fn ranges_count_all_and_give_some() {
        let mut index = Index::default();
        for (at, key) in [b"a", b"b", b"c"].into_iter().enumerate() {
            index.put(key, revision(2 + at as i64), last(2 + at as i64, 1), None);
        }
        let all = KeyRange::of(b"\0", b"\0");
        let (some, total) = index.range(&all, 9, 2);
        assert_eq!(some.iter().map(|hit| hit.revision).collect::<Vec<_>>(), [revision(2), revision(3)]);
        assert_eq!((total, index.count(&all, 3)), (3, 2));
        assert_eq!(index.range(&KeyRange::of(b"c", b"a"), 9, 0), (vec![], 0));
    }

    #[test]
    fn the_last_rows_are_at_hand_up_to_a_bound() {
        let mut index = Index::default();
        let row = |byte: u8| -> Row { vec![byte; HOT_BYTES / 2].into() };
        index.put(b"a", revision(2), last(2, 1), Some(row(1)));
        index.put(b"b", revision(3), last(3, 1), Some(row(2)));
        index.put(b"a", revision(4), last(2, 2), Some(row(3)));
        let at_hand =
            |index: &Index, key: &[u8], at| index.get(key, at).and_then(|hit| hit.row).map(|row| row[0]);
        assert_eq!(
            (at_hand(&index, b"a", 9), at_hand(&index, b"a", 2), at_hand(&index, b"b", 9)),
            (Some(3), None, Some(2))
        );
        index.put(b"c", revision(5), last(5, 1), Some(row(4)));
        assert_eq!((at_hand(&index, b"a", 9), at_hand(&index, b"c", 9)), (None, Some(4)));
        index.delete(b"b", revision(6));
        index.delete(b"c", revision(6));
        assert_eq!(index.hot_bytes, 0);
    }
}
