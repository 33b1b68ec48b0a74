//! Faults of the API server: killed while it writes, its state away and back.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams, VersionMatch, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt as _};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use weft_tests::apiserver::{Apiserver, State};
use weft_tests::client::{admin, config_map, runtime};

/// How often the server is killed.
const KILLS: usize = 8;
/// Clients that write meanwhile.
const WRITERS: usize = 4;

/// Makes and changes objects until the server does not answer; what was acknowledged is noted.
async fn write(client: Client, writer: String, known: Arc<Mutex<BTreeMap<String, String>>>) {
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    for number in 0.. {
        let name = format!("{writer}-{number}");
        let Ok(made) = maps.create(&PostParams::default(), &config_map(&name, "one")).await else { return };
        known.lock().unwrap().insert(name.clone(), "one".into());
        let mut changed = config_map(&name, "two");
        changed.metadata.resource_version = made.metadata.resource_version;
        match maps.replace(&name, &PostParams::default(), &changed).await {
            Ok(_) => drop(known.lock().unwrap().insert(name, "two".into())),
            // Whether it was done is not known.
            Err(_) => {
                known.lock().unwrap().insert(name, String::new());
                return;
            }
        }
    }
}

#[test]
fn nothing_that_was_acknowledged_is_lost_when_the_server_is_killed() {
    let runtime = runtime();
    let mut server = Apiserver::start(State::Within, &[]);
    let known: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
    for kill in 0..KILLS {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (name, known) = (format!("k{kill}-w{writer}"), known.clone());
                let client = runtime.block_on(admin(&server));
                runtime.spawn(write(client, name, known))
            })
            .collect();
        // At another place of their work each time.
        let enough = known.lock().unwrap().len() + 50 + 17 * kill;
        let start = Instant::now();
        while known.lock().unwrap().len() < enough {
            assert!(start.elapsed() < Duration::from_secs(60), "the writers stand still");
            std::thread::sleep(Duration::from_millis(1));
        }
        server.kill();
        writers.into_iter().for_each(|writer| runtime.block_on(writer).unwrap());
        server.restart();
        let there = runtime.block_on(async {
            let maps: Api<ConfigMap> = Api::namespaced(admin(&server).await, "default");
            maps.list(&ListParams::default()).await.unwrap()
        });
        let there: BTreeMap<String, Option<String>> = there
            .items
            .into_iter()
            .map(|map| (map.metadata.name.unwrap(), map.data.and_then(|mut data| data.remove("value"))))
            .collect();
        for (name, value) in known.lock().unwrap().iter() {
            let now = there.get(name).unwrap_or_else(|| panic!("{name} was acknowledged and is lost"));
            let now = now.as_deref().unwrap_or_else(|| panic!("{name} is half an object"));
            assert!(value.is_empty() || now == value, "{name} is {now}, and {value} was acknowledged");
        }
    }
}

#[test]
fn while_the_state_is_away_the_answer_is_503_and_watches_go_on_afterwards() {
    let runtime = runtime();
    let mut server = Apiserver::start(State::Debian, &[]);
    let client = runtime.block_on(admin(&server));
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let create = |name: &str| runtime.block_on(maps.create(&PostParams::default(), &config_map(name, "x")));
    let version = create("before").unwrap().metadata.resource_version.unwrap();
    let mut watch = runtime.block_on(async {
        let params = WatchParams::default().timeout(120);
        Box::pin(maps.watch(&params, &version).await.unwrap())
    });
    server.etcd().unwrap().kill();
    let refused = create("meanwhile").unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("{refused}") };
    assert_eq!((status.code, status.reason.as_str()), (503, "ServiceUnavailable"), "{status:?}");
    let details = status.details.clone().unwrap();
    assert!(details.retry_after_seconds > 0, "{status:?}");
    server.etcd().unwrap().restart();
    let start = Instant::now();
    while create("after").is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "the server does not come back");
        std::thread::sleep(Duration::from_millis(50));
    }
    let seen = runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), async {
            loop {
                match watch.next().await {
                    Some(Ok(WatchEvent::Added(map))) if map.metadata.name.as_deref() == Some("after") => {
                        return true;
                    }
                    Some(Ok(_)) => {}
                    other => panic!("the watch ended: {other:?}"),
                }
            }
        })
        .await
    });
    assert_eq!(seen, Ok(true), "the watch did not go on");
}

/// Informers list with `resourceVersion=0`, which is content with what the cache has: an empty list would be believed.
#[test]
fn before_the_first_list_is_done_no_read_is_answered_with_nothing() {
    let (runtime, mut server) = (runtime(), Apiserver::start(State::Debian, &[]));
    let any = ListParams::default().at("0").matching(VersionMatch::NotOlderThan);
    let maps: Api<ConfigMap> = Api::namespaced(runtime.block_on(admin(&server)), "default");
    runtime.block_on(maps.create(&PostParams::default(), &config_map("there", "x"))).unwrap();
    server.kill();
    server.etcd().unwrap().signal(Signal::STOP);
    server.spawn();
    let mut refused = false;
    let start = Instant::now();
    loop {
        match runtime.block_on(maps.list(&any)) {
            Ok(list) => {
                assert!(
                    list.iter().any(|map| map.name_any() == "there"),
                    "an empty list before the first one"
                );
                break;
            }
            Err(kube::Error::Api(status)) => {
                assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"), "{status:?}");
                if !std::mem::replace(&mut refused, true) {
                    server.etcd().unwrap().signal(Signal::CONT);
                }
            }
            // It does not listen yet.
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
        assert!(start.elapsed() < Duration::from_secs(60), "the server does not come back");
    }
    assert!(refused, "nothing was asked before the first list: the test shows nothing");
}
