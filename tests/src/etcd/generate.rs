//! Random sequences from a seed.
//!
//! Few keys, values and leases, so that operations meet; the generator knows nothing of the servers' state but the
//! watches that it began, whose number it keeps small. What must not be a matter of time is left out: leases that
//! expire during the sequence, and watches without events from the past.

use super::operation::{Bytes, Delete, Operation, Put, Range, Revision, Watch};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;

/// Watches at a time.
const WATCHES: usize = 6;

/// The keys: neighbours, prefixes of one another, binary, the smallest and the largest.
pub(super) const KEYS: [&[u8]; 12] =
    [b"a", b"a\0", b"aa", b"ab", b"b", b"b\xff", b"c", b"c/1", b"c/2", b"\0", b"\xff", b"\xff\xff"];

const VALUES: [&[u8]; 6] = [b"1", b"2", b"3", b"", b"\0\xff", b"10"];

/// An endless sequence.
pub struct Generator {
    pub(super) random: StdRng,
    watches: BTreeSet<i64>,
    next_watch: i64,
    queued: Vec<Operation>,
}

impl Generator {
    /// The sequence of a seed.
    pub fn seeded(seed: u64) -> Generator {
        Generator {
            random: StdRng::seed_from_u64(seed),
            watches: BTreeSet::new(),
            next_watch: 0,
            queued: Vec::new(),
        }
    }

    pub(super) fn one_in(&mut self, n: u32) -> bool {
        self.random.random_ratio(1, n)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.random.random_range(0..n)
    }

    pub(super) fn number(&mut self, from: i64, to: i64) -> i64 {
        self.random.random_range(from..=to)
    }

    pub(super) fn key(&mut self) -> Bytes {
        let at = self.below(KEYS.len());
        if self.one_in(60) { Bytes::default() } else { Bytes(KEYS[at].to_vec()) }
    }

    pub(super) fn value(&mut self) -> Bytes {
        let at = self.below(VALUES.len());
        if self.one_in(100) { Bytes(vec![b'x'; 3000]) } else { Bytes(VALUES[at].to_vec()) }
    }

    /// A key and the end of a range: mostly one key, or up to another, a prefix, from the key on, or everything.
    pub(super) fn range_of_keys(&mut self) -> (Bytes, Bytes) {
        let key = self.key();
        match self.below(12) {
            0..6 => (key, Bytes::default()),
            6..8 => {
                let end = self.key();
                (key, end)
            }
            8..10 => {
                let end = prefix_end(&key.0);
                (key, Bytes(end))
            }
            10 => (key, Bytes(vec![0])),
            _ => (Bytes(vec![0]), Bytes(vec![0])),
        }
    }

    /// An id of a lease that may be there; sometimes one that never is.
    pub(super) fn lease(&mut self) -> i64 {
        if self.one_in(10) { 999 } else { self.number(1, 6) }
    }

    /// Mostly none.
    pub(super) fn some_lease(&mut self) -> i64 {
        if self.one_in(4) { self.lease() } else { 0 }
    }

    /// A revision to read at: mostly the latest, else near the current or compacted one, or a strange one.
    pub(super) fn revision(&mut self) -> Revision {
        match self.below(20) {
            0..10 => Revision::Zero,
            10..15 => Revision::Current(self.number(-30, 0)),
            15 => Revision::Current(self.number(1, 3)),
            16..18 => Revision::Compacted(self.number(-2, 4)),
            18 => Revision::Exact(self.number(-2, 3)),
            _ => Revision::Exact(*[i64::MIN, -1, i64::MAX, 1].get(self.below(4)).unwrap_or(&0)),
        }
    }

    /// A bound on revisions: mostly none.
    fn bound(&mut self) -> Revision {
        if self.one_in(10) { Revision::Current(self.number(-40, 2)) } else { Revision::Zero }
    }

    pub(super) fn range(&mut self) -> Range {
        let (key, end) = self.range_of_keys();
        Range {
            key,
            end,
            limit: if self.one_in(3) { self.number(-1, 4) } else { 0 },
            revision: self.revision(),
            // Unknown ones are refused by etcds after 3.5.1 and by ours, and not by our peers.
            order: self.number(0, 2).try_into().unwrap_or(0),
            target: self.number(0, 4).try_into().unwrap_or(0),
            serializable: self.one_in(3),
            keys_only: self.one_in(8),
            count_only: self.one_in(8),
            min_mod: self.bound(),
            max_mod: self.bound(),
            min_create: self.bound(),
            max_create: self.bound(),
        }
    }

    pub(super) fn put(&mut self) -> Put {
        let (ignore_value, ignore_lease) = (self.one_in(12), self.one_in(12));
        // Both a value and its being ignored is an error of its own.
        let value = if ignore_value && !self.one_in(4) { Bytes::default() } else { self.value() };
        let lease = if ignore_lease && !self.one_in(4) { 0 } else { self.some_lease() };
        Put { key: self.key(), value, lease, prev_kv: self.one_in(3), ignore_value, ignore_lease }
    }

