//! A start from a snapshot: what a real etcd, or ours, held, `weft etcd --restore-from` serves and goes on with.

#![allow(clippy::unwrap_used, reason = "the file is a test")]

use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::Output;
use std::time::Duration;
use weft_tests::etcd::sample::{self, COMPACTED};
use weft_tests::etcd::{Ctl, Kind, Server, on_each};

/// The sample, and values larger than a page.
fn fill(ctl: &Ctl) {
    sample::fill(ctl);
    for n in 0..40 {
        ctl.ok(&["put", &format!("large/{n}"), &"x".repeat(n * 500)]);
    }
}

/// All that clients can see: each revision that is not compacted, HashKV, the leases with their keys.
fn seen(ctl: &Ctl) -> (Vec<Value>, i64) {
    let newest = ctl.json(&["get", "a"])["header"]["revision"].as_i64().unwrap();
    let mut all = Vec::new();
    for revision in COMPACTED..=newest {
        all.push(ctl.json(&["get", "", "--prefix", "--rev", &revision.to_string()])["kvs"].take());
    }
    let compacted = (COMPACTED - 1).to_string();
    assert!(ctl.fails(&["get", "a", "--rev", &compacted]).contains("has been compacted"));
    all.push(ctl.json(&["endpoint", "hashkv"])[0]["HashKV"]["hash"].take());
    let leases = ctl.json(&["lease", "list"]);
    let mut ids: Vec<u64> =
        leases["leases"].as_array().unwrap().iter().map(|lease| lease["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    for id in ids {
        let mut lease = ctl.json(&["lease", "timetolive", "--keys", &format!("{id:x}")]);
        let (left, granted) = (lease["ttl"].as_i64().unwrap(), lease["granted-ttl"].as_i64().unwrap());
        assert!((granted - 60..=granted).contains(&left), "{lease}");
        if let Some(keys) = lease["keys"].as_array_mut() {
            keys.sort_by_key(ToString::to_string);
        }
        all.push(json!([lease["id"], granted, lease["keys"]]));
    }
    (all, newest)
}

/// What a watch from the compaction on is told first.
fn replayed(ctl: &Ctl) -> Vec<String> {
    let from = (COMPACTED + 1).to_string();
    ctl.start(&["watch", "", "--prefix", "--rev", &from]).lines(45)
}

/// Ours, begun with a file.
fn begun(file: &Path) -> Server {
    Server::start(Kind::Weft, &["--restore-from", file.to_str().unwrap()])
}

fn goes_on(ctl: &Ctl, revision: i64) {
    let put = ctl.json(&["put", "after", "1"]);
    assert_eq!(put["header"]["revision"], revision + 1);
    let next = (revision + 1).to_string();
    assert_eq!(ctl.start(&["watch", "after", "--rev", &next]).lines(3), ["PUT", "after", "1"]);
    ctl.ok(&["compaction", &next, "--physical"]);
    assert!(ctl.fails(&["get", "a", "--rev", &revision.to_string()]).contains("has been compacted"));
    ctl.ok(&["defrag"]);
    let lease = ctl.json(&["lease", "list"])["leases"][0]["id"].as_u64().unwrap();
    ctl.ok(&["lease", "keep-alive", "--once", &format!("{lease:x}")]);
    ctl.ok(&["lease", "revoke", &format!("{lease:x}")]);
}

#[test]
fn weft_begins_with_a_snapshot_of_each() {
    on_each(|source, ctl| {
        fill(ctl);
        let (before, revision) = seen(ctl);
        let events = replayed(ctl);
        let file = source.dir().join("snapshot.db");
        let tool = if source.kind() == Kind::Distro { Ctl::distro(source) } else { Ctl::debian(source) };
        tool.ok(&["snapshot", "save", file.to_str().unwrap()]);
        let server = begun(&file);
        let restored = Ctl::debian(&server);
        let (after, newest) = seen(&restored);
        assert_eq!(newest, revision);
        assert_eq!(after.len(), before.len());
        after.iter().zip(&before).for_each(|(after, before)| assert_eq!(after, before));
        assert_eq!(replayed(&restored), events);
        let said = server.log();
        assert!(said.contains(&format!("revision {revision}, ")) && said.contains("2 leases"), "{said}");
        goes_on(&restored, revision);
    });
}

/// One start on a folder that has data, and its end.
fn refused(server: &mut Server) -> String {
    let Output { status, stderr, .. } = server.command().output().unwrap();
    assert_eq!(status.code(), Some(5), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stderr).into_owned()
}

#[test]
fn a_second_start_with_the_flag_is_refused_and_changes_nothing() {
    let source = Server::start(Kind::Weft, &[]);
    let ctl = Ctl::debian(&source);
    ctl.ok(&["put", "a", "1"]);
    let file = source.dir().join("snapshot.db");
    ctl.ok(&["snapshot", "save", file.to_str().unwrap()]);
    let mut server = begun(&file);
    Ctl::debian(&server).ok(&["put", "b", "2"]);
    server.kill();
    let data = || {
        let mut files: Vec<_> = fs::read_dir(server.data_dir()).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        files.iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect::<Vec<_>>()
    };
    let before = data();
    let Output { status, stderr, .. } = server.command().output().unwrap();
    let told = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(5), "{told}");
    assert!(told.contains("weft-etcd.redb is there") && told.contains("leave --restore-from away"), "{told}");
    assert!(before == data(), "the folder was changed");
}

