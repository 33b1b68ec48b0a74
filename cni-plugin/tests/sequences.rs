//! Random sequences of ADD, DEL, CHECK, GC, kills and reboots on a node, against a model: 1,000 of them.
//!
//! The plugin is the whole chain in one process. A failing sequence is printed with its seed;
//! `WEFT_CNI_SEQUENCES=1 WEFT_CNI_SEED=<n>` runs it alone.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;

use common::snapshot::snapshot;
use common::{Call, Node, Pod, Whose};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;

const CONTAINERS: usize = 4;
const STEPS: usize = 8;
const THREADS: u64 = 4;

/// Numbers by chance, the same for a seed (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}

/// What the model knows of a container.
#[derive(Debug, Clone, PartialEq)]
enum Is {
    Detached,
    Attached(Value),
    /// A call for it was killed.
    Unsure,
}

struct World {
    node: Node,
    pods: Vec<Pod>,
    model: Vec<Is>,
    boots: usize,
    told: Vec<String>,
}

impl World {
    fn new() -> Self {
        let (pods, model) = ((0..CONTAINERS).map(|_| Pod::new()).collect(), vec![Is::Detached; CONTAINERS]);
        let mut world = World { node: Node::new(), pods, model, boots: 0, told: Vec::new() };
        world.reboot();
        world
    }

    fn config(&self, at: usize) -> Value {
        let folder = self.node.dir.path();
        json!({
            "cniVersion": "1.1.0", "name": "testnet", "type": "weft-cni", "bridge": "cni0", "isDefaultGateway": true,
            "ipMasq": true, "hairpinMode": true,
            "ipam": {"type": "host-local", "dataDir": self.node.data_dir(), "ranges": [[{"subnet": "10.99.0.0/24"}], [{"subnet": "fd99::/64"}]]},
            "portmap": {"dataDir": folder.join("portmap")},
            "bandwidth": {"dataDir": folder.join("bandwidth")},
            "firewall": {"dataDir": folder.join("firewall")},
            "tuning": {"dataDir": folder.join("tuning"), "mtu": 1400},
            "runtimeConfig": {
                "portMappings": [{"hostPort": 20_000 + at, "containerPort": 80, "protocol": "udp"}],
                "bandwidth": {"ingressRate": 8_000_000, "ingressBurst": 8_000_000, "egressRate": 8_000_000, "egressBurst": 8_000_000},
            },
        })
    }

    fn call(
        &self,
        command: &str,
        at: usize,
        config: &Value,
        kill: Option<usize>,
    ) -> Option<Result<Value, Value>> {
        let (id, path) = (format!("c{at}"), self.pods[at].path());
        let boot = self.node.dir.path().join("steps");
        let mut call =
            Call::new(Whose::Ours, command, &id, &path).with("WEFT_CNI_BOOT_ID_FILE", boot.display());
        if let Some(step) = kill {
            call = call.with("WEFT_CNI_CRASH_AT", step);
            if call.output(config).status.signal() == Some(9) {
                return None;
            }
            // It had fewer steps: done twice is as well as done once.
            let call = Call::new(Whose::Ours, command, &id, &path);
            return Some(call.with("WEFT_CNI_BOOT_ID_FILE", boot.display()).run(config));
        }
        Some(call.run(config))
    }

    /// The disk stays; links, rules and containers go.
    fn reboot(&mut self) {
        self.boots += 1;
        std::fs::write(self.node.dir.path().join("steps"), format!("boot {}\n", self.boots)).unwrap();
        self.node.restart();
        self.pods = (0..CONTAINERS).map(|_| Pod::new()).collect();
        self.model.iter_mut().for_each(|is| *is = Is::Detached);
    }

    fn step(&mut self, chance: &mut Chance) {
        let at = chance.below(CONTAINERS);
        let kill = (chance.below(4) == 0).then(|| 1 + chance.below(30));
        match chance.below(16) {
            0..6 => self.add(at, kill),
            6..11 => self.del(at, kill),
            11..13 => self.check(at),
            13..15 => self.gc(),
            _ => {
                self.told.push("reboot".into());
                self.reboot();
            }
        }
    }

    fn add(&mut self, at: usize, kill: Option<usize>) {
        self.told.push(format!("ADD c{at} {kill:?}"));
        let was = self.model[at].clone();
        // Attached already: whoever asks again is told so, and changes nothing.
        let kill = kill.filter(|_| was == Is::Detached);
        self.model[at] = match (was, self.call("ADD", at, &self.config(at), kill)) {
            (_, None) => Is::Unsure,
            (Is::Detached, Some(Err(error))) if kill.is_some() && error["code"] == 102 => Is::Unsure,
            (Is::Detached | Is::Unsure, Some(Ok(result))) => Is::Attached(result),
            (Is::Unsure, Some(Err(error))) => {
                assert_eq!(error["code"], 102, "{error}");
                Is::Unsure
            }
            (Is::Attached(result), Some(Err(error))) => {
                assert_eq!(error["code"], 102, "{error}");
                Is::Attached(result)
            }
            (was, answer) => panic!("ADD of {was:?}: {answer:?}"),
        };
    }

