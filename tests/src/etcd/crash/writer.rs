//! A writer with a prefix of its own, and its log.

use super::event::{Effects, Log};
use crate::etcd::client::Client;
use etcd_client::proto::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;
use tonic::Status;

/// Keys of a writer.
const KEYS: u32 = 6;

/// Acknowledged writes that are read again after each kill.
const READ_AGAIN: usize = 3;

/// A writer.
pub struct Writer {
    client: Client,
    prefix: String,
    random: StdRng,
    log: Log,
    number: u64,
    /// Revisions up to here may be gone.
    compacted: Arc<AtomicI64>,
}

/// What a writer may be told.
enum Told {
    /// The revision of its write.
    Written(i64),
    /// There was nothing to delete.
    Nothing,
}

impl Writer {
    /// With keys below a prefix; inside a runtime.
    pub fn of(url: &str, prefix: &str, seed: u64, compacted: &Arc<AtomicI64>) -> Writer {
        Writer {
            client: Client::lazy(url),
            prefix: prefix.to_owned(),
            random: StdRng::seed_from_u64(seed),
            log: Log::default(),
            number: 0,
            compacted: Arc::clone(compacted),
        }
    }

    /// Writes until told to stop; the log.
    ///
    /// # Errors
    /// What was acknowledged and cannot be read.
    pub async fn run(mut self, stop: Arc<AtomicBool>) -> Result<Log, String> {
        let mut lost = false;
        while !stop.load(Ordering::Relaxed) {
            if lost && self.read_again().await? {
                lost = false;
            }
            self.number += 1;
            let effects = self.effects();
            match self.write(&effects).await {
                Ok(Told::Written(revision)) => drop(self.log.acknowledged.insert(revision, effects)),
                Ok(Told::Nothing) => {}
                Err(status) => {
                    lost = true;
                    if !status.message().contains("tcp connect error") {
                        self.log.unanswered.push(effects);
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
        Ok(self.log)
    }

    /// One key put, two put at once, or one deleted.
    fn effects(&mut self) -> Effects {
        let first = self.random.random_range(0..KEYS);
        let value = Some(format!("{}{}", self.prefix, self.number).into_bytes());
        let key = |number: u32| format!("{}{number}", self.prefix).into_bytes();
        match self.random.random_range(0..10) {
            0..5 => Effects::from([(key(first), value)]),
            5..8 => Effects::from([(key(first), value.clone()), (key((first + 1) % KEYS), value)]),
            _ => Effects::from([(key(first), None)]),
        }
    }

    async fn write(&self, effects: &Effects) -> Result<Told, Status> {
        let revision = |header: Option<PbResponseHeader>| Told::Written(header.map_or(0, |h| h.revision));
        let put = |key: &Vec<u8>, value: &[u8]| PbPutRequest {
            key: key.clone(),
            value: value.to_vec(),
            ..Default::default()
        };
        let mut puts = effects.iter().filter_map(|(key, value)| Some(put(key, value.as_ref()?)));
        match (puts.next(), puts.next()) {
            (Some(first), Some(second)) => {
                let step = |put| PbTxnRequestOp { request: Some(PbTxnOpRequest::RequestPut(put)) };
                let success = vec![step(first), step(second)];
                let answer = self.client.txn(PbTxnRequest { success, ..Default::default() }).await?;
                Ok(revision(answer.header))
            }
            (Some(put), None) => Ok(revision(self.client.put(put).await?.header)),
            _ => {
                let key = effects.keys().next().cloned().unwrap_or_default();
                let answer = self.client.delete(PbDeleteRequest { key, ..Default::default() }).await?;
                Ok(if answer.deleted > 0 { revision(answer.header) } else { Told::Nothing })
            }
        }
    }

    /// Whether the server answers again; what was last acknowledged must then be readable at its revision.
    async fn read_again(&self) -> Result<bool, String> {
        let last = self.log.acknowledged.iter().rev().take(READ_AGAIN);
        for (revision, effects) in last {
            for (key, value) in effects {
                let read = PbRangeRequest { key: key.clone(), revision: *revision, ..Default::default() };
                let found = match self.client.range(read).await {
                    Ok(found) => found.kvs.first().map(|kv| kv.value.clone()),
                    Err(_) if self.compacted.load(Ordering::Relaxed) >= *revision => continue,
                    // Killed again meanwhile, if it is not that the write is lost.
                    Err(status) if status.message().starts_with("etcdserver: mvcc") => {
                        return Err(format!("acknowledged at {revision}: {effects:?}; now {status}"));
                    }
                    Err(_) => return Ok(false),
                };
                if found != *value {
                    return Err(format!("acknowledged at {revision}: {effects:?}; read {found:?}"));
                }
            }
        }
        Ok(true)
    }
}
