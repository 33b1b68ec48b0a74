//! Leases: their time, and the keys that go with them.
//!
//! Time is the server's own age in milliseconds: it stands still while the server is down (as with etcd, whose leases
//! wait for a leader) and no step of the wall clock touches it. An expiry is on disk before it is acknowledged, and
//! the age with every write and before it has moved by a tenth of what the shortest lease has left; so after a crash
//! no lease has less time than its holder was told, and none much more.

use crate::error::{Error, Result};
use redb::{ReadableTable, Table, TableDefinition};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// The table of leases: id → (granted TTL in s, expiry in ms of the server's age).
pub const LEASE: TableDefinition<i64, (i64, u64)> = TableDefinition::new("lease");

/// Most seconds of a TTL, as etcd's.
pub const MOST_TTL: i64 = 9_000_000_000;

/// Least seconds of a TTL: etcd's with its default election time-out.
pub const LEAST_TTL: i64 = 2;

/// How far the age on disk may lag: at most 5 min, at least 1 s.
const TICK_MS: (u64, u64) = (1_000, 300_000);

/// The server's age.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    base: u64,
    since: Instant,
}

impl Clock {
    /// Goes on from an age in ms.
    pub fn from(base: u64) -> Clock {
        Clock { base, since: Instant::now() }
    }

    /// Age in ms.
    pub fn now(&self) -> u64 {
        self.base + u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }
}

/// One lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Seconds, as granted.
    pub ttl: i64,
    /// When it ends, in ms of the server's age.
    pub expiry: u64,
    /// Keys that go with it.
    pub keys: BTreeSet<Vec<u8>>,
}

impl Lease {
    /// Whole seconds that are left, rounded as etcd does (to the nearest).
    pub fn remaining(&self, now: u64) -> i64 {
        let left = Duration::from_millis(self.expiry.saturating_sub(now));
        left.as_secs_f64().round() as i64
    }
}

/// All leases, and who expires next.
#[derive(Debug, Default)]
pub struct Leases {
    by_id: BTreeMap<i64, Lease>,
    by_expiry: BTreeSet<(u64, i64)>,
}

impl Leases {
    /// Reads them from disk, without their keys.
    pub fn load(table: &impl ReadableTable<i64, (i64, u64)>) -> Result<Leases> {
        let mut leases = Leases::default();
        for row in table.iter().map_err(Error::disk)? {
            let (id, value) = row.map_err(Error::disk)?;
            let (ttl, expiry) = value.value();
            leases.set(id.value(), ttl, expiry);
        }
        Ok(leases)
    }

    /// One of them.
    pub fn get(&self, id: i64) -> Option<&Lease> {
        self.by_id.get(&id)
    }

    /// All, in the order of their ends.
    pub fn ids(&self) -> impl Iterator<Item = i64> {
        self.by_expiry.iter().map(|(_, id)| *id)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Makes one, or gives it another end.
    pub fn set(&mut self, id: i64, ttl: i64, expiry: u64) {
        match self.by_id.get_mut(&id) {
            Some(lease) => {
                self.by_expiry.remove(&(lease.expiry, id));
                lease.ttl = ttl;
                lease.expiry = expiry;
            }
            None => drop(self.by_id.insert(id, Lease { ttl, expiry, keys: BTreeSet::new() })),
        }
        self.by_expiry.insert((expiry, id));
    }

    /// Removes one.
    pub fn remove(&mut self, id: i64) -> Option<Lease> {
        let lease = self.by_id.remove(&id)?;
        self.by_expiry.remove(&(lease.expiry, id));
        Some(lease)
    }

    /// A key goes from one lease to another (0: none).
    pub fn move_key(&mut self, key: &[u8], from: i64, to: i64) {
        if from == to {
            return;
        }
        if let Some(lease) = self.by_id.get_mut(&from) {
            lease.keys.remove(key);
        }
        if let Some(lease) = self.by_id.get_mut(&to) {
            lease.keys.insert(key.to_vec());
        }
    }

    /// Those that have ended, at most `most`.
    pub fn expired(&self, now: u64, most: usize) -> Vec<i64> {
        self.by_expiry.iter().take_while(|(expiry, _)| *expiry <= now).take(most).map(|(_, id)| *id).collect()
    }

    /// When the next one ends.
    pub fn next_expiry(&self) -> Option<u64> {
        self.by_expiry.first().map(|(expiry, _)| *expiry)
    }

    /// How many ms the age on disk may lag now. `None`: there is no lease, nothing depends on it.
    pub fn tick(&self, now: u64) -> Option<u64> {
        let left = self.next_expiry()?.saturating_sub(now);
        Some((left / 10).clamp(TICK_MS.0, TICK_MS.1))
    }
}

/// The TTL that is granted for one that is asked for.
pub fn granted(asked: i64) -> Result<i64> {
    if asked > MOST_TTL { Err(Error::LeaseTtlTooLarge) } else { Ok(asked.max(LEAST_TTL)) }
}

/// When a lease of so many seconds ends.
pub fn expiry(now: u64, ttl: i64) -> u64 {
    now.saturating_add(u64::try_from(ttl).unwrap_or(0).saturating_mul(1000))
}

/// Writes a lease down.
pub fn write(table: &mut Table<'_, i64, (i64, u64)>, id: i64, ttl: i64, expiry: u64) -> Result<()> {
    table.insert(id, (ttl, expiry)).map_err(Error::disk).map(drop)
}

/// Removes it.
pub fn erase(table: &mut Table<'_, i64, (i64, u64)>, id: i64) -> Result<()> {
    table.remove(id).map_err(Error::disk).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ttls_are_bounded_as_etcd_bounds_them() {
        assert_eq!((granted(-5).ok(), granted(0).ok(), granted(60).ok()), (Some(2), Some(2), Some(60)));
        assert!(granted(MOST_TTL).is_ok() && matches!(granted(MOST_TTL + 1), Err(Error::LeaseTtlTooLarge)));
    }

    #[test]
    fn ends_come_in_order_and_keys_move() {
        let mut leases = Leases::default();
        leases.set(1, 10, 10_000);
        leases.set(2, 5, 5_000);
        assert_eq!(leases.ids().collect::<Vec<_>>(), [2, 1]);
        leases.set(2, 5, 15_000);
        assert_eq!((leases.expired(12_000, 9), leases.next_expiry()), (vec![1], Some(10_000)));
        leases.move_key(b"k", 0, 1);
        leases.move_key(b"k", 1, 2);
        assert!(
            leases.get(1).is_some_and(|l| l.keys.is_empty())
                && leases.get(2).is_some_and(|l| l.keys.len() == 1)
        );
        assert_eq!(leases.remove(2).map(|l| l.keys.len()), Some(1));
        assert_eq!(leases.ids().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn the_age_on_disk_keeps_up_with_the_shortest_lease() {
        let mut leases = Leases::default();
        assert_eq!(leases.tick(0), None);
        leases.set(1, 86_400, 86_400_000);
        assert_eq!(leases.tick(0), Some(300_000));
        leases.set(2, 60, 60_000);
        assert_eq!((leases.tick(0), leases.tick(59_000)), (Some(6_000), Some(1_000)));
    }
}
