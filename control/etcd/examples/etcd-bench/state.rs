//! What a server costs beside its requests: the time until it serves, and memory.

use super::options::Options;
use super::report::{Report, Row, Target};
use super::server::{Program, Server};
use super::{Outcome, Pair, both};
use std::path::Path;
use std::time::Duration;

/// Keys of 1 KB in a filled store.
const KEYS: usize = 10_000;

/// The most that ours may take from the start of the process to its first answer, in milliseconds.
const START: Target = Target::OursAtMost(30.0);

/// The most of etcd-server's memory that ours may take.
const MEMORY: Target = Target::RatioAtMost(1.0 / 3.0);

/// Start and memory of two servers.
pub async fn measure(
    programs: &Pair<Program>,
    options: &Options,
    folder: &Path,
    report: &mut Report,
) -> Outcome<()> {
    let mut empty = Row::new("start to first get, empty", "ms", START);
    for round in 0..options.rounds {
        let servers = both(programs, &folder.join(format!("empty-{round}"))).await?;
        empty.push(servers.each_ref().map(milliseconds));
    }
    report.push(empty);
    let mut servers = both(programs, &folder.join("filled")).await?;
    memory("memory, empty", Target::None, &servers, report)?;
    for server in &servers {
        fill(server).await?;
    }
    memory("memory, 10,000 keys of 1 KB", MEMORY, &servers, report)?;
    let mut clean = Row::new("start, 10,000 keys, after a clean stop", "ms", START);
    let mut killed = Row::new("start, 10,000 keys, after kill -9", "ms", START);
    for _ in 0..options.rounds {
        let [ours, theirs] = servers;
        servers = [ours.restarted(&programs[0]).await?, theirs.restarted(&programs[1]).await?];
        clean.push(servers.each_ref().map(milliseconds));
        let [ours, theirs] = servers;
        let ours = ours.killed_and_restarted(&programs[0]).await?;
        servers = [ours, theirs.killed_and_restarted(&programs[1]).await?];
        killed.push(servers.each_ref().map(milliseconds));
    }
    report.push(clean);
    report.push(killed);
    memory("memory, 10,000 keys, started again", MEMORY, &servers, report)
}

fn milliseconds(server: &Server) -> f64 {
    server.start.as_secs_f64() * 1e3
}

/// Puts all keys one by one, and leaves the server a moment to come to rest.
async fn fill(server: &Server) -> Outcome<()> {
    let mut client = server.client().await?;
    for n in 0..KEYS {
        client.put(format!("filled/{n:06}"), [n as u8; 1024], None).await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(())
}

fn memory(name: &str, target: Target, servers: &Pair<Server>, report: &mut Report) -> Outcome<()> {
    let [ours, theirs] = servers;
    let [[our_rss, our_pss], [their_rss, their_pss]] = [ours.memory()?, theirs.memory()?];
    for (kind, pair) in [("VmRSS", [our_rss, their_rss]), ("Pss", [our_pss, their_pss])] {
        let mut row = Row::new(&format!("{name}: {kind}"), "MB", target);
        row.push(pair);
        report.push(row);
    }
    Ok(())
}
