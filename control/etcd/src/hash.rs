//! Hashes of the data: CRC-32C over rows, as etcd computes them, so that two servers with one history agree.
//!
//! Source: `server/storage/mvcc/hash.go` (HashKV), `server/storage/backend/backend.go` (Hash).

use crate::error::{Error, Result};
use crate::mvcc::revision::RowKey;
use crate::store::View;
use redb::ReadableTable;

/// The name of etcd's bucket, with which its hash begins.
const BUCKET: &[u8] = b"key";

/// HashKV: history up to a revision (0: all of it), without what the last compaction left to be removed.
pub fn of_history(view: &View<'_>, revision: i64) -> Result<u32> {
    let window = view.window;
    if revision > 0 && revision <= window.compacted {
        return Err(Error::Compacted);
    }
    if revision > window.current {
        return Err(Error::FutureRevision);
    }
    // A negative one means no history at all, as with etcd.
    let until = if revision == 0 { window.current } else { revision };
    let kept = view.index.state_at(until);
    let mut hash = crc32c::crc32c(BUCKET);
    for row in view.table().iter().map_err(Error::disk)? {
        let (key, value) = row.map_err(Error::disk)?;
        let Some((at, _)) = RowKey::read(key.value()) else { continue };
        let removed = at.main <= window.compacted && !kept.is_empty() && !kept.contains(&at);
        if at.main <= until && !removed {
            hash = crc32c::crc32c_append(crc32c::crc32c_append(hash, key.value()), value.value());
        }
    }
    Ok(hash)
}

/// Hash: every row that is there.
pub fn of_all(view: &View<'_>) -> Result<u32> {
    let mut hash = crc32c::crc32c(BUCKET);
    for row in view.table().iter().map_err(Error::disk)? {
        let (key, value) = row.map_err(Error::disk)?;
        hash = crc32c::crc32c_append(crc32c::crc32c_append(hash, key.value()), value.value());
    }
    Ok(hash)
}
