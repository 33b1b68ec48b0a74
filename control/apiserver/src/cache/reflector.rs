//! Keeps the caches as the state is: lists everything once, then follows one watch of `/registry/`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

use super::kind_cache::Taken;
use super::{Cache, Entry};
use crate::kinds::{self, Kind};
use crate::status::{Failure, Outcome};
use crate::store::{Seen, Store, StoreError};

/// Where all objects are.
const ROOT: &str = "/registry/";
/// How many objects are read at one go.
const PAGE: i64 = 500;
/// How long a read waits until the cache has what was acknowledged before it.
const FRESH: Duration = Duration::from_secs(3);
/// How often watchers learn how far they are.
const BOOKMARKS: Duration = Duration::from_secs(10);
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// Is told of changes of all kinds, in order: authorization keeps its indexes by it.
pub type Listener = Box<dyn Fn(&'static Kind, &str, Option<&Entry>) + Send + Sync>;

/// The caches of all kinds.
pub struct Caches {
    by_stored: HashMap<&'static str, Cache>,
    /// Everything up to here has been taken in; 0 before the first list.
    revision: watch::Sender<i64>,
    nudge: mpsc::Sender<()>,
    listener: Listener,
}

impl std::fmt::Debug for Caches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Caches at {}", *self.revision.borrow())
    }
}

impl Caches {
    /// Starts to fill and to follow them.
    pub fn start(store: Store, listener: Listener) -> Arc<Caches> {
        let (nudge, nudges) = mpsc::channel(1);
        let by_stored = kinds::places().map(|kind| (kind.stored, Cache::of(kind))).collect();
        let caches = Arc::new(Caches { by_stored, revision: watch::Sender::new(0), nudge, listener });
        tokio::spawn(follow(Arc::downgrade(&caches), store, nudges));
        caches
    }

    /// The cache of a kind that is stored.
    pub fn of(&self, kind: &Kind) -> Option<&Cache> {
        self.by_stored.get(kind.stored)
    }

    /// All caches.
    pub fn all(&self) -> impl Iterator<Item = &Cache> {
        self.by_stored.values()
    }

    /// Everything up to here has been taken in; 0 before the first list.
    pub fn revision(&self) -> i64 {
        *self.revision.borrow()
    }

    /// Waits until everything up to a revision has been taken in.
    pub async fn wait(&self, revision: i64) -> Outcome<()> {
        if self.revision() >= revision {
            return Ok(());
        }
        let mut seen = self.revision.subscribe();
        // Changes outside of the objects make no event: then etcd is asked how far the watch is.
        let waiting = async {
            loop {
                let short = Duration::from_millis(2);
                match tokio::time::timeout(short, seen.wait_for(|seen| *seen >= revision)).await {
                    Ok(_) => return,
                    Err(_) => drop(self.nudge.try_send(())),
                }
            }
        };
        let waited = tokio::time::timeout(FRESH, waiting).await;
        waited.map_err(|_| {
            Failure::timeout(format!("Too large resource version: {revision}, current: {}", self.revision()))
                .because("ResourceVersionTooLarge", "Too large resource version")
        })
    }

    /// Waits for the first list.
    pub async fn ready(&self) {
        // The sender lives as long as self.
        let _ = self.revision.subscribe().wait_for(|revision| *revision > 0).await;
    }

    /// Waits for the first list as long as a read may: before it the caches are empty, and so are the indexes that
    /// authentication and authorization keep. Upstream's words (`storage/cacher`, `ErrorStorageInitializing`).
    pub async fn filled(&self) -> Outcome<()> {
        if self.revision() > 0 {
            return Ok(());
        }
        let waited = tokio::time::timeout(FRESH, self.ready()).await;
        waited.map_err(|_| Failure::too_many_requests("storage is (re)initializing", 1))
    }

