//! History that is forgotten under the API server: watches go on and miss nothing, lists of what is gone are refused in
//! a way that a client can go on from, and what was missed is told as such.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{
    DeleteParams, ListParams, Patch, PatchParams, PostParams, VersionMatch, WatchEvent, WatchParams,
};
use kube::core::Status;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weft_tests::apiserver::{Apiserver, State};
use weft_tests::changes::Book;
use weft_tests::client::{admin, config_map, runtime, settle};
use weft_tests::etcd::server::free_port;
use weft_tests::etcd::{Ctl, Kind, Server};
use weft_tests::relay::Relay;

/// How many changes the watch is to see.
const CHANGES: usize = 6_000;
/// Clients that write.
const WRITERS: usize = 8;
/// A wait that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, and etcdctl of its state.
fn start(state: State) -> (Apiserver, Ctl) {
    if state == State::Debian {
        let mut server = Apiserver::start(state, &[]);
        let ctl = Ctl::debian(server.etcd().unwrap());
        return (server, ctl);
    }
    let url = format!("http://127.0.0.1:{}", free_port());
    let server = Apiserver::start(state, &["--embedded-etcd-listen-client-urls", &url]);
    (server, Ctl::debian_at(&url))
}

/// Forgets all history but the newest.
fn compact(ctl: &Ctl) -> String {
    let revision = ctl.json(&["get", "x"])["header"]["revision"].to_string();
    ctl.ok(&["compaction", &revision]);
    revision
}

fn maps(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), "default")
}

fn each_change_is_seen(state: State) {
    let (runtime, (server, ctl)) = (runtime(), start(state));
    let book = Arc::new(Book::default());
    let last = runtime.block_on(async { book.begin(&admin(&server).await, WRITERS).await });
    let watching = runtime.spawn(book.clone().watch(runtime.block_on(admin(&server)), last));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let client = runtime.block_on(admin(&server));
            runtime.spawn(book.clone().write(client, writer, CHANGES / WRITERS))
        })
        .collect();
    let (mut compactions, mut before) = (0, 0);
    while writers.iter().any(|writer| !writer.is_finished()) {
        // The same revision twice is refused.
        if book.wrote() > before {
            before = book.wrote();
            compact(&ctl);
            compactions += 1;
        }
    }
    for writer in writers {
        runtime.block_on(writer).unwrap();
    }
    runtime.block_on(book.caught_up());
    assert!(!watching.is_finished(), "the watch has ended: {:?}", runtime.block_on(watching));
    assert!(compactions > 2, "only {compactions} compactions: the test shows nothing");
    book.each_once();
}

#[test]
fn a_watch_misses_nothing_while_the_state_within_is_compacted() {
    each_change_is_seen(State::Within);
}

#[test]
fn a_watch_misses_nothing_while_debians_etcd_is_compacted() {
    each_change_is_seen(State::Debian);
}

/// The status of a list that is refused because its revision is gone.
async fn refused(maps: &Api<ConfigMap>, parameters: &ListParams) -> Box<Status> {
    match maps.list(parameters).await {
        Err(kube::Error::Api(status)) => {
            assert_eq!((status.code, status.reason.as_str()), (410, "Expired"), "{status:?}");
            status
        }
        other => panic!("{other:?}"),
    }
}

