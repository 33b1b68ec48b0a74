//! The overlay with its state in its own process.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use std::process::Stdio;
use std::time::Duration;
use weft_tests::{Lab, weft};

const URL: &str = "http://127.0.0.1:2479";

#[test]
fn the_overlay_keeps_its_state_within_and_serves_it_to_others() {
    let lab = Lab::up("t-embedded", &["--nodes", "1", "--pods-per-node", "0"]);
    for daemon in ["flannel", "etcd"] {
        lab.signal("k8s-node1", daemon, "-KILL");
    }
    let config = r#"{"Network":"10.99.0.0/16","Backend":{"Type":"vxlan"}}"#;
    let written = lab.exec("k8s-node1", &["sh", "-c", &format!("echo '{config}' > /run/net-conf.json")]);
    assert!(written.status.success(), "{written:?}");
    let weft = weft().display().to_string();
    let url = format!("--embedded-etcd-listen-client-urls={URL}");
    let words = [
        &weft,
        "flannel",
        "--embedded-etcd-data-dir=/var/lib/within",
        &url,
        "--net-config-path=/run/net-conf.json",
        "--subnet-file=/run/within.env",
    ];
    let start = || lab.exec_command("k8s-node1", &words).stderr(Stdio::null()).spawn().unwrap();
    let etcdctl = |words: &[&str]| {
        let all = [&["env", "ETCDCTL_API=3", "etcdctl", "--endpoints", URL], words].concat();
        String::from_utf8_lossy(&lab.exec("k8s-node1", &all).stdout).into_owned()
    };
    let leased = || etcdctl(&["get", "--prefix", "--keys-only", "/coreos.com/network/subnets/10.99."]);
    let mut overlay = start();
    lab.wait("a subnet of the network in the file is leased", Duration::from_secs(60), || {
        !leased().is_empty()
    });
    let before = leased();
    let env = lab.exec("k8s-node1", &["cat", "/run/within.env"]);
    assert!(String::from_utf8_lossy(&env.stdout).contains("FLANNEL_NETWORK=10.99.0.0/16"), "{env:?}");
    // The brackets keep the command from finding itself.
    let stopped =
        lab.exec("k8s-node1", &["pkill", "-KILL", "-f", "[e]mbedded-etcd-data-dir=/var/lib/within"]);
    assert!(stopped.status.success(), "{stopped:?}");
    overlay.wait().unwrap();
    let mut overlay = start();
    lab.wait("the state is there again", Duration::from_secs(60), || !leased().is_empty());
    assert_eq!(leased(), before, "nothing was leased anew");
    lab.exec("k8s-node1", &["pkill", "-KILL", "-f", "[e]mbedded-etcd-data-dir=/var/lib/within"]);
    overlay.wait().unwrap();
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let refused = |words: &[&str]| {
        let output = std::process::Command::new(weft()).arg("flannel").args(words).output().unwrap();
        assert!(!output.status.success(), "{words:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let both = refused(&["--embedded-etcd-data-dir=/tmp/x", "--etcd-endpoints=http://127.0.0.1:1"]);
    assert!(both.contains("cannot be used with"), "{both}");
    let alone = refused(&["--embedded-etcd-listen-client-urls=http://127.0.0.1:1"]);
    assert!(alone.contains("--embedded-etcd-data-dir"), "{alone}");
}
