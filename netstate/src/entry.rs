//! What planning needs to know of each kind of entry: its key, its owner, how it comes and goes.

use std::{hash::Hash, net::IpAddr};

use ipnetwork::IpNetwork;

use crate::{Address, DevName, FdbEntry, Mac, Neighbour, Op, ROUTE_PROTOCOL, Route, RouteKey, Rule, Scope};

/// An entry that stands or falls by itself.
pub(crate) trait Entry: Clone {
    /// What the kernel tells entries apart by.
    type Key: Hash + Eq;
    fn key(&self) -> Self::Key;
    /// The device that it goes with.
    fn device(&self) -> Option<&DevName>;
    /// Whether what is there serves as well.
    fn same(&self, there: &Self) -> bool;
    /// Whether it may be removed when nobody wants it.
    fn owned(&self, scope: &Scope) -> bool;
    fn add(self) -> Op;
    fn delete(self) -> Op;
    /// Whether the kernel cannot turn `there` into this in one operation.
    fn needs_delete_first(&self, _there: &Self) -> bool {
        false
    }
}

impl Entry for Address {
    type Key = (DevName, IpAddr);

    fn key(&self) -> Self::Key {
        (self.dev.clone(), self.net.ip())
    }

    fn device(&self) -> Option<&DevName> {
        Some(&self.dev)
    }

    fn same(&self, there: &Self) -> bool {
        self.net == there.net
    }

    /// Link-local addresses are the kernel's.
    fn owned(&self, scope: &Scope) -> bool {
        scope.devices.contains(&self.dev) && !self.link_scope
    }

    fn add(self) -> Op {
        Op::AddAddress(self)
    }

    fn delete(self) -> Op {
        Op::DeleteAddress(self)
    }

    fn needs_delete_first(&self, _there: &Self) -> bool {
        true
    }
}

impl Entry for Neighbour {
    type Key = (DevName, IpAddr);

    fn key(&self) -> Self::Key {
        (self.dev.clone(), self.ip)
    }

    fn device(&self) -> Option<&DevName> {
        Some(&self.dev)
    }

    fn same(&self, there: &Self) -> bool {
        self == there
    }

    /// What the kernel resolved by itself ages by itself.
    fn owned(&self, scope: &Scope) -> bool {
        scope.devices.contains(&self.dev) && self.permanent
    }

    fn add(self) -> Op {
        Op::ReplaceNeighbour(self)
    }

    fn delete(self) -> Op {
        Op::DeleteNeighbour(self)
    }
}

impl Entry for FdbEntry {
    type Key = (DevName, Mac);

    fn key(&self) -> Self::Key {
        (self.dev.clone(), self.mac)
    }

    fn device(&self) -> Option<&DevName> {
        Some(&self.dev)
    }

    fn same(&self, there: &Self) -> bool {
        self == there
    }

    /// What a device with learning learned ages by itself.
    fn owned(&self, scope: &Scope) -> bool {
        scope.devices.contains(&self.dev) && self.permanent
    }

    fn add(self) -> Op {
        Op::ReplaceFdb(self)
    }

    fn delete(self) -> Op {
        Op::DeleteFdb(self)
    }
}

impl Entry for Route {
    type Key = RouteKey;

    fn key(&self) -> Self::Key {
        Self::key(self)
    }

    fn device(&self) -> Option<&DevName> {
        self.dev.as_ref()
    }

    fn same(&self, there: &Self) -> bool {
        self.same_path(there)
    }

    /// What the kernel makes by itself when an address comes (protocol 2) goes with that address.
    fn owned(&self, scope: &Scope) -> bool {
        const KERNEL: u8 = 2;
        let Some(dev) = &self.dev else { return false };
        let within =
            |net: &IpNetwork| net.prefix() <= self.dest.prefix() && net.contains(self.dest.network());
        scope.devices.contains(dev) && self.protocol != KERNEL
            || self.protocol == ROUTE_PROTOCOL && scope.route_networks.iter().any(within)
    }

    fn add(self) -> Op {
        Op::ReplaceRoute(self)
    }

    fn delete(self) -> Op {
        Op::DeleteRoute(self)
    }

    /// For an on-link IPv6 gateway the kernel asks whether today's route to it leaves by the same
    /// device (net/ipv6/route.c, `ip6_route_check_nh_onlink`); the route that is to be replaced is
    /// often that route.
    fn needs_delete_first(&self, there: &Self) -> bool {
        self.dest.is_ipv6() && self.dev != there.dev
    }
}

impl Entry for Rule {
    type Key = Self;

    fn key(&self) -> Self::Key {
        self.clone()
    }

    fn device(&self) -> Option<&DevName> {
        None
    }

    fn same(&self, there: &Self) -> bool {
        self == there
    }

    fn owned(&self, scope: &Scope) -> bool {
        let within = scope.rule_priorities.is_some_and(|(low, high)| (low..=high).contains(&self.priority));
        within && self.protocol == ROUTE_PROTOCOL
    }

    fn add(self) -> Op {
        Op::AddRule(self)
    }

    fn delete(self) -> Op {
        Op::DeleteRule(self)
    }
}
