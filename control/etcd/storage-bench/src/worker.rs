//! What one process does with one engine: each measurement has a process of its own, so that memory is that
//! of the engine, and so that it can be killed.
//!
//! A worker says its figures on a line of standard output and waits for its end: `kill -9`, or the end of
//! standard input, upon which it closes the store as a server does.

use crate::engines::{Engine, Fjall, Key, Lmdb, Log, Outcome, Redb, key};
use std::io::Read;
use std::path::Path;
use std::time::Instant;

/// Entries in the store, when its size and its opening are measured.
pub const ENTRIES: u64 = 10_000;

/// Bytes of a value.
const VALUE: usize = 1_024;

const SINGLE_COMMITS: u64 = 400;
const GROUP_COMMITS: u64 = 100;
const GROUP: u64 = 16;
const GETS: u64 = 20_000;

/// Runs a job (`fill`, `open`) with an engine in a folder.
pub fn run(job: &str, engine: &str, folder: &Path) -> Outcome<()> {
    match engine {
        "redb" => job_with::<Redb>(job, folder),
        "fjall" => job_with::<Fjall>(job, folder),
        "lmdb" => job_with::<Lmdb>(job, folder),
        "log" => job_with::<Log>(job, folder),
        _ => Err(format!("{engine} is no engine: redb, fjall, lmdb, log").into()),
    }
}

fn job_with<E: Engine>(job: &str, folder: &Path) -> Outcome<()> {
    match job {
        "fill" => fill::<E>(folder),
        "open" => open::<E>(folder),
        _ => Err(format!("{job} is no job: fill, open").into()),
    }
}

/// Fills a new store, the last commits of it measured: a tree in use, not an empty one.
fn fill<E: Engine>(folder: &Path) -> Outcome<()> {
    std::fs::create_dir_all(folder)?;
    let mut store = E::open(folder)?;
    let measured = SINGLE_COMMITS + GROUP_COMMITS * GROUP;
    let mut next = commits(&mut store, 0, (ENTRIES - measured) / 100, 100)?;
    let began = Instant::now();
    next = commits(&mut store, next, SINGLE_COMMITS, 1)?;
    let single = micros(began) / SINGLE_COMMITS as f64;
    let began = Instant::now();
    next = commits(&mut store, next, GROUP_COMMITS, GROUP)?;
    let group = micros(began) / GROUP_COMMITS as f64;
    let began = Instant::now();
    for n in 0..GETS {
        // 7919 is prime: every entry comes, in an order that no cache foresees.
        let found = store.get(&key(n * 7_919 % next))?;
        assert_eq!(found, Some(VALUE), "entry {}", n * 7_919 % next);
    }
    let get = micros(began) / GETS as f64;
    println!("{single} {group} {get} {} {}", memory("VmRSS")?, memory("RssAnon")?);
    wait()
}

/// Opens a store up to the first value that it gives.
fn open<E: Engine>(folder: &Path) -> Outcome<()> {
    let began = Instant::now();
    let store = E::open(folder)?;
    let found = store.get(&key(1))?;
    let took = micros(began);
    assert_eq!(found, Some(VALUE), "the store lost an entry");
    println!("{took}");
    wait()
}

fn commits(store: &mut impl Engine, first: u64, count: u64, group: u64) -> Outcome<u64> {
    let value = [7; VALUE];
    for n in 0..count {
        let start = first + n * group;
        let entries: Vec<(Key, &[u8])> = (start..start + group).map(|n| (key(n), &value[..])).collect();
        store.commit(&entries)?;
    }
    Ok(first + count * group)
}

fn wait() -> Outcome<()> {
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn micros(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}

/// A line of /proc/self/status, in KB.
fn memory(line: &str) -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let found = status.lines().find(|l| l.starts_with(line)).and_then(|l| l.split_whitespace().nth(1));
    Ok(found.ok_or("the kernel does not tell a process's memory")?.parse()?)
}
