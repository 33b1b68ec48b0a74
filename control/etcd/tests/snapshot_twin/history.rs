//! A made-up past of a store: puts, updates, deletions, new lives, transactions of several keys, leases; and
//! a model that knows what was at each revision.

use etcd_client::proto::PbKeyValue;
use prost::Message;
use std::collections::BTreeMap;

/// etcd's leasepb.Lease.
#[derive(Clone, PartialEq, Message)]
struct Lease {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(int64, tag = "2")]
    ttl: i64,
    #[prost(int64, tag = "3")]
    remaining_ttl: i64,
}

type Entry = (Vec<u8>, Vec<u8>);

/// A key, and its new value and lease, or None to delete it.
type Change = (Vec<u8>, Option<(Vec<u8>, i64)>);

/// Not the greatest id: etcd forgets a lease of that one when it starts (it reads up to it, exclusively).
const LEASES: [(i64, i64); 3] =
    [(0x1122_3344, 3_600), (0x2040_a1fc_f80c_0505, 7_200), (i64::MAX - 1, 86_400)];

pub struct History {
    now: BTreeMap<Vec<u8>, PbKeyValue>,
    /// Main revision, sub revision, and what happened: a put, or the deletion of a key.
    events: Vec<(i64, i64, Event)>,
    revision: i64,
}

#[derive(Clone)]
enum Event {
    Put(PbKeyValue),
    Delete(Vec<u8>),
}

fn name(n: usize) -> Vec<u8> {
    format!("/registry/pods/ns-{}/pod-{n:05}", n % 17).into_bytes()
}

impl History {
    /// `count` keys; afterwards every third changed, every seventh deleted, every 21st made again, and a
    /// tenth of all changed by transactions of five keys.
    pub fn of(count: usize) -> History {
        let mut history = History { now: BTreeMap::new(), events: Vec::new(), revision: 1 };
        let lease = |n: usize| if n.is_multiple_of(5) { LEASES[n % 3].0 } else { 0 };
        for n in 0..count {
            // Some larger than a page, some larger than several.
            let size = if n % 500 == 1 { 20_000 } else { 20 + n % 400 };
            history.transaction(&[(name(n), Some((vec![n as u8; size], lease(n))))]);
        }
        for n in (0..count).step_by(3) {
            history.transaction(&[(name(n), Some((b"changed".to_vec(), lease(n + 1))))]);
        }
        for n in (0..count).step_by(7) {
            history.transaction(&[(name(n), None)]);
        }
        for n in (0..count).step_by(21) {
            history.transaction(&[(name(n), Some((b"second life".to_vec(), 0)))]);
        }
        for first in (0..count / 10).step_by(5) {
            let puts: Vec<_> = (first..first + 5)
                .map(|n| (name(n), Some((format!("by transaction {first}").into_bytes(), lease(n)))))
                .collect();
            history.transaction(&puts);
        }
        history
    }

    fn transaction(&mut self, changes: &[Change]) {
        self.revision += 1;
        for (sub, (key, change)) in changes.iter().enumerate() {
            let event = match change {
                None => {
                    self.now.remove(key);
                    Event::Delete(key.clone())
                }
                Some((value, lease)) => Event::Put(self.put(key, value, *lease)),
            };
            self.events.push((self.revision, sub as i64, event));
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8], lease: i64) -> PbKeyValue {
        let before = self.now.get(key);
        let kv = PbKeyValue {
            key: key.to_vec(),
            value: value.to_vec(),
            create_revision: before.map_or(self.revision, |kv| kv.create_revision),
            mod_revision: self.revision,
            version: before.map_or(1, |kv| kv.version + 1),
            lease,
        };
        self.now.insert(key.to_vec(), kv.clone());
        kv
    }

    pub fn revision(&self) -> i64 {
        self.revision
    }

    pub fn now(&self) -> Vec<PbKeyValue> {
        self.now.values().cloned().collect()
    }

    /// What was at a revision, in the order of the keys.
    pub fn at(&self, revision: i64) -> Vec<PbKeyValue> {
        let mut keys = BTreeMap::new();
        for (_, _, event) in self.events.iter().take_while(|(main, ..)| *main <= revision) {
            match event {
                Event::Put(kv) => keys.insert(kv.key.clone(), kv.clone()),
                Event::Delete(key) => keys.remove(key),
            };
        }
        keys.into_values().collect()
    }

    /// The table of revisions; of what was compacted only that which still is at that revision.
    pub fn revisions(&self, compacted: i64) -> Vec<Entry> {
        let kept: Vec<PbKeyValue> = self.at(compacted);
        let mut entries = Vec::new();
        for (main, sub, event) in &self.events {
            let mut key = [&main.to_be_bytes()[..], b"_", &sub.to_be_bytes()[..]].concat();
            match event {
                Event::Put(kv) if *main > compacted || kept.contains(kv) => {
                    entries.push((key, kv.encode_to_vec()));
                }
                Event::Delete(deleted) if *main > compacted => {
                    key.push(b't');
                    let kv = PbKeyValue { key: deleted.clone(), ..PbKeyValue::default() };
                    entries.push((key, kv.encode_to_vec()));
                }
                _ => {}
            }
        }
        entries
    }

    pub fn leases(&self) -> Vec<Entry> {
        let encode = |(id, ttl)| (i64::to_be_bytes(id).to_vec(), Lease { id, ttl, remaining_ttl: 0 });
        LEASES.into_iter().map(encode).map(|(key, lease)| (key, lease.encode_to_vec())).collect()
    }

    pub fn lease_ids(&self) -> Vec<i64> {
        LEASES.iter().map(|(id, _)| *id).collect()
    }

    pub fn granted_ttl(&self, id: i64) -> i64 {
        LEASES.iter().find(|lease| lease.0 == id).map(|lease| lease.1).unwrap()
    }
}
