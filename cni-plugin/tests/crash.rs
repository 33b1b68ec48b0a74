//! Killed at every step that changes something, and at random ones: what is left is removed exactly.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;

use common::{Call, Node, Pod, Whose, add, del};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;

const OURS: Whose = Whose::Ours;

fn config(node: &Node) -> Value {
    node.config(
        OURS,
        json!({"cniVersion": "1.1.0", "isDefaultGateway": true, "ipMasq": true, "hairpinMode": true,
        "ipam": {"type": "host-local", "dataDir": node.data_dir(),
            "ranges": [[{"subnet": "10.99.0.0/24"}], [{"subnet": "fd99::/64"}]]}}),
    )
}

fn gc(config: &Value, valid: &[&str]) {
    let mut config = config.clone();
    let attachment = |id: &&str| json!({"containerID": id, "ifname": "eth0"});
    config["cni.dev/valid-attachments"] = valid.iter().map(attachment).collect();
    Call::new(OURS, "GC", "", "").run(&config).unwrap();
}

fn assert_clean(node: &Node, pod: &Pod, when: &str) {
    assert!(node.veths().is_empty(), "{when}: {:?}", node.veths());
    assert!(pod.link("eth0").is_none(), "{when}: eth0 is left in the pod");
    assert!(node.reserved("testnet").is_empty(), "{when}: {:?}", node.reserved("testnet"));
    let index = node.data_dir().join("testnet/.weft-index");
    let entries = std::fs::read_dir(index).map(|d| d.count()).unwrap_or(0);
    assert_eq!(entries, 0, "{when}: index entries are left");
}

/// Kills `command` at step after step until it survives; calls `then` after each kill.
fn at_each_step(command: &str, prepare: impl Fn(&Node, &Pod), then: impl Fn(&Node, &Pod, &str)) -> u32 {
    for step in 1.. {
        let (node, pod) = (Node::new(), Pod::new());
        prepare(&node, &pod);
        let log = node.dir.path().join("steps");
        let output = Call::new(OURS, command, "c1", &pod.path())
            .with("WEFT_CNI_CRASH_AT", step)
            .with("WEFT_CNI_CRASH_LOG", log.display())
            .output(&config(&node));
        if output.status.success() {
            return step - 1;
        }
        let steps = std::fs::read_to_string(&log).unwrap();
        let when = format!("{command} killed after step {}", steps.lines().last().unwrap());
        assert_eq!(output.status.signal(), Some(9), "{when}: {}", String::from_utf8_lossy(&output.stdout));
        then(&node, &pod, &when);
    }
    unreachable!()
}

#[test]
fn del_cleans_an_add_that_was_killed_at_any_step() {
    let steps = at_each_step(
        "ADD",
        |_, _| {},
        |node, pod, when| {
            del(OURS, &config(node), "c1", &pod.path()).unwrap_or_else(|e| panic!("{when}: {e}"));
            assert_clean(node, pod, when);
        },
    );
    assert!(steps >= 15, "only {steps} crash points were passed");
}

#[test]
fn gc_cleans_an_add_that_was_killed_at_any_step() {
    at_each_step(
        "ADD",
        |_, _| {},
        |node, pod, when| {
            let kept = Pod::new();
            add(OURS, &config(node), "kept", &kept).unwrap_or_else(|e| panic!("{when}: {e}"));
            gc(&config(node), &["kept"]);
            assert_eq!(node.veths().len(), 1, "{when}");
            assert_eq!(node.reserved("testnet").len(), 2, "{when}");
            gc(&config(node), &[]);
            assert_clean(node, pod, when);
        },
    );
}

#[test]
fn an_add_goes_through_after_one_that_was_killed_and_deleted() {
    at_each_step(
        "ADD",
        |_, _| {},
        |node, pod, when| {
            del(OURS, &config(node), "c1", "").unwrap_or_else(|e| panic!("{when}: {e}"));
            let result = add(OURS, &config(node), "c1", pod).unwrap_or_else(|e| panic!("{when}: {e}"));
            common::check(OURS, &config(node), "c1", pod, &result).unwrap_or_else(|e| panic!("{when}: {e}"));
        },
    );
}

