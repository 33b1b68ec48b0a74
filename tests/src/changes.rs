//! Changes of ConfigMaps, and a watch that is to see each of them exactly once: whatever ends it, the next one goes on
//! behind the last revision that it saw, as client-go's reflector does it.

use crate::client::{config_map, settle};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How many objects each writer changes in turn.
const OBJECTS: usize = 8;
/// How far the watch may lag behind the writers: less than the server remembers.
const LAG: usize = 4_000;
/// A watch that has seen nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn revision(map: &ConfigMap) -> u64 {
    let version = map.resource_version().expect("what the server answers has a revision");
    version.parse().expect("revisions are numbers")
}

fn maps(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), "default")
}

fn name(writer: usize, object: usize) -> String {
    format!("w{writer}-{object}")
}

/// What the writers were acknowledged, and what the watch saw: revisions.
#[derive(Debug, Default)]
pub struct Book {
    written: Mutex<Vec<u64>>,
    wrote: AtomicUsize,
    seen: Mutex<Vec<u64>>,
    saw: AtomicUsize,
}

impl Book {
    fn note(revisions: &Mutex<Vec<u64>>, count: &AtomicUsize, map: &ConfigMap) -> u64 {
        let revision = revision(map);
        revisions.lock().expect("no panic while it is held").push(revision);
        count.fetch_add(1, Ordering::Relaxed);
        revision
    }

    /// How many changes were acknowledged.
    pub fn wrote(&self) -> usize {
        self.wrote.load(Ordering::Relaxed)
    }

    /// How many changes were seen.
    pub fn saw(&self) -> usize {
        self.saw.load(Ordering::Relaxed)
    }

    fn lag(&self) -> usize {
        self.wrote().saturating_sub(self.saw())
    }

    /// Makes the objects of so many writers; the revision of the last.
    ///
    /// # Panics
    /// When one is not made.
    pub async fn begin(&self, client: &Client, writers: usize) -> u64 {
        settle(client).await;
        let mut last = 0;
        for name in (0..writers).flat_map(|writer| (0..OBJECTS).map(move |object| name(writer, object))) {
            let made = maps(client).create(&PostParams::default(), &config_map(&name, "")).await;
            last = revision(&made.expect("an object is made"));
        }
        last
    }

    /// Changes the objects of a writer so many times.
    ///
    /// # Panics
    /// When a call fails.
    pub async fn write(self: Arc<Self>, client: Client, writer: usize, number: usize) {
        for turn in 0..number {
            while self.lag() > LAG {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let patch = serde_json::json!({"data": {"value": rand::random::<u64>().to_string()}});
            let name = name(writer, turn % OBJECTS);
            let changed = maps(&client).patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
            Book::note(&self.written, &self.wrote, &changed.expect("a change is acknowledged"));
        }
    }

    /// Watches for ever from a revision on.
    ///
    /// # Panics
    /// When the server has forgotten where the watch was, or tells of something else than of changes.
    pub async fn watch(self: Arc<Self>, client: Client, mut after: u64) {
        loop {
            let Ok(stream) = maps(&client).watch(&WatchParams::default(), &after.to_string()).await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let mut stream = std::pin::pin!(stream);
            while let Some(Ok(event)) = stream.next().await {
                after = match event {
                    WatchEvent::Modified(map) => Book::note(&self.seen, &self.saw, &map),
                    WatchEvent::Bookmark(mark) => mark.metadata.resource_version.parse().expect("a number"),
                    WatchEvent::Error(status) => panic!("after {after}: {status:?}"),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// Waits until the watch has seen all that was written.
    ///
    /// # Panics
    /// When it stands still.
    pub async fn caught_up(&self) {
        let mut before = (self.saw(), Instant::now());
        while self.lag() > 0 {
            if self.saw() != before.0 {
                before = (self.saw(), Instant::now());
            }
            assert!(before.1.elapsed() < PATIENCE, "the watch stands still, {} behind", self.lag());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asserts that what was seen is what was written: each once, and in order.
    ///
    /// # Panics
    /// When it is not.
    pub fn each_once(&self) {
        let mut written = self.written.lock().expect("no panic while it is held").clone();
        let seen = self.seen.lock().expect("no panic while it is held").clone();
        written.sort_unstable();
        if seen != written {
            let at = seen.iter().zip(&written).position(|(seen, written)| seen != written);
            let at = at.unwrap_or(seen.len().min(written.len()));
            let around =
                |all: &[u64]| all[at.saturating_sub(3).min(all.len())..(at + 3).min(all.len())].to_vec();
            let (counts, around) = ((written.len(), seen.len()), (around(&written), around(&seen)));
            panic!("{counts:?} written and seen; the first difference is at {at}: {around:?}");
        }
    }
}
