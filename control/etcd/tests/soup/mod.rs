//! Messages by chance that are near enough to etcd's to be understood: of the method's own shape, with keys
//! that meet and numbers at the edges; and then some of another shape, damaged, or mere bytes.

mod shapes;

use crate::damage::damage;
use crate::wire::framed;
use proptest::collection::vec;
use proptest::prelude::*;
use shapes::{Kind, Shape};

/// A body for a method: frames with its messages or others, at times damaged, or just bytes.
pub fn body(method: &str) -> BoxedStrategy<Vec<u8>> {
    let own = shapes::of_method(method).map_or_else(message, |shape| shaped(shape, 3));
    let frames = vec(prop_oneof![8 => own, 1 => message()].prop_map(|message| framed(&message)), 1..4)
        .prop_map(|frames| frames.concat());
    let damaged = (frames.clone(), damage()).prop_map(|(bytes, damage)| damage.done_to(bytes));
    prop_oneof![8 => frames, 3 => damaged, 1 => vec(any::<u8>(), 0..200)].boxed()
}

/// A message of one shape: each field not at all, once, or for lists several times.
fn shaped(shape: &'static Shape, depth: u32) -> BoxedStrategy<Vec<u8>> {
    let fields: Vec<BoxedStrategy<Vec<u8>>> = shape
        .iter()
        .map(|(field, kind)| {
            let field = *field;
            match kind {
                Kind::Bytes => maybe(key().prop_map(move |key| delimited(field, &key)), 0.8),
                Kind::Number => {
                    let number = number().prop_map(move |value| [varint(field << 3), varint(value)].concat());
                    maybe(number, 0.3)
                }
                Kind::Message(_) if depth == 0 => Just(Vec::new()).boxed(),
                Kind::Message(inner) => {
                    let message = shaped(inner, depth - 1).prop_map(move |inner| delimited(field, &inner));
                    vec(message, 0..3).prop_map(|messages| messages.concat()).boxed()
                }
            }
        })
        .collect();
    fields.prop_map(|fields| fields.concat()).boxed()
}

fn maybe(field: impl Strategy<Value = Vec<u8>> + 'static, chance: f64) -> BoxedStrategy<Vec<u8>> {
    prop::option::weighted(chance, field).prop_map(Option::unwrap_or_default).boxed()
}

/// A message with fields of any kind, by chance one of the method's.
fn message() -> BoxedStrategy<Vec<u8>> {
    let scalar = (1..16u64, number()).prop_map(|(field, value)| [varint(field << 3), varint(value)].concat());
    let bytes = (1..16u64, key()).prop_map(|(field, key)| delimited(field, &key));
    let fields = vec(prop_oneof![scalar, bytes], 0..5).prop_map(|fields| fields.concat());
    fields
        .prop_recursive(4, 32, 4, |inner| {
            vec((1..16u64, inner).prop_map(|(field, message)| delimited(field, &message)), 1..5)
                .prop_map(|fields| fields.concat())
        })
        .boxed()
}

/// Keys that meet each other; "\0" is etcd's word for every key beyond.
fn key() -> BoxedStrategy<Vec<u8>> {
    let known = prop::sample::select(vec![&b"a"[..], b"b", b"", b"\0", b"a\0", b"b/1", b"\xff\xff"]);
    prop_oneof![6 => known.prop_map(<[u8]>::to_vec), 1 => vec(any::<u8>(), 0..40)].boxed()
}

/// Revisions, leases, limits and enumerations: small, or at the edges of what a number can be.
fn number() -> BoxedStrategy<u64> {
    let edges = vec![i64::MAX as u64, i64::MIN as u64, u64::MAX, u32::MAX.into(), 1 << 31, 9_000_000_001];
    prop_oneof![8 => 0..12u64, 2 => prop::sample::select(edges), 1 => any::<u64>()].boxed()
}

fn delimited(field: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
