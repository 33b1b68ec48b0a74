//! Ranges of keys as requests give them.
//!
//! `range_end` empty: the one key. `range_end` = `\0`: all keys from `key` on. Else: from `key` up to `range_end`,
//! without it. Source: the comments of `RangeRequest` in `rpc.proto`.

use std::ops::Bound;

/// A key, or keys in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRange {
    /// One key.
    One(Vec<u8>),
    /// From the first up to the second, which is not in it.
    Between(Vec<u8>, Vec<u8>),
    /// From this one on.
    From(Vec<u8>),
}

impl KeyRange {
    /// Reads the two fields of a request.
    pub fn of(key: &[u8], range_end: &[u8]) -> KeyRange {
        match range_end {
            [] => KeyRange::One(key.to_vec()),
            [0] => KeyRange::From(key.to_vec()),
            end => KeyRange::Between(key.to_vec(), end.to_vec()),
        }
    }

    /// Whether a key is in it.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            KeyRange::One(one) => key == one,
            KeyRange::Between(from, to) => key >= &from[..] && key < &to[..],
            KeyRange::From(from) => key >= &from[..],
        }
    }

    /// Whether no key can be in it.
    pub fn is_empty(&self) -> bool {
        matches!(self, KeyRange::Between(from, to) if from >= to)
    }

    /// Whether a key is in both.
    pub fn intersects(&self, other: &KeyRange) -> bool {
        let before = |low: &KeyRange, high: &KeyRange| match low {
            KeyRange::One(one) => one[..] < *high.first(),
            KeyRange::Between(_, to) => to[..] <= *high.first(),
            KeyRange::From(_) => false,
        };
        !self.is_empty() && !other.is_empty() && !before(self, other) && !before(other, self)
    }

    /// The lowest key that may be in it.
    pub fn first(&self) -> &[u8] {
        match self {
            KeyRange::One(first) | KeyRange::Between(first, _) | KeyRange::From(first) => first,
        }
    }

    /// For the range functions of ordered maps; only of a range that is not empty (those panic otherwise).
    pub fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        match self {
            KeyRange::One(one) => (Bound::Included(one), Bound::Included(one)),
            KeyRange::Between(from, to) => (Bound::Included(from), Bound::Excluded(to)),
            KeyRange::From(from) => (Bound::Included(from), Bound::Unbounded),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_ends_are_read_as_etcd_does() {
        assert_eq!(KeyRange::of(b"a", b""), KeyRange::One(b"a".to_vec()));
        assert!(KeyRange::of(b"a", b"b").contains(b"aa") && !KeyRange::of(b"a", b"b").contains(b"b"));
        assert!(KeyRange::of(b"a", b"\0").contains(b"\xff\xff") && !KeyRange::of(b"b", b"\0").contains(b"a"));
        assert!(KeyRange::of(b"b", b"a").is_empty() && KeyRange::of(b"a", b"a").is_empty());
    }

    #[test]
    fn ranges_that_share_a_key_intersect() {
        let range = |from: &[u8], to: &[u8]| KeyRange::of(from, to);
        assert!(range(b"a", b"c").intersects(&range(b"b", b"")));
        assert!(!range(b"a", b"c").intersects(&range(b"c", b"")));
        assert!(range(b"a", b"\0").intersects(&range(b"x", b"z")));
        assert!(!range(b"b", b"a").intersects(&range(b"a", b"\0")), "an empty range has no key");
        assert!(range(b"a", b"").intersects(&range(b"a", b"")));
        assert!(!range(b"a", b"").intersects(&range(b"b", b"")));
    }
}
