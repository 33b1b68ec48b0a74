//! What the tests of `bandwidth` share: a pair that it shapes, its configuration, its ifb devices.

#![allow(dead_code)] // each test binary uses a part

use super::wire;
use crate::common::{Node, Pod};
use serde_json::{Value, json};

pub const PLUGIN: &str = "bandwidth";

/// A configuration with these keys.
pub fn config(node: &Node, keys: Value) -> Value {
    let data_dir = node.dir.path().join("records");
    let mut config = json!({"cniVersion": "1.0.0", "name": "shape", "type": PLUGIN, "dataDir": data_dir});
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

/// Rates in both directions.
pub fn both_ways() -> Value {
    json!({"ingressRate": 8_000_000, "ingressBurst": 800_000, "egressRate": 4_000_000, "egressBurst": 400_000})
}

/// A pair between a node and a pod.
pub fn setup() -> (Node, Pod) {
    let (node, pod) = (Node::new(), Pod::new());
    wire(&node, &pod);
    (node, pod)
}

/// The devices that it makes.
pub fn ifbs(node: &Node) -> Vec<String> {
    let links = node.kernel().route.links().unwrap();
    links.iter().map(|l| l.name.to_string()).filter(|name| name.starts_with("bwp")).collect()
}
