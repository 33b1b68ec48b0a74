//! Measures `weft etcd` beside etcd-server, in one run on one disk.
//!
//! Each is a process with a data folder of its own, with the same flags and with fsync. They take turns at
//! every measurement, so that what disturbs the machine disturbs both, and who goes first changes every round;
//! what counts is the ratio of two turns that follow each other, of which the median and the spread are shown.
//! Clients share the machine with the servers: rates are those of the pair, CPU is the server's alone.
//!
//! ```text
//! cargo build -p weft
//! cargo run -p weft-etcd --example etcd-bench -- --weft target/debug/weft --etcd /usr/bin/etcd
//!     [--seconds 1] [--rounds 5] [--only load,watch,state] [--folder DIR] [--json FILE]
//! ```
//!
//! `--weft` may name an etcd as well (a file `etcd…`): two etcds show how far ratios are from 1 by chance.

mod load;
mod options;
mod report;
mod server;
mod state;
mod watch;

use options::Options;
use report::Report;
use server::{Program, Server};
use std::error::Error;
use std::path::Path;

/// Whatever went wrong, in its own words.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Ours and theirs.
pub type Pair<T> = [T; 2];

fn main() -> Outcome<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    std::fs::create_dir_all(&options.folder)?;
    let folder = options.folder.join(format!("etcd-bench-{}", std::process::id()));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = runtime.block_on(run(&options, &folder));
    // The folder of a bench that failed stays: the servers' logs are in it.
    let report = measured.map_err(|why| format!("{why} (data and logs are in {})", folder.display()))?;
    std::fs::remove_dir_all(&folder)?;
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report.json())?)?;
    }
    Ok(())
}

async fn run(options: &Options, folder: &Path) -> Outcome<Report> {
    let programs = [Program::of(&options.weft), Program::of(&options.etcd)];
    let mut report = Report::begin();
    if options.wants("load") || options.wants("watch") {
        let servers = both(&programs, &folder.join("load")).await?;
        if options.wants("load") {
            load::measure(&servers, options, &mut report).await?;
        }
        if options.wants("watch") {
            watch::measure(&servers, options, &mut report).await?;
        }
    }
    if options.wants("state") {
        state::measure(&programs, options, folder, &mut report).await?;
    }
    Ok(report)
}

/// Both servers on empty data folders.
async fn both(programs: &Pair<Program>, folder: &Path) -> Outcome<Pair<Server>> {
    let [ours, theirs] = programs;
    Ok([Server::start(ours, &folder.join("0")).await?, Server::start(theirs, &folder.join("1")).await?])
}

/// A turn of each server; who goes first changes every round.
async fn turns<T>(
    servers: &Pair<Server>,
    round: usize,
    turn: impl AsyncFn(&Server) -> Outcome<T>,
) -> Outcome<Pair<T>> {
    let [ours, theirs] = servers;
    if round.is_multiple_of(2) {
        return Ok([turn(ours).await?, turn(theirs).await?]);
    }
    let theirs = turn(theirs).await?;
    Ok([turn(ours).await?, theirs])
}
