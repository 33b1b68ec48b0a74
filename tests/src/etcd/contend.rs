//! Clients that contend for a few keys and write down what they were told.

use super::client::Client;
use super::history::{Action, Call, Outcome};
use etcd_client::proto::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tonic::{Code, Status};

/// Keys that all contend for.
const KEYS: usize = 3;

/// A client, its random choices and its notes.
struct Contender {
    client: Client,
    random: StdRng,
    start: Instant,
    /// The next value, of which no other client writes any.
    value: u64,
    /// What it last read of each key, to be compared with.
    met: [Option<u64>; KEYS],
    calls: Vec<Call>,
}

/// Starts clients, each with a connection of its own, that contend until told to stop; inside a runtime.
pub fn contend(url: &str, clients: u64, seed: u64, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<Vec<Call>>> {
    let start = Instant::now();
    let started = (0..clients).map(|number| {
        let contender = Contender {
            client: Client::lazy(url),
            random: StdRng::seed_from_u64(seed ^ (number << 32)),
            start,
            value: (number + 1) << 32,
            met: [None; KEYS],
            calls: Vec::new(),
        };
        tokio::spawn(contender.run(Arc::clone(stop)))
    });
    started.collect()
}

impl Contender {
    async fn run(mut self, stop: Arc<AtomicBool>) -> Vec<Call> {
        while !stop.load(Ordering::Relaxed) {
            let key = self.random.random_range(0..KEYS);
            let action = self.choose(key);
            let called = self.now();
            let answered = self.perform(key, &action).await;
            let returned = self.now();
            match answered {
                Ok((outcome, revision)) => {
                    if let Outcome::Got(value) = outcome {
                        self.met[key] = value;
                    }
                    let (returned, revision) = (Some(returned), Some(revision));
                    self.calls.push(Call { key, called, returned, action, outcome, revision });
                }
                Err(status) => {
                    // What was never sent has not happened.
                    if !status.message().contains("tcp connect error") {
                        // A connection ends with the server, which does nothing more then; who waited in vain knows nothing.
                        let returned = (status.code() != Code::DeadlineExceeded).then_some(returned);
                        let (outcome, revision) = (Outcome::Unknown, None);
                        self.calls.push(Call { key, called, returned, action, outcome, revision });
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
        self.calls
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn choose(&mut self, key: usize) -> Action {
        self.value += 1;
        match self.random.random_range(0..10) {
            0..4 => Action::Get,
            4..6 => Action::Put(self.value),
            6 => Action::Delete,
            _ => Action::Swap(self.met[key], self.value),
        }
    }

    async fn perform(&self, key: usize, action: &Action) -> Result<(Outcome, i64), Status> {
        let key = format!("contended/{key}").into_bytes();
        let (outcome, header) = match action {
            Action::Get => {
                let got = self.client.range(PbRangeRequest { key, ..Default::default() }).await?;
                (Outcome::Got(got.kvs.first().and_then(value_of)), got.header)
            }
            Action::Put(value) => (Outcome::Done, self.client.put(put(key, *value)).await?.header),
            Action::Delete => {
                let deleted = self.client.delete(PbDeleteRequest { key, ..Default::default() }).await?;
                (Outcome::Deleted(deleted.deleted > 0), deleted.header)
            }
            Action::Swap(from, to) => {
                let swapped = self.client.txn(swap(key, *from, *to)).await?;
                (Outcome::Swapped(swapped.succeeded), swapped.header)
            }
        };
        Ok((outcome, header.map_or(0, |header| header.revision)))
    }
}

fn value_of(kv: &PbKeyValue) -> Option<u64> {
    std::str::from_utf8(&kv.value).ok()?.parse().ok()
}

fn put(key: Vec<u8>, value: u64) -> PbPutRequest {
    PbPutRequest { key, value: value.to_string().into_bytes(), ..Default::default() }
}

/// Writes one value where the other is; no value is a key that is not there.
fn swap(key: Vec<u8>, from: Option<u64>, to: u64) -> PbTxnRequest {
    let target_union = match from {
        Some(value) => PbTargetUnion::Value(value.to_string().into_bytes()),
        None => PbTargetUnion::Version(0),
    };
    let target = if from.is_some() { PbCompareTarget::Value } else { PbCompareTarget::Version };
    let compare = PbCompare {
        key: key.clone(),
        target: target as i32,
        target_union: Some(target_union),
        ..Default::default()
    };
    let write = PbTxnRequestOp { request: Some(PbTxnOpRequest::RequestPut(put(key, to))) };
    PbTxnRequest { compare: vec![compare], success: vec![write], failure: vec![] }
}
