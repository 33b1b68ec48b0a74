//! Faults of the overlay under traffic: what runs goes on, what is missing heals.

use std::time::Duration;
use weft_tests::Lab;

const HEALED: Duration = Duration::from_secs(5);

fn lab(name: &str) -> (Lab, String) {
    let lab = Lab::up(name, &["--nodes", "2", "--pods-per-node", "1"]);
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
fn traffic_goes_on_while_the_state_is_away() {
    let (lab, to) = lab("t-state");
    let ping = lab.ping("pod1", &to, 3);
    lab.signal("k8s-node1", "etcd", "-STOP");
    let (sent, received) = ping.end();
    lab.signal("k8s-node1", "etcd", "-CONT");
    assert_eq!(sent, received, "packets were lost");
    assert_eq!(lab.status()["step"], "up");
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
