//! Snapshots and mirrors: what one server holds, another serves.
//!
//! A snapshot of ours must be one that the real etcd restores and serves with all keys, revisions and leases; the
//! same is asserted of the real etcd's own.

#![allow(clippy::unwrap_used, reason = "the file is a test")]

use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use weft_tests::etcd::sample::fill;
use weft_tests::etcd::{Ctl, Kind, Server, on_each, server};

/// All that clients can see: every revision that is not compacted, and the leases with their keys.
fn seen(ctl: &Ctl) -> Vec<Value> {
    let mut all = Vec::new();
    for revision in 9..=25 {
        all.push(ctl.json(&["get", "", "--prefix", "--rev", &revision.to_string()])["kvs"].take());
    }
    assert!(ctl.fails(&["get", "a", "--rev", "8"]).contains("has been compacted"));
    assert!(ctl.fails(&["get", "a", "--rev", "26"]).contains("future revision"));
    let mut leases: Vec<u64> = ctl.json(&["lease", "list"])["leases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["id"].as_u64().unwrap())
        .collect();
    leases.sort_unstable();
    for id in leases {
        let mut lease = ctl.json(&["lease", "timetolive", "--keys", &format!("{id:x}")]);
        if let Some(keys) = lease["keys"].as_array_mut() {
            keys.sort_by_key(ToString::to_string);
        }
        all.push(serde_json::json!([lease["id"], lease["granted-ttl"], lease["keys"]]));
    }
    all
}

/// One by one, so that what differs is what is shown.
fn alike(now: &[Value], before: &[Value], what: &str) {
    assert_eq!(now.len(), before.len(), "{what}");
    now.iter().zip(before).for_each(|(now, before)| assert_eq!(now, before, "{what}"));
}

/// Restores with a tool and serves the result with an etcd.
fn restored(mut tool: Command, file: &Path, kind: Kind) -> Server {
    let mut server = Server::unstarted(kind, &[]);
    tool.args(["snapshot", "restore"]).arg(file).arg("--data-dir").arg(server.data_dir());
    tool.args(["--name", "test", "--initial-cluster", &format!("test={}", server.peer_url())]);
    tool.args(["--initial-advertise-peer-urls", &server.peer_url()]);
    let output = tool.output().unwrap();
    assert!(output.status.success(), "{tool:?}: {}", String::from_utf8_lossy(&output.stderr));
    server.restart();
    server
}

#[test]
fn a_snapshot_is_restored_and_served_by_the_real_etcd() {
    on_each(|server, ctl| {
        fill(ctl);
        let before = seen(ctl);
        let file = server.dir().join("snapshot.db");
        let name = file.to_str().unwrap();
        let saved = ctl.ok(&["snapshot", "save", name]);
        assert!(saved.ends_with(&format!("Snapshot saved at {name}")), "{saved}");
        let status = ctl.json(&["snapshot", "status", name]);
        assert_eq!(status["revision"], 25);
        assert!(status["totalKey"].as_u64().is_some_and(|keys| keys > 0), "{status}");
        assert!(status["totalSize"].as_u64().is_some_and(|size| size > 0), "{status}");
        assert!(ctl.ok(&["snapshot", "status", name, "-w", "table"]).contains("TOTAL KEYS"));

        let debian = restored(ctl.command(&[]), &file, Kind::Debian);
        alike(&seen(&Ctl::debian(&debian)), &before, "restored by etcdctl 3.4");
        let utl = restored(Command::new(server::distro("etcdutl")), &file, Kind::Distro);
        alike(&seen(&Ctl::debian(&utl)), &before, "restored by etcdutl 3.5");
        // What was restored goes on from the same revision.
        let put = Ctl::debian(&utl).json(&["put", "after", "1"]);
        assert_eq!(put["header"]["revision"], 26);
        let newer = Ctl::distro(server);
        let again = server.dir().join("again.db");
        newer.ok(&["snapshot", "save", again.to_str().unwrap()]);
        let restored = restored(newer.command(&[]), &again, Kind::Distro);
        alike(&seen(&Ctl::debian(&restored)), &before, "saved and restored by etcdctl 3.5");
    });
}

/// What there is, without revisions: a mirror has its own.
fn keys(ctl: &Ctl) -> String {
    ctl.ok(&["get", "", "--prefix"])
}

fn wait_for(expected: &str, ctl: &Ctl) {
    let start = Instant::now();
    while keys(ctl) != expected {
        assert!(start.elapsed() < Duration::from_secs(60), "{} is not {expected}", keys(ctl));
        thread::sleep(Duration::from_millis(20));
    }
}

fn mirrors(from: &Server, to: &Server) {
    let (source, mirror) = (Ctl::debian(from), Ctl::debian(to));
    source.ok(&["put", "m/old", "1"]);
    source.ok(&["put", "m/gone", "1"]);
    let running = source.start(&["make-mirror", to.url().trim_start_matches("http://")]);
    wait_for(&keys(&source), &mirror);
    source.ok(&["del", "m/gone"]);
    source.ok_with(&["txn"], "\nput m/one 1\nput m/two 2\n\n\n");
    assert_eq!(keys(&source), "m/old\n1\nm/one\n1\nm/two\n2");
    wait_for(&keys(&source), &mirror);
    drop(running);
}

#[test]
fn a_mirror_follows_in_both_directions() {
    for kind in Kind::wanted() {
        println!("{kind:?} to Debian");
        mirrors(&Server::start(kind, &[]), &Server::start(Kind::Debian, &[]));
        println!("Debian to {kind:?}");
        mirrors(&Server::start(Kind::Debian, &[]), &Server::start(kind, &[]));
    }
}
