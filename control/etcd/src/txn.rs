//! Transactions: checked, compared, executed; on a state that may be written or one that is only read.
//!
//! Source: `server/etcdserver/api/v3rpc/key.go` (what is refused before anything is looked at) and
//! `server/etcdserver/txn/txn.go` (the rest). Everything that can be refused is refused before the first change, so a
//! transaction never stops halfway.

use crate::error::{Error, Result};
use crate::keys::KeyRange;
use crate::proto::{
    Compare, DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, PutResponse, RangeRequest,
    RangeResponse, RequestOp, ResponseHeader, ResponseOp, TargetUnion, TxnOp, TxnOpResponse, TxnRequest,
    TxnResponse, compare_result, compare_target,
};
use std::cmp::Ordering;

/// What a transaction looks at and changes.
pub trait State {
    /// Whether this revision can be asked for.
    fn check_revision(&self, revision: i64) -> Result<()>;
    /// Keys now.
    fn range(&mut self, request: &RangeRequest) -> Result<RangeResponse>;
    /// Whether a put would be taken.
    fn check_put(&mut self, request: &PutRequest) -> Result<()>;
    /// Puts a key that was checked.
    fn put(&mut self, request: &PutRequest) -> Result<PutResponse>;
    /// Deletes keys.
    fn delete(&mut self, request: &DeleteRangeRequest) -> Result<DeleteRangeResponse>;
    /// The revision that the answer tells.
    fn revision(&self) -> i64;
}

/// Compares, checks, and executes the branch that counts.
pub fn execute(state: &mut impl State, request: &TxnRequest) -> Result<TxnResponse> {
    let mut path = Vec::new();
    choose(state, request, &mut path)?;
    // All puts before all ranges, as etcd does: it decides which error is told.
    check_branch(state, request, &mut path.iter(), Check::Puts)?;
    check_branch(state, request, &mut path.iter(), Check::Ranges)?;
    let mut response = run(state, request, &mut path.iter())?;
    response.header = Some(ResponseHeader { revision: state.revision(), ..Default::default() });
    Ok(response)
}

/// Whether nothing in it can change anything.
pub fn reads_only(request: &TxnRequest) -> bool {
    let reads = |op: &RequestOp| match &op.request {
        Some(TxnOp::RequestRange(_)) => true,
        Some(TxnOp::RequestTxn(inner)) => reads_only(inner),
        _ => false,
    };
    request.success.iter().chain(&request.failure).all(reads)
}

/// Whether something in it may put a key.
pub fn puts(request: &TxnRequest) -> bool {
    let put = |op: &RequestOp| match &op.request {
        Some(TxnOp::RequestPut(_)) => true,
        Some(TxnOp::RequestTxn(inner)) => puts(inner),
        _ => false,
    };
    request.success.iter().chain(&request.failure).any(put)
}

/// All comparisons, nested ones as well, before anything is changed: which branch is taken, in order of execution.
fn choose(state: &mut impl State, request: &TxnRequest, path: &mut Vec<bool>) -> Result<()> {
    let mut holds = true;
    for compare in &request.compare {
        if !compares(state, compare)? {
            holds = false;
            break;
        }
    }
    path.push(holds);
    for op in branch(request, holds) {
        if let Some(TxnOp::RequestTxn(inner)) = &op.request {
            choose(state, inner, path)?;
        }
    }
    Ok(())
}

fn branch(request: &TxnRequest, holds: bool) -> &[RequestOp] {
    if holds { &request.success } else { &request.failure }
}

fn compares(state: &mut impl State, compare: &Compare) -> Result<bool> {
    let all = RangeRequest {
        key: compare.key.clone(),
        range_end: compare.range_end.clone(),
        keys_only: compare.target != compare_target::VALUE,
        ..Default::default()
    };
    let kvs = state.range(&all)?.kvs;
    if kvs.is_empty() {
        // A key that is not there has version, revisions and lease 0, but no value that anything compares with.
        return Ok(compare.target != compare_target::VALUE && holds(compare, &KeyValue::default()));
    }
    Ok(kvs.iter().all(|kv| holds(compare, kv)))
}

