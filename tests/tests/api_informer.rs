//! Informers over a network that breaks and a server that dies: each change is seen exactly once while its revision is
//! remembered, and after a revision that is not, the state is right in the end.
//!
//! That each is seen once is looked at below the library, where events have revisions: a watch that ends goes on behind
//! the last revision that it saw, as client-go's reflector does it.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, ResourceExt as _};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use weft_tests::apiserver::{Apiserver, State};
use weft_tests::client::{admin, at, config_map, runtime};
use weft_tests::relay::Relay;

/// How many changes.
const CHANGES: usize = 100_000;
/// Clients that write, each objects of its own.
const WRITERS: usize = 16;
/// How many objects each of them changes in turn.
const OBJECTS: usize = 8;
/// How far the watch may lag behind the writers: less than the server remembers.
const LAG: usize = 4_000;
/// How often the network is cut.
const CUTS: usize = 25;
/// How often the server is killed.
const KILLS: usize = 2;
/// A wait that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so.
async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < PATIENCE, "{what} is not so");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn revision(map: &ConfigMap) -> u64 {
    map.resource_version().unwrap().parse().unwrap()
}

/// What the writers were acknowledged, and what the watch saw: revisions.
#[derive(Default)]
struct Book {
    written: Mutex<Vec<u64>>,
    wrote: AtomicUsize,
    seen: Mutex<Vec<u64>>,
    saw: AtomicUsize,
}

impl Book {
    fn write(&self, map: &ConfigMap) {
        self.written.lock().unwrap().push(revision(map));
        self.wrote.fetch_add(1, Ordering::Relaxed);
    }

    fn see(&self, map: &ConfigMap) -> u64 {
        let revision = revision(map);
        self.seen.lock().unwrap().push(revision);
        self.saw.fetch_add(1, Ordering::Relaxed);
        revision
    }

    fn lag(&self) -> usize {
        self.wrote.load(Ordering::Relaxed).saturating_sub(self.saw.load(Ordering::Relaxed))
    }

