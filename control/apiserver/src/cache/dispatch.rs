//! Who is told of a change: watchers by scope.

use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc::{Sender, error::TrySendError};

use super::Change;
use crate::kinds::Kind;

/// What a watcher is sent.
#[derive(Clone, Debug)]
pub enum Message {
    /// A change.
    Change(Arc<Change>),
    /// Everything up to this revision has been sent.
    Bookmark(i64),
    /// The cache was filled anew, and what lies between is not known: the watcher must list again.
    Lost,
}

/// Of what a watcher is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Of everything.
    All,
    /// Of a namespace.
    Namespace(Box<str>),
    /// Of one object, by its key.
    Object(Box<str>),
    /// Of what has a value in the kind's first selectable field: pods of a node.
    Field(Box<str>),
}

/// Watchers of a kind.
#[derive(Debug, Default)]
pub struct Dispatch {
    watchers: HashMap<Scope, Vec<Sender<Message>>>,
    count: usize,
}

impl Dispatch {
    /// Adds a watcher.
    pub fn add(&mut self, scope: Scope, to: Sender<Message>) {
        self.watchers.entry(scope).or_default().push(to);
        self.count += 1;
    }

    /// How many there are; those that have left count until something would have been sent to them.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Tells a change. Returns how many watchers were cut as they did not read.
    pub fn tell(&mut self, kind: &Kind, change: &Arc<Change>) -> usize {
        let entry = &change.entry;
        let mut cut = self.send(&Scope::All, change);
        cut += self.send(&Scope::Object(entry.key.clone()), change);
        if kind.namespaced {
            cut += self.send(&Scope::Namespace(entry.namespace().into()), change);
        }
        let Some(value) = entry.fields.first() else { return cut };
        cut += self.send(&Scope::Field(value.clone()), change);
        match change.previous.as_ref().and_then(|previous| previous.fields.first()) {
            Some(before) if before != value => cut + self.send(&Scope::Field(before.clone()), change),
            _ => cut,
        }
    }

    fn send(&mut self, scope: &Scope, change: &Arc<Change>) -> usize {
        let Some(watchers) = self.watchers.get_mut(scope) else { return 0 };
        let (before, mut cut) = (watchers.len(), 0);
        watchers.retain(|watcher| match watcher.try_send(Message::Change(change.clone())) {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => {
                cut += 1;
                false
            }
            Err(TrySendError::Closed(_)) => false,
        });
        self.count -= before - watchers.len();
        if watchers.is_empty() {
            self.watchers.remove(scope);
        }
        cut
    }

    /// Tells everybody how far all has been sent; a queue that is full has enough to read.
    pub fn bookmark(&mut self, revision: i64) {
        for watchers in self.watchers.values_mut() {
            watchers.retain(|watcher| {
                !matches!(watcher.try_send(Message::Bookmark(revision)), Err(TrySendError::Closed(_)))
            });
        }
        self.watchers.retain(|_, watchers| !watchers.is_empty());
        self.count = self.watchers.values().map(Vec::len).sum();
    }

    /// Sends everybody away to list again.
    pub fn lost(&mut self) {
        for watcher in self.watchers.drain().flat_map(|(_, watchers)| watchers) {
            // A queue that is full is cut all the same.
            let _ = watcher.try_send(Message::Lost);
        }
        self.count = 0;
    }
}
