//! Disks that fail: no room, no room by quota, read-only, damaged files.
//!
//! What the real etcd has too (the quota) is asserted of it as well; the rest is of ours alone.

#![allow(clippy::unwrap_used, reason = "the file is a test")]

use etcd_client::proto::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tonic::{Code, Status};
use weft_tests::etcd::disk::Disk;
use weft_tests::etcd::{Ctl, Kind, Server, on_each};

/// Bytes of a value that fills.
const VALUE: usize = 64 << 10;

/// Megabytes of a disk, and of them what is taken and can be freed: files grow by doubling, so more than half.
const DISK: u32 = 96;
const TAKEN: usize = 72;

/// The test's side of a server.
struct Client {
    runtime: Runtime,
    client: weft_tests::etcd::Client,
}

impl Client {
    fn of(server: &Server) -> Client {
        let runtime = Runtime::new().unwrap();
        let client = runtime.block_on(async { server.client() });
        Client { runtime, client }
    }

    fn put(&self, number: usize) -> Result<(), Status> {
        let key = format!("{number:06}").into_bytes();
        let value = vec![u8::try_from(number % 251).unwrap(); VALUE];
        self.runtime.block_on(self.client.put(PbPutRequest { key, value, ..Default::default() })).map(drop)
    }

    /// Asserts that the first keys are there, each with its value.
    fn has(&self, number: usize) {
        for at in 0..number {
            let key = format!("{at:06}").into_bytes();
            let found = self
                .runtime
                .block_on(self.client.range(PbRangeRequest { key, ..Default::default() }))
                .unwrap();
            let value = found.kvs.first().map(|kv| (kv.value.len(), kv.value[0]));
            assert_eq!(value, Some((VALUE, u8::try_from(at % 251).unwrap())), "key {at} of {number}");
        }
    }

    /// Puts until it is refused; how many were taken, and why not more.
    fn fill(&self, most: usize) -> (usize, Status) {
        for number in 0..most {
            if let Err(status) = self.put(number) {
                return (number, status);
            }
        }
        panic!("{most} values of {VALUE} bytes were taken");
    }
}