    /// Waits until the watch has seen all that was written.
    async fn caught_up(&self) {
        let mut before = (self.saw.load(Ordering::Relaxed), Instant::now());
        while self.lag() > 0 {
            let saw = self.saw.load(Ordering::Relaxed);
            if saw != before.0 {
                before = (saw, Instant::now());
            }
            assert!(before.1.elapsed() < PATIENCE, "the watch stands at {saw}, {} behind", self.lag());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Changes its objects so many times; no call may fail.
async fn write(client: Client, writer: usize, number: usize, book: Arc<Book>) {
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    for turn in 0..number {
        while book.lag() > LAG {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let name = format!("w{writer}-{}", turn % OBJECTS);
        let patch = serde_json::json!({"data": {"value": rand::random::<u64>().to_string()}});
        book.write(&maps.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap());
    }
}

/// Watches for ever; whatever ends a watch, the next one goes on behind the last revision that was seen.
async fn watch(client: Client, mut after: u64, book: Arc<Book>) {
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    loop {
        let begun = maps.watch(&WatchParams::default(), &after.to_string()).await;
        let Ok(stream) = begun else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let mut stream = std::pin::pin!(stream);
        while let Some(Ok(event)) = stream.next().await {
            match event {
                WatchEvent::Modified(map) => after = book.see(&map),
                WatchEvent::Bookmark(mark) => after = mark.metadata.resource_version.parse().unwrap(),
                WatchEvent::Error(status) => panic!("after {after}: {status:?}"),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Some of the changes, with cuts of the network at even distances.
fn written_and_cut(runtime: &Runtime, server: &Apiserver, relay: &Relay, book: &Arc<Book>, number: usize) {
    runtime.block_on(async {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let client = admin(server).await;
            writers.spawn(write(client, writer, number / WRITERS, book.clone()));
        }
        let before = book.saw.load(Ordering::Relaxed);
        let mut cuts = 0;
        while !writers.is_empty() {
            let share = (book.saw.load(Ordering::Relaxed) - before) * CUTS / number;
            if share > cuts {
                cuts = share;
                relay.cut();
            }
            if let Ok(Some(ended)) = tokio::time::timeout(Duration::from_millis(5), writers.join_next()).await
            {
                ended.unwrap();
            }
        }
        book.caught_up().await;
    });
}

#[test]
fn an_informer_sees_each_of_many_changes_exactly_once_over_cuts_and_kills() {
    let runtime = runtime();
    let mut server = Apiserver::start(State::Within, &[]);
    let (relay, book) = (runtime.block_on(Relay::to(server.port())), Arc::new(Book::default()));
    let maps: Api<ConfigMap> = Api::namespaced(runtime.block_on(admin(&server)), "default");
    let last = runtime.block_on(async {
        let mut last = 0;
        for name in (0..WRITERS).flat_map(|w| (0..OBJECTS).map(move |o| format!("w{w}-{o}"))) {
            last = revision(&maps.create(&PostParams::default(), &config_map(&name, "")).await.unwrap());
        }
        last
    });
    let client = runtime.block_on(at(&server, relay.port()));
    let watching = runtime.spawn(watch(client, last, book.clone()));
    let start = Instant::now();
    for part in 0..=KILLS {
        written_and_cut(&runtime, &server, &relay, &book, CHANGES / (KILLS + 1));
        assert!(!watching.is_finished(), "the watch has ended: {:?}", runtime.block_on(watching));
        if part < KILLS {
            // What came before its first list a server that was started anew does not know: the watch is behind all.
            server.kill();
            server.restart();
        }
    }
    let (mut written, seen) = (book.written.lock().unwrap().clone(), book.seen.lock().unwrap().clone());
    println!(
        "{} changes in {:.1} s, over {} connections and {KILLS} kills",
        written.len(),
        start.elapsed().as_secs_f64(),
        relay.connections()
    );
    written.sort_unstable();
    assert!(written.len() + (KILLS + 1) * WRITERS > CHANGES, "only {} changes were made", written.len());
    assert!(relay.connections() > CUTS, "the network was cut too rarely: {}", relay.connections());
    // Each once, and in order.
    if seen != written {
        let at = seen.iter().zip(&written).position(|(seen, written)| seen != written);
        let at = at.unwrap_or(seen.len().min(written.len()));
        let around = |all: &[u64]| all[at.saturating_sub(3)..(at + 3).min(all.len())].to_vec();
        panic!(
            "{} written, {} seen; at {at}: {:?}, {:?}",
            written.len(),
            seen.len(),
            around(&written),
            around(&seen)
        );
    }
}

/// The names and values of ConfigMaps.
fn contents<'m>(maps: impl IntoIterator<Item = &'m ConfigMap>) -> BTreeMap<String, Option<String>> {
    let value = |map: &ConfigMap| map.data.as_ref()?.get("value").cloned();
    maps.into_iter().map(|map| (map.name_any(), value(map))).collect()
}

/// More changes than the server remembers, of each sort; in the end nothing is as it was.
async fn change_everything(maps: &Api<ConfigMap>) {
    maps.delete("goes", &DeleteParams::default()).await.unwrap();
    maps.create(&PostParams::default(), &config_map("comes", "new")).await.unwrap();
    let large = "x".repeat(900_000);
    for turn in 0..24 {
        let patch = serde_json::json!({"data": {"value": format!("{turn}{large}")}});
        maps.patch("large", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
    maps.delete("large", &DeleteParams::default()).await.unwrap();
    let patch = serde_json::json!({"data": {"value": "two"}});
    maps.patch("stays", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

#[test]
fn an_informer_that_was_left_behind_has_the_right_state_in_the_end() {
    let (runtime, server) = (runtime(), Apiserver::start(State::Within, &[]));
    let relay = runtime.block_on(Relay::to(server.port()));
    let maps: Api<ConfigMap> = Api::namespaced(runtime.block_on(admin(&server)), "default");
    for name in ["goes", "stays", "large"] {
        runtime.block_on(maps.create(&PostParams::default(), &config_map(name, "one"))).unwrap();
    }
    let (store, writer) = reflector::store::<ConfigMap>();
    let refused = Arc::new(AtomicUsize::new(0));
    let watched: Api<ConfigMap> = Api::namespaced(runtime.block_on(at(&server, relay.port())), "default");
    let (counted, stream) = (refused.clone(), watcher(watched, watcher::Config::default()));
    let reflecting = stream.default_backoff().reflect(writer).for_each(move |event| {
        if matches!(&event, Err(watcher::Error::WatchError(status)) if status.code == 410) {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        std::future::ready(())
    });
    runtime.spawn(reflecting);
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, store.wait_until_ready()).await.unwrap().unwrap();
        until("the first object is reflected", || store.state().iter().any(|map| map.name_any() == "goes"))
            .await;
        relay.close();
        change_everything(&maps).await;
        relay.open();
        let wanted = contents(&maps.list(&ListParams::default()).await.unwrap().items);
        assert!(wanted.contains_key("comes") && !wanted.contains_key("goes"), "{wanted:?}");
        let state = || store.state();
        until("the reflected state is the server's", || {
            contents(state().iter().map(AsRef::as_ref)) == wanted
        })
        .await;
        // And it goes on from there.
        maps.delete("stays", &DeleteParams::default()).await.unwrap();
        until("what comes after is seen", || state().iter().all(|map| map.name_any() != "stays")).await;
    });
    assert!(
        refused.load(Ordering::Relaxed) > 0,
        "the informer's revision was remembered: the test shows nothing"
    );
}
