//! Changes to the tables, as one batch of the log holds them.
//!
//! ```text
//! kind (1): 0 put row │ 1 remove row │ 2 put lease │ 3 remove lease │ 4 put fact
//! then the key and, for a put, the value: each length (4, little endian) and bytes
//! ```
//!
//! They say what is to be there, not how it comes about, so applying them twice does no harm.

use crate::error::{Error, Result};
use crate::lease::LEASE;
use crate::mvcc::rows::KEY;
use crate::storage::meta::META;
use redb::WriteTransaction;

const PUT_ROW: u8 = 0;
const REMOVE_ROW: u8 = 1;
const PUT_LEASE: u8 = 2;
const REMOVE_LEASE: u8 = 3;
const PUT_FACT: u8 = 4;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    bytes: Vec<u8>,
}

impl Changes {
    /// As the log holds them.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A row.
    pub fn put_row(&mut self, key: &[u8], value: &[u8]) {
        self.add(PUT_ROW, &[key, value]);
    }

    /// A row that goes.
    pub fn remove_row(&mut self, key: &[u8]) {
        self.add(REMOVE_ROW, &[key]);
    }

    /// A lease.
    pub fn put_lease(&mut self, id: i64, ttl: i64, expiry: u64) {
        let value = [ttl.to_le_bytes(), expiry.to_le_bytes()].concat();
        self.add(PUT_LEASE, &[&id.to_le_bytes(), &value]);
    }

    /// A lease that goes.
    pub fn remove_lease(&mut self, id: i64) {
        self.add(REMOVE_LEASE, &[&id.to_le_bytes()]);
    }

    /// A fact.
    pub fn put_fact(&mut self, name: &str, value: u64) {
        self.add(PUT_FACT, &[name.as_bytes(), &value.to_le_bytes()]);
    }

    fn add(&mut self, kind: u8, parts: &[&[u8]]) {
        self.bytes.push(kind);
        for part in parts {
            // A row is bounded by the size of a request.
            self.bytes.extend((part.len() as u32).to_le_bytes());
            self.bytes.extend(*part);
        }
    }

    /// Reads a batch back. `None`: it is none.
    pub fn read(bytes: &[u8]) -> Option<Changes> {
        let mut rest = bytes;
        while !rest.is_empty() {
            next(&mut rest)?;
        }
        Some(Changes { bytes: bytes.to_vec() })
    }

    /// Applies them to the tables.
    pub fn apply(&self, txn: &WriteTransaction) -> Result<()> {
        let mut rows = txn.open_table(KEY).map_err(Error::disk)?;
        let mut leases = txn.open_table(LEASE).map_err(Error::disk)?;
        let mut facts = txn.open_table(META).map_err(Error::disk)?;
        let mut rest = &self.bytes[..];
        while let Some((kind, key, value)) = next(&mut rest) {
            match kind {
                PUT_ROW => drop(rows.insert(key, value).map_err(Error::disk)?),
                REMOVE_ROW => drop(rows.remove(key).map_err(Error::disk)?),
                PUT_LEASE => {
                    let (ttl, expiry) = value.split_at_checked(8).unwrap_or_default();
                    let value = (number(ttl) as i64, number(expiry));
                    drop(leases.insert(number(key) as i64, value).map_err(Error::disk)?);
                }
                REMOVE_LEASE => drop(leases.remove(number(key) as i64).map_err(Error::disk)?),
                _ => {
                    let name = std::str::from_utf8(key).map_err(|e| Error::Corrupt(e.to_string()))?;
                    drop(facts.insert(name, number(value)).map_err(Error::disk)?);
                }
            }
        }
        Ok(())
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b))
}

/// The next change: its kind, key and value.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8], &'a [u8])> {
    let (&kind, after) = rest.split_first()?;
    if kind > PUT_FACT {
        return None;
    }
    *rest = after;
    let key = part(rest)?;
    let value = if matches!(kind, REMOVE_ROW | REMOVE_LEASE) { &[] } else { part(rest)? };
    Some((kind, key, value))
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (part, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panic")]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn changes_are_read_back_and_halves_are_not() {
        let mut changes = Changes::default();
        changes.put_row(b"k", b"value");
        changes.remove_row(b"k");
        changes.put_lease(-5, 60, 7);
        changes.remove_lease(3);
        changes.put_fact("clock", 9);
        assert_eq!(Changes::read(changes.bytes()), Some(changes.clone()));
        assert_eq!(Changes::read(&changes.bytes()[..changes.bytes().len() - 1]), None);
        let mut rest = changes.bytes();
        let kinds: Vec<u8> = std::iter::from_fn(|| next(&mut rest)).map(|(kind, ..)| kind).collect();
        assert_eq!(kinds, [PUT_ROW, REMOVE_ROW, PUT_LEASE, REMOVE_LEASE, PUT_FACT]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            Changes::read(&bytes);
        }
    }
}
