//! Rows: what each change put, as etcd marshals it, by revision.
//!
//! One table for all of history. A put's row is its `mvccpb.KeyValue`; a deletion's holds the key alone. Both a
//! transaction that writes and one that reads give rows, so what needs them takes either.

use super::revision::{Revision, RowKey};
use crate::error::{Error, Result};
use crate::proto::{Event, KeyValue, event_type};
use prost::Message;
use redb::{ReadableTable, TableDefinition};
use std::cmp::Ordering;

/// The table of rows, named as etcd's bucket.
pub const KEY: TableDefinition<&[u8], &[u8]> = TableDefinition::new("key");

/// A table that rows are read from.
pub trait Rows: ReadableTable<&'static [u8], &'static [u8]> {}

impl<T: ReadableTable<&'static [u8], &'static [u8]>> Rows for T {}

/// The row of a put.
pub fn get(rows: &impl Rows, revision: Revision) -> Result<KeyValue> {
    let key = RowKey::of(revision, false);
    match rows.get(key.bytes()).map_err(Error::disk)? {
        Some(value) => decode(value.value(), revision),
        None => {
            Err(Error::Corrupt(format!("the row of revision {}.{} is missing", revision.main, revision.sub)))
        }
    }
}

/// Rows passed over rather than looked for: about what one look costs.
const MOST_PASSED: usize = 8;

/// The rows of many puts, in the order in which they are asked for.
///
/// Keys in a row were often put in a row, so their rows lie close together: from each row one walks on to the next,
/// and only looks anew where that would be far.
pub fn get_all(rows: &impl Rows, revisions: &[Revision]) -> Result<Vec<KeyValue>> {
    let mut order: Vec<usize> = (0..revisions.len()).collect();
    order.sort_unstable_by_key(|&at| revisions[at]);
    let mut found: Vec<Option<KeyValue>> = vec![None; revisions.len()];
    let mut walk = None;
    for at in order {
        let wanted = RowKey::of(revisions[at], false);
        let mut passed = 0;
        found[at] = loop {
            let range = match &mut walk {
                Some(range) if passed < MOST_PASSED => range,
                _ => {
                    passed = 0;
                    walk.insert(rows.range::<&[u8]>(wanted.bytes()..).map_err(Error::disk)?)
                }
            };
            let Some(row) = range.next() else { break None };
            let (key, value) = row.map_err(Error::disk)?;
            match key.value().cmp(wanted.bytes()) {
                Ordering::Less => passed += 1,
                Ordering::Equal => break Some(decode(value.value(), revisions[at])?),
                Ordering::Greater => break None,
            }
        };
        if found[at].is_none() {
            return Err(missing(revisions[at]));
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

/// Reads a row's value.
pub fn decode(bytes: &[u8], revision: Revision) -> Result<KeyValue> {
    let at = |e| Error::Corrupt(format!("the row of revision {}.{}: {e}", revision.main, revision.sub));
    KeyValue::decode(bytes).map_err(at)
}
