//! Taking over and giving back: on a node where one side's plugins run a whole chain, swapping the files changes nothing
//! for containers that run, and the other side's CHECK and DEL work.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;

use common::snapshot::snapshot;
use common::{Call, Node, Pod, Whose};
use serde_json::{Value, json};

const CHAIN: [&str; 5] = ["bridge", "portmap", "bandwidth", "tuning", "firewall"];

/// A plugin's configuration, as libcni makes it: the same for both sides.
fn config(node: &Node, name: &str, previous: &Value) -> Value {
    let mut config = json!({"cniVersion": "1.0.0", "name": "testnet", "type": name});
    let keys = match name {
        "bridge" => {
            json!({"bridge": "cni0", "isDefaultGateway": true, "ipMasq": true, "hairpinMode": true, "ipam": {
            "type": "host-local", "dataDir": node.data_dir(),
            "ranges": [[{"subnet": "10.99.0.0/24"}], [{"subnet": "fd99::/64"}]]}})
        }
        "portmap" => json!({"runtimeConfig": {"portMappings": [
            {"hostPort": 20080, "containerPort": 80, "protocol": "tcp"},
            {"hostPort": 20053, "containerPort": 53, "protocol": "udp"}]}}),
        "bandwidth" => {
            json!({"ingressRate": 8_000_000, "ingressBurst": 8_000_000, "egressRate": 4_000_000, "egressBurst": 8_000_000})
        }
        "tuning" => json!({"mtu": 1300, "sysctl": {"net.core.somaxconn": "500"}}),
        _ => json!({}),
    };
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    // Ours keep records of their own beside the test; the reference plugins know no such key.
    if ["portmap", "bandwidth", "tuning", "firewall"].contains(&name) {
        config["dataDir"] = json!(node.dir.path().join(name));
    }
    if !previous.is_null() {
        config["prevResult"] = previous.clone();
    }
    config
}

fn call(
    whose: Whose,
    command: &str,
    node: &Node,
    pod: &Pod,
    name: &str,
    previous: &Value,
) -> Result<Value, Value> {
    Call::new(whose, command, "c1", &pod.path()).of(whose, name).run(&config(node, name, previous))
}

fn add(whose: Whose, node: &Node, pod: &Pod) -> Value {
    CHAIN.iter().fold(Value::Null, |previous, name| {
        call(whose, "ADD", node, pod, name, &previous).unwrap_or_else(|e| panic!("{whose:?} {name}: {e}"))
    })
}

fn del(whose: Whose, node: &Node, pod: &Pod, result: &Value) {
    for name in CHAIN.iter().rev() {
        let call = || call(whose, "DEL", node, pod, name, result);
        call().or_else(|e| again(&e, call)).unwrap_or_else(|e| panic!("{whose:?} {name}: {e}"));
    }
}

/// The reference bridge frees address and link, and then fails for an iptables chain of `ipMasq` that ours did not
/// make. A runtime asks again after an error, and then there is no link, so that it does not look for the chain.
fn again(error: &Value, call: impl Fn() -> Result<Value, Value>) -> Result<Value, Value> {
    match error["msg"].as_str().unwrap_or_default().contains("-t nat -D POSTROUTING") {
        true => call(),
        false => Err(error.clone()),
    }
}

#[test]
fn what_the_reference_plugins_made_is_checked_and_removed_by_ours() {
    let (node, pod) = (Node::new(), Pod::new());
    // What stays by design of theirs, such as their shared chains, is there before.
    let result = add(Whose::Reference, &node, &pod);
    del(Whose::Reference, &node, &pod, &result);
    let clean = snapshot(&node, &pod);

    let result = add(Whose::Reference, &node, &pod);
    let made = snapshot(&node, &pod);
    for name in CHAIN {
        call(Whose::Ours, "CHECK", &node, &pod, name, &result)
            .unwrap_or_else(|e| panic!("CHECK {name}: {e}"));
    }
    for (place, mut now) in snapshot(&node, &pod) {
        // What the store indexes is no change of it.
        now.retain(|line| !line.contains("/.weft-index/"));
        assert_eq!(now, made[place], "CHECK changed something: {place}");
    }
    del(Whose::Ours, &node, &pod, &result);
    for (place, now) in snapshot(&node, &pod) {
        assert_eq!(now, clean[place], "{place}");
    }
}

#[test]
fn what_ours_made_is_removed_by_the_reference_plugins_but_for_rules_of_ours() {
    let (node, pod) = (Node::new(), Pod::new());
    let result = add(Whose::Ours, &node, &pod);
    // portmap and firewall look for iptables rules, of which there are none.
    for name in ["bridge", "bandwidth", "tuning"] {
        call(Whose::Reference, "CHECK", &node, &pod, name, &result)
            .unwrap_or_else(|e| panic!("CHECK {name}: {e}"));
    }
    del(Whose::Reference, &node, &pod, &result);
    assert!(node.veths().is_empty() && node.reserved("testnet").is_empty());
    let links: Vec<String> =
        node.kernel().route.links().unwrap().iter().map(|l| l.name.to_string()).collect();
    assert_eq!(links, ["lo", "cni0"]);

    // Giving back is done by GC of ours, once: it frees what no attachment has.
    for name in ["portmap", "firewall", "bandwidth", "tuning"] {
        let mut gc = config(&node, name, &Value::Null);
        gc["cniVersion"] = "1.1.0".into();
        gc["cni.dev/valid-attachments"] = json!([]);
        Call::new(Whose::Ours, "GC", "", "")
            .of(Whose::Ours, name)
            .run(&gc)
            .unwrap_or_else(|e| panic!("GC {name}: {e}"));
    }
    let rules = &snapshot(&node, &pod)["nftables of the node"];
    assert!(!rules.iter().any(|line| line == "table inet weft-cni {"), "{rules:?}");
    assert_eq!(snapshot(&node, &pod)["files"], [] as [&str; 0]);
}

#[test]
fn a_node_goes_over_and_back_with_containers_running() {
    let node = Node::new();
    let pods: Vec<Pod> = (0..4).map(|_| Pod::new()).collect();
    let bridge = |whose, command, at: usize, previous: &Value| {
        let id = format!("c{at}");
        let (config, path) = (config(&node, "bridge", previous), pods[at].path());
        let call = || Call::new(whose, command, &id, &path).of(whose, "bridge").run(&config);
        call().or_else(|e| again(&e, call)).unwrap()
    };
    let mut results = Vec::new();
    for (at, whose) in [Whose::Reference, Whose::Ours, Whose::Reference, Whose::Ours].into_iter().enumerate()
    {
        results.push(bridge(whose, "ADD", at, &Value::Null));
        assert!((0..at).all(|other| pods[at].pings(&format!("10.99.0.{}", other + 2))), "{at}");
    }
    for (at, whose) in [Whose::Ours, Whose::Reference, Whose::Ours, Whose::Reference].into_iter().enumerate()
    {
        bridge(whose, "CHECK", at, &results[at]);
        bridge(whose, "DEL", at, &results[at]);
        assert_eq!(node.reserved("testnet").len(), 2 * (3 - at), "{at}");
    }
    assert!(node.veths().is_empty());
}