    /// The cache that a key belongs to, and what is behind its prefix.
    fn place<'k>(&self, key: &'k [u8]) -> Option<(&Cache, &'k str)> {
        let rest = std::str::from_utf8(key).ok()?.strip_prefix(ROOT)?;
        // `services/specs/…` and `services/endpoints/…` have a part more.
        let parts = if rest.starts_with("services/") { 2 } else { 1 };
        let end = rest.match_indices('/').nth(parts - 1)?.0;
        let cache = self.by_stored.get(&rest[..end])?;
        Some((cache, &rest[end + 1..]))
    }

    fn read(&self, cache: &Cache, key: &str, revision: i64, bytes: &[u8]) -> Option<Entry> {
        match Entry::read(cache.kind, key, revision, bytes) {
            Ok(entry) => {
                (self.listener)(cache.kind, key, Some(&entry));
                Some(entry)
            }
            Err(why) => {
                tracing::error!(key = %format!("{}{key}", cache.kind.prefix()), why, "an object in etcd cannot be read: remove it by etcdctl");
                None
            }
        }
    }

    fn taken(&self, revision: i64) {
        self.by_stored.values().for_each(|cache| cache.progressed(revision));
        self.revision.send_if_modified(|seen| {
            let newer = revision > *seen;
            *seen = revision.max(*seen);
            newer
        });
    }

    /// Reads everything.
    async fn fill(&self, store: &Store) -> Result<i64, StoreError> {
        let mut entries: HashMap<&'static str, Vec<Entry>> = HashMap::new();
        let (mut from, mut revision) = (ROOT.as_bytes().to_vec(), 0);
        loop {
            let page = store.page(ROOT, &from, PAGE, revision).await?;
            revision = page.revision;
            for stored in &page.items {
                let Some((cache, key)) = self.place(&stored.key) else { continue };
                let entry = self.read(cache, key, stored.revision, &stored.bytes);
                entries.entry(cache.kind.stored).or_default().extend(entry);
            }
            let Some(last) = page.items.last().filter(|_| page.more) else { break };
            from = last.key.clone();
            from.push(0);
        }
        for (stored, cache) in &self.by_stored {
            let known: Vec<_> = cache.list("").0;
            let now = entries.remove(stored).unwrap_or_default();
            let there: std::collections::HashSet<&str> = now.iter().map(|entry| &*entry.key).collect();
            for gone in known.iter().filter(|entry| !there.contains(&*entry.key)) {
                (self.listener)(cache.kind, &gone.key, None);
            }
            drop(there);
            cache.replace(now, revision);
        }
        self.revision.send_replace(revision);
        Ok(revision)
    }

    fn changed(&self, changes: Vec<(crate::store::Stored, bool)>) {
        let mut by_cache: HashMap<&'static str, Vec<Taken>> = HashMap::new();
        for (stored, put) in changes {
            let Some((cache, key)) = self.place(&stored.key) else { continue };
            let entry = match put {
                true => self.read(cache, key, stored.revision, &stored.bytes),
                false => None,
            };
            // What cannot be read is not there for clients.
            if entry.is_none() {
                (self.listener)(cache.kind, key, None);
            }
            by_cache.entry(cache.kind.stored).or_default().push((key.into(), stored.revision, entry));
        }
        for (stored, changes) in by_cache {
            if let Some(cache) = self.by_stored.get(stored) {
                cache.take(changes);
            }
        }
    }
}

/// Fills the caches, and follows the state until they are dropped.
async fn follow(caches: std::sync::Weak<Caches>, store: Store, mut nudges: mpsc::Receiver<()>) {
    let mut after = None;
    while let Some(caches) = caches.upgrade() {
        let from = match after {
            Some(revision) => Ok(revision),
            None => caches.fill(&store).await,
        };
        let outcome = match from {
            Ok(revision) => {
                after = Some(revision);
                follow_from(caches, &store, revision, &mut nudges, &mut after).await
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => return,
            Err(error @ StoreError::Compacted(_)) => {
                tracing::warn!(%error, "changes were missed: everything is read again");
                after = None;
            }
            Err(error) => {
                tracing::warn!(%error, "the watch of the state has ended; it goes on where it was");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn follow_from(
    caches: Arc<Caches>,
    store: &Store,
    revision: i64,
    nudges: &mut mpsc::Receiver<()>,
    after: &mut Option<i64>,
) -> Result<(), StoreError> {
    let mut watch = store.watch(ROOT, revision + 1).await?;
    let weak = Arc::downgrade(&caches);
    drop(caches);
    let mut bookmarks = tokio::time::interval(BOOKMARKS);
    loop {
        let seen = tokio::select! {
            seen = watch.next() => seen?,
            nudged = nudges.recv() => match nudged {
                Some(()) => { watch.ask_progress().await?; continue }
                None => return Ok(()),
            },
            _ = bookmarks.tick() => {
                let Some(caches) = weak.upgrade() else { return Ok(()) };
                caches.all().for_each(Cache::bookmark);
                continue;
            }
        };
        let Some(caches) = weak.upgrade() else { return Ok(()) };
        let reached = match seen {
            Seen::Changes(changes) => {
                let last = changes.last().map_or(0, |(stored, _)| stored.revision);
                caches.changed(changes);
                last
            }
            Seen::Progress(revision) => revision,
        };
        caches.taken(reached);
        *after = Some(caches.revision());
    }
}
