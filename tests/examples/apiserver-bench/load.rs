//! Rates: creates beside the state alone, gets and lists beside the floor.

use crate::client::{Session, Target};
use crate::floor::Floor;
use crate::object;
use crate::report::Report;
use etcd_client::proto::PbPutRequest;
use futures_util::future::join_all;
use std::time::{Duration, Instant};
use weft_tests::etcd::client::Client;
use weft_tests::measure::cpu_seconds;

/// Clients at once.
pub const CLIENTS: [usize; 2] = [1, 16];

/// So many operations a second by sessions that each do one after another.
async fn rate<S>(sessions: &mut [S], time: Duration, operation: impl AsyncFn(&mut S, usize)) -> f64 {
    let (start, count) = (Instant::now(), std::cell::Cell::new(0));
    join_all(sessions.iter_mut().map(async |session| {
        while start.elapsed() < time {
            operation(session, count.replace(count.get() + 1)).await;
        }
    }))
    .await;
    count.get() as f64 / start.elapsed().as_secs_f64()
}

/// What rates are measured on.
pub struct Load<'a> {
    pub api: &'a Target,
    pub pid: u32,
    pub state: &'a weft_tests::etcd::server::Server,
    pub floor: &'a Floor,
    pub rounds: usize,
    pub time: Duration,
}

impl Load<'_> {
    /// Creates of a ConfigMap of 1 KB, beside puts of as many bytes to `weft etcd`, both flushed to the disk.
    pub async fn creates(&self, report: &mut Report) {
        for clients in CLIENTS {
            let mut ours = self.api.open_all(clients).await;
            let mut theirs: Vec<Client> = (0..clients).map(|_| self.state.client()).collect();
            for round in 0..self.rounds {
                let label = format!("{clients}-{round}");
                let before = cpu_seconds(&self.pid.to_string());
                let rates = [
                    rate(&mut ours, self.time, async |session: &mut Session, number| {
                        let body = object::config_map(&format!("made-{label}-{number}"), 1_000);
                        session.send("POST", object::MAPS, body).await;
                    })
                    .await,
                    rate(&mut theirs, self.time, async |client: &mut Client, number| {
                        let key = format!("/registry/configmaps/default/made-{label}-{number}").into_bytes();
                        let value = object::config_map("of-the-same-size", 1_000).into_bytes();
                        client.put(PbPutRequest { key, value, ..Default::default() }).await.unwrap();
                    })
                    .await,
                ];
                let cpu = cpu_seconds(&self.pid.to_string()) - before;
                report.rates(&format!("create, {clients} clients"), "the state alone", rates);
                report.cpu(&format!("create, {clients} clients"), cpu / (rates[0] * self.time.as_secs_f64()));
            }
        }
    }

    /// Gets of that object.
    pub async fn gets(&self, report: &mut Report) {
        let path = format!("{}/read", object::MAPS);
        let body = object::config_map("read", 1_000);
        let mut one = self.api.open().await;
        one.send("POST", object::MAPS, body).await;
        let bytes = one.read(&path).await;
        for clients in CLIENTS {
            self.reads(&format!("get, {clients} clients"), &path, bytes, clients, report).await;
        }
    }

    /// A list of the API beside as many bytes from the floor.
    pub async fn lists(&self, name: &str, path: &str, report: &mut Report) {
        let bytes = self.api.open().await.read(path).await;
        report.note(&format!("{name}: {:.2} MB", bytes as f64 / 1e6));
        for clients in CLIENTS {
            self.reads(&format!("{name}, {clients} clients"), path, bytes, clients, report).await;
        }
    }

    async fn reads(&self, name: &str, path: &str, bytes: usize, clients: usize, report: &mut Report) {
        let (mut ours, mut theirs) =
            (self.api.open_all(clients).await, self.floor.target.open_all(clients).await);
        let of_floor = format!("/{bytes}");
        // Its bytes are made at the first request.
        theirs[0].read(&of_floor).await;
        for _ in 0..self.rounds {
            let before = [self.pid, self.floor.pid()].map(|pid| cpu_seconds(&pid.to_string()));
            let reader = |path| {
                async move |session: &mut Session, _| {
                    assert_eq!(session.read(path).await, bytes);
                }
            };
            let rates = [
                rate(&mut ours, self.time, reader(path)).await,
                rate(&mut theirs, self.time, reader(&of_floor)).await,
            ];
            report.rates(name, "the floor", rates);
            let cpu = cpu_seconds(&self.pid.to_string()) - before[0];
            report.cpu(name, cpu / (rates[0] * self.time.as_secs_f64()));
        }
    }
}
