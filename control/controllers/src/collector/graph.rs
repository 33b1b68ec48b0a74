//! Who owns whom, by uid, as the watches tell it.
//!
//! Upstream: `pkg/controller/garbagecollector/graph.go` and `graph_builder.go`. Upstream keeps "virtual" nodes for owners
//! that it has only heard of, and has to mend them when two dependents describe the same owner differently; here an
//! owner that is not known is not in the graph: its dependents are looked at, and each asks the API for it. An object
//! takes some 300 bytes; a change costs as much as the object has owners, and dependents where it goes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::kinds::Kind;

/// An object's uid.
pub type Uid = Arc<str>;

/// The finalizer of an object whose dependents go first.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of an object whose dependents stay.
pub const ORPHAN: &str = "orphan";

/// An object.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its kind.
    pub kind: Arc<Kind>,
    /// Its namespace; empty where its kind has none.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its owners.
    pub owners: Box<[Owner]>,
    /// What becomes of it.
    pub fate: Fate,
    /// The list that told of it last.
    list: u32,
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Lives,
    /// It goes, and its dependents afterwards.
    Goes,
    /// It goes after its dependents.
    Foreground,
    /// It goes after its dependents are cut from it.
    Orphan,
}

/// A reference to an owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The owner's uid.
    pub uid: Uid,
    /// Its group and version.
    pub api_version: Box<str>,
    /// Its kind.
    pub kind: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Whether it may not go before the dependent.
    pub blocks: bool,
}

/// What becomes of an object, by its metadata.
pub fn fate(metadata: &ObjectMeta) -> Fate {
    let has = |finalizer: &str| metadata.finalizers.iter().flatten().any(|one| one == finalizer);
    match metadata.deletion_timestamp.is_some() {
        false => Fate::Lives,
        true if has(ORPHAN) => Fate::Orphan,
        true if has(FOREGROUND) => Fate::Foreground,
        true => Fate::Goes,
    }
}

/// The owners of an object, by its metadata.
pub fn owners(metadata: &ObjectMeta) -> Box<[Owner]> {
    let read = |one: &k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference| Owner {
        uid: one.uid.as_str().into(),
        api_version: one.api_version.as_str().into(),
        kind: one.kind.as_str().into(),
        name: one.name.as_str().into(),
        blocks: one.block_owner_deletion == Some(true),
    };
    metadata.owner_references.iter().flatten().map(read).collect()
}

impl Node {
    fn of(kind: &Arc<Kind>, metadata: &ObjectMeta, list: u32) -> Node {
        Node {
            kind: kind.clone(),
            namespace: metadata.namespace.as_deref().unwrap_or_default().into(),
            name: metadata.name.as_deref().unwrap_or_default().into(),
            owners: owners(metadata),
            fate: fate(metadata),
            list,
        }
    }

    /// Whether a reference of an object in a namespace means this one: an owner is in the same namespace or in none.
    pub fn is_meant(&self, owner: &Owner, namespace: &str) -> bool {
        let resource = &self.kind.resource;
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let place = self.namespace.is_empty() || *self.namespace == *namespace;
        place && resource.group == group && resource.kind == *owner.kind && self.name == owner.name
    }
}

/// All objects that are known.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: HashMap<Uid, Node>,
    /// By an owner's uid, whether the owner is known or not.
    dependents: HashMap<Uid, HashSet<Uid>>,
}

impl Graph {
    /// An object.
    pub fn node(&self, uid: &Uid) -> Option<&Node> {
        self.nodes.get(uid)
    }

    /// The objects that name it as an owner.
    pub fn dependents(&self, uid: &Uid) -> impl Iterator<Item = (&Uid, &Node)> {
        let all = self.dependents.get(uid).into_iter().flatten();
        all.filter_map(|uid| self.nodes.get_key_value(uid))
    }

    /// The dependents that it may not go before.
    pub fn blocking(&self, uid: &Uid) -> impl Iterator<Item = (&Uid, &Node)> {
        let blocks = move |node: &Node| node.owners.iter().any(|owner| owner.uid == *uid && owner.blocks);
        self.dependents(uid).filter(move |(_, node)| blocks(node))
    }

    /// Whether each owner is known, is where it may be, and does not wait for its dependents to go.
    pub fn is_settled(&self, node: &Node) -> bool {
        node.owners.iter().all(|owner| {
            let there = self.nodes.get(&owner.uid);
            there
                .is_some_and(|there| there.is_meant(owner, &node.namespace) && there.fate != Fate::Foreground)
        })
    }

    /// Takes up an object as it is now, and tells which objects are to be looked at.
    pub fn saw(&mut self, kind: &Arc<Kind>, metadata: &ObjectMeta, list: u32) -> Vec<Uid> {
        let Some(uid) = metadata.uid.as_deref() else { return Vec::new() };
        let uid: Uid = self.nodes.get_key_value(uid).map_or_else(|| uid.into(), |(uid, _)| uid.clone());
        let node = Node::of(kind, metadata, list);
        let before = self.nodes.remove(&uid);
        let mut looks = Vec::new();
        for owner in before.iter().flat_map(|before| &before.owners) {
            let now = node.owners.iter().find(|one| one.uid == owner.uid);
            if now.is_none() {
                self.cut(&owner.uid, &uid);
            }
            // An owner that waits may wait no longer.
            if owner.blocks && !now.is_some_and(|now| now.blocks) {
                looks.extend(self.waiting(&owner.uid));
            }
        }
        for owner in &node.owners {
            self.dependents.entry(owner.uid.clone()).or_default().insert(uid.clone());
        }
        let was = before.map_or(Fate::Lives, |before| before.fate);
        if node.fate == Fate::Foreground && was != Fate::Foreground {
            looks.extend(self.dependents(&uid).map(|(uid, _)| uid.clone()));
        }
        let own = match node.fate {
            Fate::Lives => !self.is_settled(&node),
            Fate::Goes => false,
            Fate::Foreground | Fate::Orphan => true,
        };
        if own {
            looks.push(uid.clone());
        }
        self.nodes.insert(uid, node);
        looks
    }

    /// An object is gone: tells which objects are to be looked at.
    pub fn gone(&mut self, uid: &Uid) -> Vec<Uid> {
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        let mut looks: Vec<Uid> = self.dependents(uid).map(|(uid, _)| uid.clone()).collect();
        for owner in &node.owners {
            self.cut(&owner.uid, uid);
            looks.extend(self.waiting(&owner.uid));
        }
        looks
    }

    /// A list of a kind's objects is complete: those that it did not tell of are gone.
    pub fn listed(&mut self, kind: &Kind, list: u32) -> Vec<Uid> {
        let of_kind = |node: &Node| *node.kind == *kind && node.list != list;
        let gone: Vec<Uid> =
            self.nodes.iter().filter(|(_, node)| of_kind(node)).map(|(uid, _)| uid.clone()).collect();
        gone.iter().flat_map(|uid| self.gone(uid)).collect()
    }

    fn cut(&mut self, owner: &Uid, dependent: &Uid) {
        if let Some(all) = self.dependents.get_mut(owner) {
            all.remove(dependent);
            if all.is_empty() {
                self.dependents.remove(owner);
            }
        }
    }

    /// An owner, if it waits for its dependents to go.
    fn waiting(&self, uid: &Uid) -> Option<Uid> {
        let (uid, node) = self.nodes.get_key_value(uid)?;
        (node.fate == Fate::Foreground).then(|| uid.clone())
    }
}
