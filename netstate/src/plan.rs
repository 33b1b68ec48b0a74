//! The difference between what is desired and what is there, as operations. Pure.
//!
//! ```text
//! order:  sysctls that exist → links made or changed → stale entries out → addresses → neighbours
//!         → FDB → routes → rules → tables
//! ```
//!
//! A route comes last because traffic flows from the moment it stands: what it leads to is ready
//! by then. Stale entries go before new ones come, since a new one may take the same key.
//!
//! Cost: sorting and hashing of what is desired and what is observed; no comparison of all pairs.

use std::collections::{BTreeSet, HashMap, HashSet};

use ipnetwork::IpNetwork;

use crate::{
    Address, DevName, FdbEntry, Link, LinkChange, LinkKind, Neighbour, NewLink, NewLinkKind, Op, Route, Rule,
    State, entry::Entry, nft,
};

/// What belongs to the caller: what is observed here and not desired is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Every address, neighbour, FDB entry and route on these devices is the caller's.
    pub devices: BTreeSet<DevName>,
    /// Routes with our protocol number to destinations in these networks are the caller's, on any
    /// device: other components of ours put the same number on theirs.
    pub route_networks: Vec<IpNetwork>,
    /// Rules with our protocol number in this range of priorities are the caller's.
    pub rule_priorities: Option<(u32, u32)>,
}

/// What should be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// Links that should exist. A link of that name which cannot be changed into it is replaced.
    pub links: Vec<NewLink>,
    /// Links that should not exist.
    pub absent_links: Vec<DevName>,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Neighbours.
    pub neighbours: Vec<Neighbour>,
    /// FDB entries.
    pub fdb: Vec<FdbEntry>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Rules.
    pub rules: Vec<Rule>,
    /// nftables tables.
    pub tables: Vec<nft::Table>,
    /// Tables that should not exist.
    pub absent_tables: Vec<nft::TableId>,
    /// Sysctls, where the kernel has them.
    pub sysctls: Vec<(String, String)>,
    /// What is the caller's.
    pub scope: Scope,
}

/// The operations that turn `observed` into `desired`; none where it is so already.
pub fn plan(desired: &Desired, observed: &State) -> Vec<Op> {
    let mut ops = Vec::new();
    let replaced = plan_links(desired, observed, &mut ops);
    plan_sysctls(desired, observed, &mut ops);
    let mut entries = Entries { scope: &desired.scope, replaced, deletes: ops, adds: Vec::new() };
    entries.plan(&desired.addresses, &observed.addresses);
    entries.plan(&desired.neighbours, &observed.neighbours);
    entries.plan(&desired.fdb, &observed.fdb);
    entries.plan(&desired.routes, &observed.routes);
    entries.plan(&desired.rules, &observed.rules);
    let mut ops = entries.deletes;
    ops.append(&mut entries.adds);
    plan_tables(desired, observed, &mut ops);
    ops
}

/// The plan of the entries on devices.
struct Entries<'a> {
    scope: &'a Scope,
    /// Devices made anew: what stood on them went with them.
    replaced: BTreeSet<DevName>,
    deletes: Vec<Op>,
    adds: Vec<Op>,
}

impl Entries<'_> {
    /// What is owned and no longer wanted goes, what is missing or different comes.
    fn plan<T: Entry>(&mut self, desired: &[T], observed: &[T]) {
        let wanted: HashMap<T::Key, &T> = desired.iter().map(|item| (item.key(), item)).collect();
        let mut there = HashSet::new();
        for item in observed {
            if item.device().is_some_and(|dev| self.replaced.contains(dev)) {
                continue;
            }
            let key = item.key();
            match wanted.get(&key) {
                Some(want) if want.same(item) => drop(there.insert(key)),
                // Another program's entry under a key that we want is replaced by ours.
                Some(want) if !want.needs_delete_first(item) => {}
                _ if item.owned(self.scope) => self.deletes.push(item.clone().delete()),
                _ => {}
            }
        }
        let missing = desired.iter().filter(|item| !there.contains(&item.key()));
        self.adds.extend(missing.map(|item| item.clone().add()));
    }
}

/// Plans links; answers the names of those that are deleted or made anew.
fn plan_links(desired: &Desired, observed: &State, ops: &mut Vec<Op>) -> BTreeSet<DevName> {
    let mut replaced = BTreeSet::new();
    for name in desired.absent_links.iter().filter(|name| observed.link(name).is_some()) {
        ops.push(Op::DeleteLink(name.clone()));
        replaced.insert(name.clone());
    }
    for want in &desired.links {
        match observed.link(&want.name) {
            Some(link) if can_become(&want.kind, &link.kind) => {
                ops.extend(link_change(want, link, observed).map(Op::ChangeLink));
            }
            found => {
                ops.extend(found.map(|link| Op::DeleteLink(link.name.clone())));
                ops.push(Op::AddLink(want.clone()));
                replaced.insert(want.name.clone());
            }
        }
    }
    replaced
}

/// Whether a link's fixed attributes are right, so that the rest can be changed in place.
fn can_become(want: &NewLinkKind, have: &LinkKind) -> bool {
    match (want, have) {
        (NewLinkKind::Veth(_), LinkKind::Veth) | (NewLinkKind::Bridge(_), LinkKind::Bridge(_)) => true,
        (NewLinkKind::Vxlan(want), LinkKind::Vxlan(have)) => {
            want.vni == have.vni
                && want.port == have.port
                && want.local == have.local
                && (want.parent.is_none() || want.parent == have.parent)
                && want.learning == have.learning
                && want.gbp == have.gbp
        }
        _ => false,
    }
}

/// The change that `link` needs, if any. A foreign alias stays: it is somebody's note.
fn link_change(want: &NewLink, link: &Link, observed: &State) -> Option<LinkChange> {
    let nothing = LinkChange::of(want.name.clone());
    let mut change = nothing.clone();
    change.up = (want.up && !link.up).then_some(true);
    change.mtu = want.mtu.filter(|mtu| *mtu != link.mtu);
    change.mac = want.mac.filter(|mac| Some(*mac) != link.mac);
    if let Some(master) = &want.master {
        let current = link.master.and_then(|index| observed.link_at(index)).map(|l| &l.name);
        change.master = (current != Some(master)).then(|| Some(master.clone()));
    }
    (change != nothing).then_some(change)
}

fn plan_sysctls(desired: &Desired, observed: &State, ops: &mut Vec<Op>) {
    for (key, value) in &desired.sysctls {
        if observed.sysctls.get(key).is_some_and(|have| have != value) {
            ops.push(Op::WriteSysctl { key: key.clone(), value: value.clone() });
        }
    }
}

fn plan_tables(desired: &Desired, observed: &State, ops: &mut Vec<Op>) {
    for id in desired.absent_tables.iter().filter(|id| observed.tables.contains_key(id)) {
        ops.push(Op::DeleteTable(id.clone()));
    }
    for table in &desired.tables {
        if observed.tables.get(&table.id) != Some(&table.fingerprint()) {
            ops.push(Op::ReplaceTable(table.clone()));
        }
    }
}