#[test]
fn files_that_are_no_snapshots_are_refused_by_name() {
    let source = Server::start(Kind::Debian, &[]);
    let ctl = Ctl::debian(&source);
    ctl.ok(&["put", "a", "1"]);
    let (file, copy) = (source.dir().join("snapshot.db"), source.dir().join("data/member/snap/db"));
    let name = file.to_str().unwrap();
    ctl.ok(&["snapshot", "save", name]);
    let mut weft = Server::unstarted(Kind::Weft, &["--restore-from", name]);
    let mut flipped = fs::read(&file).unwrap();
    flipped[100] ^= 1;
    for (bytes, expected) in
        [(fs::read(copy).unwrap(), "no SHA-256 is behind it"), (flipped, "SHA-256 is not")]
    {
        fs::write(&file, bytes).unwrap();
        let told = refused(&mut weft);
        assert!(told.contains(name) && told.contains(expected), "{told}");
    }
    assert!(!weft.data_dir().exists());
}

#[test]
fn users_of_a_real_etcd_are_not_lost_unseen() {
    for kind in [Kind::Debian, Kind::Distro] {
        let source = Server::start(kind, &[]);
        let ctl = Ctl::debian(&source);
        let file = source.dir().join("snapshot.db");
        let name = file.to_str().unwrap();
        ctl.ok(&["put", "a", "1"]);
        ctl.ok(&["user", "add", "root:secret"]);
        ctl.ok(&["user", "grant-role", "root", "root"]);
        ctl.ok(&["auth", "enable"]);
        ctl.ok(&["--user", "root:secret", "snapshot", "save", name]);
        let mut weft = Server::unstarted(Kind::Weft, &["--restore-from", name]);
        let told = refused(&mut weft);
        assert!(told.contains("authentication is on in it"), "{told}");
        assert!(!weft.data_dir().exists());
        // Switched off, they keep nobody out, and are told of.
        ctl.ok(&["--user", "root:secret", "auth", "disable"]);
        fs::remove_file(&file).unwrap();
        ctl.ok(&["snapshot", "save", name]);
        weft.restart();
        assert_eq!(Ctl::debian(&weft).ok(&["get", "a"]), "a\n1");
        assert!(weft.log().contains("which were not in force"), "{}", weft.log());
    }
}

/// Values of a snapshot that takes a moment to restore.
const LARGE: usize = 60;

/// Killed anywhere, a restore has left nothing, something that a start names, or all of it.
#[test]
fn a_restore_that_is_killed_is_whole_or_named() {
    let source = Server::start(Kind::Weft, &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = source.client();
        for n in 0..LARGE {
            let (key, value) = (format!("k{n:02}").into_bytes(), vec![b'x'; 1 << 20]);
            let put = etcd_client::proto::PbPutRequest { key, value, ..Default::default() };
            client.put(put).await.unwrap();
        }
    });
    let file = source.dir().join("snapshot.db");
    Ctl::debian(&source).ok(&["snapshot", "save", file.to_str().unwrap()]);
    let flags = ["--restore-from", file.to_str().unwrap()];
    let mut found = [0; 3];
    for wait in (0..12).map(|round| Duration::from_millis(round * 40)) {
        let (mut killed, mut plain) =
            (Server::unstarted(Kind::Weft, &flags), Server::unstarted(Kind::Weft, &[]));
        killed.spawn();
        std::thread::sleep(wait);
        killed.kill();
        let there = |name: &str| killed.data_dir().join(name).exists();
        let (whole, half) = (there("weft-etcd.redb"), there("weft-etcd.redb.restoring"));
        found[if whole { 2 } else { usize::from(half) }] += 1;
        let server = if whole {
            fs::rename(killed.data_dir(), plain.data_dir()).unwrap();
            &mut plain
        } else {
            if half {
                let mut start = Kind::Weft.command();
                start.arg("--data-dir").arg(killed.data_dir());
                let Output { status, stderr, .. } = start.output().unwrap();
                assert_eq!(status.code(), Some(5));
                assert!(String::from_utf8_lossy(&stderr).contains("broken off"));
            }
            &mut killed
        };
        server.restart();
        assert_eq!(Ctl::debian(server).json(&["get", "", "--prefix", "--keys-only"])["count"], LARGE);
    }
    println!("{found:?}: nothing, a part, all of it");
}
