//! The garbage collector: what has no owner left goes, and what goes takes its dependents along, before itself or
//! after, or leaves them.
//!
//! Upstream: `pkg/controller/garbagecollector`. Metadata of all kinds is watched and held as a [`graph`]; a change asks
//! for a look at the objects that it may concern, and none else. Nothing is deleted on the graph's word: the object and
//! each owner that the graph does not know are read from the API before.

mod actions;
mod decide;
mod graph;
mod kinds_table;
mod monitors;
mod report;
#[cfg(test)]
mod tests;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::On as _;
use crate::kinds::Kind;
use crate::queue::Queue;
use crate::watch::Told;
use crate::{Error, Step};
use decide::{Action, Class, Own, decide};
use graph::{FOREGROUND, Fate, Graph, Node, ORPHAN, Owner, Uid};
use kinds_table::{Kinds, is_collected};
pub use monitors::run;
use report::Hands;

/// How many dependents are cut from their owner at once.
const AT_ONCE: usize = 8;
/// How many absent owners are remembered.
const ABSENT: usize = 1_000;

/// The collector.
#[derive(Debug, Default)]
pub struct Collector {
    graph: Mutex<Graph>,
    /// References, and from which namespace, of which the API said that nothing is there: no uid comes back.
    absent: Mutex<HashSet<(Box<str>, Owner)>>,
    /// Which kinds there are.
    pub kinds: Kinds,
    /// Objects to look at.
    pub queue: Arc<Queue<Uid>>,
}

impl Collector {
    /// Takes up what a kind's watch tells; `list` counts its lists.
    pub fn told(&self, kind: &Arc<Kind>, list: &mut u32, told: Told) {
        let looks = self.with(|graph| match told {
            Told::Begin => {
                *list += 1;
                Vec::new()
            }
            Told::There(metadata) => graph.saw(kind, &metadata, *list),
            Told::Gone(metadata) => metadata.uid.map_or(Vec::new(), |uid| graph.gone(&uid.as_str().into())),
            Told::Complete => graph.listed(kind, *list),
        });
        self.ask(looks);
    }

    /// Forgets the objects of a kind that is no longer there.
    pub fn forget(&self, kind: &Kind) {
        let looks = self.with(|graph| graph.listed(kind, 0));
        self.ask(looks);
    }

    fn ask(&self, looks: impl IntoIterator<Item = Uid>) {
        looks.into_iter().for_each(|uid| self.queue.add(uid));
    }

