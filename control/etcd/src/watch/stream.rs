//! The task of one stream: takes requests, tells events.

use super::piece::{self, Piece};
use super::respond::{NO_WATCH, control, fragments};
use super::watchers::{Watcher, Watchers};
use crate::error::{Error, Result};
use crate::keys::KeyRange;
use crate::proto::{Event, WatchRequest, WatchRequestUnion, WatchResponse};
use crate::server::Server;
use rand::Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, interval_at};
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

/// Where answers go.
pub type Out = mpsc::Sender<Result<WatchResponse, Status>>;

/// What was asked in a request to watch.
#[derive(Debug)]
struct Create {
    key: Vec<u8>,
    range_end: Vec<u8>,
    start_revision: i64,
    filters: Vec<i32>,
    watch_id: i64,
    progress: bool,
    prev_kv: bool,
    fragment: bool,
}

struct Task {
    server: Arc<Server>,
    watchers: Watchers,
    out: Out,
    progress_asked: bool,
}

/// The client is gone.
struct Gone;

/// Serves a stream until its client goes, or the server.
pub async fn run(
    server: Arc<Server>,
    requests: impl Stream<Item = Result<WatchRequest, Status>> + Unpin,
    out: Out,
) {
    server.metrics.watch_streams.inc();
    let mut task = Task { server, watchers: Watchers::default(), out, progress_asked: false };
    // The client being gone is the ordinary end.
    let _ = task.serve(requests).await;
    task.server.metrics.watchers.dec_by(task.watchers.len() as i64);
    task.server.metrics.watch_streams.dec();
}

/// Ticks at about the interval, each stream at another time.
fn ticker(every: Duration) -> Interval {
    let jitter = rand::rng().random_range(0.0..0.1);
    let every = every.mul_f64(1.0 + jitter);
    interval_at(Instant::now() + every, every)
}

impl Task {
    async fn serve(
        &mut self,
        mut requests: impl Stream<Item = Result<WatchRequest, Status>> + Unpin,
    ) -> Result<(), Gone> {
        let mut published: watch::Receiver<i64> = self.server.store.subscribe();
        let mut stopping = self.server.stopping();
        let mut tick = ticker(self.server.config.watch_progress_notify_interval);
        let mut half_closed = false;
        loop {
            let behind = self.watchers.least_next().is_some_and(|next| next <= self.server.store.revision());
            if !behind && std::mem::take(&mut self.progress_asked) {
                let header = self.server.store.header(self.server.store.revision());
                self.send(control(header, NO_WATCH)).await?;
                continue;
            }
            tokio::select! {
                biased;
                () = stopping.stopped() => {
                    let _ = self.out.send(Err(Error::Stopped.into())).await;
                    return Err(Gone);
                }
                _ = self.out.closed() => return Err(Gone),
                request = requests.next(), if !half_closed => match request {
                    Some(Ok(request)) => self.request(request).await?,
                    Some(Err(_)) => return Err(Gone),
                    None => half_closed = true,
                },
                _ = tick.tick() => self.tell_progress().await?,
                () = std::future::ready(()), if behind => {
                    published.mark_unchanged();
                    self.pump().await?;
                    // A long history leaves room for other tasks.
                    tokio::task::yield_now().await;
                }
                changed = published.changed(), if !behind => changed.map_err(|_| Gone)?,
            }
        }
    }

    async fn send(&self, response: WatchResponse) -> Result<(), Gone> {
        self.out.send(Ok(response)).await.map_err(|_| Gone)
    }