/// Tries until writes are taken again.
fn wait_for_writes(client: &Client, from: usize) {
    let start = Instant::now();
    while let Err(status) = client.put(from) {
        assert!(start.elapsed() < Duration::from_secs(60), "still {status}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_quota_ends_writes_until_room_is_made() {
    for kind in Kind::wanted() {
        println!("on {kind:?}");
        let server = Server::start(kind, &["--quota-backend-bytes", "8000000"]);
        let (client, ctl) = (Client::of(&server), Ctl::debian(&server));
        let (taken, refused) = client.fill(500);
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert_eq!(refused.message(), "etcdserver: mvcc: database space exceeded");
        assert!(taken > 50, "only {taken} were taken");
        assert!(ctl.ok(&["alarm", "list"]).contains("alarm:NOSPACE"), "{}", ctl.ok(&["alarm", "list"]));
        client.has(taken);
        // Debian's does not look at alarms.
        let health = Ctl::distro(&server).fails(&["endpoint", "health"]);
        assert!(health.contains("Active Alarm(s): NOSPACE"), "{health}");
        assert!(ctl.fails(&["put", "small", ""]).contains("database space exceeded"));
        assert!(ctl.fails(&["lease", "grant", "100"]).contains("database space exceeded"));
        // Deleting, compacting and defragmenting make room. What is left is little: the twin's file grows by doubling
        // while it is defragmented, and the quota counts the file.
        let kept = taken / 8;
        assert_eq!(ctl.ok(&["del", &format!("{kept:06}"), "a"]), (taken - kept).to_string());
        let revision = ctl.json(&["get", "x"])["header"]["revision"].to_string();
        ctl.ok(&["compaction", &revision, "--physical"]);
        ctl.ok(&["defrag"]);
        assert!(ctl.ok(&["alarm", "disarm"]).contains("alarm:NOSPACE"));
        assert_eq!(ctl.ok(&["alarm", "list"]), "");
        for number in kept..kept * 2 {
            client.put(number).unwrap();
        }
        client.has(kept * 2);
    }
}

#[test]
fn an_alarm_outlives_a_start() {
    for kind in Kind::wanted() {
        println!("on {kind:?}");
        let mut server = Server::start(kind, &["--quota-backend-bytes", "4000000"]);
        let (taken, _) = Client::of(&server).fill(500);
        server.crash();
        server.restart();
        let (client, ctl) = (Client::of(&server), Ctl::debian(&server));
        assert!(ctl.ok(&["alarm", "list"]).contains("alarm:NOSPACE"));
        assert_eq!(client.put(taken).unwrap_err().code(), Code::ResourceExhausted);
        client.has(taken);
    }
}

#[test]
fn a_full_disk_ends_writes_and_loses_nothing() {
    let mut server = Server::unstarted(Kind::Weft, &[]);
    let disk = Disk::below(&server, DISK);
    disk.take(TAKEN);
    server.restart();
    let (client, ctl) = (Client::of(&server), Ctl::debian(&server));
    let (taken, refused) = client.fill(2000);
    println!("{taken} taken, then {refused}");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(taken > 20, "only {taken} were taken");
    client.has(taken);
    assert!(ctl.ok(&["alarm", "list"]).contains("alarm:NOSPACE"));
    assert!(client.put(taken).is_err(), "no room was made");
    disk.free();
    assert!(ctl.ok(&["alarm", "disarm"]).contains("alarm:NOSPACE"));
    wait_for_writes(&client, taken);
    for number in taken..taken + 20 {
        client.put(number).unwrap();
    }
    client.has(taken + 20);
    server.kill();
    server.restart();
    Client::of(&server).has(taken + 20);
}

#[test]
fn a_full_disk_loses_nothing_when_the_server_is_killed_then() {
    let mut server = Server::unstarted(Kind::Weft, &[]);
    let disk = Disk::below(&server, DISK);
    disk.take(TAKEN);
    server.restart();
    let (taken, _) = Client::of(&server).fill(2000);
    server.kill();
    disk.free();
    server.restart();
    let client = Client::of(&server);
    client.has(taken);
    Ctl::debian(&server).ok(&["alarm", "disarm"]);
    wait_for_writes(&client, taken);
    client.has(taken + 1);
}

/// A file of a database, to be damaged.
fn files(server: &Server) -> Vec<PathBuf> {
    let entries = fs::read_dir(server.data_dir()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_file() && fs::metadata(path).unwrap().len() > 0).collect()
}

/// Starts a server that must not start, and must name the file.
fn refuses(server: &mut Server, file: &Path, how: &str) {
    let before = server.log().len();
    server.spawn();
    let start = Instant::now();
    let status = loop {
        match server.ended() {
            Some(status) => break status,
            None => {
                assert!(start.elapsed() < Duration::from_secs(60), "it runs on {}, {how}", file.display())
            }
        }
        thread::sleep(Duration::from_millis(20));
    };
    let said = server.log().split_off(before);
    assert!(!status.success(), "{how}: {said}");
    assert!(said.contains(&file.display().to_string()), "{how}: {} is not named: {said}", file.display());
}

#[test]
fn a_read_only_disk_is_refused_by_name() {
    let mut server = Server::unstarted(Kind::Weft, &[]);
    let disk = Disk::below(&server, DISK);
    server.restart();
    Client::of(&server).put(0).unwrap();
    server.kill();
    disk.read_only(true);
    let folder = server.data_dir();
    refuses(&mut server, &folder, "read-only");
    disk.read_only(false);
    server.restart();
    Client::of(&server).has(1);
}

fn filled_and_stopped() -> Server {
    let mut server = Server::start(Kind::Weft, &[]);
    let client = Client::of(&server);
    (0..200).for_each(|number| client.put(number).unwrap());
    server.signal(rustix::process::Signal::TERM);
    assert!(server.wait().success());
    server
}

#[test]
fn a_damaged_database_is_refused_by_name() {
    let mut server = filled_and_stopped();
    let largest = |server: &Server| {
        files(server).into_iter().filter(|f| f.extension().is_some_and(|e| e == "redb")).max().unwrap()
    };
    let file = largest(&server);
    let whole = fs::read(&file).unwrap();
    println!("{} has {} bytes", file.display(), whole.len());

    let mut flipped = whole.clone();
    flipped[..4096].iter_mut().for_each(|byte| *byte ^= 0xff);
    fs::write(&file, &flipped).unwrap();
    refuses(&mut server, &file, "the beginning is wrong");

    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    refuses(&mut server, &file, "half of it is gone");

    let mut flipped = whole.clone();
    let (from, to) = (whole.len() / 4, whole.len() * 3 / 4);
    flipped[from..to].iter_mut().for_each(|byte| *byte ^= 0xff);
    fs::write(&file, &flipped).unwrap();
    refuses(&mut server, &file, "the middle is wrong");

    fs::write(&file, &whole).unwrap();
    server.restart();
    Client::of(&server).has(200);
}

/// Etcd is only asked what it shares with ours: that a second server does not take the data of the first.
#[test]
fn two_servers_do_not_share_data() {
    on_each(|server, ctl| {
        ctl.ok(&["put", "k", "v"]);
        let mut second = server.command();
        // The same folder and, so that it is the folder that stops it, other ports.
        let other = Server::unstarted(server.kind(), &[]);
        second.args(["--listen-client-urls", &other.url(), "--advertise-client-urls", &other.url()]);
        if server.kind().has_peers() {
            second.args(["--listen-peer-urls", &other.peer_url()]);
        }
        let mut child =
            second.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_secs(2));
        let serves = Ctl::debian(&other).run(&["get", "k", "--command-timeout", "1s"]).status.success();
        drop(child.kill());
        child.wait().unwrap();
        assert!(!serves, "two servers serve one folder");
        assert_eq!(ctl.ok(&["get", "k"]), "k\nv");
    });
}
