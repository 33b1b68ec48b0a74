//! A watcher that lives longer than the server: it resumes from the revision after the last one that it saw.

use super::event::{History, add};
use crate::etcd::client::Client;
use crate::etcd::generate::prefix_end;
use crate::etcd::wire::{WatchAsk, WatchCreate, WatchRequest};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tonic::Status;

/// What a watcher has seen.
pub struct Watcher {
    url: String,
    prefix: Vec<u8>,
    /// The last revision, for others to see how far it has got.
    pub last: Arc<AtomicI64>,
    history: History,
    /// What must not have come.
    broken: Option<String>,
}

impl Watcher {
    /// Of all keys with a prefix, from a revision on.
    pub fn of(url: &str, prefix: &[u8], from: i64) -> Watcher {
        let last = Arc::new(AtomicI64::new(from - 1));
        Watcher { url: url.to_owned(), prefix: prefix.to_vec(), last, history: History::new(), broken: None }
    }

    /// Watches until a revision was seen, over any number of connections; the history.
    ///
    /// # Errors
    /// What came twice or out of order, or that what it needs was compacted.
    pub async fn until(mut self, until: Arc<AtomicI64>) -> Result<History, String> {
        while self.last.load(Ordering::Relaxed) < until.load(Ordering::Relaxed) {
            // The connection ends with the server, which is what this is about.
            let ended = self.connection(&until).await;
            if let Some(broken) = self.broken {
                return Err(broken);
            }
            if ended.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(self.history)
    }

    async fn connection(&mut self, until: &AtomicI64) -> Result<(), Status> {
        let client = Client::lazy(&self.url);
        let (sender, mut incoming) = client.watch().await?;
        // All keys: the end of no prefix is none.
        let key = if self.prefix.is_empty() { vec![0] } else { self.prefix.clone() };
        let create = WatchCreate {
            key,
            range_end: prefix_end(&self.prefix),
            start_revision: self.last.load(Ordering::Relaxed) + 1,
            ..WatchCreate::default()
        };
        let sent = sender.send(WatchRequest::of(WatchAsk::Create(create))).await;
        sent.map_err(|_| Status::unavailable("the stream is closed"))?;
        while self.last.load(Ordering::Relaxed) < until.load(Ordering::Relaxed) {
            // `until` may be set at any time, without anything coming any more.
            let next = tokio::time::timeout(Duration::from_millis(100), incoming.next_ever()).await;
            let Ok(response) = next else { continue };
            let response = response?;
            if response.canceled {
                self.broken = Some(format!("canceled: {response:?}"));
                return Ok(());
            }
            let mut newest = self.last.load(Ordering::Relaxed);
            for event in &response.events {
                match add(&mut self.history, event) {
                    Ok(revision) if revision >= newest => newest = revision,
                    Ok(revision) => self.broken = Some(format!("{revision} after {newest}")),
                    Err(twice) => self.broken = Some(twice),
                }
            }
            self.last.store(newest, Ordering::Relaxed);
        }
        Ok(())
    }
}
