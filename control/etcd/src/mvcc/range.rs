//! Range: which keys, as of when, filtered, sorted and cut as etcd does it.
//!
//! Source: `executeRange` in `server/etcdserver/txn/txn.go` and `rangeKeys` in `server/storage/mvcc/kvstore_txn.go`.

use super::index::{Hit, Index};
use super::revision::Revision;
use super::rows::{self, Rows};
use crate::error::{Error, Result};
use crate::keys::KeyRange;
use crate::proto::{KeyValue, RangeRequest, RangeResponse, ResponseHeader, sort_order, sort_target};
use prost::Message;
use prost::bytes::{Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint};
use std::cmp::Ordering;

/// Tag of `RangeResponse.kvs`.
const KVS: u32 = 2;

/// The revisions between which one may ask.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The last compaction, or -1.
    pub compacted: i64,
    /// The newest revision that the asker sees.
    pub current: i64,
}

impl Window {
    /// The revision that a request means: 0 and less is the newest.
    pub fn resolve(&self, revision: i64) -> Result<i64> {
        match revision {
            r if r > self.current => Err(Error::FutureRevision),
            r if r <= 0 => Ok(self.current),
            r if r < self.compacted => Err(Error::Compacted),
            r => Ok(r),
        }
    }
}

/// etcd's check of ranges within a transaction, which knows no negative revisions.
pub fn check_in_transaction(window: Window, revision: i64) -> Result<()> {
    match revision {
        0 => Ok(()),
        r if r > window.current => Err(Error::FutureRevision),
        r if r < window.compacted => Err(Error::Compacted),
        _ => Ok(()),
    }
}

/// What the index says to a request: which rows to fetch.
#[derive(Debug)]
pub struct Found {
    hits: Vec<Hit>,
    total: usize,
    current: i64,
}

/// Asks the index; the rows can be fetched after it is let go.
pub fn find(index: &Index, window: Window, request: &RangeRequest) -> Result<Found> {
    let at = window.resolve(request.revision)?;
    let range = KeyRange::of(&request.key, &request.range_end);
    let (hits, total) = if request.count_only {
        (Vec::new(), index.count(&range, at))
    } else {
        index.range(&range, at, fetched(request))
    };
    Ok(Found { hits, total, current: window.current })
}

/// How many keys to fetch (0: all): one more than the limit tells whether there are more; filters and sorting need
/// all of them.
fn fetched(request: &RangeRequest) -> usize {
    let all = request.sort_order != sort_order::NONE || !any_revision(request);
    match usize::try_from(request.limit) {
        Ok(limit) if limit > 0 && !all => limit + 1,
        _ => 0,
    }
}

impl Found {
    /// Fetches the rows and makes the answer to a plain request, as bytes: rows are stored as they are sent.
    pub fn encoded(self, rows: &impl Rows, request: &RangeRequest, header: ResponseHeader) -> Result<Bytes> {
        let mut fetched = rows::get_all(rows, self.hits)?;
        let more = usize::try_from(request.limit).is_ok_and(|limit| limit > 0 && fetched.len() > limit);
        if more {
            fetched.truncate(request.limit as usize);
        }
        // The rest of the message, which may come last as well.
        let rest = RangeResponse { header: Some(header), kvs: Vec::new(), more, count: self.total as i64 };
        let bytes: usize = fetched.iter().map(|row| row.len() + 6).sum();
        let mut encoded = BytesMut::with_capacity(bytes + rest.encoded_len());
        for row in fetched {
            encode_key(KVS, WireType::LengthDelimited, &mut encoded);
            encode_varint(row.len() as u64, &mut encoded);
            encoded.extend_from_slice(&row);
        }
        rest.encode_raw(&mut encoded);
        Ok(encoded.freeze())
    }

    /// The newest revision when it was asked.
    pub fn current(&self) -> i64 {
        self.current
    }

    /// Fetches the rows and makes the answer; its header has the revision alone.
    pub fn answer(self, rows: &impl Rows, request: &RangeRequest) -> Result<RangeResponse> {
        let revisions: Vec<Revision> = self.hits.iter().map(|hit| hit.revision).collect();
        let fetched = rows::get_all(rows, self.hits)?;
        let decoded = fetched.iter().zip(revisions).map(|(row, revision)| rows::decode(row, revision));
        let mut kvs = decoded.collect::<Result<Vec<KeyValue>>>()?;
        kvs.retain(|kv| wanted(request, kv));
        sort(request, &mut kvs);
        let more = usize::try_from(request.limit).is_ok_and(|limit| limit > 0 && kvs.len() > limit);
        if more {
            kvs.truncate(request.limit as usize);
        }
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value.clear());
        }
        let header = Some(ResponseHeader { revision: self.current, ..Default::default() });
        Ok(RangeResponse { header, kvs, more, count: self.total as i64 })
    }
}

/// Whether rows can be told as they are, in the order of their keys.
pub fn is_plain(request: &RangeRequest) -> bool {
    let by_key = request.sort_target == 0 && request.sort_order != sort_order::DESCEND;
    by_key && !request.keys_only && any_revision(request)
}

fn any_revision(request: &RangeRequest) -> bool {
    request.min_mod_revision == 0
        && request.max_mod_revision == 0
        && request.min_create_revision == 0
        && request.max_create_revision == 0
}

fn wanted(request: &RangeRequest, kv: &KeyValue) -> bool {
    let within = |min: i64, max: i64, it: i64| (min == 0 || it >= min) && (max == 0 || it <= max);
    within(request.min_mod_revision, request.max_mod_revision, kv.mod_revision)
        && within(request.min_create_revision, request.max_create_revision, kv.create_revision)
}

/// Sorts in place. Without an order, only a target other than the key sorts at all (ascending, as etcd).
fn sort(request: &RangeRequest, kvs: &mut [KeyValue]) {
    let compare: fn(&KeyValue, &KeyValue) -> Ordering = match request.sort_target {
        sort_target::VERSION => |a, b| a.version.cmp(&b.version),
        sort_target::CREATE => |a, b| a.create_revision.cmp(&b.create_revision),
        sort_target::MOD => |a, b| a.mod_revision.cmp(&b.mod_revision),
        sort_target::VALUE => |a, b| a.value.cmp(&b.value),
        _ if request.sort_order == sort_order::DESCEND => |a, b| a.key.cmp(&b.key),
        _ => return,
    };
    // Equal ones keep the order of their keys; etcd leaves that to chance.
    match request.sort_order {
        sort_order::DESCEND => kvs.sort_by(|a, b| compare(b, a)),
        _ => kvs.sort_by(compare),
    }
}
