//! Operations as the messages that are sent.

use super::operation::{Compare, Delete, Put, Range, Revision, Stand, Step, Txn, Watch, With};
use super::wire::WatchCreate;
use etcd_client::proto::*;

/// The message of a read.
pub fn range(of: &Range, stand: Stand) -> PbRangeRequest {
    let at = |revision: Revision| revision.at(stand);
    PbRangeRequest {
        key: of.key.0.clone(),
        range_end: of.end.0.clone(),
        limit: of.limit,
        revision: at(of.revision),
        sort_order: of.order,
        sort_target: of.target,
        serializable: of.serializable,
        keys_only: of.keys_only,
        count_only: of.count_only,
        min_mod_revision: at(of.min_mod),
        max_mod_revision: at(of.max_mod),
        min_create_revision: at(of.min_create),
        max_create_revision: at(of.max_create),
    }
}

/// The message of a write.
pub fn put(of: &Put) -> PbPutRequest {
    PbPutRequest {
        key: of.key.0.clone(),
        value: of.value.0.clone(),
        lease: of.lease,
        prev_kv: of.prev_kv,
        ignore_value: of.ignore_value,
        ignore_lease: of.ignore_lease,
    }
}

/// The message of a deletion.
pub fn delete(of: &Delete) -> PbDeleteRequest {
    PbDeleteRequest { key: of.key.0.clone(), range_end: of.end.0.clone(), prev_kv: of.prev_kv }
}

/// The message of a transaction.
pub fn txn(of: &Txn, stand: Stand) -> PbTxnRequest {
    let steps = |steps: &[Step]| steps.iter().map(|one| step(one, stand)).collect();
    PbTxnRequest {
        compare: of.compare.iter().map(|one| compare(one, stand)).collect(),
        success: steps(&of.success),
        failure: steps(&of.failure),
    }
}

fn step(of: &Step, stand: Stand) -> PbTxnRequestOp {
    let request = match of {
        Step::Nothing => None,
        Step::Range(of) => Some(PbTxnOpRequest::RequestRange(range(of, stand))),
        Step::Put(of) => Some(PbTxnOpRequest::RequestPut(put(of))),
        Step::Delete(of) => Some(PbTxnOpRequest::RequestDeleteRange(delete(of))),
        Step::Txn(of) => Some(PbTxnOpRequest::RequestTxn(txn(of, stand))),
    };
    PbTxnRequestOp { request }
}

fn compare(of: &Compare, stand: Stand) -> PbCompare {
    let with = match &of.with {
        With::Nothing => None,
        With::Version(version) => Some(PbTargetUnion::Version(*version)),
        With::Create(revision) => Some(PbTargetUnion::CreateRevision(revision.at(stand))),
        With::Mod(revision) => Some(PbTargetUnion::ModRevision(revision.at(stand))),
        With::Value(value) => Some(PbTargetUnion::Value(value.0.clone())),
        With::Lease(lease) => Some(PbTargetUnion::Lease(*lease)),
    };
    PbCompare {
        result: of.result,
        target: of.target,
        key: of.key.0.clone(),
        range_end: of.end.0.clone(),
        target_union: with,
    }
}

/// Where a watch starts. Before the beginning is now: of a negative revision etcd says that the watch is created, and
/// then never anything; ours refuses it.
pub fn start(of: &Watch, stand: Stand) -> i64 {
    of.start.at(stand).max(0)
}

/// The message of a watch.
pub fn watch(of: &Watch, stand: Stand) -> WatchCreate {
    WatchCreate {
        key: of.key.0.clone(),
        range_end: of.end.0.clone(),
        start_revision: start(of, stand),
        progress_notify: of.progress_notify,
        filters: of.filters.clone(),
        prev_kv: of.prev_kv,
        watch_id: of.id,
        fragment: of.fragment,
    }
}
