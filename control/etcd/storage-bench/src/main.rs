//! The measurement by which the embedded state's storage library was chosen: redb, fjall and LMDB beside a
//! bare log, at etcd's use of them (docs/architecture/etcd-storage.md has a table of it).
//!
//! ```text
//! cd control/etcd/storage-bench
//! cargo run --release --target-dir ../../../target/storage-bench -- [--rounds 5] [--folder DIR]
//! ```
//!
//! The folder must be on a disk: in memory fsync costs nothing, and it is most of a commit. Engines take
//! turns, and each round's ratio is to the log of that same round: what disturbs the disk disturbs both.

mod engines;
mod table;
mod worker;

use engines::Outcome;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use table::{COLUMNS, Round};

/// The floor first: ratios are to it.
const ENGINES: [&str; 4] = ["log", "redb", "fjall", "lmdb"];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [worker, job, engine, folder] = &arguments[..]
        && worker == "worker"
    {
        return worker::run(job, engine, Path::new(folder));
    }
    let (mut rounds, mut folder) = (5, PathBuf::from("storage-bench-data"));
    for pair in arguments.chunks(2) {
        match pair {
            [flag, value] if flag == "--rounds" => rounds = value.parse()?,
            [flag, value] if flag == "--folder" => folder = value.into(),
            _ => return Err(format!("{pair:?} is no option: --rounds N, --folder DIR").into()),
        }
    }
    let mut measured: Vec<Vec<Round>> = ENGINES.map(|_| Vec::new()).into();
    for round in 0..rounds {
        for (engine, rounds) in ENGINES.iter().zip(&mut measured) {
            rounds.push(measure(engine, &folder.join(format!("{engine}-{round}")))?);
        }
    }
    std::fs::remove_dir(&folder)?;
    print!("{}", table::of(&ENGINES, &measured));
    Ok(())
}

/// One engine from an empty folder on.
fn measure(engine: &str, folder: &Path) -> Outcome<Round> {
    let (mut child, filled) = start("fill", engine, folder)?;
    child.kill()?;
    child.wait()?;
    let [single, group, get, resident, anonymous] = filled[..] else {
        return Err(format!("{engine} said {filled:?}").into());
    };
    let disk = disk_bytes(folder)? / 1e6;
    let (child, killed) = start("open", engine, folder)?;
    close(child)?;
    let (child, closed) = start("open", engine, folder)?;
    close(child)?;
    std::fs::remove_dir_all(folder)?;
    let (killed, closed) = (killed[0] / 1e3, closed[0] / 1e3);
    let round: [f64; COLUMNS.len()] =
        [single, group, get, killed, closed, resident / 1024.0, anonymous / 1024.0, disk];
    Ok(round)
}

/// Starts a worker and takes its figures.
fn start(job: &str, engine: &str, folder: &Path) -> Outcome<(Child, Vec<f64>)> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["worker", job, engine])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().ok_or("a worker has an output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let figures = line.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
    match figures.is_empty() {
        true => Err(format!("{engine} failed to {job} {}: {}", folder.display(), child.wait()?).into()),
        false => Ok((child, figures)),
    }
}

/// Lets a worker close its store.
fn close(mut child: Child) -> Outcome<()> {
    drop(child.stdin.take());
    match child.wait()? {
        status if status.success() => Ok(()),
        status => Err(format!("a worker ended with {status}").into()),
    }
}

/// What a folder takes of the disk, holes not counted.
fn disk_bytes(folder: &Path) -> Outcome<f64> {
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += match metadata.is_dir() {
            true => disk_bytes(&entry.path())?,
            false => metadata.blocks() as f64 * 512.0,
        };
    }
    Ok(bytes)
}