    pub(super) fn delete(&mut self) -> Delete {
        let (key, end) = self.range_of_keys();
        Delete { key, end, prev_kv: self.one_in(2) }
    }

    fn compact(&mut self) -> Operation {
        let revision = match self.below(8) {
            0..5 => Revision::Current(self.number(-25, 0)),
            5 => Revision::Current(self.number(1, 2)),
            6 => Revision::Compacted(self.number(-2, 1)),
            _ => Revision::Exact(self.number(-1, 1)),
        };
        Operation::Compact { revision, physical: self.one_in(2) }
    }

    fn lease_operation(&mut self) -> Operation {
        let id = self.lease();
        match self.below(12) {
            0..4 => Operation::Grant { id, ttl: self.number(5_000, 9_000) },
            4 => self.strange_grant(id),
            5 => Operation::GrantAny { ttl: self.number(1, 100) },
            6..8 => Operation::Revoke { id },
            8..10 => Operation::TimeToLive { id, keys: self.one_in(2) },
            10 => Operation::KeepAlive { id },
            _ => Operation::Leases,
        }
    }

    /// Times to live at and beyond their limits; what is granted a short one is revoked at once.
    fn strange_grant(&mut self, id: i64) -> Operation {
        let id = if self.one_in(5) { -id } else { id };
        self.queued.push(Operation::Revoke { id });
        let ttls = [0, -1, i64::MIN, 1, 9_000_000_000, 9_000_000_001, i64::MAX];
        let ttl = ttls[self.below(ttls.len())];
        Operation::Grant { id, ttl }
    }

    fn watch(&mut self) -> Operation {
        let (key, end) = self.range_of_keys();
        let filters = match self.below(10) {
            0 => vec![0],
            1 => vec![1],
            2 => vec![0, 1],
            _ => vec![],
        };
        let start = match self.below(12) {
            _ if filters.len() == 2 => Revision::Zero,
            0..4 => Revision::Zero,
            4..8 => Revision::Current(self.number(-60, 0)),
            8 => Revision::Current(self.number(1, 20)),
            9 => Revision::Compacted(self.number(-2, 2)),
            10 => Revision::Exact(self.number(-3, 2)),
            _ => Revision::Exact(i64::MAX),
        };
        // 0 lets the server count up past those in use; a number in use is refused.
        let id = if self.one_in(2) { 0 } else { self.number(1, 15) };
        let empty = !end.0.is_empty() && end.0 != [0] && key >= end;
        if id > 0 && !empty {
            self.watches.insert(id);
        } else if !empty {
            while self.watches.contains(&self.next_watch) {
                self.next_watch += 1;
            }
            self.watches.insert(self.next_watch);
            self.next_watch += 1;
        }
        let flags = (self.one_in(2), self.one_in(3), self.one_in(3));
        Operation::Watch(Watch {
            id,
            key,
            end,
            start,
            filters,
            prev_kv: flags.0,
            fragment: flags.1,
            progress_notify: flags.2,
        })
    }

    fn cancel(&mut self) -> Operation {
        let unknown = self.one_in(6);
        let at = self.below(self.watches.len().max(1));
        let live = self.watches.iter().nth(at).copied();
        let id = if unknown { self.number(-1, 40) } else { live.unwrap_or(3) };
        self.watches.remove(&id);
        Operation::Cancel { id }
    }

    fn watch_operation(&mut self) -> Operation {
        match self.below(8) {
            _ if self.watches.len() > WATCHES => self.cancel(),
            0..5 => self.watch(),
            5 => Operation::Progress,
            _ => self.cancel(),
        }
    }
}

impl Iterator for Generator {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        if let Some(operation) = self.queued.pop() {
            return Some(operation);
        }
        Some(match self.below(1000) {
            0..250 => Operation::Range(self.range()),
            250..500 => Operation::Put(self.put()),
            500..590 => Operation::Delete(self.delete()),
            590..830 => Operation::Txn(self.txn()),
            830..845 => self.compact(),
            845..945 => self.lease_operation(),
            945..960 => Operation::HashKv { revision: self.revision() },
            _ => self.watch_operation(),
        })
    }
}

/// The first key after all that begin with this one; from the key on when there is none.
pub fn prefix_end(key: &[u8]) -> Vec<u8> {
    let mut end = key.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_sequence() {
        let of = |seed| Generator::seeded(seed).take(200).collect::<Vec<_>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn the_end_of_a_prefix() {
        assert_eq!(prefix_end(b"a"), b"b");
        assert_eq!(prefix_end(b"a\xff"), b"b");
        assert_eq!(prefix_end(b"\xff\xff"), [0]);
        assert_eq!(prefix_end(b""), [0]);
    }
}
