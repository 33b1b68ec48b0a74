//! Large objects, more of them than one message of gRPC usually has: a server that starts reads all, and a watch of the
//! state that comes back is told all.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use std::time::Duration;
use weft_tests::apiserver::{Apiserver, State};
use weft_tests::client::{admin, config_map, runtime, settle};
use weft_tests::etcd::{Ctl, Kind, Server};
use weft_tests::relay::Relay;

/// Bytes of a value, nearly the largest that upstream takes of a ConfigMap.
const VALUE: usize = 1_000_000;
/// How many of them; gRPC's limit is 4 MiB.
const OBJECTS: usize = 12;
/// A wait that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn starts_over_large_objects(state: State) {
    let (runtime, mut server) = (runtime(), Apiserver::start(state, &[]));
    let maps: Api<ConfigMap> = Api::namespaced(runtime.block_on(admin(&server)), "default");
    for number in 0..OBJECTS {
        let map = config_map(&format!("large-{number}"), &"x".repeat(VALUE));
        runtime.block_on(maps.create(&PostParams::default(), &map)).unwrap();
    }
    server.kill();
    server.restart();
    let list = runtime.block_on(maps.list(&ListParams::default())).unwrap();
    let large =
        list.iter().filter(|map| map.data.as_ref().unwrap().values().any(|value| value.len() == VALUE));
    assert_eq!(large.count(), OBJECTS);
}

#[test]
fn a_server_starts_over_large_objects_within() {
    starts_over_large_objects(State::Within);
}

#[test]
fn a_server_starts_over_large_objects_in_debians_etcd() {
    starts_over_large_objects(State::Debian);
}

/// Makes large objects as another API server would do.
fn create_behind(ctl: &Ctl) {
    for number in 0..OBJECTS {
        let name = format!("large-{number}");
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"value": "x".repeat(VALUE)}, "metadata": {
            "name": name, "namespace": "default", "uid": format!("6a0a4dd0-2f9e-4b7e-8f6c-{number:012}"),
            "creationTimestamp": "2026-01-01T00:00:00Z"}});
        let said = ctl.run_with(&["put", &format!("/registry/configmaps/default/{name}")], &map.to_string());
        assert!(said.status.success(), "{said:?}");
    }
}

#[test]
fn a_watch_of_the_state_that_comes_back_is_told_of_large_objects() {
    let (runtime, etcd) = (runtime(), Server::start(Kind::Debian, &[]));
    let port = etcd.url().rsplit(':').next().unwrap().parse().unwrap();
    let relay = runtime.block_on(Relay::to(port));
    let url = format!("http://127.0.0.1:{}", relay.port());
    let server = Apiserver::start(State::Within, &["--etcd-servers", &url]);
    runtime.block_on(async {
        let client = admin(&server).await;
        settle(&client).await;
        let maps: Api<ConfigMap> = Api::namespaced(client, "default");
        let version = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
        let mut watch = Box::pin(maps.watch(&WatchParams::default(), &version).await.unwrap());
        relay.close();
        create_behind(&Ctl::debian(&etcd));
        relay.open();
        let mut names = Vec::new();
        while names.len() < OBJECTS {
            match tokio::time::timeout(PATIENCE, watch.next()).await.unwrap() {
                Some(Ok(WatchEvent::Added(map))) => names.push(map.name_any()),
                Some(Ok(WatchEvent::Bookmark(_))) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(names, (0..OBJECTS).map(|number| format!("large-{number}")).collect::<Vec<_>>());
    });
}
