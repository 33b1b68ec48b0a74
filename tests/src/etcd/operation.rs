//! One operation of a sequence, as data that can be written down and read again.
//!
//! Revisions are relative to where the sequence stands when it gets there, so that a sequence means the same after
//! operations were cut out of it. Bytes are written as a string with one character per byte.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Keys and values.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0.iter().map(|byte| char::from(*byte)).collect::<String>())
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(from)?;
        let bytes: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
        bytes.map(Bytes).map_err(|_| serde::de::Error::custom("a character above U+00FF in bytes"))
    }
}

/// A revision, relative to the sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Revision {
    /// 0, which mostly means the latest.
    #[default]
    Zero,
    /// Exactly this.
    Exact(i64),
    /// The current one and this.
    Current(i64),
    /// The compacted one and this.
    Compacted(i64),
}

/// Where a sequence stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stand {
    /// Highest revision answered so far.
    pub current: i64,
    /// Highest revision that a compaction was granted for.
    pub compacted: i64,
}

impl Revision {
    /// As a number.
    pub fn at(self, stand: Stand) -> i64 {
        match self {
            Revision::Zero => 0,
            Revision::Exact(revision) => revision,
            Revision::Current(offset) => stand.current.saturating_add(offset),
            Revision::Compacted(offset) => stand.compacted.saturating_add(offset),
        }
    }
}

/// A read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of etcd's RangeRequest")]
pub struct Range {
    pub key: Bytes,
    pub end: Bytes,
    pub limit: i64,
    pub revision: Revision,
    pub order: i32,
    pub target: i32,
    pub serializable: bool,
    pub keys_only: bool,
    pub count_only: bool,
    pub min_mod: Revision,
    pub max_mod: Revision,
    pub min_create: Revision,
    pub max_create: Revision,
}

/// A write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of etcd's PutRequest")]
pub struct Put {
    pub key: Bytes,
    pub value: Bytes,
    pub lease: i64,
    pub prev_kv: bool,
    pub ignore_value: bool,
    pub ignore_lease: bool,
}

/// A deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of etcd's DeleteRangeRequest")]
pub struct Delete {
    pub key: Bytes,
    pub end: Bytes,
    pub prev_kv: bool,
}

/// What a comparison compares with; etcd takes a missing or foreign one as zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the variants are those of etcd's target_union")]
pub enum With {
    Nothing,
    Version(i64),
    Create(Revision),
    Mod(Revision),
    Value(Bytes),
    Lease(i64),
}

/// A comparison of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields are those of etcd's Compare")]
pub struct Compare {
    pub key: Bytes,
    pub end: Bytes,
    pub result: i32,
    pub target: i32,
    pub with: With,
}

/// A transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of etcd's TxnRequest")]
pub struct Txn {
    pub compare: Vec<Compare>,
    pub success: Vec<Step>,
    pub failure: Vec<Step>,
}

/// An operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the variants are those of etcd's RequestOp")]
pub enum Step {
    Nothing,
    Range(Range),
    Put(Put),
    Delete(Delete),
    Txn(Txn),
}

/// A watch to begin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the fields are those of etcd's WatchCreateRequest")]
pub struct Watch {
    pub id: i64,
    pub key: Bytes,
    pub end: Bytes,
    pub start: Revision,
    pub filters: Vec<i32>,
    pub prev_kv: bool,
    pub fragment: bool,
    pub progress_notify: bool,
}

impl Watch {
    /// The smallest key of the range; without one it is the smallest of all.
    pub fn first_key(&self) -> Vec<u8> {
        if self.key.0.is_empty() { vec![0] } else { self.key.0.clone() }
    }

    /// Whether it is told of a put (0) or a deletion (1) of a key.
    pub fn sees(&self, key: &[u8], kind: i32) -> bool {
        let first = self.first_key();
        let inside = match &self.end.0[..] {
            [] => key == first,
            [0] => key >= &first[..],
            end => key >= &first[..] && key < end,
        };
        inside && !self.filters.contains(&kind)
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is the request of etcd of that name")]
pub enum Operation {
    Range(Range),
    Put(Put),
    Delete(Delete),
    Txn(Txn),
    Compact {
        revision: Revision,
        physical: bool,
    },
    Grant {
        id: i64,
        ttl: i64,
    },
    /// Granted under an id of the server's choice, looked at and revoked again: ids of two servers differ.
    GrantAny {
        ttl: i64,
    },
    Revoke {
        id: i64,
    },
    TimeToLive {
        id: i64,
        keys: bool,
    },
    Leases,
    KeepAlive {
        id: i64,
    },
    HashKv {
        revision: Revision,
    },
    Watch(Watch),
    Cancel {
        id: i64,
    },
    Progress,
}

/// What a test keeps of a sequence that differed once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// What it once showed.
    pub about: String,
    /// The operations.
    pub operations: Vec<Operation>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_read_as_it_was_written() {
        let put = Put { key: Bytes(vec![0, 255, b'"', b'a']), lease: 7, ..Put::default() };
        let range = Range { revision: Revision::Current(-3), ..Range::default() };
        let txn = Txn { success: vec![Step::Put(put), Step::Nothing, Step::Range(range)], ..Txn::default() };
        let all = Sequence { about: "it".into(), operations: vec![Operation::Txn(txn), Operation::Leases] };
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Sequence>(&text).unwrap(), all);
    }

    #[test]
    fn a_watch_sees_its_range() {
        let of = |end: &[u8], filters| Watch {
            key: Bytes(b"b".to_vec()),
            end: Bytes(end.to_vec()),
            filters,
            ..Watch::default()
        };
        let seen = |watch: Watch| [b"a", b"b", b"c", b"d"].map(|key| watch.sees(key, 0));
        assert_eq!(seen(of(b"", vec![1])), [false, true, false, false]);
        assert_eq!(seen(of(b"d", vec![])), [false, true, true, false]);
        assert_eq!(seen(of(b"\0", vec![])), [false, true, true, true]);
        assert_eq!(seen(of(b"\0", vec![0])), [false; 4]);
    }

    #[test]
    fn revisions_move_with_the_sequence() {
        let stand = Stand { current: 10, compacted: 4 };
        let at = [Revision::Zero, Revision::Exact(-2), Revision::Current(5), Revision::Compacted(-1)];
        assert_eq!(at.map(|r| r.at(stand)), [0, -2, 15, 3]);
    }
}
