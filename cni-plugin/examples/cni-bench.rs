//! Measures weft-cni beside the reference plugins, chain by chain, in one run.
//!
//! Each chain is called as libcni calls it, in a network namespace of the bench's own, the sides by turns, so that
//! whatever disturbs the machine disturbs all; what counts is the ratio. Ours is measured twice: under the reference
//! plugins' names, one process each, and as `weft-cni`, the chain in one process. `kernel` is a process that
//! makes the bare netlink calls of a bridge's ADD and nothing else: no plugin can be faster than that. CPU is the
//! processes' and their children's (wait4), memory the greatest of one process (VmHWM). Beyond 250 links most of the time is the kernel's own.
//!
//! ```text
//! cargo build --profile dist -p cni-plugin --bin weft-cni --target x86_64-unknown-linux-gnu
//! cargo run -p cni-plugin --example cni-bench -- --plugin target/x86_64-unknown-linux-gnu/dist/weft-cni
//!     [--reference /usr/lib/cni] [--rounds 30] [--parallel 50] [--pods 250] [--json FILE]
//! ```

#[path = "cni-bench/chain.rs"]
mod chain;
#[path = "cni-bench/measure.rs"]
mod measure;
#[path = "cni-bench/memory.rs"]
mod memory;
#[path = "cni-bench/report.rs"]
mod report;

use chain::{Chain, SHAPES, Shape, Side};
use measure::{Cost, Pods, bare, bare_add, bare_del, in_parallel};
use netstate::NetNs;
use report::Report;
use serde_json::Value;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Host ports begin here, one for each container.
const FIRST_PORT: usize = 20_000;

struct Options {
    plugin: PathBuf,
    reference: PathBuf,
    rounds: usize,
    parallel: usize,
    pods: usize,
    json: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bare", "ADD", netns] => return bare_add(netns, "bench2"),
        ["bare", "DEL", _] => return bare_del(),
        _ => {}
    }
    let options = parse(arguments.into_iter())?;
    let work = std::env::temp_dir().join(format!("cni-bench-{}", std::process::id()));
    std::fs::create_dir_all(&work)?;
    let node = NetNs::anonymous()?;
    let outcome = node.run(|| run(&options, &work).map_err(|e| e.to_string()))?;
    std::fs::remove_dir_all(&work)?;
    let report = outcome?;
    print!("{}", report.table());
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report.json())?)?;
    }
    Ok(())
}

fn run(options: &Options, work: &Path) -> Result<Report, Box<dyn Error>> {
    let bin = install(&options.plugin, &work.join("bin"))?;
    let mut report = Report::default();
    for (number, shape) in SHAPES.into_iter().enumerate() {
        let chain = |(at, side): (usize, Side)| {
            let from = if side == Side::Reference { &options.reference } else { &bin };
            Chain::new(shape, side, from, work, number * Side::ALL.len() + at)
        };
        let chains: Vec<Option<Chain>> = Side::ALL.into_iter().enumerate().map(chain).collect();
        let of = Measured { shape, chains, options };
        of.version(&mut report)?;
        of.single(&mut report)?;
        of.memory(&mut report)?;
        of.at_once(&mut report)?;
        of.many(&mut report)?;
    }
    Ok(report)
}

/// Our binary under each of its names.
fn install(plugin: &Path, bin: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let plugin = plugin.canonicalize()?;
    std::fs::create_dir_all(bin)?;
    for name in cni_plugin::plugin::PERSONALITIES {
        std::os::unix::fs::symlink(&plugin, bin.join(name))?;
    }
    Ok(bin.to_path_buf())
}

/// One chain, of each side that has it.
struct Measured<'a> {
    shape: Shape,
    chains: Vec<Option<Chain>>,
    options: &'a Options,
}

