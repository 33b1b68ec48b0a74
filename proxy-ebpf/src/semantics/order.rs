//! In which order a back end may write changed service ports down: a frontend is released before it is taken.
//!
//! Two ports that swap frontends in one step have no such order, so a port that both gives a frontend to another
//! and takes one from another changes in two steps: first without what it gives, then as it will be.

use super::claims::Claim;
use crate::{PortChange, PortId, ServicePort};
use std::collections::HashSet;
use std::sync::Arc;

/// The changes in order.
pub(crate) fn in_order(changes: Vec<PortChange>) -> Vec<PortChange> {
    let passed_on = passed_on(&changes);
    let mut first = Vec::new();
    let mut then = Vec::new();
    for change in changes {
        let gives = loses(&change).any(|claim| passed_on.contains(&claim));
        let takes = gains(&change).any(|claim| passed_on.contains(&claim));
        match (gives, takes) {
            (true, true) => {
                let between = without(&change, &passed_on);
                first.push(PortChange {
                    id: change.id.clone(),
                    before: change.before,
                    after: between.clone(),
                });
                then.push(PortChange { id: change.id, before: between, after: change.after });
            }
            (true, false) => first.push(change),
            (false, _) if change.after.is_none() => first.push(change),
            (false, _) => then.push(change),
        }
    }
    first.append(&mut then);
    first
}

/// What one port of these changes loses and another gains.
fn passed_on(changes: &[PortChange]) -> HashSet<Claim> {
    let lost: HashSet<Claim> = changes.iter().flat_map(loses).collect();
    changes.iter().flat_map(gains).filter(|claim| lost.contains(claim)).collect()
}

fn claims<'a>(id: &'a PortId, port: Option<&'a ServicePort>) -> impl Iterator<Item = Claim> + 'a {
    port.into_iter().flat_map(move |port| port.frontends.iter().map(move |frontend| Claim::of(id, frontend)))
}

fn loses(change: &PortChange) -> impl Iterator<Item = Claim> + '_ {
    let after: HashSet<Claim> = claims(&change.id, change.after.as_deref()).collect();
    claims(&change.id, change.before.as_deref()).filter(move |claim| !after.contains(claim))
}

fn gains(change: &PortChange) -> impl Iterator<Item = Claim> + '_ {
    let before: HashSet<Claim> = claims(&change.id, change.before.as_deref()).collect();
    claims(&change.id, change.after.as_deref()).filter(move |claim| !before.contains(claim))
}

/// The port as it was, without what it gives away.
fn without(change: &PortChange, passed_on: &HashSet<Claim>) -> Option<Arc<ServicePort>> {
    let lost: HashSet<Claim> = loses(change).filter(|claim| passed_on.contains(claim)).collect();
    let mut port = change.before.as_deref()?.clone();
    port.frontends.retain(|frontend| !lost.contains(&Claim::of(&change.id, frontend)));
    Some(Arc::new(port))
}
