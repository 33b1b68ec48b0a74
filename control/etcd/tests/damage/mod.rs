//! What may happen to bytes on their way or on a disk.

use proptest::collection::vec;
use proptest::prelude::*;

/// What may happen to bytes.
#[derive(Debug, Clone)]
pub enum Damage {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    /// A stretch of bytes of one value, from the first place on.
    Fill(prop::sample::Index, usize, u8),
    /// A stretch copied to another place.
    Copy(prop::sample::Index, prop::sample::Index, usize),
}

/// Any of them.
pub fn damage() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        3 => (index(), any::<u8>()).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        1 => index().prop_map(Damage::Cut),
        1 => (index(), vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        1 => (index(), 1..16usize, any::<u8>()).prop_map(|(at, length, byte)| Damage::Fill(at, length, byte)),
        1 => (index(), index(), 1..16usize).prop_map(|(from, to, length)| Damage::Copy(from, to, length)),
    ]
}

impl Damage {
    /// The bytes after it.
    pub fn done_to(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if bytes.is_empty() {
            return bytes;
        }
        let length = bytes.len();
        match self {
            Damage::Flip(at, bits) => bytes[at.index(length)] ^= bits,
            Damage::Cut(at) => bytes.truncate(at.index(length)),
            Damage::Insert(at, more) => drop(bytes.splice(at.index(length)..at.index(length), more.clone())),
            Damage::Fill(at, count, byte) => {
                let at = at.index(length);
                bytes[at..length.min(at + count)].fill(*byte);
            }
            Damage::Copy(from, to, count) => {
                let (from, to) = (from.index(length), to.index(length));
                let count = *count.min(&(length - from.max(to)));
                bytes.copy_within(from..from + count, to);
            }
        }
        bytes
    }
}
