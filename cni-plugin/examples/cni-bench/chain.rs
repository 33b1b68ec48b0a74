//! A chain of plugins, called as libcni calls it: each gets the result of the one before.

use super::measure::{Cost, run};
use super::memory;
use serde_json::{Value, json};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Whose plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The reference plugins, one process each.
    Reference,
    /// Ours under their names, one process each.
    Names,
    /// Ours, the chain in one process.
    One,
}

impl Side {
    /// All of them.
    pub const ALL: [Side; 3] = [Side::Reference, Side::Names, Side::One];
}

/// What is chained.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// In the report.
    pub name: &'static str,
    /// The attaching plugin.
    pub first: &'static str,
    /// Those behind it.
    pub behind: &'static [&'static str],
}

/// The chains that are measured.
pub const SHAPES: [Shape; 4] = [
    Shape { name: "bridge", first: "bridge", behind: &[] },
    Shape { name: "ptp", first: "ptp", behind: &[] },
    Shape { name: "bridge + portmap", first: "bridge", behind: &["portmap"] },
    Shape {
        name: "bridge + all four",
        first: "bridge",
        behind: &["portmap", "bandwidth", "tuning", "firewall"],
    },
];

/// A chain of one side, in a network of its own.
pub struct Chain {
    steps: Vec<(PathBuf, Value)>,
}

impl Chain {
    /// The chain; `None` where the side has no such thing.
    pub fn new(shape: Shape, side: Side, bin: &Path, work: &Path, number: usize) -> Option<Self> {
        let network = format!("bench{number}");
        let first = json!({
            "cniVersion": "1.0.0", "name": network, "type": shape.first, "bridge": format!("bench{number}"),
            "isDefaultGateway": true, "hairpinMode": true,
            "ipam": {"type": "host-local", "subnet": format!("10.{}.0.0/16", 64 + number), "dataDir": work},
        });
        // Nothing in the machine's own folders.
        let block = |name: &str| {
            let mut block = json!({"dataDir": work.join(name)});
            if name == "tuning" {
                block["sysctl"] = json!({"net.core.somaxconn": "500"});
            }
            block
        };
        if side == Side::One {
            // Its first plugin is the bridge.
            if shape.first != "bridge" {
                return None;
            }
            let mut config = first;
            config["type"] = "weft-cni".into();
            shape.behind.iter().for_each(|name| config[*name] = block(name));
            return Some(Chain { steps: vec![(bin.join("weft-cni"), config)] });
        }
        let behind = shape.behind.iter().map(|name| {
            let mut config = block(name);
            config["cniVersion"] = "1.0.0".into();
            config["name"] = network.clone().into();
            config["type"] = (*name).into();
            (bin.join(name), config)
        });
        Some(Chain { steps: std::iter::once((bin.join(shape.first), first)).chain(behind).collect() })
    }

    /// ADD of a container that gets the host port `port`.
    pub fn add(&self, id: &str, netns: &str, port: usize) -> Result<(Cost, Value), Box<dyn Error>> {
        let (mut total, mut result) = (Cost::default(), Value::Null);
        for (path, config) in &self.steps {
            let (cost, said) = call(path, "ADD", id, netns, &with(config, port, &result))?;
            total += cost;
            result = serde_json::from_str(&said)?;
        }
        Ok((total, result))
    }

    /// The most that one of the chain's processes has resident in an ADD, bytes; those that they start not counted.
    pub fn memory(&self, id: &str, netns: &str, port: usize) -> Result<(u64, Value), Box<dyn Error>> {
        let (mut most, mut result) = (0, Value::Null);
        for (path, config) in &self.steps {
            let (memory, said) = memory::peak(process(path, "ADD", id, netns), &with(config, port, &result))?;
            most = most.max(memory);
            result = serde_json::from_str(&said)?;
        }
        Ok((most, result))
    }

    /// CHECK; `None` where the plugin cannot check its own work.
    pub fn check(&self, id: &str, netns: &str, port: usize, result: &Value) -> Option<Cost> {
        let mut total = Cost::default();
        for (path, config) in &self.steps {
            total += call(path, "CHECK", id, netns, &with(config, port, result)).ok()?.0;
        }
        Some(total)
    }

    /// DEL, from the last plugin to the first.
    pub fn del(&self, id: &str, netns: &str, port: usize, result: &Value) -> Result<Cost, Box<dyn Error>> {
        let mut total = Cost::default();
        for (path, config) in self.steps.iter().rev() {
            total += call(path, "DEL", id, netns, &with(config, port, result))?.0;
        }
        Ok(total)
    }

    /// VERSION of the first plugin: what it costs to start.
    pub fn version(&self) -> Result<Cost, Box<dyn Error>> {
        let (path, config) = &self.steps[0];
        Ok(call(path, "VERSION", "", "", &with(config, 1, &Value::Null))?.0)
    }
}

/// What the runtime adds to a configuration.
fn with(config: &Value, port: usize, previous: &Value) -> String {
    let mut config = config.clone();
    let rate = json!({"ingressRate": 8_000_000_000_u64, "ingressBurst": 80_000_000, "egressRate": 8_000_000_000_u64,
        "egressBurst": 80_000_000});
    let wants = |name: &str| config["type"] == *name || !config[name].is_null();
    let mut runtime = json!({});
    if wants("portmap") {
        runtime["portMappings"] = json!([{"hostPort": port, "containerPort": 80, "protocol": "tcp"}]);
    }
    if wants("bandwidth") {
        runtime["bandwidth"] = rate;
    }
    config["runtimeConfig"] = runtime;
    if !previous.is_null() {
        config["prevResult"] = previous.clone();
    }
    config.to_string()
}

fn call(
    path: &Path,
    command: &str,
    id: &str,
    netns: &str,
    input: &str,
) -> Result<(Cost, String), Box<dyn Error>> {
    let start = Instant::now();
    run(start, process(path, command, id, netns), input)
}

fn process(path: &Path, command: &str, id: &str, netns: &str) -> Command {
    let mut process = Command::new(path);
    process.env("CNI_COMMAND", command).env("CNI_CONTAINERID", id).env("CNI_NETNS", netns);
    process.env("CNI_IFNAME", "eth0").env("CNI_PATH", path.parent().unwrap_or(Path::new("/")));
    process
}
