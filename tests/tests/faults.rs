//! Faults of the overlay under traffic: what runs goes on, what is missing heals.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;
use weft_tests::{Lab, Stream, weft_command};

const HEALED: Duration = Duration::from_secs(30);

/// Longer than the 30 s for which an identity is held.
const AWAY: Duration = Duration::from_secs(60);

const NODES: [&str; 2] = ["k8s-node1", "k8s-node2"];

/// Where each pod's load server listens first.
const LOAD_PORT: u16 = 5201;

const IDENTITIES: &str = "/coreos.com/network/weft/nodes/";
const LEASES: &str = "/coreos.com/network/subnets/";

/// Debian's etcd in place of the embedded one.
const ETCD: [&str; 2] = ["--etcd-bin", "/usr/bin/etcd"];

fn lab(name: &str) -> (Lab, String) {
    lab_with(name, &[])
}

fn lab_with(name: &str, more: &[&str]) -> (Lab, String) {
    let lab = Lab::up(name, &[&["--nodes", "2", "--pods-per-node", "1"], more].concat());
    let to = lab.address("pod2", false);
    (lab, to)
}

#[test]
fn traffic_goes_on_while_the_overlay_is_killed_and_started_again() {
    let (lab, to) = lab("t-kill");
    let ping = lab.ping("pod1", &to, 3);
    lab.signal("k8s-node1", "flannel", "-KILL");
    lab.signal("k8s-node2", "flannel", "-KILL");
    std::thread::sleep(Duration::from_millis(500));
    for node in ["k8s-node1", "k8s-node2"] {
        lab.run("start", &[node, "flannel"]);
    }
    let (sent, received) = ping.end();
    assert_eq!(sent, received, "packets were lost");
    let status = lab.status();
    assert!(
        status["nodes"][0]["daemons"].as_array().unwrap().iter().all(|d| d["running"] == true),
        "{status}"
    );
}

#[test]
fn a_connection_survives_the_death_of_both_overlays() {
    let (lab, to) = lab("t-stream");
    let address: IpAddr = to.parse().unwrap();
    let stream = Stream::start(&lab.pod_pid("pod1"), SocketAddr::new(address, LOAD_PORT));
    for round in 0..3 {
        for node in NODES {
            lab.signal(node, "flannel", "-KILL");
        }
        stream.flows(&format!("after kill -9 of both overlays, round {round}"));
        for node in NODES {
            lab.run("start", &[node, "flannel"]);
        }
        stream.flows(&format!("after both overlays were started again, round {round}"));
    }
    // Until the new daemons have long looked at everything.
    thread::sleep(Duration::from_secs(2));
    stream.flows("when all is settled");
    let (echoed, longest) = stream.end().expect("the one connection lasts from start to end");
    println!("{echoed} bytes came back, the slowest {longest:?} after they were sent");
    // What TCP must send again and again takes longer.
    assert!(longest < HEALED, "a block was away for {longest:?}, {echoed} bytes came back");
}

#[test]
fn traffic_goes_on_while_the_state_is_away_and_then_identities_and_leases_are_there_again() {
    state_is_away(lab("t-state"));
}

#[test]
fn the_same_with_debians_etcd() {
    state_is_away(lab_with("t-state-etcd", &ETCD));
}

fn state_is_away((lab, to): (Lab, String)) {
    let before = (keys(&lab, IDENTITIES), keys(&lab, LEASES));
    assert_eq!((before.0.len(), before.1.len()), (2, 2), "{before:?}");
    let ping = lab.ping("pod1", &to, AWAY.as_secs() as u32 + 10);
    lab.signal("k8s-node1", "etcd", "-STOP");
    thread::sleep(AWAY);
    lab.signal("k8s-node1", "etcd", "-CONT");
    // The identities have run out meanwhile, and only their holders write them.
    lab.wait("identities are claimed again", HEALED, || {
        let now = keys(&lab, IDENTITIES);
        before.0.iter().all(|(key, revision)| now.get(key).is_some_and(|r| r > revision))
    });
    let (sent, received) = ping.end();
    assert_eq!(sent, received, "packets were lost");
    assert!(sent >= 100 * AWAY.as_secs() as u32, "only {sent} were sent");
    let after = (keys(&lab, IDENTITIES), keys(&lab, LEASES));
    assert!(before.0.keys().eq(after.0.keys()), "identities: {before:?}, then {after:?}");
    assert!(before.1.keys().eq(after.1.keys()), "leases: {before:?}, then {after:?}");
    let status = lab.status();
    for node in status["nodes"].as_array().unwrap() {
        assert!(node["daemons"].as_array().unwrap().iter().all(|d| d["running"] == true), "{status}");
    }
}