async fn old_lists_are_refused(client: Client, ctl: Ctl) {
    let maps = maps(&client);
    for number in 0..20 {
        maps.create(&PostParams::default(), &config_map(&format!("m{number:02}"), "one")).await.unwrap();
    }
    let first = maps.list(&ListParams::default().limit(5)).await.unwrap();
    let (token, version) = (first.metadata.continue_.unwrap(), first.metadata.resource_version.unwrap());
    // Pages of a kind that has not changed since are there anyway.
    maps.delete("m07", &DeleteParams::default()).await.unwrap();
    let changed = Patch::Merge(json!({"data": {"value": "two"}}));
    maps.patch("m08", &PatchParams::default(), &changed).await.unwrap();
    let exact = ListParams::default().at(&version).matching(VersionMatch::Exact);
    let then = maps.list(&exact).await.unwrap();
    assert!(then.iter().any(|map| map.name_any() == "m07"), "the list is not of its revision");
    assert_eq!(
        maps.list(&ListParams::default().limit(5).continue_token(&token)).await.unwrap().items.len(),
        5
    );
    let compacted = compact(&ctl);
    assert!(compacted.parse::<u64>().unwrap() > version.parse().unwrap());
    let status = refused(&maps, &exact).await;
    assert!(status.message.contains("too old"), "{status:?}");
    let status = refused(&maps, &ListParams::default().limit(5).continue_token(&token)).await;
    // With the token of the refusal a client goes on with what is there now.
    let mut token = status.metadata.unwrap().continue_.unwrap();
    let mut names: Vec<String> = first.items.iter().map(ResourceExt::name_any).collect();
    while !token.is_empty() {
        let page = maps.list(&ListParams::default().limit(5).continue_token(&token)).await.unwrap();
        names.extend(page.items.iter().map(ResourceExt::name_any));
        token = page.metadata.continue_.unwrap_or_default();
    }
    names.retain(|name| name.starts_with('m'));
    let wanted: Vec<String> =
        (0..20).filter(|number| *number != 7).map(|number| format!("m{number:02}")).collect();
    assert_eq!(names, wanted);
    // Not older than the revision is what there is now.
    let newer = ListParams::default().at(&version).matching(VersionMatch::NotOlderThan);
    assert!(maps.list(&newer).await.unwrap().iter().all(|map| map.name_any() != "m07"));
    // The cache remembers what the state does not: a watch goes on.
    let mut watch = Box::pin(maps.watch(&WatchParams::default(), &version).await.unwrap());
    let event = tokio::time::timeout(PATIENCE, watch.next()).await.unwrap();
    assert!(matches!(event, Some(Ok(WatchEvent::Deleted(map))) if map.name_any() == "m07"));
}

#[test]
fn lists_of_compacted_revisions_are_refused_and_can_go_on_with_state_within() {
    let (runtime, (server, ctl)) = (runtime(), start(State::Within));
    runtime.block_on(async { old_lists_are_refused(admin(&server).await, ctl).await });
}

#[test]
fn lists_of_compacted_revisions_are_refused_and_can_go_on_with_debians_etcd() {
    let (runtime, (server, ctl)) = (runtime(), start(State::Debian));
    runtime.block_on(async { old_lists_are_refused(admin(&server).await, ctl).await });
}

/// What another API server would do meanwhile.
fn change_behind(ctl: &Ctl) {
    let key = |name: &str| format!("/registry/configmaps/default/{name}");
    ctl.ok(&["del", &key("goes")]);
    let comes = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "comes", "namespace": "default",
        "uid": "6a0a4dd0-2f9e-4b7e-8f6c-0f5a3b1f8c11", "creationTimestamp": "2026-01-01T00:00:00Z"}});
    ctl.ok(&["put", &key("comes"), &comes.to_string()]);
    compact(ctl);
}

#[test]
fn changes_that_were_compacted_before_the_server_saw_them_end_watches_and_are_there_afterwards() {
    let (runtime, etcd) = (runtime(), Server::start(Kind::Debian, &[]));
    let port = etcd.url().rsplit(':').next().unwrap().parse().unwrap();
    let relay = runtime.block_on(Relay::to(port));
    let url = format!("http://127.0.0.1:{}", relay.port());
    let server = Apiserver::start(State::Within, &["--etcd-servers", &url]);
    let client = runtime.block_on(admin(&server));
    runtime.block_on(async {
        settle(&client).await;
        let maps = maps(&client);
        maps.create(&PostParams::default(), &config_map("stays", "one")).await.unwrap();
        let goes = maps.create(&PostParams::default(), &config_map("goes", "one")).await.unwrap();
        let version = goes.resource_version().unwrap();
        let mut watch = Box::pin(maps.watch(&WatchParams::default(), &version).await.unwrap());
        relay.close();
        change_behind(&Ctl::debian(&etcd));
        relay.open();
        // Nothing is told that would let a client believe to have seen everything.
        loop {
            match tokio::time::timeout(PATIENCE, watch.next()).await.unwrap() {
                Some(Ok(WatchEvent::Error(status))) => {
                    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
                    break;
                }
                Some(Ok(WatchEvent::Bookmark(_))) => {}
                other => panic!("{other:?}"),
            }
        }
        let start = Instant::now();
        let names = loop {
            match maps.list(&ListParams::default()).await {
                Ok(list) => break list.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>(),
                Err(why) => assert!(start.elapsed() < PATIENCE, "{why}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let told = |name: &str| names.iter().any(|one| one == name);
        assert!(told("stays") && told("comes") && !told("goes"), "{names:?}");
    });
}
