//! Putting claims into the kernel.
//!
//! ```text
//!  rules of the table ── not ours ──► rebuild: table, sets, rules and the elements of all records at once
//!        │ ours
//!        ▼
//!  remove what goes, add what comes, EXCL ──► done
//!        ▲                    │ refused, with a reason for each element
//!        └── learned ◄────────┤ EEXIST: ours or a dead container's ► removed first, by the next try
//!                             │ EEXIST: a living container's ► taken
//!                             │ ENOENT: a set is gone ► rebuild
//! ```

use super::table::{Claim, Key, TRIES, element, keys_of_others, refused, restless};
use super::{Body, Owner, Record, Records, kernel_error};
use crate::types::CniError;
use netstate::nft::{Change, Layout, NftSocket, Rejected};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A key that somebody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken {
    /// What was claimed.
    pub claim: Claim,
    /// The comment of the element that is there.
    pub owner: String,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is in the kernel.
    Done,
    /// It is not, because another container that lives has this.
    Taken(Taken),
}

/// Puts a record's elements into the kernel, in one transaction; makes the table whole if it is not. A key
/// of a container that is gone is taken over. The record must have been written; `before` is what an
/// earlier record of this owner claimed.
pub(crate) fn put<B: Body>(
    nft: &mut NftSocket,
    layout: &Layout,
    records: &Records,
    record: &Record<B>,
    before: &[Claim],
) -> Result<Put, CniError> {
    let failed = || kernel_error(format!("table {}", layout.table));
    if !layout.has_rules(&nft.rules(&layout.table, None).map_err(failed())?) {
        return rebuild(nft, layout, records, Some(record), None);
    }
    let mut attempt = Attempt {
        layout,
        records,
        comment: record.owner.comment(),
        claims: record.elements(),
        leaving: BTreeMap::new(),
        there: HashSet::new(),
    };
    attempt.leave::<B>(nft, &record.owner, before)?;
    for _ in 0..TRIES {
        let (leave, come) = attempt.wanted();
        let changes: Vec<Change> =
            leave.iter().map(Claim::remove).chain(come.iter().map(Claim::add)).collect();
        let rejected = nft.commit(&layout.table, &changes).map_err(failed())?;
        if rejected.is_empty() {
            return Ok(Put::Done);
        }
        match attempt.learn::<B>(nft, &leave, &come, rejected)? {
            Lesson::TryAgain => {}
            Lesson::Rebuild => return rebuild(nft, layout, records, Some(record), None),
            Lesson::Taken(taken) => return Ok(Put::Taken(taken)),
        }
    }
    Err(restless(layout))
}

/// What is known so far of what one transaction must do.
struct Attempt<'a> {
    layout: &'a Layout,
    records: &'a Records,
    comment: String,
    claims: Vec<Claim>,
    /// Elements that go first: a key may come back with other data.
    leaving: BTreeMap<Key, Claim>,
    /// Shared ones that somebody put already.
    there: HashSet<Key>,
}

/// What follows from a refusal.
enum Lesson {
    TryAgain,
    Rebuild,
    Taken(Taken),
}