impl Measured<'_> {
    fn sides(&self) -> impl Iterator<Item = (usize, &Chain)> {
        self.chains.iter().enumerate().filter_map(|(side, chain)| Some((side, chain.as_ref()?)))
    }

    fn row(&self, what: &str) -> String {
        format!("{}: {what}", self.shape.name)
    }

    /// VERSION does no work: what it costs to start.
    fn version(&self, report: &mut Report) -> Result<(), Box<dyn Error>> {
        for _ in 0..self.options.rounds {
            for (side, chain) in self.sides() {
                report.row(&self.row("VERSION")).costs[side].push(chain.version()?);
            }
        }
        Ok(())
    }

    /// ADD, CHECK and DEL one by one, with the bare calls of a bridge between them. Who comes first changes every
    /// round: a deletion waits for readers in the kernel, and the next one partly has that wait behind it.
    fn single(&self, report: &mut Report) -> Result<(), Box<dyn Error>> {
        let plain = self.shape.behind.is_empty() && self.shape.first == "bridge";
        for round in 0..self.options.rounds + 1 {
            let pods = Pods::new(self.chains.len() + 1)?;
            let id = format!("s{round}");
            let mut results = vec![Value::Null; self.chains.len()];
            // The first round makes the bridges and warms the caches: it doesn't count.
            let mut note = |what: &str, side: Option<usize>, cost: Cost| {
                let row = report.row(&self.row(what));
                match side {
                    _ if round == 0 => {}
                    Some(side) => row.costs[side].push(cost),
                    None => row.kernel.push(cost),
                }
            };
            let order: Vec<usize> =
                (0..self.chains.len()).map(|at| (at + round) % self.chains.len()).collect();
            for what in ["ADD", "CHECK", "DEL"] {
                for side in &order {
                    let Some(chain) = &self.chains[*side] else { continue };
                    let (path, port) = (pods.path(*side), FIRST_PORT + side);
                    match what {
                        "ADD" => {
                            let (cost, result) = chain.add(&id, &path, port)?;
                            results[*side] = result;
                            note(what, Some(*side), cost);
                        }
                        "CHECK" => {
                            if let Some(cost) = chain.check(&id, &path, port, &results[*side]) {
                                note(what, Some(*side), cost);
                            }
                        }
                        _ => note(what, Some(*side), chain.del(&id, &path, port, &results[*side])?),
                    }
                }
                if plain && what != "CHECK" {
                    note(what, None, bare(what, &pods.path(self.chains.len()))?);
                }
            }
        }
        Ok(())
    }

    /// Memory of an ADD: the median of five.
    fn memory(&self, report: &mut Report) -> Result<(), Box<dyn Error>> {
        for (side, chain) in self.sides() {
            let pods = Pods::new(5)?;
            for at in 0..5 {
                let (id, path, port) = (format!("y{at}"), pods.path(at), FIRST_PORT + at);
                let (memory, result) = chain.memory(&id, &path, port)?;
                report.row(&self.row("ADD")).memory[side].push(memory);
                chain.del(&id, &path, port, &result)?;
            }
        }
        Ok(())
    }

    /// Many ADDs started at the same moment, and then as many DELs: the time until the last has ended.
    fn at_once(&self, report: &mut Report) -> Result<(), Box<dyn Error>> {
        let count = self.options.parallel;
        for round in 0..3 {
            for (side, chain) in self.sides() {
                let pods = Pods::new(count)?;
                let id = |at: usize| format!("p{round}-{at}");
                let results: Vec<OnceLock<Value>> = (0..count).map(|_| OnceLock::new()).collect();
                let add = |at: usize| {
                    let (cost, result) = chain.add(&id(at), &pods.path(at), FIRST_PORT + at)?;
                    results[at].set(result).map_err(|_| "a container was added twice")?;
                    Ok(cost)
                };
                let added = in_parallel(count, add)?;
                report.row(&self.row(&format!("{count} ADDs at once"))).costs[side].push(added);
                let result = |at: usize| results[at].get().unwrap_or(&Value::Null);
                let deleted =
                    in_parallel(count, |at| chain.del(&id(at), &pods.path(at), FIRST_PORT + at, result(at)))?;
                report.row(&self.row(&format!("{count} DELs at once"))).costs[side].push(deleted);
            }
        }
        Ok(())
    }

    /// A node's worth of containers one after the other, all of them staying until the end: the sum, and the last ten.
    fn many(&self, report: &mut Report) -> Result<(), Box<dyn Error>> {
        let count = self.options.pods;
        for (side, chain) in self.sides() {
            let pods = Pods::new(count)?;
            let (mut added, mut deleted) = (Cost::default(), Cost::default());
            let mut results = Vec::new();
            for at in 0..count {
                let (cost, result) = chain.add(&format!("m{at}"), &pods.path(at), FIRST_PORT + at)?;
                added += cost;
                results.push(result);
                if at + 10 >= count {
                    report.row(&self.row(&format!("ADD, the last of {count}"))).costs[side].push(cost);
                }
            }
            for (at, result) in results.iter().enumerate() {
                deleted += chain.del(&format!("m{at}"), &pods.path(at), FIRST_PORT + at, result)?;
            }
            report.row(&self.row(&format!("{count} ADDs one by one"))).costs[side].push(added);
            report.row(&self.row(&format!("{count} DELs one by one"))).costs[side].push(deleted);
        }
        Ok(())
    }
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    let mut options = Options {
        plugin: "target/x86_64-unknown-linux-gnu/dist/weft-cni".into(),
        reference: "/usr/lib/cni".into(),
        rounds: 30,
        parallel: 50,
        pods: 250,
        json: None,
    };
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--plugin" => options.plugin = value.into(),
            "--reference" => options.reference = value.into(),
            "--rounds" => options.rounds = value.parse()?,
            "--parallel" => options.parallel = value.parse()?,
            "--pods" => options.pods = value.parse()?,
            "--json" => options.json = Some(value.into()),
            _ => return Err(format!("{flag} is not a flag; see the top of cni-bench.rs").into()),
        }
    }
    for (path, next) in [
        (options.plugin.clone(), "cargo build --profile dist -p cni-plugin --bin weft-cni"),
        (options.reference.join("bridge"), "apt-get install containernetworking-plugins"),
    ] {
        if !path.is_file() {
            return Err(format!("{} is not there: {next}", path.display()).into());
        }
    }
    Ok(options)
}