    fn with<R>(&self, change: impl FnOnce(&mut Graph) -> R) -> R {
        change(&mut self.graph.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at an object.
    pub async fn look(&self, hands: &Hands, uid: &Uid) -> Result<Step, Error> {
        let client = &hands.client;
        let known = self.with(|graph| graph.node(uid).map(|node| (node.clone(), graph.is_settled(node))));
        let Some((node, settled)) = known else { return Ok(Step::Done) };
        match node.fate {
            Fate::Goes => return Ok(Step::Done),
            Fate::Lives if settled => return Ok(Step::Done),
            _ => {}
        }
        let Some(there) = actions::read(client, &node, uid).await? else {
            // Its watch will say so too.
            let looks = self.with(|graph| graph.gone(uid));
            self.ask(looks);
            return Ok(Step::Done);
        };
        match graph::fate(&there) {
            Fate::Lives => self.judge(hands, uid, &node, &there).await?,
            Fate::Foreground => self.dependents_first(client, uid, &node, &there).await?,
            Fate::Orphan => self.orphan(client, uid, &node, &there).await?,
            Fate::Goes => {}
        }
        Ok(Step::Done)
    }

    /// An object that lives: whether its owners still justify that.
    async fn judge(&self, hands: &Hands, uid: &Uid, node: &Node, there: &ObjectMeta) -> Result<(), Error> {
        let client = &hands.client;
        let mut owners = Vec::new();
        for owner in graph::owners(there) {
            match self.class(hands, uid, node, &owner).await? {
                Some(class) => owners.push((owner.uid, class)),
                // Nobody can tell what it means: the object stays (`namespacedOwnerOfClusterScopedObjectErr`).
                None => return Ok(()),
            }
        }
        let has = |finalizer: &str| there.finalizers.iter().flatten().any(|one| one == finalizer);
        let (orphan, foreground) = (has(ORPHAN), has(FOREGROUND));
        let own = self.with(|graph| Own {
            dependents: graph.dependents(uid).next().is_some(),
            circle: graph.dependents(uid).any(|(_, node)| node.fate == Fate::Foreground),
            orphan,
            foreground,
        });
        match decide(&owners, own) {
            Action::Keep => Ok(()),
            Action::Cut(lost) => actions::cut(client, node, there, &lost).await,
            Action::Delete { policy, unblock: false } => {
                tracing::debug!(
                    object = actions::named(node),
                    ?policy,
                    "it has no owner left: it is deleted"
                );
                actions::delete(client, node, there, policy).await
            }
            // The change moves its revision: the look that follows from it deletes.
            Action::Delete { unblock: true, .. } if is_blocking(there) => {
                actions::unblock(client, node, there).await?;
                self.queue.add(uid.clone());
                Ok(())
            }
            Action::Delete { policy, .. } => actions::delete(client, node, there, policy).await,
        }
    }

    /// What became of an owner; `None` if the reference cannot mean anything.
    async fn class(
        &self,
        hands: &Hands,
        uid: &Uid,
        node: &Node,
        owner: &Owner,
    ) -> Result<Option<Class>, Error> {
        let known = self.with(|graph| {
            let there = graph.node(&owner.uid)?;
            Some(there.is_meant(owner, &node.namespace).then_some(there.fate))
        });
        if let Some(Some(fate)) = known {
            return Ok(Some(class(fate)));
        }
        let kind = self.kinds.of_reference(owner).ok_or_else(|| {
            let (version, kind) = (&owner.api_version, &owner.kind);
            Error::Other(format!("{}: its owner's kind {version}/{kind} is not known", actions::named(node)))
        })?;
        if kind.namespaced && node.namespace.is_empty() {
            hands.report(node, uid, owner).await;
            return Ok(None);
        }
        let key = (node.namespace.clone(), owner.clone());
        if self.absent.lock().unwrap_or_else(PoisonError::into_inner).contains(&key) {
            return Ok(Some(Class::Dangling));
        }
        let there = actions::api(&hands.client, &kind, &node.namespace).get_opt(&owner.name).await;
        let there = there.on(|| format!("cannot read {} {}, an owner", owner.kind, owner.name))?;
        if let Some(there) = there.filter(|there| there.metadata.uid.as_deref() == Some(&*owner.uid)) {
            return Ok(Some(class(graph::fate(&there.metadata))));
        }
        if known.is_some() {
            // There is an owner of that uid, and it is another one than the reference says.
            hands.report(node, uid, owner).await;
        }
        self.remember_absent(key);
        Ok(Some(Class::Dangling))
    }

    fn remember_absent(&self, key: (Box<str>, Owner)) {
        let mut absent = self.absent.lock().unwrap_or_else(PoisonError::into_inner);
        if absent.len() >= ABSENT {
            absent.clear();
        }
        absent.insert(key);
    }

    /// An object that goes after its dependents: when none blocks it any more, it goes.
    async fn dependents_first(
        &self,
        client: &kube::Client,
        uid: &Uid,
        node: &Node,
        there: &ObjectMeta,
    ) -> Result<(), Error> {
        let blocking: Vec<(Uid, Fate)> =
            self.with(|graph| graph.blocking(uid).map(|(uid, node)| (uid.clone(), node.fate)).collect());
        if blocking.is_empty() {
            return actions::remove_finalizer(client, node, there, FOREGROUND).await;
        }
        // Those that have begun ask for a look at their owner when they are gone.
        self.ask(blocking.into_iter().filter(|(_, fate)| *fate == Fate::Lives).map(|(uid, _)| uid));
        Ok(())
    }

    /// An object whose dependents stay: they are cut from it, and it goes.
    async fn orphan(
        &self,
        client: &kube::Client,
        uid: &Uid,
        node: &Node,
        there: &ObjectMeta,
    ) -> Result<(), Error> {
        let dependents: Vec<(Uid, Node)> =
            self.with(|graph| graph.dependents(uid).map(|(uid, node)| (uid.clone(), node.clone())).collect());
        let cut = dependents.into_iter().map(async |(of, dependent)| {
            match actions::read(client, &dependent, &of).await? {
                Some(there) => actions::cut(client, &dependent, &there, std::slice::from_ref(uid)).await,
                None => Ok(()),
            }
        });
        stream::iter(cut).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        actions::remove_finalizer(client, node, there, ORPHAN).await
    }
}

fn class(fate: Fate) -> Class {
    match fate {
        Fate::Foreground => Class::Waiting,
        Fate::Lives | Fate::Goes | Fate::Orphan => Class::Solid,
    }
}

fn is_blocking(metadata: &ObjectMeta) -> bool {
    metadata.owner_references.iter().flatten().any(|one| one.block_owner_deletion == Some(true))
}
