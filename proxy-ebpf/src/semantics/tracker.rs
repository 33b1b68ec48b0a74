//! The table, kept up to date as objects change.
//!
//! ```text
//! updates ─► touched services ─► meanings, claims ─► services that win or lose a claim by it ─► ports that differ
//! ```
//!
//! The cost of an update is that of the services that it touches; a change of this node's zone touches all.

use super::claims::{Claim, Claimant, Claims};
use super::node::{NodeOptions, NodeView};
use super::object::{Object, ObjectKey, ObjectKind, Update};
use super::offer::Offer;
use super::order::in_order;
use super::service::{Meaning, Wanted, meaning};
use super::slice::Slice;
use crate::{HealthCheck, PortChange, PortId, ServiceName, ServicePort, ServiceTable, TableChanges};
use k8s_openapi::api::core::v1::Node;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Holds the objects and the table that they mean.
#[derive(Debug)]
pub struct Tracker {
    options: Option<NodeOptions>,
    node: NodeView,
    entries: BTreeMap<Arc<ServiceName>, Entry>,
    /// The service of each slice.
    owners: HashMap<ObjectKey, Arc<ServiceName>>,
    claims: Claims,
    table: ServiceTable,
}

/// A service with its slices. There may be slices without their service.
#[derive(Debug, Default)]
struct Entry {
    service: Option<Arc<Offer>>,
    /// By name. One as a rule, so no tree: an empty place in a tree of 10,000 services is megabytes.
    slices: Vec<Arc<Slice>>,
    /// In order.
    claims: Box<[(Claim, Claimant)]>,
    ports: Box<[PortId]>,
    health_check: Option<u16>,
}

impl Entry {
    fn meaning(&self, name: &Arc<ServiceName>, node: &NodeView) -> Meaning {
        let Some(service) = &self.service else { return Meaning::default() };
        let slices: Vec<&Slice> = self.slices.iter().map(Arc::as_ref).collect();
        meaning(name, service, &slices, node)
    }
}

impl Tracker {
    /// A tracker without objects. The node is as its options say until its Node object comes.
    pub fn new(options: NodeOptions) -> Tracker {
        let node = NodeView::new(&options, None);
        Tracker { options: Some(options), ..Tracker::with_node(node) }
    }

    /// A tracker for a node that stays as it is.
    pub(crate) fn with_node(node: NodeView) -> Tracker {
        Tracker {
            options: None,
            node,
            entries: BTreeMap::new(),
            owners: HashMap::new(),
            claims: Claims::default(),
            table: ServiceTable::default(),
        }
    }

    /// The table that the objects mean.
    pub fn table(&self) -> &ServiceTable {
        &self.table
    }

    /// This node.
    pub fn node(&self) -> &NodeView {
        &self.node
    }

    pub(crate) fn into_table(self) -> ServiceTable {
        self.table
    }

    /// Takes objects' new states, and returns what changed in the table by them.
    pub fn apply(&mut self, updates: Vec<Update>) -> TableChanges {
        let mut changes = TableChanges::default();
        let mut touched = BTreeSet::new();
        for Update { key, object } in updates {
            match (key.kind, object) {
                (ObjectKind::Service, Some(Object::Service(service))) => {
                    self.set_service(&key, Some(service), &mut touched);
                }
                (ObjectKind::EndpointSlice, Some(Object::EndpointSlice(slice))) => {
                    self.set_slice(&key, Some(slice), &mut touched);
                }
                (ObjectKind::Node, Some(Object::Node(node))) => {
                    changes.node |= self.set_node(&key, Some(&node), &mut touched);
                }
                (ObjectKind::Service, _) => self.set_service(&key, None, &mut touched),
                (ObjectKind::EndpointSlice, _) => self.set_slice(&key, None, &mut touched),
                (ObjectKind::Node, _) => changes.node |= self.set_node(&key, None, &mut touched),
            }
        }
        self.recompute(touched, &mut changes);
        changes
    }

    fn set_service(
        &mut self,
        key: &ObjectKey,
        service: Option<Arc<Offer>>,
        touched: &mut BTreeSet<Arc<ServiceName>>,
    ) {
        let name = self.shared(&key.namespace, &key.name);
        self.entries.entry(name.clone()).or_default().service = service;
        touched.insert(name);
    }

    fn set_slice(
        &mut self,
        key: &ObjectKey,
        slice: Option<Arc<Slice>>,
        touched: &mut BTreeSet<Arc<ServiceName>>,
    ) {
        if let Some(owner) = self.owners.remove(key) {
            if let Some(entry) = self.entries.get_mut(&owner) {
                entry.slices.retain(|slice| slice.name != key.name);
            }
            touched.insert(owner);
        }
        let Some(slice) = slice else { return };
        let Some(owner) = slice.service.as_deref() else { return };
        let owner = self.shared(&key.namespace, owner);
        let slices = &mut self.entries.entry(owner.clone()).or_default().slices;
        slices.reserve_exact(1);
        slices.insert(slices.partition_point(|other| other.name < slice.name), slice);
        self.owners.insert(key.clone(), owner.clone());
        touched.insert(owner);
    }

    /// A service's name, as its entry has it where there is one.
    fn shared(&self, namespace: &str, name: &str) -> Arc<ServiceName> {
        let name = ServiceName { namespace: namespace.to_owned(), name: name.to_owned() };
        match self.entries.get_key_value(&name) {
            Some((shared, _)) => shared.clone(),
            None => Arc::new(name),
        }
    }