impl Attempt<'_> {
    fn leave<B: Body>(
        &mut self,
        nft: &mut NftSocket,
        owner: &Owner,
        before: &[Claim],
    ) -> Result<(), CniError> {
        for claim in before.iter().filter(|claim| !claim.shared) {
            if element(nft, self.layout, claim)?.is_some_and(|there| there.comment == self.comment) {
                self.leaving.insert(claim.key(), claim.clone());
            }
        }
        let mut shared =
            before.iter().filter(|claim| claim.shared && !self.claims.contains(claim)).peekable();
        if shared.peek().is_some() {
            let theirs = keys_of_others::<B>(self.records, owner)?;
            let unshared = shared.filter(|claim| !theirs.contains(&claim.key()));
            self.leaving.extend(unshared.map(|claim| (claim.key(), claim.clone())));
        }
        Ok(())
    }

    fn wanted(&self) -> (Vec<Claim>, Vec<Claim>) {
        let come = self.claims.iter().filter(|claim| !self.there.contains(&claim.key()));
        (self.leaving.values().cloned().collect(), come.cloned().collect())
    }

    fn learn<B: Body>(
        &mut self,
        nft: &mut NftSocket,
        leave: &[Claim],
        come: &[Claim],
        rejected: Vec<Rejected>,
    ) -> Result<Lesson, CniError> {
        for Rejected { at, errno, said } in rejected {
            match (at, errno) {
                (Some(at), libc::ENOENT) if at < leave.len() => {
                    self.leaving.remove(&leave[at].key());
                }
                (Some(_), libc::ENOENT) => return Ok(Lesson::Rebuild),
                (Some(at), libc::EEXIST | libc::EBUSY) if at >= leave.len() => {
                    if let Some(taken) = self.settle::<B>(nft, &come[at - leave.len()])? {
                        return Ok(Lesson::Taken(taken));
                    }
                }
                _ => return Err(refused(self.layout, &said, errno)),
            }
        }
        Ok(Lesson::TryAgain)
    }

    /// Whose is a key that is there: ours to replace, or somebody's?
    fn settle<B: Body>(&mut self, nft: &mut NftSocket, claim: &Claim) -> Result<Option<Taken>, CniError> {
        let Some(found) = element(nft, self.layout, claim)? else { return Ok(None) };
        if claim.shared && found == claim.element {
            self.there.insert(claim.key());
        } else if found.comment == self.comment || self.may_take::<B>(&found.comment)? {
            self.leaving.insert(claim.key(), claim.clone());
        } else {
            return Ok(Some(Taken { claim: claim.clone(), owner: found.comment }));
        }
        Ok(None)
    }

    /// Whether an element's owner is gone. One without a record is none of ours, or was left by somebody who
    /// removed the record by hand.
    fn may_take<B: Body>(&self, comment: &str) -> Result<bool, CniError> {
        let record = if B::EXCLUSIVE { self.records.of_comment::<B>(comment)? } else { None };
        Ok(!record.is_some_and(|record| record.is_alive()))
    }
}

/// Makes the table anew with the elements of all records but `without`'s, in one transaction. Where two
/// records claim one key, the older one's owner has it while it lives.
pub(super) fn rebuild<B: Body>(
    nft: &mut NftSocket,
    layout: &Layout,
    records: &Records,
    newest: Option<&Record<B>>,
    without: Option<&Owner>,
) -> Result<Put, CniError> {
    let mut all = records.all::<B>()?;
    all.retain(|record| Some(&record.owner) != without);
    if let Some(newest) = newest {
        // Last, whatever the file's time says: it is the one that has yet to win its keys.
        all.retain(|record| record.owner != newest.owner);
        all.push(newest.clone());
    }
    let (claims, lost) = distribute(&all);
    let newest = newest.map(|newest| &newest.owner);
    if let Some((_, taken)) = lost.into_iter().find(|(loser, _)| Some(loser) == newest) {
        // The others' table is made whole all the same.
        rebuild::<B>(nft, layout, records, None, newest)?;
        return Ok(Put::Taken(taken));
    }
    let mut changes = vec![Change::Table, Change::DeleteTable];
    changes.extend(layout.changes());
    changes.extend(claims.iter().map(Claim::add));
    let rejected =
        nft.commit(&layout.table, &changes).map_err(kernel_error(format!("table {}", layout.table)))?;
    match rejected.into_iter().next() {
        None => {
            B::restored(&all);
            Ok(Put::Done)
        }
        Some(Rejected { errno, said, .. }) => Err(refused(layout, &said, errno)),
    }
}

/// Each key to one of the records that claim it; who lost one, and to whom.
fn distribute<B: Body>(all: &[Record<B>]) -> (Vec<Claim>, Vec<(Owner, Taken)>) {
    let mut holders: HashMap<Key, (Claim, &Record<B>)> = HashMap::new();
    let mut lost = Vec::new();
    for record in all {
        for claim in record.elements() {
            match holders.get(&claim.key()) {
                Some(_) if claim.shared => {}
                Some((_, holder)) if B::EXCLUSIVE && holder.is_alive() => {
                    let owner = holder.owner.comment();
                    lost.push((record.owner.clone(), Taken { claim, owner }));
                }
                _ => drop(holders.insert(claim.key(), (claim, record))),
            }
        }
    }
    (holders.into_values().map(|(claim, _)| claim).collect(), lost)
}
