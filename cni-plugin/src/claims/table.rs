//! The kernel's side of claims: put, taken away, checked, collected, restored.

use super::{Body, Owner, Record, Records, kernel_error};
use crate::crash;
use crate::types::{CniError, ErrorCode};
use netstate::nft::{Change, Element, Layout, NftSocket, Rejected, Value};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A call gives up after this many refusals in a row: each time somebody else changed the table between
/// two of its steps, and it holds the lock of all who should.
const TRIES: usize = 10;

/// An element that a container claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// In which set.
    pub set: &'static str,
    /// The element; its comment says whose it is.
    pub element: Element,
    /// Several containers have the same: it goes with the last of them, for which all records are read.
    pub shared: bool,
}

impl Claim {
    fn key(&self) -> (&'static str, Value) {
        (self.set, self.element.key.clone())
    }

    fn add(&self) -> Change {
        Change::Add(self.set.to_owned(), self.element.clone())
    }

    fn remove(&self) -> Change {
        Change::Remove(self.set.to_owned(), self.element.key.clone())
    }
}

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
/// of a container that is gone is taken over. The record must have been written, and no element of an
/// earlier record of this owner be in the kernel that this one lacks, but for those in `before`.
pub(crate) fn put<B: Body>(
    nft: &mut NftSocket,
    layout: &Layout,
    records: &Records,
    record: &Record<B>,
    before: &[Claim],
) -> Result<Put, CniError> {
    let failed = || kernel_error(format!("table {}", layout.table));
    let claims = record.elements();
    let comment = record.owner.comment();
    if !layout.has_rules(&nft.rules(&layout.table, None).map_err(failed())?) {
        return rebuild(nft, layout, records, Some(record), None);
    }
    // First what goes: a key may come back with other data.
    let mut leaving: BTreeMap<(&'static str, Value), Claim> = BTreeMap::new();
    for claim in before.iter().filter(|claim| !claim.shared) {
        if element(nft, layout, claim)?.is_some_and(|there| there.comment == comment) {
            leaving.insert(claim.key(), claim.clone());
        }
    }
    let mut there: HashSet<(&'static str, Value)> = HashSet::new();
    for _ in 0..TRIES {
        let coming: Vec<&Claim> = claims.iter().filter(|claim| !there.contains(&claim.key())).collect();
        let leave: Vec<Claim> = leaving.values().cloned().collect();
        let changes: Vec<Change> =
            leave.iter().map(Claim::remove).chain(coming.iter().map(|claim| claim.add())).collect();
        let rejected = nft.commit(&layout.table, &changes).map_err(failed())?;
        if rejected.is_empty() {
            return Ok(Put::Done);
        }
        for Rejected { at, errno, said } in rejected {
            match (at, errno) {
                (Some(at), libc::ENOENT) if at < leave.len() => {
                    leaving.remove(&leave[at].key());
                }
                (Some(_), libc::ENOENT) => return rebuild(nft, layout, records, Some(record), None),
                (Some(at), libc::EEXIST | libc::EBUSY) if at >= leave.len() => {
                    let claim = coming[at - leave.len()];
                    let Some(found) = element(nft, layout, claim)? else { continue };
                    if claim.shared && found == claim.element {
                        there.insert(claim.key());
                    } else if found.comment == comment || may_take::<B>(records, &found.comment)? {
                        leaving.insert(claim.key(), claim.clone());
                    } else {
                        return Ok(Put::Taken(Taken { claim: claim.clone(), owner: found.comment }));
                    }
                }
                _ => return Err(refused(layout, &said, errno)),
            }
        }
    }
    Err(restless(layout))
}

/// Whether the element's owner is gone. One without a record is none of ours, or was left by somebody who
/// removed the record by hand.
fn may_take<B: Body>(records: &Records, comment: &str) -> Result<bool, CniError> {
    Ok(!B::EXCLUSIVE || !records.of_comment::<B>(comment)?.is_some_and(|record| record.is_alive()))
}

fn element(nft: &mut NftSocket, layout: &Layout, claim: &Claim) -> Result<Option<Element>, CniError> {
    nft.element(&layout.table, claim.set, &claim.element.key)
        .map_err(kernel_error(format!("set {} of table {}", claim.set, layout.table)))
}

/// Makes the table anew with the elements of all records, in one transaction. Where two records claim one
/// key, the older one's owner has it while it lives.
fn rebuild<B: Body>(
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
    let mut elements: HashMap<(&'static str, Value), (Claim, usize)> = HashMap::new();
    for (number, record) in all.iter().enumerate() {
        for claim in record.elements() {
            let holder = elements.get(&claim.key());
            let stays =
                holder.is_some_and(|(_, holder)| claim.shared || B::EXCLUSIVE && all[*holder].is_alive());
            if !stays {
                elements.insert(claim.key(), (claim, number));
            } else if let (Some(newest), Some((_, holder))) = (newest, holder)
                && record.owner == newest.owner
                && !claim.shared
                && all[*holder].owner != newest.owner
            {
                return Ok(Put::Taken(Taken { owner: all[*holder].owner.comment(), claim }));
            }
        }
    }
    let mut changes = vec![Change::Table, Change::DeleteTable];
    changes.extend(layout.changes());
    changes.extend(elements.values().map(|(claim, _)| claim.add()));
    let rejected =
        nft.commit(&layout.table, &changes).map_err(kernel_error(format!("table {}", layout.table)))?;
    match rejected.into_iter().next() {
        None => Ok(Put::Done),
        Some(Rejected { errno, said, .. }) => Err(refused(layout, &said, errno)),
    }
}

/// Takes a record's elements out of the kernel, and the whole table with the last record's. Only elements
/// that carry the owner's comment: a killed ADD may have a record with another's keys.
pub(crate) fn take_away<B: Body>(
    nft: &mut NftSocket,
    layout: &Layout,
    records: &Records,
    record: &Record<B>,
) -> Result<(), CniError> {
    if !records.has_others(&record.owner)? {
        return delete_table(nft, layout);
    }
    let rules = nft.rules(&layout.table, None).map_err(kernel_error(format!("table {}", layout.table)))?;
    if !layout.has_rules(&rules) {
        return rebuild::<B>(nft, layout, records, None, Some(&record.owner)).map(|_| ());
    }
    let comment = record.owner.comment();
    let (shared, own): (Vec<Claim>, Vec<Claim>) = record.elements().into_iter().partition(|c| c.shared);
    let mut leaving = Vec::new();
    for claim in own {
        if element(nft, layout, &claim)?.is_some_and(|there| there.comment == comment) {
            leaving.push(claim.remove());
        }
    }
    if !shared.is_empty() {
        let others = records.all::<B>()?.into_iter().filter(|other| other.owner != record.owner);
        let theirs: HashSet<_> = others.flat_map(|other| other.elements()).map(|c| c.key()).collect();
        leaving.extend(shared.iter().filter(|claim| !theirs.contains(&claim.key())).map(Claim::remove));
    }
    remove_all(nft, layout, leaving)
}

fn remove_all(nft: &mut NftSocket, layout: &Layout, mut leaving: Vec<Change>) -> Result<(), CniError> {
    for _ in 0..TRIES {
        let failed = kernel_error(format!("table {}", layout.table));
        let rejected = nft.commit(&layout.table, &leaving).map_err(failed)?;
        if rejected.is_empty() {
            return Ok(());
        }
        if let Some(other) = rejected.iter().find(|r| r.errno != libc::ENOENT || r.at.is_none()) {
            return Err(refused(layout, &other.said, other.errno));
        }
        // Gone meanwhile: that is what was wanted.
        let mut number = 0;
        leaving.retain(|_| {
            number += 1;
            !rejected.iter().any(|r| r.at == Some(number - 1))
        });
    }
    Err(restless(layout))
}

fn delete_table(nft: &mut NftSocket, layout: &Layout) -> Result<(), CniError> {
    nft.delete(&layout.table).map_err(kernel_error(format!("table {}", layout.table)))
}

/// Compares a record with the kernel; `Some` says what is missing or other.
pub(crate) fn check<B: Body>(
    nft: &mut NftSocket,
    layout: &Layout,
    record: &Record<B>,
) -> Result<Option<String>, CniError> {
    let table = &layout.table;
    let failed = || kernel_error(format!("table {table}"));
    match nft.fingerprint(table).map_err(failed())? {
        None => return Ok(Some(format!("there is no table {table}"))),
        Some(found) if found != layout.fingerprint() => {
            return Ok(Some(format!("the chains and rules of table {table} are not those of this plugin")));
        }
        Some(_) => {}
    }
    for claim in record.elements() {
        let found = element(nft, layout, &claim)?;
        if found.as_ref() != Some(&claim.element) {
            let what = if found.is_some() { "has another" } else { "lacks the" };
            return Ok(Some(format!(
                "set {} of table {table} {what} element of {}",
                claim.set, claim.element.comment
            )));
        }
    }
    Ok(None)
}

/// GC: takes away what belongs to no attachment that is `wanted`, of one network: records, then elements
/// that no record has. What was shared goes if nobody shares it any more.
pub(crate) fn collect<B: Body>(
    nft: &mut NftSocket,
    layout: &Layout,
    records: &Records,
    network: &str,
    wanted: impl Fn(&Owner) -> bool,
) -> Result<Vec<Record<B>>, CniError> {
    let (kept, stale): (Vec<_>, Vec<_>) = records
        .all::<B>()?
        .into_iter()
        .partition(|record| record.owner.network != network || wanted(&record.owner));
    for record in &stale {
        take_away(nft, layout, records, record)?;
        crash::point("gc: the elements of a record are gone");
        records.remove(&record.owner)?;
        crash::point("gc: a record is gone");
    }
    let keys: HashSet<(&str, Value)> =
        kept.iter().flat_map(|record| record.elements()).map(|claim| claim.key()).collect();
    let prefix = format!("{network}/");
    let mut orphans = Vec::new();
    for set in &layout.sets {
        let found =
            nft.elements(&layout.table, &set.name).map_err(kernel_error(format!("set {}", set.name)))?;
        for element in found.unwrap_or_default() {
            let has_record = keys.contains(&(set.name.as_str(), element.key.clone()));
            if !has_record && (element.comment.starts_with(&prefix) || !element.comment.contains('/')) {
                orphans.push(Change::Remove(set.name.clone(), element.key));
            }
        }
    }
    remove_all(nft, layout, orphans)?;
    crash::point("gc: elements without a record are gone");
    if kept.is_empty() {
        delete_table(nft, layout)?;
    }
    Ok(stale)
}

/// Puts everything back that the records say and the kernel lacks; answers what was missing.
pub(crate) fn restore<B: Body>(
    nft: &mut NftSocket,
    layout: &Layout,
    records: &Records,
) -> Result<Option<String>, CniError> {
    let all = records.all::<B>()?;
    if all.is_empty() {
        return Ok(None);
    }
    let table = &layout.table;
    let failed = || kernel_error(format!("table {table}"));
    let missing = match nft.fingerprint(table).map_err(failed())? {
        None => Some(format!("table {table}")),
        Some(found) if found != layout.fingerprint() => Some(format!("chains or rules of table {table}")),
        Some(_) => missing_elements(nft, layout, &all)?,
    };
    if missing.is_some() {
        rebuild::<B>(nft, layout, records, None, None)?;
        crash::point("restore: the table is whole");
    }
    Ok(missing)
}

fn missing_elements<B: Body>(
    nft: &mut NftSocket,
    layout: &Layout,
    all: &[Record<B>],
) -> Result<Option<String>, CniError> {
    let mut there: HashSet<(String, Value)> = HashSet::new();
    for set in &layout.sets {
        match nft.elements(&layout.table, &set.name).map_err(kernel_error(format!("set {}", set.name)))? {
            None => return Ok(Some(format!("set {} of table {}", set.name, layout.table))),
            Some(found) => there.extend(found.into_iter().map(|element| (set.name.clone(), element.key))),
        }
    }
    let claims = all.iter().flat_map(|record| record.elements());
    let missing =
        claims.filter(|claim| !there.contains(&(claim.set.to_owned(), claim.element.key.clone()))).count();
    Ok((missing > 0).then(|| format!("{missing} elements of table {}", layout.table)))
}

fn refused(layout: &Layout, said: &str, errno: i32) -> CniError {
    let error = std::io::Error::from_raw_os_error(errno);
    let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
    let details = match errno {
        libc::EPERM => "the plugin needs CAP_NET_ADMIN in this network namespace (run as root)",
        libc::EOPNOTSUPP | libc::ENOENT => {
            "this kernel lacks a part of nftables: load nft_nat, nft_masq, nft_fib_inet and nft_ct, or see dmesg"
        }
        _ => "`nft list ruleset` shows what is there; `dmesg` may say more",
    };
    CniError::new(
        ErrorCode::Kernel,
        format!("table {} was not changed: {error}{said}", layout.table),
        details,
    )
}

fn restless(layout: &Layout) -> CniError {
    let msg = format!("table {} changed {TRIES} times while this call changed it", layout.table);
    CniError::new(ErrorCode::TryAgainLater, msg, "find what else writes it with `nft monitor`")
}
