//! Rows: what each change put, as etcd marshals it, by revision.
//!
//! One table for all of history. A put's row is its `mvccpb.KeyValue`; a deletion's holds the key alone. Both a
//! transaction that writes and one that reads give rows, so what needs them takes either.

use super::index::{Hit, Row};
use super::revision::{Revision, RowKey};
use crate::error::{Error, Result};
use crate::proto::{Event, KeyValue, event_type};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use redb::{ReadableTable, TableDefinition};
use std::cmp::Ordering;

/// The table of rows, named as etcd's bucket.
pub const KEY: TableDefinition<&[u8], &[u8]> = TableDefinition::new("key");

/// A table that rows are read from.
pub trait Rows: ReadableTable<&'static [u8], &'static [u8]> {}

impl<T: ReadableTable<&'static [u8], &'static [u8]>> Rows for T {}

/// The row of a put, decoded.
pub fn get(rows: &impl Rows, hit: &Hit) -> Result<KeyValue> {
    match &hit.row {
        Some(row) => decode(row, hit.revision),
        None => decode(&read(rows, hit.revision)?, hit.revision),
    }
}

fn read(rows: &impl Rows, revision: Revision) -> Result<Row> {
    let row = rows.get(RowKey::of(revision, false).bytes()).map_err(Error::disk)?;
    row.map(|row| Row::from(row.value())).ok_or_else(|| missing(revision))
}

/// Puts that lie closer together than this are walked through, not looked up one by one.
const CLOSE: i64 = 4;

/// How many of them make a walk worth its beginning.
const WALK: usize = 4;

/// The rows of many puts, in the order in which they are asked for.
///
/// Keys in a row were often put in a row, so that their rows lie close together; those are walked through.
pub fn get_all(rows: &impl Rows, hits: Vec<Hit>) -> Result<Vec<Row>> {
    let mut order: Vec<usize> = (0..hits.len()).filter(|&at| hits[at].row.is_none()).collect();
    order.sort_unstable_by_key(|&at| hits[at].revision);
    let revisions: Vec<Revision> = hits.iter().map(|hit| hit.revision).collect();
    let mut found: Vec<Option<Row>> = hits.into_iter().map(|hit| hit.row).collect();
    for run in order.chunk_by(|&a, &b| revisions[b].main - revisions[a].main <= CLOSE) {
        if run.len() < WALK {
            for &at in run {
                found[at] = Some(read(rows, revisions[at])?);
            }
            continue;
        }
        let first = RowKey::of(revisions[run[0]], false);
        let mut walk = rows.range::<&[u8]>(first.bytes()..).map_err(Error::disk)?;
        for &at in run {
            let wanted = RowKey::of(revisions[at], false);
            found[at] = loop {
                let (key, value) = walk.next().ok_or_else(|| missing(revisions[at]))?.map_err(Error::disk)?;
                match key.value().cmp(wanted.bytes()) {
                    Ordering::Less => {}
                    Ordering::Equal => break Some(value.value().into()),
                    Ordering::Greater => return Err(missing(revisions[at])),
                }
            };
        }
    }
    Ok(found.into_iter().flatten().collect())
}

fn missing(revision: Revision) -> Error {
    Error::Corrupt(format!("the row of revision {}.{} is missing", revision.main, revision.sub))
}

/// Events from a revision on, oldest first, as far as `until` and about `most_bytes` of rows, whole transactions
/// only. Gives the transaction up to which all were read.
pub fn events(rows: &impl Rows, from: i64, until: i64, most_bytes: usize) -> Result<(Vec<Event>, i64)> {
    let first = RowKey::of(Revision { main: from, sub: 0 }, false);
    let end = RowKey::of(Revision { main: until.saturating_add(1), sub: 0 }, false);
    let mut events = Vec::new();
    let mut bytes = 0;
    let mut main = from;
    for row in rows.range::<&[u8]>(first.bytes()..end.bytes()).map_err(Error::disk)? {
        let (key, value) = row.map_err(Error::disk)?;
        let Some((revision, deletion)) = RowKey::read(key.value()) else {
            return Err(Error::Corrupt(format!("a row has the key {:02x?}", key.value())));
        };
        if revision.main != main && bytes > most_bytes {
            return Ok((events, main));
        }
        main = revision.main;
        bytes += value.value().len();
        events.push(event(decode(value.value(), revision)?, revision, deletion));
    }
    Ok((events, until))
}

/// The event of a row.
pub fn event(mut row: KeyValue, revision: Revision, deletion: bool) -> Event {
    row.mod_revision = revision.main;
    let kind = if deletion { event_type::DELETE } else { event_type::PUT };
    Event { r#type: kind, kv: Some(row), prev_kv: None }
}

/// What the index keeps of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outline<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The revision that made it.
    pub created: i64,
    /// How many puts since.
    pub version: i64,
    /// Its lease, or 0.
    pub lease: i64,
}

/// Reads a row without copying its value, which is most of it.
pub fn outline(mut row: &[u8], revision: Revision) -> Result<Outline<'_>> {
    let at = |e: prost::DecodeError| {
        Error::Corrupt(format!("the row of revision {}.{}: {e}", revision.main, revision.sub))
    };
    let mut outline = Outline::default();
    while !row.is_empty() {
        let (tag, wire) = decode_key(&mut row).map_err(at)?;
        match (tag, wire) {
            (1, WireType::LengthDelimited) => {
                let length = decode_varint(&mut row).map_err(at)?;
                let split = usize::try_from(length).ok().and_then(|length| row.split_at_checked(length));
                (outline.key, row) = split.ok_or_else(|| Error::Corrupt("a row's key is cut off".into()))?;
            }
            (2, WireType::Varint) => outline.created = decode_varint(&mut row).map_err(at)? as i64,
            (4, WireType::Varint) => outline.version = decode_varint(&mut row).map_err(at)? as i64,
            (6, WireType::Varint) => outline.lease = decode_varint(&mut row).map_err(at)? as i64,
            _ => skip_field(wire, tag, &mut row, DecodeContext::default()).map_err(at)?,
        }
    }
    Ok(outline)
}

/// Reads a row's value.
pub fn decode(bytes: &[u8], revision: Revision) -> Result<KeyValue> {
    let at = |e| Error::Corrupt(format!("the row of revision {}.{}: {e}", revision.main, revision.sub));
    KeyValue::decode(bytes).map_err(at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panic")]

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_outline_says_what_the_row_says(
            key in prop::collection::vec(any::<u8>(), 0..9),
            value in prop::collection::vec(any::<u8>(), 0..300),
            numbers in any::<[i64; 4]>(),
        ) {
            let [create_revision, mod_revision, version, lease] = numbers;
            let kv = KeyValue { key: key.clone(), value, create_revision, mod_revision, version, lease };
            let told = Outline { key: &key, created: create_revision, version, lease };
            let row = kv.encode_to_vec();
            prop_assert_eq!(outline(&row, Revision::default()).unwrap(), told);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = outline(&bytes, Revision::default());
        }
    }
}
