//! Informers over a network that breaks and a server that dies: each change is seen exactly once while its revision is
//! remembered, and after a revision that is not, the state is right in the end.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, ResourceExt as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use weft_tests::apiserver::{Apiserver, State};
use weft_tests::changes::Book;
use weft_tests::client::{admin, at, config_map, runtime, settle};
use weft_tests::relay::Relay;

/// How many changes.
const CHANGES: usize = 100_000;
/// Clients that write, each objects of its own.
const WRITERS: usize = 16;
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

/// Some of the changes, with cuts of the network at even distances.
fn written_and_cut(runtime: &Runtime, server: &Apiserver, relay: &Relay, book: &Arc<Book>, number: usize) {
    runtime.block_on(async {
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(book.clone().write(admin(server).await, writer, number / WRITERS));
        }
        let (before, mut cuts) = (book.saw(), 0);
        while !writers.is_empty() {
            let share = (book.saw() - before) * CUTS / number;
            if share > cuts {
                cuts = share;
                relay.cut();
            }
            let short = Duration::from_millis(5);
            if let Ok(Some(ended)) = tokio::time::timeout(short, writers.join_next()).await {
                ended.unwrap();
            }
        }
        book.caught_up().await;
    });
}

fn each_is_seen_once(state: State, number: usize) {
    let (runtime, mut server) = (runtime(), Apiserver::start(state, &[]));
    let (relay, book) = (runtime.block_on(Relay::to(server.port())), Arc::new(Book::default()));
    let last = runtime.block_on(async { book.begin(&admin(&server).await, WRITERS).await });
    let client = runtime.block_on(at(&server, relay.port()));
    let watching = runtime.spawn(book.clone().watch(client, last));
    let start = Instant::now();
    for part in 0..=KILLS {
        written_and_cut(&runtime, &server, &relay, &book, number / (KILLS + 1));
        assert!(!watching.is_finished(), "the watch has ended: {:?}", runtime.block_on(watching));
        if part < KILLS {
            // What came before its first list a server that was started anew does not know: the watch is behind all.
            server.kill();
            server.restart();
        }
    }
    let (wrote, seconds) = (book.wrote(), start.elapsed().as_secs_f64());
    println!("{wrote} changes in {seconds:.1} s, over {} connections and {KILLS} kills", relay.connections());
    assert!(wrote + (KILLS + 1) * WRITERS > number, "only {wrote} changes were made");
    assert!(relay.connections() > CUTS, "the network was cut too rarely: {}", relay.connections());
    book.each_once();
}

#[test]
fn an_informer_sees_each_of_many_changes_exactly_once_over_cuts_and_kills_with_state_within() {
    each_is_seen_once(State::Within, CHANGES);
}

#[test]
fn an_informer_sees_each_of_many_changes_exactly_once_over_cuts_and_kills_with_debians_etcd() {
    each_is_seen_once(State::Debian, CHANGES / 5);
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
    let client = runtime.block_on(admin(&server));
    runtime.block_on(settle(&client));
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
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

/// Changes objects until the server does not answer.
async fn change_until_killed(maps: Api<ConfigMap>, name: String) {
    for turn in 0.. {
        let object = config_map(&format!("{name}-{turn}"), "made");
        let made = maps.create(&PostParams::default(), &object).await;
        let gone = maps.delete(&format!("{name}-{}", turn / 2), &DeleteParams::default()).await;
        if matches!(made, Err(kube::Error::Service(_))) || matches!(gone, Err(kube::Error::Service(_))) {
            return;
        }
    }
}

#[test]
fn an_informer_of_a_server_that_is_killed_while_it_writes_has_the_right_state_in_the_end() {
    let (runtime, mut server) = (runtime(), Apiserver::start(State::Within, &[]));
    let client = runtime.block_on(admin(&server));
    runtime.block_on(settle(&client));
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let (store, writer) = reflector::store::<ConfigMap>();
    let stream = watcher(maps.clone(), watcher::Config::default()).default_backoff().reflect(writer);
    runtime.spawn(stream.for_each(|_| std::future::ready(())));
    for kill in 0..3 {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| runtime.spawn(change_until_killed(maps.clone(), format!("k{kill}-w{writer}"))))
            .collect();
        // It is right in the midst of them.
        let seen = store.len();
        runtime.block_on(until("changes are seen", || store.len() > seen + 20));
        server.kill();
        writers.into_iter().for_each(|writer| runtime.block_on(writer).unwrap());
        server.restart();
        let wanted = runtime.block_on(maps.list(&ListParams::default())).unwrap();
        let wanted = contents(&wanted.items);
        runtime.block_on(until("the reflected state is the server's", || {
            contents(store.state().iter().map(AsRef::as_ref)) == wanted
        }));
    }
}
