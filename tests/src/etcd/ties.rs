//! The order of equals, which etcd leaves open: it sorts with an algorithm that is not stable.
//!
//! Which comes first of two keys with one version, value or revision depends on the Go that etcd was built with, and
//! with a limit it decides which of them is answered. So equals are put into the order of their keys, and those that
//! a limit may have cut are compared by what they were sorted by alone.

use super::answer::Answer;
use super::operation::{Operation, Range, Step, Txn};
use super::peer::Ask;
use etcd_client::proto::*;

const VALUE: i32 = 4;

/// An answer with its equals in the order of their keys.
pub fn in_order(ask: &Ask, mut answer: Answer) -> Answer {
    match (ask, &mut answer) {
        (Ask::Operation(Operation::Range(asked)), Answer::Range(answered)) => range(asked, answered),
        (Ask::Operation(Operation::Txn(asked)), Answer::Txn(answered)) => txn(asked, answered),
        _ => {}
    }
    answer
}

fn txn(asked: &Txn, answered: &mut PbTxnResponse) {
    let steps = if answered.succeeded { &asked.success } else { &asked.failure };
    for (step, response) in steps.iter().zip(&mut answered.responses) {
        match (step, &mut response.response) {
            (Step::Range(asked), Some(PbTxnOpResponse::ResponseRange(answered))) => range(asked, answered),
            (Step::Txn(asked), Some(PbTxnOpResponse::ResponseTxn(answered))) => txn(asked, answered),
            _ => {}
        }
    }
}

/// What a key-value is sorted by.
fn rank(target: i32, kv: &PbKeyValue) -> (i64, Vec<u8>) {
    match target {
        1 => (kv.version, vec![]),
        2 => (kv.create_revision, vec![]),
        3 => (kv.mod_revision, vec![]),
        _ => (0, kv.value.clone()),
    }
}

fn range(asked: &Range, answered: &mut PbRangeResponse) {
    let target = asked.target;
    if !(1..=VALUE).contains(&target) {
        return;
    }
    // The values by which they are sorted are not among the keys: to us all are equals.
    let equal = |a: &PbKeyValue, b: &PbKeyValue| rank(target, a) == rank(target, b);
    for equals in answered.kvs.chunk_by_mut(equal) {
        equals.sort_by(|a, b| a.key.cmp(&b.key));
    }
    if !answered.more {
        return;
    }
    if let Some(cut) = answered.kvs.chunk_by_mut(equal).last() {
        for kv in cut {
            let (number, value) = rank(target, kv);
            *kv = PbKeyValue { version: number, value, ..PbKeyValue::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::operation::Bytes;

    fn answer(keys: &[(&[u8], i64)], more: bool) -> Answer {
        let kv = |(key, version): &(&[u8], i64)| PbKeyValue {
            key: key.to_vec(),
            version: *version,
            ..PbKeyValue::default()
        };
        let range =
            PbRangeResponse { kvs: keys.iter().map(kv).collect(), more, ..PbRangeResponse::default() };
        let asked = Range { key: Bytes(vec![0]), end: Bytes(vec![0]), target: 1, ..Range::default() };
        in_order(&Ask::Operation(Operation::Range(asked)), Answer::Range(range))
    }

    #[test]
    fn only_equals_may_change_places() {
        let of = |keys| answer(keys, false);
        assert_eq!(of(&[(b"b", 1), (b"a", 1), (b"c", 2)]), of(&[(b"a", 1), (b"b", 1), (b"c", 2)]));
        assert_ne!(of(&[(b"b", 1), (b"a", 2)]), of(&[(b"a", 2), (b"b", 1)]));
    }

    #[test]
    fn only_the_last_equals_may_be_cut() {
        let of = |keys| answer(keys, true);
        assert_eq!(of(&[(b"a", 1), (b"b", 2)]), of(&[(b"a", 1), (b"c", 2)]));
        assert_ne!(of(&[(b"a", 1), (b"b", 2)]), of(&[(b"d", 1), (b"b", 2)]));
        assert_ne!(of(&[(b"a", 1), (b"b", 2)]), of(&[(b"a", 1), (b"b", 3)]));
    }
}
