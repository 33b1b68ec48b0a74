//! Measures weft-cni beside the reference bridge and host-local plugins, in one run.
//!
//! Both are started as a runtime starts them, by turns, in a network namespace of the bench's own, so
//! that whatever disturbs the machine disturbs both; what counts is the ratio. `kernel` is a process that
//! makes the bare netlink calls and nothing else: no plugin can be faster than that. CPU is the process's and
//! its children's (wait4). Beyond 250 links most of the time is the kernel's own.
//!
//! ```text
//! cargo build --profile dist -p cni-plugin --bin weft-cni --target x86_64-unknown-linux-gnu
//! cargo run -p cni-plugin --example cni-bench -- --plugin target/x86_64-unknown-linux-gnu/dist/weft-cni
//!     [--reference /usr/lib/cni] [--rounds 30] [--parallel 50] [--pods 250] [--json FILE]
//! ```

#[path = "cni-bench/measure.rs"]
mod measure;
#[path = "cni-bench/report.rs"]
mod report;

use measure::{Cost, Plugin, Pods, bare, bare_add, bare_del, in_parallel};
use netstate::NetNs;
use report::{Report, Row};
use std::path::PathBuf;
use std::time::Instant;

struct Options {
    plugin: PathBuf,
    reference: PathBuf,
    rounds: usize,
    parallel: usize,
    pods: usize,
    json: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bare", "ADD", netns] => return bare_add(netns, "weft0"),
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

fn run(options: &Options, work: &std::path::Path) -> Result<Report, Box<dyn std::error::Error>> {
    let ours = Plugin::new(&options.plugin, "weft-cni", "weft0", "10.77.0.0/16", work)?;
    let reference = Plugin::new(&options.reference.join("bridge"), "bridge", "ref0", "10.78.0.0/16", work)?;
    let both = [&reference, &ours];
    let mut report = Report::default();
    report.push(versions(both, options.rounds)?);
    single(both, options.rounds, &mut report)?;
    for round in 0..3 {
        at_once(both, options.parallel, round, &mut report)?;
    }
    many(both, options.pods, &mut report)?;
    Ok(report)
}

/// VERSION does no work: what it costs to start.
fn versions(both: [&Plugin; 2], rounds: usize) -> Result<Row, Box<dyn std::error::Error>> {
    let mut row = Row::new("VERSION");
    for _ in 0..rounds {
        for (number, plugin) in both.iter().enumerate() {
            row.costs[number].push(plugin.call("VERSION", "", "")?);
        }
    }
    Ok(row)
}

/// ADD and DEL one by one, with the bare calls between them. Who comes first changes every round: a
/// deletion waits for readers in the kernel, and the next one partly has that wait behind it.
fn single(both: [&Plugin; 2], rounds: usize, report: &mut Report) -> Result<(), Box<dyn std::error::Error>> {
    const KERNEL: usize = 2;
    let (mut add, mut del) = (Row::new("ADD"), Row::new("DEL"));
    for round in 0..rounds + 1 {
        let pods = Pods::new(3)?;
        let id = format!("s{round}");
        // The first round makes the bridges, in this order, and warms the caches: it doesn't count.
        let order = [0, 1, 2].map(|at| (at + round) % 3);
        for (row, command) in [(&mut add, "ADD"), (&mut del, "DEL")] {
            for who in order {
                let cost = match who {
                    KERNEL => bare(command, &pods.path(KERNEL))?,
                    _ => both[who].call(command, &id, &pods.path(who))?,
                };
                match who {
                    _ if round == 0 => {}
                    KERNEL => row.kernel.push(cost),
                    _ => row.costs[who].push(cost),
                }
            }
        }
    }
    report.push(add);
    report.push(del);
    Ok(())
}

/// Many ADDs started at the same moment, and then as many DELs: the time until the last has ended.
fn at_once(
    both: [&Plugin; 2],
    count: usize,
    round: usize,
    report: &mut Report,
) -> Result<(), Box<dyn std::error::Error>> {
    for (number, plugin) in both.iter().enumerate() {
        let pods = Pods::new(count)?;
        for command in ["ADD", "DEL"] {
            let cost =
                in_parallel(count, |at| plugin.call(command, &format!("p{round}-{at}"), &pods.path(at)))?;
            report.row(&format!("{count} {command}s at once")).costs[number].push(cost);
        }
    }
    Ok(())
}

/// A node's worth of pods one after the other, all of them staying until the end.
fn many(both: [&Plugin; 2], count: usize, report: &mut Report) -> Result<(), Box<dyn std::error::Error>> {
    for (number, plugin) in both.iter().enumerate() {
        let pods = Pods::new(count)?;
        for command in ["ADD", "DEL"] {
            let (start, mut cpu) = (Instant::now(), std::time::Duration::ZERO);
            for at in 0..count {
                cpu += plugin.call(command, &format!("m{at}"), &pods.path(at))?.cpu;
            }
            let cost = Cost { wall: start.elapsed(), cpu };
            report.row(&format!("{count} {command}s one by one")).costs[number].push(cost);
        }
    }
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, Box<dyn std::error::Error>> {
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
