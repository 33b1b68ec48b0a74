//! The next piece of history for a stream: from memory, or from disk.

use crate::error::Result;
use crate::mvcc::rows;
use crate::proto::{Event, KeyValue, event_type};
use crate::store::{Store, View};

/// About how many bytes of events are taken at once.
const PIECE_BYTES: usize = 512 << 10;

/// Events in order, and the revision up to which they are all there are.
#[derive(Debug)]
pub struct Piece {
    /// With their revisions in `kv.mod_revision`.
    pub events: Vec<Event>,
    /// Nothing at or before this is missing.
    pub until: i64,
    /// Whether it came from disk.
    pub from_disk: bool,
}

/// Events from `from` on, at most up to `current`.
pub fn next(store: &Store, from: i64, current: i64) -> Result<Piece> {
    if let Some(transactions) = store.recent.since(from, PIECE_BYTES) {
        let last = transactions.last().map_or(current, |t| t.revision);
        let known = transactions.iter().filter(|t| t.revision <= current);
        let events = known.flat_map(|t| t.events.iter().cloned()).collect();
        return Ok(Piece { events, until: last.min(current), from_disk: false });
    }
    let rows = store.rows()?;
    let (events, until) = rows::events(&rows.table, from, current, PIECE_BYTES)?;
    Ok(Piece { events, until, from_disk: true })
}

/// What was there before an event: nothing for a new key, or if compaction has removed it.
pub fn previous(view: &View<'_>, event: &Event) -> Result<Option<KeyValue>> {
    let Some(kv) = &event.kv else { return Ok(None) };
    let creates = event.r#type == event_type::PUT && kv.create_revision == kv.mod_revision;
    let before = kv.mod_revision - 1;
    if creates || before < view.window.compacted {
        return Ok(None);
    }
    let hit = view.index.get(&kv.key, before);
    hit.map(|hit| rows::get(view.table(), &hit)).transpose()
}
