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

use crate::{
    Address, DevName, FdbEntry, Link, LinkChange, LinkKind, Mac, Neighbour, NewLink, NewLinkKind, Op,
    ROUTE_PROTOCOL, Route, RouteKey, Rule, State, nft,
};

/// What belongs to the caller: what is observed here and not desired is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Every address, neighbour, FDB entry and route on these devices is the caller's.
    pub devices: BTreeSet<DevName>,
    /// Routes with our protocol number on these other devices are the caller's.
    pub route_devices: BTreeSet<DevName>,
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
    // What stood on a replaced device went with it.
    let gone = |dev: &DevName| replaced.contains(dev);
    plan_sysctls(desired, observed, &mut ops);
    let mut adds = Vec::new();
    plan_set(
        &desired.addresses,
        observed.addresses.iter().filter(|a| !gone(&a.dev)),
        address_key,
        |a, b| a.net == b.net,
        |a| desired.scope.devices.contains(&a.dev) && !a.link_scope,
        |a| Op::DeleteAddress(a.clone()),
        |a| Op::AddAddress(a.clone()),
        true,
        &mut ops,
        &mut adds,
    );
    plan_set(
        &desired.neighbours,
        observed.neighbours.iter().filter(|n| !gone(&n.dev)),
        |n| (n.dev.clone(), n.ip),
        |a, b| a == b,
        |n| desired.scope.devices.contains(&n.dev) && n.permanent,
        |n| Op::DeleteNeighbour(n.clone()),
        |n| Op::ReplaceNeighbour(n.clone()),
        false,
        &mut ops,
        &mut adds,
    );
    plan_set(
        &desired.fdb,
        observed.fdb.iter().filter(|e| !gone(&e.dev)),
        fdb_key,
        |a, b| a == b,
        |e| desired.scope.devices.contains(&e.dev),
        |e| Op::DeleteFdb(e.clone()),
        |e| Op::ReplaceFdb(e.clone()),
        false,
        &mut ops,
        &mut adds,
    );
    plan_set(
        &desired.routes,
        observed.routes.iter().filter(|r| r.dev.as_ref().is_none_or(|d| !gone(d))),
        route_key,
        Route::same_path,
        |r| owns_route(&desired.scope, r),
        |r| Op::DeleteRoute(r.clone()),
        |r| Op::ReplaceRoute(r.clone()),
        false,
        &mut ops,
        &mut adds,
    );
    plan_set(
        &desired.rules,
        observed.rules.iter(),
        |r| r.clone(),
        |a, b| a == b,
        |r| owns_rule(&desired.scope, r),
        |r| Op::DeleteRule(r.clone()),
        |r| Op::AddRule(r.clone()),
        false,
        &mut ops,
        &mut adds,
    );
    ops.append(&mut adds);
    plan_tables(desired, observed, &mut ops);
    ops
}

fn address_key(address: &Address) -> (DevName, std::net::IpAddr) {
    (address.dev.clone(), address.net.ip())
}

fn fdb_key(entry: &FdbEntry) -> (DevName, Mac) {
    (entry.dev.clone(), entry.mac)
}

fn route_key(route: &Route) -> RouteKey {
    route.key()
}

/// What the kernel makes by itself when an address comes (protocol 2) goes with that address.
fn owns_route(scope: &Scope, route: &Route) -> bool {
    const KERNEL: u8 = 2;
    let Some(dev) = &route.dev else { return false };
    scope.devices.contains(dev) && route.protocol != KERNEL
        || scope.route_devices.contains(dev) && route.protocol == ROUTE_PROTOCOL
}

fn owns_rule(scope: &Scope, rule: &Rule) -> bool {
    let within = scope.rule_priorities.is_some_and(|(low, high)| (low..=high).contains(&rule.priority));
    within && rule.protocol == ROUTE_PROTOCOL
}

/// Plans one kind of entry: what is owned and no longer wanted goes, what is missing or different
/// comes. `delete_changed` where the kernel cannot replace in place.
#[expect(clippy::too_many_arguments, reason = "one table row per kind of entry, used only above")]
fn plan_set<'a, T: 'a, K: std::hash::Hash + Eq>(
    desired: &[T],
    observed: impl Iterator<Item = &'a T>,
    key: impl Fn(&T) -> K,
    same: impl Fn(&T, &T) -> bool,
    owned: impl Fn(&T) -> bool,
    delete: impl Fn(&T) -> Op,
    add: impl Fn(&T) -> Op,
    delete_changed: bool,
    deletes: &mut Vec<Op>,
    adds: &mut Vec<Op>,
) {
    let wanted: HashMap<K, &T> = desired.iter().map(|item| (key(item), item)).collect();
    let mut there = HashSet::new();
    for item in observed {
        let key = key(item);
        match wanted.get(&key) {
            Some(want) if same(want, item) => {
                there.insert(key);
            }
            // Another program's entry under a key that we want is replaced by ours.
            Some(_) if !delete_changed => {}
            _ if owned(item) => deletes.push(delete(item)),
            _ => {}
        }
    }
    adds.extend(desired.iter().filter(|item| !there.contains(&key(item))).map(add));
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
