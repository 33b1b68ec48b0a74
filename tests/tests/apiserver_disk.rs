//! A disk without room under the API server's own state: writes are refused and say why, reads and watches go on, and
//! writes are taken again once there is room, without anybody's doing.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use kube::core::Status;
use kube::{Api, Client, ResourceExt as _};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use weft_tests::apiserver::{Apiserver, State};
use weft_tests::client::{admin, config_map, runtime, settle};
use weft_tests::etcd::disk::Disk;
use weft_tests::etcd::{Ctl, Kind, Server};

/// Megabytes of the disk, and of them what is taken and can be freed: files grow by doubling, so more than half.
const DISK: u32 = 96;
const TAKEN: usize = 72;
/// Bytes of a value that fills.
const VALUE: usize = 64 << 10;
/// A wait that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server whose disk has little room, some of which can be freed.
fn on_a_small_disk() -> (Runtime, Apiserver, Disk, Client) {
    let (runtime, mut server) = (runtime(), Apiserver::unstarted(State::Within, &[]));
    let disk = Disk::at(server.data_dir(), DISK);
    disk.take(TAKEN);
    server.restart();
    let client = runtime.block_on(admin(&server));
    (runtime, server, disk, client)
}

async fn create(maps: &Api<ConfigMap>, name: &str) -> Result<ConfigMap, Box<Status>> {
    match maps.create(&PostParams::default(), &config_map(name, &"x".repeat(VALUE))).await {
        Ok(map) => Ok(map),
        Err(kube::Error::Api(status)) => Err(status),
        Err(other) => panic!("{name}: {other}"),
    }
}

/// Makes objects until one is refused; how many were made, and why not more.
async fn fill(maps: &Api<ConfigMap>, prefix: &str) -> (usize, Box<Status>) {
    for number in 0..2_000 {
        if let Err(status) = create(maps, &format!("{prefix}{number:04}")).await {
            return (number, status);
        }
    }
    panic!("the disk takes everything");
}

/// The names of what was made, each with its whole value.
async fn names(maps: &Api<ConfigMap>) -> BTreeSet<String> {
    let list = maps.list(&ListParams::default()).await.unwrap();
    let made = list.iter().filter(|map| map.name_any() != "kube-root-ca.crt");
    made.map(|map| {
        assert_eq!(map.data.as_ref().unwrap()["value"].len(), VALUE, "{} is half an object", map.name_any());
        map.name_any()
    })
    .collect()
}

/// Waits until an object is made.
async fn created_in_time(maps: &Api<ConfigMap>, name: &str) {
    let start = Instant::now();
    while let Err(status) = create(maps, name).await {
        assert!(start.elapsed() < PATIENCE, "{status:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Upstream's: what etcd refuses for want of room is an internal error, with etcd's words.
fn is_full(status: &Status) {
    assert_eq!((status.code, status.reason.as_str()), (500, "InternalError"), "{status:?}");
    assert!(status.message.contains("database space exceeded"), "{status:?}");
    assert!(status.message.contains("make room on its disk"), "{status:?}");
}

#[test]
fn a_full_disk_refuses_writes_with_a_reason_and_takes_them_again_once_there_is_room() {
    let (runtime, mut server, disk, client) = on_a_small_disk();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let made = runtime.block_on(async {
        settle(&client).await;
        let version = maps.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
        let mut watch = Box::pin(maps.watch(&WatchParams::default(), &version).await.unwrap());
        let (taken, status) = fill(&maps, "m").await;
        println!("{taken} objects, then {status:?}");
        assert!(taken > 10, "only {taken} were made: the test shows nothing");
        is_full(&status);
        let mut wanted: BTreeSet<String> = (0..taken).map(|number| format!("m{number:04}")).collect();
        assert_eq!(names(&maps).await, wanted);
        assert_eq!(maps.get("m0003").await.unwrap().name_any(), "m0003");
        // What needs no room is done.
        maps.delete("m0003", &DeleteParams::default()).await.unwrap();
        wanted.remove("m0003");
        disk.free();
        created_in_time(&maps, "after").await;
        wanted.insert("after".into());
        // The watch has gone on all the time.
        let mut seen = 0;
        loop {
            match tokio::time::timeout(PATIENCE, watch.next()).await.unwrap() {
                Some(Ok(WatchEvent::Added(map))) if map.name_any() == "after" => break,
                Some(Ok(WatchEvent::Added(_))) => seen += 1,
                Some(Ok(WatchEvent::Deleted(map))) => assert_eq!(map.name_any(), "m0003"),
                Some(Ok(WatchEvent::Bookmark(_))) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, taken);
        wanted
    });
    server.kill();
    server.restart();
    assert_eq!(runtime.block_on(names(&maps)), made);
}

#[test]
fn a_server_that_starts_on_a_full_disk_serves_what_there_is_and_writes_once_there_is_room() {
    let (runtime, mut server, disk, client) = on_a_small_disk();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let (taken, _) = runtime.block_on(async {
        settle(&client).await;
        fill(&maps, "m").await
    });
    server.kill();
    server.restart();
    runtime.block_on(async {
        assert_eq!(names(&maps).await.len(), taken);
        // A start tidies up, so that some may find room.
        let (more, status) = fill(&maps, "n").await;
        is_full(&status);
        disk.free();
        created_in_time(&maps, "after").await;
        assert_eq!(names(&maps).await.len(), taken + more + 1);
    });
}

/// Room in an etcd of its own is made by a person, by etcdctl.
#[test]
fn an_etcd_whose_quota_is_used_up_refuses_writes_with_a_reason_until_room_is_made() {
    let (runtime, etcd) = (runtime(), Server::start(Kind::Debian, &["--quota-backend-bytes", "8000000"]));
    let ctl = Ctl::debian(&etcd);
    let server = Apiserver::start(State::Within, &["--etcd-servers", &etcd.url()]);
    let client = runtime.block_on(admin(&server));
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    runtime.block_on(async {
        settle(&client).await;
        let (taken, status) = fill(&maps, "m").await;
        assert!(taken > 10, "only {taken} were made: the test shows nothing");
        is_full(&status);
        assert_eq!(names(&maps).await.len(), taken);
        let some = ListParams::default();
        maps.delete_collection(&DeleteParams::default(), &some).await.unwrap();
        let revision = ctl.json(&["get", "x"])["header"]["revision"].to_string();
        ctl.ok(&["compaction", &revision, "--physical"]);
        ctl.ok(&["defrag"]);
        ctl.ok(&["alarm", "disarm"]);
        created_in_time(&maps, "after").await;
        assert_eq!(names(&maps).await, BTreeSet::from(["after".to_owned()]));
    });
}
