//! Requests as fast as they are answered: by one client, and by 16 with a connection each.

use super::options::Options;
use super::report::{Report, Row, Target};
use super::server::Server;
use super::{Outcome, Pair, turns};
use etcd_client::{Client, Compare, CompareOp, GetOptions, Txn, TxnOp};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Keys that puts and gets choose from, and that a range gives.
const KEYS: u64 = 1_000;

const VALUE: [u8; 256] = [b'v'; 256];

/// Numbers of keys that no put had before.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// What one request is.
#[derive(Clone, Copy)]
enum Workload {
    PutFresh,
    PutAgain,
    Get,
    Range,
    CompareAndSwap,
    /// Four gets to a put.
    Mixed,
}

const WORKLOADS: [(&str, Workload); 6] = [
    ("put, fresh keys", Workload::PutFresh),
    ("put, 1,000 keys again", Workload::PutAgain),
    ("get, linearizable", Workload::Get),
    ("range of 1,000 keys", Workload::Range),
    ("txn, compare and swap", Workload::CompareAndSwap),
    ("80 % get, 20 % put", Workload::Mixed),
];

/// All workloads on two servers.
pub async fn measure(servers: &Pair<Server>, options: &Options, report: &mut Report) -> Outcome<()> {
    for server in servers {
        prepare(&mut server.client().await?).await?;
    }
    for (name, workload) in WORKLOADS {
        for clients in [1, 16] {
            let what = format!("{name}, {clients} client{}", if clients == 1 { "" } else { "s" });
            let mut row = Row::new(&what, "1/s", Target::RatioAtLeast(1.0));
            for round in 0..options.rounds {
                let turn = async |server: &Server| turn(server, workload, clients, options.time).await;
                row.push_turns(turns(servers, round, turn).await?);
            }
            report.push(row);
        }
    }
    Ok(())
}

/// What one turn of one server gave.
pub struct Turn {
    pub per_second: f64,
    /// CPU of the server per 1,000 requests, in milliseconds.
    pub cpu: f64,
    /// Sorted.
    pub latencies: Vec<Duration>,
}

async fn prepare(client: &mut Client) -> Outcome<()> {
    for first in (0..KEYS).step_by(100) {
        let puts: Vec<TxnOp> = (first..first + 100).map(|n| TxnOp::put(key(n), VALUE, None)).collect();
        client.txn(Txn::new().and_then(puts)).await?;
    }
    Ok(())
}

fn key(number: u64) -> String {
    format!("bench/keys/{:05}", number % KEYS)
}

async fn turn(server: &Server, workload: Workload, clients: usize, time: Duration) -> Outcome<Turn> {
    let mut sessions = Vec::new();
    for number in 0..clients {
        sessions.push(Session::begin(server.client().await?, number, workload).await?);
    }
    let (cpu, began) = (server.cpu()?, Instant::now());
    let tasks: Vec<_> =
        sessions.into_iter().map(|session| tokio::spawn(session.run(workload, began + time))).collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await??);
    }
    let (elapsed, cpu) = (began.elapsed().as_secs_f64(), server.cpu()? - cpu);
    latencies.sort_unstable();
    let requests = latencies.len().max(1) as f64;
    Ok(Turn { per_second: requests / elapsed, cpu: cpu * 1e6 / requests, latencies })
}

/// One client at work.
struct Session {
    client: Client,
    random: u64,
    /// The key that this client swaps, and its revision.
    own: String,
    revision: i64,
}

impl Session {
    async fn begin(mut client: Client, number: usize, workload: Workload) -> Outcome<Session> {
        let own = format!("bench/own/{number}");
        let mut revision = 0;
        if let Workload::CompareAndSwap = workload {
            let found = client.get(own.as_str(), None).await?;
            revision = found.kvs().first().map_or(0, |kv| kv.mod_revision());
        }
        // The connection is there before time is taken.
        client.get("first", None).await?;
        Ok(Session { client, random: 0x9e37_79b9 + number as u64, own, revision })
    }

    async fn run(mut self, workload: Workload, until: Instant) -> Outcome<Vec<Duration>> {
        let mut latencies = Vec::new();
        let mut now = Instant::now();
        while now < until {
            self.request(workload).await?;
            let after = Instant::now();
            latencies.push(after - now);
            now = after;
        }
        Ok(latencies)
    }

    async fn request(&mut self, workload: Workload) -> Outcome<()> {
        let random = self.random();
        match workload {
            Workload::PutFresh => {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                self.client.put(format!("bench/fresh/{number:012}"), VALUE, None).await?;
            }
            Workload::PutAgain => drop(self.client.put(key(random), VALUE, None).await?),
            Workload::Mixed if random.is_multiple_of(5) => {
                self.client.put(key(random / 5), VALUE, None).await?;
            }
            Workload::Get | Workload::Mixed => {
                let found = self.client.get(key(random / 5), None).await?;
                expect(found.kvs().len(), 1)?;
            }
            Workload::Range => {
                let all = GetOptions::new().with_prefix();
                let found = self.client.get("bench/keys/", Some(all)).await?;
                expect(found.kvs().len(), KEYS as usize)?;
            }
            Workload::CompareAndSwap => self.swap().await?,
        }
        Ok(())
    }

    /// Puts if nobody has put since we did.
    async fn swap(&mut self) -> Outcome<()> {
        let unchanged = Compare::mod_revision(self.own.as_str(), CompareOp::Equal, self.revision);
        let put = TxnOp::put(self.own.as_str(), VALUE, None);
        let get = TxnOp::get(self.own.as_str(), None);
        let txn = Txn::new().when([unchanged]).and_then([put]).or_else([get]);
        let answer = self.client.txn(txn).await?;
        match (answer.succeeded(), answer.header()) {
            (true, Some(header)) => self.revision = header.revision(),
            _ => return Err(format!("{} was changed by another", self.own).into()),
        }
        Ok(())
    }

    /// xorshift64: which key comes next needs no better chance.
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

/// An answer that lacks keys is not fast, it is wrong.
fn expect(found: usize, expected: usize) -> Outcome<()> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("an answer with {found} keys instead of {expected}").into()),
    }
}
