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

/// Puts that lie closer together than this are walked through, not looked up one by one.
const CLOSE: i64 = 4;

/// How many of them make a walk worth its beginning.
const WALK: usize = 4;

/// The rows of many puts, in the order in which they are asked for.
///
/// Keys in a row were often put in a row, so that their rows lie close together; those are walked through.
pub fn get_all(rows: &impl Rows, revisions: &[Revision]) -> Result<Vec<KeyValue>> {
    let mut order: Vec<usize> = (0..revisions.len()).collect();
    order.sort_unstable_by_key(|&at| revisions[at]);
    let mut found = vec![KeyValue::default(); revisions.len()];
    for run in order.chunk_by(|&a, &b| revisions[b].main - revisions[a].main <= CLOSE) {
        if run.len() < WALK {
            for &at in run {
                found[at] = get(rows, revisions[at])?;
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
                    Ordering::Equal => break decode(value.value(), revisions[at])?,
                    Ordering::Greater => return Err(missing(revisions[at])),
                }
            };
        }
    }
    Ok(found)
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