    /// Returns whether the node's addresses changed.
    fn set_node(
        &mut self,
        key: &ObjectKey,
        node: Option<&Node>,
        touched: &mut BTreeSet<Arc<ServiceName>>,
    ) -> bool {
        let Some(options) = self.options.as_ref().filter(|options| *options.name == *key.name) else {
            return false;
        };
        let view = NodeView::new(options, node);
        let addresses_changed = view.addresses != self.node.addresses;
        if view.zone != self.node.zone {
            touched.extend(self.entries.keys().cloned());
        }
        self.node = view;
        addresses_changed
    }

    /// Computes touched services anew, and those that win or lose a frontend by it.
    fn recompute(&mut self, touched: BTreeSet<Arc<ServiceName>>, changes: &mut TableChanges) {
        let mut meanings = BTreeMap::new();
        let mut contested = BTreeSet::new();
        for name in touched {
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            let meaning = entry.meaning(&name, &self.node);
            let wants = meaning.claims();
            for (claim, claimant) in entry.claims.iter().filter(|claim| !wants.contains(claim)) {
                self.claims.remove(claim, claimant);
                contested.insert(*claim);
            }
            for (claim, claimant) in wants.iter().filter(|claim| entry.claims.binary_search(claim).is_err()) {
                self.claims.add(*claim, claimant.clone());
                contested.insert(*claim);
            }
            entry.claims = wants.into_iter().collect();
            meanings.insert(name, meaning);
        }
        for claimant in contested.iter().flat_map(|claim| self.claims.claimants(claim)) {
            if let Some(entry) = self.entries.get(&claimant.service) {
                let again = || entry.meaning(&claimant.service, &self.node);
                meanings.entry(claimant.service.clone()).or_insert_with(again);
            }
        }
        let mut ports = Vec::new();
        let mut health_checks = Vec::new();
        for (name, meaning) in meanings {
            self.write(&name, meaning, &mut ports, &mut health_checks);
        }
        ports.sort_by(|a, b| a.id.cmp(&b.id));
        changes.ports = in_order(ports);
        self.write_health_checks(health_checks, changes);
    }

    /// Writes one service into the table.
    fn write(
        &mut self,
        name: &Arc<ServiceName>,
        mut meaning: Meaning,
        changed: &mut Vec<PortChange>,
        health_checks: &mut Vec<(u16, Option<HealthCheck>)>,
    ) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        let old_health_check = entry.health_check.take();
        health_checks.extend(old_health_check.map(|port| (port, None)));
        if let Some((port, claimant, check)) = meaning.health_check.take() {
            match self.claims.winner_over(&Claim::HealthCheck(port), &claimant) {
                Some(winner) => {
                    let refused = format!("healthCheckNodePort {port}: taken by {}", winner.service);
                    meaning.ports.iter_mut().for_each(|wanted| wanted.port.refused.push(refused.clone()));
                }
                None => {
                    entry.health_check = Some(port);
                    health_checks.push((port, Some(check)));
                }
            }
        }
        let ids = meaning.ports.iter().map(|wanted| wanted.id.clone()).collect();
        let mut gone: BTreeSet<PortId> = std::mem::replace(&mut entry.ports, ids).into_iter().collect();
        for wanted in meaning.ports {
            gone.remove(&wanted.id);
            let (id, after) = resolved(wanted, &self.claims);
            let before = self.table.ports.get(&id);
            if before.map(Arc::as_ref) != Some(&after) {
                let after = Arc::new(after);
                let before = self.table.ports.insert(id.clone(), after.clone());
                changed.push(PortChange { id, before, after: Some(after) });
            }
        }
        for id in gone {
            let before = self.table.ports.remove(&id);
            changed.push(PortChange { id, before, after: None });
        }
        match meaning.left_alone {
            Some(reason) => self.table.left_alone.insert(name.clone(), reason),
            None => self.table.left_alone.remove(name),
        };
        if entry.service.is_none() && entry.slices.is_empty() {
            self.entries.remove(name);
        }
    }

    /// Writes health checks down: what services gave up first, then what services have.
    fn write_health_checks(&mut self, written: Vec<(u16, Option<HealthCheck>)>, changes: &mut TableChanges) {
        let mut after: BTreeMap<u16, Option<HealthCheck>> = BTreeMap::new();
        for (port, check) in written {
            let slot = after.entry(port).or_default();
            *slot = check.or_else(|| slot.take());
        }
        for (port, check) in after {
            if self.table.health_checks.get(&port) != check.as_ref() {
                match &check {
                    Some(check) => self.table.health_checks.insert(port, check.clone()),
                    None => self.table.health_checks.remove(&port),
                };
                changes.health_checks.insert(port, check);
            }
        }
    }
}

/// Gives spare room back: the table keeps the port for long.
fn shrink(port: &mut ServicePort) {
    port.frontends.shrink_to_fit();
    port.cluster.shrink_to_fit();
    port.local.shrink_to_fit();
    port.left_out.shrink_to_fit();
    port.refused.shrink_to_fit();
}

/// A service port with the frontends that it gets; the others are refused.
fn resolved(wanted: Wanted, claims: &Claims) -> (PortId, ServicePort) {
    let Wanted { id, claimant, mut port } = wanted;
    let refused = &mut port.refused;
    port.frontends.retain(|frontend| {
        let Some(winner) = claims.winner_over(&Claim::of(&id, frontend), &claimant) else { return true };
        refused.push(format!("{frontend}: taken by {}", winner.service));
        false
    });
    shrink(&mut port);
    (id, port)
}