    fn del(&mut self, at: usize, kill: Option<usize>) {
        self.told.push(format!("DEL c{at} {kill:?}"));
        self.model[at] = match self.call("DEL", at, &self.config(at), kill) {
            None => Is::Unsure,
            Some(answer) => {
                assert_eq!(answer, Ok(Value::Null));
                assert!(self.pods[at].link("eth0").is_none());
                Is::Detached
            }
        };
    }

    fn check(&mut self, at: usize) {
        self.told.push(format!("CHECK c{at}"));
        let mut config = self.config(at);
        match &self.model[at] {
            Is::Attached(result) => {
                config["prevResult"] = result.clone();
                assert_eq!(self.call("CHECK", at, &config, None), Some(Ok(Value::Null)));
            }
            Is::Detached => {
                config["prevResult"] = json!({"cniVersion": "1.1.0", "interfaces": [], "ips": []});
                assert!(self.call("CHECK", at, &config, None).unwrap().is_err());
            }
            Is::Unsure => {}
        }
    }

    fn gc(&mut self) {
        self.told.push("GC".into());
        let attached = (0..CONTAINERS).filter(|at| matches!(self.model[*at], Is::Attached(_)));
        let valid: Vec<Value> =
            attached.clone().map(|at| json!({"containerID": format!("c{at}"), "ifname": "eth0"})).collect();
        let attached: Vec<usize> = attached.collect();
        let mut config = self.config(0);
        config["cni.dev/valid-attachments"] = valid.into();
        assert_eq!(self.call("GC", 0, &config, None), Some(Ok(Value::Null)));
        for is in self.model.iter_mut().filter(|is| **is == Is::Unsure) {
            *is = Is::Detached;
        }
        assert_eq!(self.node.veths().len(), attached.len());
        assert_eq!(self.node.reserved("testnet").len(), 2 * attached.len());
        attached.into_iter().for_each(|at| self.check(at));
    }

    /// No address is anybody's twice, and each attached container has its own.
    fn verify(&self) {
        let mut given = BTreeSet::new();
        for (at, is) in self.model.iter().enumerate() {
            let Is::Attached(_) = is else { continue };
            for address in self.pods[at].addresses("eth0") {
                assert!(given.insert(address.net), "{} is in two containers", address.net);
            }
        }
        let reserved: BTreeSet<String> = self.node.reserved("testnet").into_iter().collect();
        assert!(given.iter().all(|net| reserved.contains(&net.ip().to_string())), "{given:?} {reserved:?}");
    }

    /// Everybody leaves: nothing is left.
    fn leave(&mut self) {
        self.model.iter_mut().for_each(|is| *is = Is::Unsure);
        self.gc();
        assert!(self.node.veths().is_empty() && self.node.reserved("testnet").is_empty());
    }
}

fn run(seeds: impl Iterator<Item = u64>) {
    let mut world = World::new();
    let (add, del) =
        (world.call("ADD", 0, &world.config(0), None), world.call("DEL", 0, &world.config(0), None));
    assert!(add.unwrap().is_ok() && del.unwrap().is_ok());
    let clean = snapshot(&world.node, &world.pods[0]);
    for (number, seed) in seeds.enumerate() {
        let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        world.told.clear();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..STEPS {
                world.step(&mut chance);
                world.verify();
            }
            world.leave();
        }));
        if outcome.is_err() {
            panic!("seed {seed}: {}", world.told.join(", "));
        }
        // A reboot takes what stays by design as well, so the same again is compared after one use.
        if number % 20 == 0 {
            world.call("ADD", 0, &world.config(0), None).unwrap().unwrap();
            world.call("DEL", 0, &world.config(0), None).unwrap().unwrap();
            for (place, now) in snapshot(&world.node, &world.pods[0]) {
                assert_eq!(now, clean[place], "seed {seed}: {place}: {}", world.told.join(", "));
            }
        }
    }
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn random_sequences_leave_nothing_and_lose_nothing() {
    let (first, count) = (number("WEFT_CNI_SEED", 1), number("WEFT_CNI_SEQUENCES", 1000));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || run((first..first + count).filter(|seed| seed % THREADS == thread)));
        }
    });
}
