//! Requests, one by one, onto a batch.

use super::After;
use super::batch::Batch;
use super::job::{Compaction, Job, TimeLeft, settle};
use crate::error::{Error, Result};
use crate::lease::Leases;
use crate::proto::{AlarmMember, AlarmRequest, alarm_action, alarm_type};
use crate::store::Store;
use crate::txn;
use prost::Message;
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

/// What etcd adds to the cost of each key when it looks at the quota.
const KEY_OVERHEAD: u64 = 256;

/// What it reckons a lease to cost.
const LEASE_COST: u64 = 64;

/// Applies one request. An error is the disk's, and ends the batch.
pub fn apply(batch: &mut Batch<'_>, job: Job, quota: u64, after: &mut After) -> Result<()> {
    macro_rules! settled {
        ($answer:expr, $outcome:expr) => {{
            let outcome = $outcome;
            let fatal = outcome.as_ref().err().filter(|e| e.is_disk()).cloned();
            after.settles.push(settle($answer, outcome));
            fatal.map_or(Ok(()), Err)
        }};
    }
    match job {
        Job::Put(request, answer) => {
            let cost = KEY_OVERHEAD + (request.key.len() + request.value.len()) as u64;
            let room = has_room(batch, cost, quota, after);
            settled!(answer, room.and_then(|()| batch.put(&request)))
        }
        Job::Delete(request, answer) => settled!(answer, batch.delete(&request)),
        Job::Txn(request, answer) => {
            let cost = if txn::puts(&request) { KEY_OVERHEAD + request.encoded_len() as u64 } else { 0 };
            let room = has_room(batch, cost, quota, after);
            settled!(answer, room.and_then(|()| batch.txn(&request)))
        }
        Job::Grant(id, ttl, answer) => {
            let room = has_room(batch, LEASE_COST, quota, after);
            settled!(answer, room.and_then(|()| batch.grant(id, ttl)))
        }
        Job::Revoke(id, answer) => settled!(answer, batch.revoke(id)),
        Job::KeepAlive(id, answer) => settled!(answer, batch.keep_alive(id)),
        Job::TimeToLive(id, keys, answer) => {
            settled!(answer, time_left(batch.leases(), batch.now(), id, keys))
        }
        Job::Leases(answer) => settled!(answer, Ok::<_, Error>(batch.leases().ids().collect())),
        Job::Alarm(request, answer) => settled!(answer, alarm(batch.store(), &request, after)),
        Job::Compact(at, answer) => {
            let (waiter, done) = oneshot::channel();
            let taken = batch.compact(at).map(|()| Compaction { revision: batch.revision, done });
            if taken.is_ok() {
                after.compactions.push(waiter);
            }
            settled!(answer, taken)
        }
        Job::Defragment(answer) => {
            after.defragment.push(answer);
            Ok(())
        }
        Job::Stop(answer) => {
            after.stop.push(answer);
            Ok(())
        }
    }
}

/// Answers one request with an error, except for the end, which comes all the same.
pub fn refuse(job: Job, error: &Error, after: &mut After) {
    let e = error.clone();
    after.settles.push(match job {
        Job::Put(_, answer) => settle(answer, Err(e)),
        Job::Delete(_, answer) => settle(answer, Err(e)),
        Job::Txn(_, answer) => settle(answer, Err(e)),
        Job::Compact(_, answer) => settle(answer, Err(e)),
        Job::Grant(_, _, answer) => settle(answer, Err(e)),
        Job::Revoke(_, answer) | Job::Defragment(answer) => settle(answer, Err(e)),
        Job::KeepAlive(_, answer) => settle(answer, Err(e)),
        Job::TimeToLive(_, _, answer) => settle(answer, Err(e)),
        Job::Leases(answer) => settle(answer, Err(e)),
        Job::Alarm(_, answer) => settle(answer, Err(e)),
        Job::Stop(answer) => return after.stop.push(answer),
    });
}

/// The bit of an alarm's type.
pub fn bit(kind: i32) -> u64 {
    u32::try_from(kind).map_or(0, |shift| 1u64.checked_shl(shift).unwrap_or(0))
}

/// Refuses what takes room while the alarm is on, and raises it when the quota is used up.
fn has_room(batch: &Batch<'_>, cost: u64, quota: u64, after: &mut After) -> Result<()> {
    let alarms = after.alarms.unwrap_or_else(|| batch.store().alarms.load(Ordering::Acquire));
    if cost == 0 {
        return Ok(());
    }
    if alarms & bit(alarm_type::NOSPACE) != 0 {
        return Err(Error::NoSpace);
    }
    let used = batch.store().bytes.load(Ordering::Relaxed).saturating_add_signed(batch.done.grown);
    if used + cost <= quota {
        return Ok(());
    }
    tracing::warn!(used, quota, "the quota is used up: alarm NOSPACE; compact, then `etcdctl alarm disarm`");
    after.alarms = Some(alarms | bit(alarm_type::NOSPACE));
    Err(Error::NoSpace)
}

/// How long a lease has, and its keys if asked for.
pub fn time_left(leases: &Leases, now: u64, id: i64, with_keys: bool) -> Result<TimeLeft> {
    let lease = leases.get(id).filter(|lease| lease.expiry > now).ok_or(Error::LeaseNotFound)?;
    let keys = if with_keys { lease.keys.iter().cloned().collect() } else { Vec::new() };
    Ok(TimeLeft { ttl: lease.remaining(now), granted: lease.ttl, keys })
}

/// Alarms among these bits, of a type (0: all).
fn members(store: &Store, alarms: u64, kind: i32) -> Vec<AlarmMember> {
    let member_id = store.identity().member;
    [alarm_type::NOSPACE, alarm_type::CORRUPT]
        .into_iter()
        .filter(|&alarm| alarms & bit(alarm) != 0 && (kind == alarm_type::NONE || kind == alarm))
        .map(|alarm| AlarmMember { member_id, alarm })
        .collect()
}

/// Alarms that are on, of a type (0: all).
pub fn listed(store: &Store, kind: i32) -> Vec<AlarmMember> {
    members(store, store.alarms.load(Ordering::Acquire), kind)
}

fn alarm(store: &Store, request: &AlarmRequest, after: &mut After) -> Result<Vec<AlarmMember>> {
    let alarms = after.alarms.unwrap_or_else(|| store.alarms.load(Ordering::Acquire));
    let member_id = store.identity().member;
    let known = request.alarm == alarm_type::NOSPACE || request.alarm == alarm_type::CORRUPT;
    if request.action == alarm_action::GET {
        return Ok(members(store, alarms, request.alarm));
    }
    if request.member_id != 0 && request.member_id != member_id {
        return Err(Error::MemberNotFound);
    }
    let told = vec![AlarmMember { member_id, alarm: request.alarm }];
    let bit = bit(request.alarm);
    match request.action {
        alarm_action::ACTIVATE if known => {
            after.alarms = Some(alarms | bit);
            Ok(told)
        }
        alarm_action::DEACTIVATE if known && alarms & bit != 0 => {
            after.alarms = Some(alarms & !bit);
            Ok(told)
        }
        _ => Ok(Vec::new()),
    }
}