fn holds(compare: &Compare, kv: &KeyValue) -> bool {
    let number = |stored: i64, given: Option<i64>| stored.cmp(&given.unwrap_or(0));
    let union = compare.target_union.as_ref();
    let order = match compare.target {
        compare_target::VERSION => number(
            kv.version,
            union.and_then(|u| if let TargetUnion::Version(n) = u { Some(*n) } else { None }),
        ),
        compare_target::CREATE => number(
            kv.create_revision,
            union.and_then(|u| if let TargetUnion::CreateRevision(n) = u { Some(*n) } else { None }),
        ),
        compare_target::MOD => number(
            kv.mod_revision,
            union.and_then(|u| if let TargetUnion::ModRevision(n) = u { Some(*n) } else { None }),
        ),
        compare_target::LEASE => {
            number(kv.lease, union.and_then(|u| if let TargetUnion::Lease(n) = u { Some(*n) } else { None }))
        }
        compare_target::VALUE => match union {
            Some(TargetUnion::Value(value)) => kv.value.cmp(value),
            _ => kv.value[..].cmp(&[]),
        },
        _ => Ordering::Equal,
    };
    match compare.result {
        compare_result::EQUAL => order.is_eq(),
        compare_result::NOT_EQUAL => order.is_ne(),
        compare_result::GREATER => order.is_gt(),
        compare_result::LESS => order.is_lt(),
        _ => true,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    Puts,
    Ranges,
}

/// Refuses what cannot be executed.
fn check_branch<'a>(
    state: &mut impl State,
    request: &TxnRequest,
    path: &mut impl Iterator<Item = &'a bool>,
    check: Check,
) -> Result<()> {
    let holds = path.next().copied().unwrap_or_default();
    for op in branch(request, holds) {
        match &op.request {
            Some(TxnOp::RequestRange(range)) if check == Check::Ranges => {
                state.check_revision(range.revision)?
            }
            Some(TxnOp::RequestPut(put)) if check == Check::Puts => state.check_put(put)?,
            Some(TxnOp::RequestTxn(inner)) => check_branch(state, inner, path, check)?,
            _ => {}
        }
    }
    Ok(())
}

fn run<'a>(
    state: &mut impl State,
    request: &TxnRequest,
    path: &mut impl Iterator<Item = &'a bool>,
) -> Result<TxnResponse> {
    let succeeded = path.next().copied().unwrap_or_default();
    let mut responses = Vec::new();
    for op in branch(request, succeeded) {
        let response = match &op.request {
            Some(TxnOp::RequestRange(range)) => Some(TxnOpResponse::ResponseRange(state.range(range)?)),
            Some(TxnOp::RequestPut(put)) => Some(TxnOpResponse::ResponsePut(state.put(put)?)),
            Some(TxnOp::RequestDeleteRange(delete)) => {
                Some(TxnOpResponse::ResponseDeleteRange(state.delete(delete)?))
            }
            Some(TxnOp::RequestTxn(inner)) => Some(TxnOpResponse::ResponseTxn(run(state, inner, path)?)),
            None => None,
        };
        responses.push(ResponseOp { response });
    }
    Ok(TxnResponse { header: Some(ResponseHeader::default()), succeeded, responses })
}

/// Refuses what no state could answer. `most_ops` bounds each list of a transaction and of those in it.
pub fn check(request: &TxnRequest, most_ops: usize) -> Result<()> {
    check_ops(request, most_ops)?;
    check_overlaps(&request.success)?;
    check_overlaps(&request.failure).map(drop)
}

