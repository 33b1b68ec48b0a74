//! Watch fan-out: 100 watchers of one prefix, each a stream of its own, ten to a connection.

use super::load::Turn;
use super::options::Options;
use super::report::{Report, Row, Target};
use super::server::Server;
use super::{Outcome, Pair, turns};
use etcd_client::{Client, WatchOptions};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const WATCHERS: usize = 100;
const WATCHERS_PER_CONNECTION: usize = 10;
const WRITERS: usize = 16;

/// Puts one after the other, each seen by all before the next.
const SINGLE_PUTS: usize = 100;

/// Puts by all writers together.
const PUTS: usize = 1_600;

const PREFIX: &str = "watched/";

/// Less than this is no time: ratios need some.
const CLOCK: Duration = Duration::from_micros(1);

/// A watcher does not wait longer for an event.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Fan-out of two servers.
pub async fn measure(servers: &Pair<Server>, options: &Options, report: &mut Report) -> Outcome<()> {
    let mut rate = Row::new("events to 100 watchers", "1/s", Target::RatioAtLeast(1.0));
    let mut latency = Row::new("put's answer to last of 100 watchers", "ms", Target::None);
    for round in 0..options.rounds {
        let [ours, theirs] = turns(servers, round, turn).await?;
        latency.push([ours.1, theirs.1]);
        rate.push_turns([ours.0, theirs.0]);
    }
    report.push(rate);
    report.push(latency);
    Ok(())
}

/// Delivered events per second, and the median latency in milliseconds.
async fn turn(server: &Server) -> Outcome<(Turn, f64)> {
    let (seen, mut arrivals) = mpsc::unbounded_channel();
    let mut watchers = watchers(server, seen).await?;
    let mut writer = server.client().await?;
    let mut latencies = Vec::new();
    for n in 0..SINGLE_PUTS {
        writer.put(format!("{PREFIX}single"), n.to_string(), None).await?;
        latencies.push(last_of_all(Instant::now(), 1, &mut arrivals).await?);
    }
    latencies.sort_unstable();
    let median = latencies[latencies.len() / 2].as_secs_f64() * 1e3;
    let (cpu, began) = (server.cpu()?, Instant::now());
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        writers.spawn(write(server.client().await?, number));
    }
    last_of_all(began, PUTS, &mut arrivals).await?;
    let (elapsed, cpu) = (began.elapsed().as_secs_f64(), server.cpu()? - cpu);
    while let Some(outcome) = writers.join_next().await {
        outcome??;
    }
    watchers.shutdown().await;
    let events = (PUTS * WATCHERS) as f64;
    Ok((Turn { per_second: events / elapsed, cpu: cpu * 1e6 / events, latencies }, median))
}

/// Watchers that all watch already; each tells when and how many events came.
async fn watchers(
    server: &Server,
    seen: mpsc::UnboundedSender<(Instant, usize)>,
) -> Outcome<JoinSet<Outcome<()>>> {
    let mut watchers = JoinSet::new();
    for _ in 0..WATCHERS / WATCHERS_PER_CONNECTION {
        let mut client = server.client().await?;
        for _ in 0..WATCHERS_PER_CONNECTION {
            let mut stream = client.watch(PREFIX, Some(WatchOptions::new().with_prefix())).await?;
            let seen = seen.clone();
            watchers.spawn(async move {
                while let Some(message) = stream.message().await? {
                    if !message.events().is_empty() {
                        seen.send((Instant::now(), message.events().len()))?;
                    }
                }
                Ok(())
            });
        }
    }
    Ok(watchers)
}

/// Waits until every watcher has seen so many events; the time from `began` to the last. An event may be
/// there before the put is answered: then nobody waited.
async fn last_of_all(
    began: Instant,
    events: usize,
    arrivals: &mut mpsc::UnboundedReceiver<(Instant, usize)>,
) -> Outcome<Duration> {
    let (mut count, mut last) = (0, began);
    while count < events * WATCHERS {
        let arrival = tokio::time::timeout(TIMEOUT, arrivals.recv()).await;
        let Ok(Some((at, number))) = arrival else {
            return Err(format!("watchers saw {count} events of {}", events * WATCHERS).into());
        };
        count += number;
        last = last.max(at);
    }
    Ok((last - began).max(CLOCK))
}

async fn write(mut client: Client, number: usize) -> Outcome<()> {
    for n in 0..PUTS / WRITERS {
        client.put(format!("{PREFIX}{number}/{n}"), [b'w'; 256], None).await?;
    }
    Ok(())
}
