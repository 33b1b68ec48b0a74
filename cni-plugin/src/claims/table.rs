//! The kernel's side of claims: taken away, checked, collected, restored. How they are put is in [`super::put`].

use super::put::rebuild;
use super::{Body, Owner, Record, Records, kernel_error};
use crate::crash;
use crate::types::{CniError, ErrorCode};
use netstate::nft::{Change, Element, Layout, NftSocket, Value};
use std::collections::HashSet;

/// A call gives up after this many refusals in a row: each time somebody else changed the table between
/// two of its steps, and it holds the lock of all who should.
pub(super) const TRIES: usize = 10;

/// Set and key: what can be claimed once.
pub(super) type Key = (&'static str, Value);

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
    pub(super) fn key(&self) -> Key {
        (self.set, self.element.key.clone())
    }

    pub(super) fn add(&self) -> Change {
        Change::Add(self.set.to_owned(), self.element.clone())
    }

    pub(super) fn remove(&self) -> Change {
        Change::Remove(self.set.to_owned(), self.element.key.clone())
    }
}

/// What the records of all but `owner` claim.
pub(super) fn keys_of_others<B: Body>(records: &Records, owner: &Owner) -> Result<HashSet<Key>, CniError> {
    let others = records.all::<B>()?.into_iter().filter(|other| other.owner != *owner);
    Ok(others.flat_map(|other| other.elements()).map(|claim| claim.key()).collect())
}

pub(super) fn element(
    nft: &mut NftSocket,
    layout: &Layout,
    claim: &Claim,
) -> Result<Option<Element>, CniError> {
    nft.element(&layout.table, claim.set, &claim.element.key)
        .map_err(kernel_error(format!("set {} of table {}", claim.set, layout.table)))
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
        let theirs = keys_of_others::<B>(records, &record.owner)?;
        leaving.extend(shared.iter().filter(|claim| !theirs.contains(&claim.key())).map(Claim::remove));
    }
    remove_all(nft, layout, leaving)
}

/// The same for an owner whose record cannot be read: what carries its comment, found by listing.
pub(crate) fn take_away_unread(
    nft: &mut NftSocket,
    layout: &Layout,
    records: &Records,
    owner: &Owner,
) -> Result<(), CniError> {
    if !records.has_others(owner)? {
        return delete_table(nft, layout);
    }
    let comment = owner.comment();
    let mut leaving = Vec::new();
    for set in &layout.sets {
        let found =
            nft.elements(&layout.table, &set.name).map_err(kernel_error(format!("set {}", set.name)))?;
        let own = found.unwrap_or_default().into_iter().filter(|element| element.comment == comment);
        leaving.extend(own.map(|element| Change::Remove(set.name.clone(), element.key)));
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
    records.remove_malformed::<B>(network, &wanted)?;
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
            let lives = Owner::of_comment(&element.comment).is_some_and(|owner| wanted(&owner));
            let ours = element.comment.starts_with(&prefix) || !element.comment.contains('/');
            if ours && !has_record && !lives {
                orphans.push(Change::Remove(set.name.clone(), element.key));
            }
        }
    }
    remove_all(nft, layout, orphans)?;
    crash::point("gc: elements without a record are gone");
    if records.is_empty()? {
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

pub(super) fn refused(layout: &Layout, said: &str, errno: i32) -> CniError {
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

pub(super) fn restless(layout: &Layout) -> CniError {
    let msg = format!("table {} changed {TRIES} times while this call changed it", layout.table);
    CniError::new(ErrorCode::TryAgainLater, msg, "find what else writes it with `nft monitor`")
}