    async fn request(&mut self, request: WatchRequest) -> Result<(), Gone> {
        match request.request_union {
            Some(WatchRequestUnion::CreateRequest(create)) => {
                let create = Create {
                    // The lowest key stands for none.
                    key: if create.key.is_empty() { vec![0] } else { create.key },
                    range_end: create.range_end,
                    start_revision: create.start_revision,
                    filters: create.filters,
                    watch_id: create.watch_id,
                    progress: create.progress_notify,
                    prev_kv: create.prev_kv,
                    fragment: create.fragment,
                };
                self.create(create).await
            }
            Some(WatchRequestUnion::CancelRequest(cancel)) => self.cancel(cancel.watch_id).await,
            Some(WatchRequestUnion::ProgressRequest(_)) => {
                self.progress_asked = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn create(&mut self, create: Create) -> Result<(), Gone> {
        let revision = self.server.store.revision();
        let header = self.server.store.header(revision);
        let range = KeyRange::of(&create.key, &create.range_end);
        let refused = |reason: &str| WatchResponse {
            created: true,
            canceled: true,
            cancel_reason: reason.into(),
            ..control(header, NO_WATCH)
        };
        if create.start_revision < 0 {
            return self.send(refused(&Error::Compacted.to_string())).await;
        }
        if range.is_empty() {
            return self.send(refused("mvcc: watcher range is empty")).await;
        }
        let Some(id) = self.watchers.id(create.watch_id) else {
            return self.send(refused("mvcc: duplicate watch ID provided on the WatchStream")).await;
        };
        let watcher = Watcher {
            range,
            next: if create.start_revision == 0 { revision + 1 } else { create.start_revision },
            no_put: false,
            no_delete: false,
            prev_kv: create.prev_kv,
            fragment: create.fragment,
            progress: create.progress,
            told: false,
        };
        self.watchers.insert(id, watcher.filter(&create.filters));
        self.server.metrics.watchers.inc();
        self.send(WatchResponse { created: true, ..control(header, id) }).await
    }

    async fn cancel(&mut self, id: i64) -> Result<(), Gone> {
        if self.watchers.remove(id).is_some() {
            self.server.metrics.watchers.dec();
        } else if !self.watchers.forget(id) {
            return Ok(());
        }
        let header = self.server.store.header(self.server.store.revision());
        self.send(WatchResponse { canceled: true, ..control(header, id) }).await
    }

    /// Tells the next piece of history to all who have not heard it.
    async fn pump(&mut self) -> Result<(), Gone> {
        let store = self.server.store.clone();
        let current = store.revision();
        let Some(from) = self.watchers.least_next() else { return Ok(()) };
        let piece = piece::next(&store, from, current);
        // After the piece was taken: what compaction removed since would be missing in it.
        let compacted = store.compacted();
        let overtaken = self.watchers.overtaken(compacted, current);
        if !overtaken.is_empty() {
            return self.cancel_overtaken(overtaken, compacted).await;
        }
        let told = match piece {
            Ok(piece) => self.by_watcher(piece),
            Err(error) => Err(error),
        };
        match told {
            Ok((until, told)) => self.tell(until, told).await,
            Err(error) => {
                tracing::error!(%error, "a watch ends: history cannot be read");
                let _ = self.out.send(Err(error.into())).await;
                Err(Gone)
            }
        }
    }

    async fn cancel_overtaken(&mut self, overtaken: Vec<i64>, compacted: i64) -> Result<(), Gone> {
        for id in overtaken {
            self.watchers.end(id);
            self.server.metrics.watchers.dec();
            // etcd leaves the revision of this header at 0.
            let header = self.server.store.header(0);
            let canceled =
                WatchResponse { canceled: true, compact_revision: compacted, ..control(header, id) };
            self.send(canceled).await?;
        }
        Ok(())
    }

    /// Sorts events by who wants them.
    fn by_watcher(&self, piece: Piece) -> Result<(i64, BTreeMap<i64, Vec<Event>>)> {
        if piece.from_disk {
            self.server.metrics.slow_watch_pieces.inc();
        }
        let mut told: BTreeMap<i64, Vec<Event>> = BTreeMap::new();
        let mut view = None;
        for event in &piece.events {
            let revision = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
            let interested = self.watchers.interested(event, revision);
            let wants_previous = |id: &i64| self.watchers.get(*id).is_some_and(|w| w.prev_kv);
            let mut previous = None;
            if interested.iter().any(wants_previous) {
                let view = match &view {
                    Some(view) => view,
                    None => view.insert(self.server.store.view()?),
                };
                previous = piece::previous(view, event)?;
            }
            for id in interested {
                let prev_kv = previous.clone().filter(|_| wants_previous(&id));
                told.entry(id).or_default().push(Event { prev_kv, ..event.clone() });
            }
        }
        Ok((piece.until, told))
    }

    async fn tell(&mut self, until: i64, mut told: BTreeMap<i64, Vec<Event>>) -> Result<(), Gone> {
        let mut responses = Vec::new();
        for (id, watcher) in self.watchers.iter_mut().filter(|(_, watcher)| watcher.next <= until) {
            watcher.next = until + 1;
            let Some(events) = told.remove(&id) else { continue };
            watcher.told = true;
            self.server.metrics.watch_events.inc_by(events.len() as u64);
            let header = self.server.store.header(until);
            let whole = WatchResponse { events, ..control(header, id) };
            match watcher.fragment {
                true => responses.extend(fragments(whole, self.server.config.most_message_bytes())),
                false => responses.push(whole),
            }
        }
        for response in responses {
            self.send(response).await?;
        }
        Ok(())
    }

    /// Tells those who asked for it, and heard nothing for a while, how far things are.
    async fn tell_progress(&mut self) -> Result<(), Gone> {
        let current = self.server.store.revision();
        let mut quiet = Vec::new();
        for (id, watcher) in self.watchers.iter_mut().filter(|(_, watcher)| watcher.progress) {
            if !std::mem::take(&mut watcher.told) && watcher.next > current {
                quiet.push(id);
            }
        }
        for id in quiet {
            self.send(control(self.server.store.header(current), id)).await?;
        }
        Ok(())
    }
}
