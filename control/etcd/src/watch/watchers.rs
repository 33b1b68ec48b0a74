//! The watchers of one stream: what each wants, and how far it is.

use crate::keys::KeyRange;
use crate::proto::{Event, event_type, watch_filter};
use std::collections::{BTreeMap, HashMap, HashSet};

/// One watch.
#[derive(Clone, Debug)]
pub struct Watcher {
    /// Its keys.
    pub range: KeyRange,
    /// The next revision that it has not been told of.
    pub next: i64,
    /// Leave out puts.
    pub no_put: bool,
    /// Leave out deletions.
    pub no_delete: bool,
    /// Tell what was there before.
    pub prev_kv: bool,
    /// Large answers may come in parts.
    pub fragment: bool,
    /// Tell now and then that nothing happened.
    pub progress: bool,
    /// Whether anything was told since the last time.
    pub told: bool,
}

impl Watcher {
    /// Leaves out what these filters name.
    pub fn filter(mut self, filters: &[i32]) -> Watcher {
        self.no_put |= filters.contains(&watch_filter::NOPUT);
        self.no_delete |= filters.contains(&watch_filter::NODELETE);
        self
    }

    /// Whether it is to be told of an event on its keys.
    pub fn wants(&self, event: &Event, revision: i64) -> bool {
        let left_out = if event.r#type == event_type::DELETE { self.no_delete } else { self.no_put };
        revision >= self.next && !left_out
    }
}

/// All of them, found by key.
#[derive(Debug, Default)]
pub struct Watchers {
    by_id: BTreeMap<i64, Watcher>,
    by_key: HashMap<Vec<u8>, Vec<i64>>,
    ranges: Vec<(KeyRange, i64)>,
    /// Ids of those that compaction ended: taken, as with etcd, until the client cancels them.
    ended: HashSet<i64>,
    next_id: i64,
}

impl Watchers {
    /// The id for a new watch: the one that is asked for, or (0) the next free one. `None`: it is taken.
    pub fn id(&mut self, asked: i64) -> Option<i64> {
        if asked != 0 {
            return (!self.is_taken(asked)).then_some(asked);
        }
        while self.is_taken(self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Some(self.next_id - 1)
    }

    fn is_taken(&self, id: i64) -> bool {
        self.by_id.contains_key(&id) || self.ended.contains(&id)
    }

    /// Takes away one that compaction has overtaken.
    pub fn end(&mut self, id: i64) {
        self.remove(id);
        self.ended.insert(id);
    }

    /// Whether this was one of those; then it is forgotten.
    pub fn forget(&mut self, id: i64) -> bool {
        self.ended.remove(&id)
    }

    /// Adds one.
    pub fn insert(&mut self, id: i64, watcher: Watcher) {
        match &watcher.range {
            KeyRange::One(key) => self.by_key.entry(key.clone()).or_default().push(id),
            range => self.ranges.push((range.clone(), id)),
        }
        self.by_id.insert(id, watcher);
    }

    /// Takes one away.
    pub fn remove(&mut self, id: i64) -> Option<Watcher> {
        let watcher = self.by_id.remove(&id)?;
        match &watcher.range {
            KeyRange::One(key) => {
                let ids = self.by_key.get_mut(key)?;
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.by_key.remove(key);
                }
            }
            _ => self.ranges.retain(|(_, other)| *other != id),
        }
        Some(watcher)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// One of them.
    pub fn get(&self, id: i64) -> Option<&Watcher> {
        self.by_id.get(&id)
    }

    /// The least revision that somebody waits for.
    pub fn least_next(&self) -> Option<i64> {
        self.by_id.values().map(|watcher| watcher.next).min()
    }

    /// All, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (i64, &mut Watcher)> {
        self.by_id.iter_mut().map(|(id, watcher)| (*id, watcher))
    }

    /// Those that a compaction has overtaken.
    pub fn overtaken(&self, compacted: i64, current: i64) -> Vec<i64> {
        let behind = self.by_id.iter().filter(|(_, w)| w.next < compacted && w.next <= current);
        behind.map(|(id, _)| *id).collect()
    }

    /// Who is to be told of an event.
    pub fn interested(&self, event: &Event, revision: i64) -> Vec<i64> {
        let key = event.kv.as_ref().map_or(&[][..], |kv| &kv.key);
        let single = self.by_key.get(key).into_iter().flatten().copied();
        let ranged = self.ranges.iter().filter(|(range, _)| range.contains(key)).map(|(_, id)| *id);
        let wants = |id: &i64| self.by_id.get(id).is_some_and(|watcher| watcher.wants(event, revision));
        single.chain(ranged).filter(wants).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::KeyValue;

    fn watcher(range: KeyRange) -> Watcher {
        Watcher {
            range,
            next: 5,
            no_put: false,
            no_delete: false,
            prev_kv: false,
            fragment: false,
            progress: false,
            told: false,
        }
    }

    fn put(key: &[u8]) -> Event {
        Event {
            r#type: event_type::PUT,
            kv: Some(KeyValue { key: key.into(), ..Default::default() }),
            prev_kv: None,
        }
    }

    #[test]
    fn ids_are_given_as_etcd_gives_them() {
        let mut watchers = Watchers::default();
        for asked in [0, 1, 0] {
            let id = watchers.id(asked);
            watchers.insert(id.unwrap_or(-1), watcher(KeyRange::One(b"a".to_vec())));
        }
        assert_eq!(watchers.by_id.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(watchers.id(1), None);
        watchers.end(1);
        assert_eq!(watchers.id(1), None, "until it is cancelled");
        assert!(watchers.forget(1) && !watchers.forget(1));
        assert_eq!(watchers.id(1), Some(1));
    }

    #[test]
    fn events_find_who_wants_them() {
        let mut watchers = Watchers::default();
        watchers.insert(1, watcher(KeyRange::One(b"a".to_vec())));
        watchers.insert(2, watcher(KeyRange::of(b"a", b"c")));
        watchers.insert(3, watcher(KeyRange::of(b"a", b"\0")).filter(&[watch_filter::NOPUT]));
        assert_eq!(watchers.interested(&put(b"a"), 5), [1, 2]);
        assert_eq!(watchers.interested(&put(b"b"), 5), [2]);
        assert!(watchers.interested(&put(b"a"), 4).is_empty(), "before they begin");
        watchers.remove(1);
        watchers.remove(2);
        assert!(watchers.interested(&put(b"a"), 5).is_empty());
        let deletion = Event { r#type: event_type::DELETE, ..put(b"x") };
        assert_eq!(watchers.interested(&deletion, 9), [3]);
    }
}