#[test]
fn traffic_goes_on_while_the_state_is_killed_and_leases_are_those_from_before() {
    for (name, more) in [("t-state-kill", &[][..]), ("t-state-kill-e", &ETCD[..])] {
        let (lab, to) = lab_with(name, more);
        let before = keys(&lab, LEASES);
        assert_eq!(before.len(), 2, "{before:?}");
        let ping = lab.ping("pod1", &to, 6);
        for _ in 0..3 {
            lab.signal("k8s-node1", "etcd", "-KILL");
            thread::sleep(Duration::from_millis(300));
            lab.run("start", &["k8s-node1", "etcd"]);
            lab.wait("the state answers", HEALED, || !keys(&lab, LEASES).is_empty());
        }
        assert_eq!(keys(&lab, LEASES), before, "{name}: nothing was leased anew");
        let (sent, received) = ping.end();
        assert_eq!(sent, received, "{name}: packets were lost");
        let add = weft_command(&["pod", "add", "--name", name, "late", "--node", "k8s-node2"]).status();
        assert!(add.unwrap().success(), "{name}");
        let late = lab.address("late", false);
        assert!(lab.exec("pod1", &["ping", "-c1", "-W2", &late]).status.success(), "{name}");
    }
}

/// Keys of the lab's etcd below a prefix, with the revision of their last change.
fn keys(lab: &Lab, prefix: &str) -> BTreeMap<String, u64> {
    let words = ["etcdctl", "--command-timeout=2s", "get", "--prefix", prefix, "--write-out=json"];
    let mut command = lab.exec_command("k8s-node1", &words);
    let output = command.env("ETCDCTL_API", "3").output().expect("weft starts");
    let Ok(answer) = serde_json::from_slice::<serde_json::Value>(&output.stdout) else {
        // Said in full where somebody waits in vain.
        eprintln!("etcdctl (`cargo xtask setup` installs it): {output:?}");
        return BTreeMap::new();
    };
    let pairs = answer["kvs"].as_array().into_iter().flatten();
    // etcdctl prints keys in base64; they are only compared.
    pairs.map(|kv| (kv["key"].to_string(), kv["mod_revision"].as_u64().unwrap_or_default())).collect()
}

#[test]
fn a_link_flap_heals() {
    let (lab, to) = lab("t-flap");
    for state in ["down", "up"] {
        lab.run("link", &["k8s-node1", "eth0", state]);
    }
    lab.wait("pods reach each other again", HEALED, || {
        lab.exec("pod1", &["ping", "-c1", "-W1", &to]).status.success()
    });
}

#[test]
fn what_is_deleted_by_hand_comes_back() {
    let (lab, to) = lab("t-heal");
    let deletions: [&[&str]; 4] = [
        &["ip", "link", "delete", "flannel.1"],
        &["ip", "route", "flush", "dev", "flannel.1"],
        &["ip", "neighbour", "flush", "nud", "permanent", "dev", "flannel.1"],
        &["nft", "delete", "table", "inet", "weft-flannel"],
    ];
    for words in deletions {
        let deleted = lab.exec("k8s-node1", words);
        assert!(deleted.status.success(), "{words:?}: {deleted:?}");
        lab.wait(&format!("healed after {words:?}"), HEALED, || {
            let table = lab.exec("k8s-node1", &["nft", "list", "table", "inet", "weft-flannel"]);
            table.status.success() && lab.exec("pod1", &["ping", "-c1", "-W1", &to]).status.success()
        });
    }
}