fn check_ops(request: &TxnRequest, most_ops: usize) -> Result<()> {
    let longest = request.compare.len().max(request.success.len()).max(request.failure.len());
    if longest > most_ops {
        return Err(Error::TooManyOps);
    }
    if request.compare.iter().any(|c| c.key.is_empty()) {
        return Err(Error::EmptyKey);
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(TxnOp::RequestRange(range)) => check_range(range)?,
            Some(TxnOp::RequestPut(put)) => check_put(put)?,
            Some(TxnOp::RequestDeleteRange(delete)) => check_delete(delete)?,
            Some(TxnOp::RequestTxn(inner)) => check_ops(inner, most_ops - longest)?,
            None => return Err(Error::KeyNotFound),
        }
    }
    Ok(())
}

/// Refuses a range that nothing could answer.
pub fn check_range(request: &RangeRequest) -> Result<()> {
    if request.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    let known = (0..=2).contains(&request.sort_order) && (0..=4).contains(&request.sort_target);
    if known { Ok(()) } else { Err(Error::InvalidSortOption) }
}

/// Refuses a put that contradicts itself.
pub fn check_put(request: &PutRequest) -> Result<()> {
    if request.key.is_empty() {
        Err(Error::EmptyKey)
    } else if request.ignore_value && !request.value.is_empty() {
        Err(Error::ValueProvided)
    } else if request.ignore_lease && request.lease != 0 {
        Err(Error::LeaseProvided)
    } else {
        Ok(())
    }
}

/// Refuses a deletion without a key.
pub fn check_delete(request: &DeleteRangeRequest) -> Result<()> {
    if request.key.is_empty() { Err(Error::EmptyKey) } else { Ok(()) }
}

#[derive(Default)]
struct Touched {
    puts: Vec<Vec<u8>>,
    deletions: Vec<KeyRange>,
    /// Deletions of all keys from one on, in which etcd sees no overlap.
    open_deletions: Vec<KeyRange>,
}

impl Touched {
    fn put(&mut self, key: &[u8], alternatives: &[Vec<u8>]) -> Result<()> {
        let again = self.puts.iter().any(|k| k == key);
        let alternative = alternatives.iter().any(|k| k == key);
        if (again && !alternative) || self.deletions.iter().any(|range| range.contains(key)) {
            return Err(Error::DuplicateKey);
        }
        if !again {
            self.puts.push(key.to_vec());
        }
        Ok(())
    }
}

/// Refuses a key that is put twice, or put and deleted, in one list of operations and those nested in it. A key may
/// be put in both branches of a nested transaction, of which only one is taken.
fn check_overlaps(ops: &[RequestOp]) -> Result<Touched> {
    let mut touched = Touched::default();
    for op in ops {
        if let Some(TxnOp::RequestDeleteRange(delete)) = &op.request {
            // etcd reads the end `\0` here as it stands: an interval that holds nothing.
            let range = match &delete.range_end[..] {
                [] => KeyRange::One(delete.key.clone()),
                end => KeyRange::Between(delete.key.clone(), end.to_vec()),
            };
            touched.deletions.push(range);
            if delete.range_end == [0] {
                touched.open_deletions.push(KeyRange::From(delete.key.clone()));
            }
        }
    }
    for op in ops {
        let Some(TxnOp::RequestTxn(inner)) = &op.request else { continue };
        let (then, otherwise) = (check_overlaps(&inner.success)?, check_overlaps(&inner.failure)?);
        for key in &then.puts {
            touched.put(key, &[])?;
        }
        for key in &otherwise.puts {
            touched.put(key, &then.puts)?;
        }
        touched.deletions.extend(then.deletions.into_iter().chain(otherwise.deletions));
        touched.open_deletions.extend(then.open_deletions.into_iter().chain(otherwise.open_deletions));
    }
    for op in ops {
        if let Some(TxnOp::RequestPut(put)) = &op.request {
            touched.put(&put.key, &[])?;
            // There would be nothing to keep; etcd 3.4 and 3.5 panic over this one.
            let keeps = put.ignore_value || put.ignore_lease;
            if keeps && touched.open_deletions.iter().any(|range| range.contains(&put.key)) {
                return Err(Error::DuplicateKey);
            }
        }
    }
    Ok(touched)
}
