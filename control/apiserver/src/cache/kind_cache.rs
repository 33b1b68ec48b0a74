//! The cache of one kind.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

use super::dispatch::Dispatch;
use super::{Change, Entry, Message, Scope};
use crate::kinds::Kind;

/// How many changes are remembered for watches that come back, at most.
const HISTORY: usize = 10_000;
/// How many bytes of earlier objects they may keep.
const HISTORY_BYTES: usize = 16 << 20;
/// How many changes a watcher may lag behind before it is cut.
const QUEUE: usize = 1_024;

/// A revision from which changes are not known any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOld {
    /// The oldest from which they are.
    pub oldest: i64,
}

/// A watcher's side.
#[derive(Debug)]
pub struct Watching {
    /// What happened since the revision that was asked for.
    pub backlog: Vec<Arc<Change>>,
    /// What happens from now on.
    pub messages: mpsc::Receiver<Message>,
    /// The cache's revision when it began.
    pub revision: i64,
}

/// All objects of a kind, and who watches them.
#[derive(Debug)]
pub struct Cache {
    /// The kind.
    pub kind: &'static Kind,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<Box<str>, Arc<Entry>>,
    history: VecDeque<Arc<Change>>,
    history_bytes: usize,
    /// Watches may begin at this revision or later.
    oldest: i64,
    /// Everything up to here has been taken in.
    revision: i64,
    /// The last change.
    changed: i64,
    dispatch: Dispatch,
    cut: u64,
}

impl Cache {
    /// An empty cache.
    pub fn of(kind: &'static Kind) -> Cache {
        Cache { kind, inner: Mutex::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object by its key behind the prefix.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.inner().objects.get(key).cloned()
    }

    /// Objects of a namespace, or all, in the order of keys, and the revision at which they are so.
    pub fn list(&self, namespace: &str) -> (Vec<Arc<Entry>>, i64) {
        self.inner().list(namespace)
    }

    /// The same, if nothing has changed since a revision.
    pub fn list_unchanged(&self, namespace: &str, since: i64) -> Option<Vec<Arc<Entry>>> {
        let inner = self.inner();
        (inner.changed <= since && since <= inner.revision).then(|| inner.list(namespace).0)
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.inner().objects.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many watchers there are, and how many were cut so far.
    pub fn watchers(&self) -> (usize, u64) {
        let inner = self.inner();
        (inner.dispatch.count(), inner.cut)
    }

    /// Everything up to here has been taken in.
    pub fn revision(&self) -> i64 {
        self.inner().revision
    }

    /// Begins a watch: of what comes after a revision.
    pub fn watch(&self, scope: Scope, after: i64) -> Result<Watching, TooOld> {
        self.inner().watch(scope, after)
    }

    /// A watch that begins with what is there: the objects, and what comes after.
    pub fn watch_all(&self, scope: Scope, namespace: &str) -> (Vec<Arc<Entry>>, Watching) {
        let mut inner = self.inner();
        let (items, revision) = inner.list(namespace);
        let (to, messages) = mpsc::channel(QUEUE);
        inner.dispatch.add(scope, to);
        (items, Watching { backlog: Vec::new(), messages, revision })
    }

    /// Takes in what changed: keys behind the prefix, revisions, and what is there now. All of it at once, as several
    /// changes may have one revision.
    pub fn take(&self, changes: Vec<(Box<str>, i64, Option<Entry>)>) {
        let mut inner = self.inner();
        for (key, revision, entry) in changes {
            match entry {
                Some(entry) => {
                    let entry = Arc::new(entry);
                    let previous = inner.objects.insert(key, entry.clone());
                    inner.happened(self.kind, Change::of(entry, previous, false));
                }
                None => {
                    let Some(previous) = inner.objects.remove(&key) else { continue };
                    let last = Arc::new(previous.removed(revision));
                    inner.happened(self.kind, Change::of(last, Some(previous), true));
                }
            }
        }
    }

    /// Takes in that nothing else happened up to a revision.
    pub fn progressed(&self, revision: i64) {
        let mut inner = self.inner();
        inner.revision = inner.revision.max(revision);
    }

    /// Tells the watchers how far they are.
    pub fn bookmark(&self) {
        let mut inner = self.inner();
        let revision = inner.revision;
        inner.dispatch.bookmark(revision);
    }

    /// Begins anew with what is there at a revision; what lies between is not known.
    pub fn replace(&self, entries: Vec<Entry>, revision: i64) {
        let objects = entries.into_iter().map(|entry| (entry.key.clone(), Arc::new(entry))).collect();
        let mut inner = self.inner();
        inner.dispatch.lost();
        *inner = Inner {
            objects,
            oldest: revision,
            revision,
            changed: revision,
            cut: inner.cut,
            ..Inner::default()
        };
    }
}

impl Inner {
    fn list(&self, namespace: &str) -> (Vec<Arc<Entry>>, i64) {
        let items = match namespace {
            "" => self.objects.values().cloned().collect(),
            namespace => {
                let first: Box<str> = format!("{namespace}/").into();
                // The character after the slash.
                let after: Box<str> = format!("{namespace}0").into();
                let range = (Bound::Included(first), Bound::Excluded(after));
                self.objects.range::<Box<str>, _>(range).map(|(_, entry)| entry.clone()).collect()
            }
        };
        (items, self.revision)
    }

    fn watch(&mut self, scope: Scope, after: i64) -> Result<Watching, TooOld> {
        if after < self.oldest {
            return Err(TooOld { oldest: self.oldest });
        }
        let from = self.history.partition_point(|change| change.revision <= after);
        let backlog = self.history.range(from..).cloned().collect();
        let (to, messages) = mpsc::channel(QUEUE);
        self.dispatch.add(scope, to);
        Ok(Watching { backlog, messages, revision: self.revision })
    }

    fn happened(&mut self, kind: &Kind, change: Change) {
        let change = Arc::new(change);
        self.revision = self.revision.max(change.revision);
        self.changed = change.revision;
        self.cut += self.dispatch.tell(kind, &change) as u64;
        self.history_bytes += kept(&change);
        self.history.push_back(change);
        while self.history.len() > HISTORY || self.history_bytes > HISTORY_BYTES {
            let Some(oldest) = self.history.pop_front() else { break };
            self.history_bytes -= kept(&oldest);
            self.oldest = oldest.revision;
        }
    }
}

/// What the history keeps of a change beyond what the cache has anyway: about the earlier object.
fn kept(change: &Change) -> usize {
    change.previous.as_ref().map_or(0, |previous| previous.body.len()) + 256
}