#[test]
fn a_second_del_finishes_one_that_was_killed_at_any_step() {
    let prepare = |node: &Node, pod: &Pod| {
        add(OURS, &config(node), "c1", pod).unwrap();
    };
    let steps = at_each_step("DEL", prepare, |node, pod, when| {
        del(OURS, &config(node), "c1", &pod.path()).unwrap_or_else(|e| panic!("{when}: {e}"));
        assert_clean(node, pod, when);
    });
    assert!(steps >= 4, "only {steps} crash points were passed");
}

#[test]
fn two_hundred_at_once_with_kills_leak_nothing_and_give_nothing_twice() {
    let node = Node::new();
    let config = config(&node);
    let pods: Vec<Pod> = (0..100).map(|_| Pod::new()).collect();
    let ids: Vec<String> = (0..100).map(|n| format!("c{n}")).collect();
    for round in 0..2 {
        let run = |at: usize| {
            let killed = (at + round).is_multiple_of(3);
            // A number beyond the last step kills nothing: so some of these live, too.
            let step = 1 + (at * 7 + round * 5) % 30;
            let mut call = Call::new(OURS, "ADD", &ids[at], "");
            if killed {
                call = call.with("WEFT_CNI_CRASH_AT", step);
            }
            let path = pods[at].path();
            let call = Call { netns: &path, ..call };
            let mut child = call.start(&config);
            if at % 5 == 4 {
                // And some wherever they are after a while, mostly in the kernel.
                std::thread::sleep(std::time::Duration::from_micros((at as u64 * 7919) % 40_000));
                child.kill().unwrap();
            }
            let lived = child.wait_with_output().unwrap().status.success();
            // Half of those that live, and some of the dead, are deleted meanwhile; some DELs are killed.
            if at.is_multiple_of(2) {
                let mut call = Call::new(OURS, "DEL", &ids[at], &path);
                if at.is_multiple_of(10) {
                    call = call.with("WEFT_CNI_CRASH_AT", 1 + at / 10 % 4);
                }
                call.output(&config);
            }
            lived && !at.is_multiple_of(2)
        };
        let alive: Vec<bool> = std::thread::scope(|scope| {
            let run = &run;
            let host = &node.host;
            let spawn = |at| {
                scope.spawn(move || {
                    let _inside = host.enter().unwrap();
                    run(at)
                })
            };
            let threads: Vec<_> = (0..100).map(spawn).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let valid: Vec<usize> = (0..100).filter(|at| alive[*at]).collect();
        assert!(valid.len() > 10, "{} lived", valid.len());

        let mut given = BTreeSet::new();
        for at in &valid {
            for address in pods[*at].addresses("eth0") {
                assert!(given.insert(address.net), "{} was given twice", address.net);
            }
        }
        let valid_ids: Vec<&str> = valid.iter().map(|at| ids[*at].as_str()).collect();
        gc(&config, &valid_ids);
        assert_eq!(node.veths().len(), valid.len());
        let reserved: BTreeSet<String> = node.reserved("testnet").into_iter().collect();
        let used: BTreeSet<String> = given.iter().map(|net| net.ip().to_string()).collect();
        assert_eq!(reserved, used);
        assert!(pods[valid[0]].pings("10.99.0.1"), "GC broke a valid attachment");
        gc(&config, &[]);
        assert!(node.veths().is_empty() && node.reserved("testnet").is_empty());
    }
}

#[test]
fn after_a_reboot_every_address_is_free() {
    let (node, pod) = (Node::new(), Pod::new());
    let boot = node.dir.path().join("boot_id");
    std::fs::write(&boot, "first\n").unwrap();
    let call = |command: &'static str, id: &'static str, pod: &Pod| {
        let path = pod.path();
        let call = Call::new(OURS, command, id, &path).with("WEFT_CNI_BOOT_ID_FILE", boot.display());
        call.run(&config(&node)).unwrap()
    };
    call("ADD", "before", &pod);
    call("ADD", "before2", &Pod::new());
    assert_eq!(node.reserved("testnet").len(), 4);
    std::fs::write(&boot, "second\n").unwrap();
    call("ADD", "after", &Pod::new());
    assert_eq!(node.reserved("testnet").len(), 2, "the two of before are free");
}
