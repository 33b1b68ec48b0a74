//! Whatever `bandwidth`, `tuning` and their files are given: an answer, or an error with a code, and no panic.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;
mod named;

use cni_plugin::plugin::serve;
use common::{Node, Pod};
use named::wire;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

/// The specification's, and ours.
const CODES: [u64; 14] = [1, 2, 3, 4, 5, 6, 7, 11, 50, 51, 100, 102, 103, 104];
const COMMANDS: [&str; 6] = ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"];
const KEYS: [&str; 16] = [
    "ingressRate",
    "ingressBurst",
    "egressRate",
    "egressBurst",
    "shapedSubnets",
    "unshapedSubnets",
    "sysctl",
    "mac",
    "mtu",
    "promisc",
    "allmulti",
    "txQLen",
    "runtimeConfig",
    "args",
    "cni.dev/valid-attachments",
    "cniVersion",
];

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..100_000_000u64).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        "[0-9a-f:./]{0,20}".prop_map(Value::from),
        proptest::sample::select(vec![
            "02:00:00:00:00:01",
            "10.0.0.0/8",
            "eth0",
            "vethpod",
            "1.0.0",
            "1.1.0"
        ])
        .prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 16, 4, |inner| {
        let name = proptest::sample::select(vec![
            "bandwidth",
            "mac",
            "cni",
            "sysctl",
            "mtu",
            "ingressRate",
            "ingressBurst",
            "net.core.somaxconn",
            "containerID",
            "ifname",
            "name",
            "sandbox",
            "interfaces",
            "ips",
            "address",
            "txQLen",
            "allmulti",
        ]);
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(name, inner, 0..4)
                .prop_map(|map| serde_json::to_value(map).unwrap()),
        ]
    })
}

/// A result that is nearly right, or anything.
fn previous(pod: &str) -> impl Strategy<Value = Value> {
    let right = json!({"cniVersion": "1.0.0", "ips": [], "dns": {},
        "interfaces": [{"name": "vethpod"}, {"name": "eth0", "sandbox": pod}]});
    let spoiled = right.clone();
    prop_oneof![
        4 => Just(right),
        2 => (proptest::sample::select(vec!["interfaces", "ips", "dns", "cniVersion"]), value()).prop_map(
            move |(key, value)| {
                let mut spoiled = spoiled.clone();
                spoiled[key] = value;
                spoiled
            }
        ),
        1 => value(),
    ]
}

fn runner() -> TestRunner {
    TestRunner::new(Config { cases: 600, failure_persistence: None, ..Config::default() })
}

#[test]
fn any_configuration_is_answered() {
    let (node, pod) = (Node::new(), Pod::new());
    wire(&node, &pod);
    let path = pod.path();
    let keys = proptest::collection::btree_map(proptest::sample::select(KEYS.to_vec()), value(), 0..6);
    let call = (
        proptest::sample::select(vec!["bandwidth", "tuning"]),
        proptest::sample::select(COMMANDS.to_vec()),
        keys,
        proptest::option::of(previous(&path)),
        proptest::sample::select(vec![
            path.clone(),
            String::new(),
            "/nowhere".into(),
            "/proc/self/ns/net".into(),
        ]),
        proptest::option::of("\\PC{0,30}"),
    );
    let tried = runner().run(&call, |(file, command, keys, previous, netns, args)| {
        let mut config = json!({"cniVersion": "1.1.0", "name": "fuzz", "type": file});
        keys.into_iter().for_each(|(key, value)| config[key] = value);
        config["dataDir"] = json!(node.dir.path().join(file));
        if let Some(previous) = previous {
            config["prevResult"] = previous;
        }
        let variable = |name: &str| match name {
            "CNI_COMMAND" => Some(command.to_owned()),
            "CNI_CONTAINERID" => Some("c1".into()),
            "CNI_IFNAME" => Some("eth0".into()),
            "CNI_NETNS" => Some(netns.clone()),
            "CNI_ARGS" => args.clone(),
            _ => None,
        };
        let inside = netstate::NetNs::current().unwrap().inode().unwrap();
        let answer = serve(file, variable, config.to_string().as_bytes());
        prop_assert_eq!(netstate::NetNs::current().unwrap().inode().unwrap(), inside, "the thread came back");
        if answer.status != 0 {
            let error: Value = serde_json::from_str(&answer.stdout).unwrap();
            prop_assert!(CODES.contains(&error["code"].as_u64().unwrap()), "{}", error);
            prop_assert!(!error["msg"].as_str().unwrap().is_empty());
        }
        Ok(())
    });
    tried.unwrap();
}

#[test]
fn any_file_is_got_past_by_del_and_gc() {
    let (node, pod) = (Node::new(), Pod::new());
    wire(&node, &pod);
    let text = prop_oneof![
        "\\PC{0,60}".prop_map(String::into_bytes),
        value().prop_map(|value| value.to_string().into_bytes()),
        proptest::collection::vec(any::<u8>(), 0..40),
        (value(), value())
            .prop_map(|(mac, mtu)| json!({"mac": mac, "mtu": mtu, "ifb": mtu}).to_string().into_bytes()),
    ];
    let path = pod.path();
    let tried =
        runner().run(&(text, proptest::sample::select(vec!["bandwidth", "tuning"])), |(bytes, file)| {
            let dir = node.dir.path().join(file);
            let record = if file == "tuning" { dir.clone() } else { dir.join("fuzz") };
            let index = dir.join(".weft/fuzz");
            for command in ["DEL", "GC"] {
                std::fs::create_dir_all(&record).unwrap();
                std::fs::create_dir_all(&index).unwrap();
                std::fs::write(record.join("c1_eth0.json"), &bytes).unwrap();
                std::fs::write(index.join("c1_eth0.json"), "").unwrap();
                let config = json!({"cniVersion": "1.1.0", "name": "fuzz", "type": file, "dataDir": dir,
                "cni.dev/valid-attachments": []});
                let variable = |name: &str| match name {
                    "CNI_COMMAND" => Some(command.to_owned()),
                    "CNI_CONTAINERID" => Some("c1".into()),
                    "CNI_IFNAME" => Some("eth0".into()),
                    "CNI_NETNS" => Some(path.clone()),
                    _ => None,
                };
                let answer = serve(file, variable, config.to_string().as_bytes());
                prop_assert_eq!(answer.status, 0, "{}", answer.stdout);
                prop_assert!(!record.join("c1_eth0.json").exists());
            }
            Ok(())
        });
    tried.unwrap();
}
