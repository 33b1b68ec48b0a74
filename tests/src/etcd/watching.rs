//! One watch stream with many watches on it, read in step with the operations.
//!
//! Answers to requests come in the order of the requests and are given back; events are filed under their watch. The
//! rules that hold for each server alone are checked here: events of a watch come in the order of revisions, one
//! revision comes in one response unless fragments were asked for, and nothing comes for a watch that is not there.

use super::answer::Answer;
use super::client::{Answered, Client, Incoming};
use super::wire::{WatchAsk, WatchCancel, WatchCreate, WatchProgress, WatchRequest};
use etcd_client::proto::{PbEvent, PbWatchResponse};
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc::Sender;
use tonic::Status;

/// The number in answers that belong to no watch.
const NO_WATCH: i64 = -1;

/// A stream and what came on it.
pub struct Watching {
    sender: Sender<WatchRequest>,
    incoming: Incoming<PbWatchResponse>,
    watches: Watches,
}

/// The watches of a stream, apart from it so that the rules can be tested without a server.
#[derive(Default)]
pub struct Watches {
    live: BTreeMap<i64, Watch>,
    ended: Vec<Answer>,
    /// Ended because their start was compacted: etcd still knows them and answers once more when they are ended.
    compacted: BTreeSet<i64>,
    /// Whether the watch that is being created may be sent fragments.
    fragment: bool,
}

#[derive(Default)]
struct Watch {
    events: Vec<PbEvent>,
    last: i64,
    fragment: bool,
    /// The last response was a fragment with more to come.
    unfinished: bool,
}

impl Watching {
    /// Opens a stream.
    ///
    /// # Errors
    /// That the server cannot be reached.
    pub async fn open(client: &Client) -> Answered<Watching> {
        let (sender, incoming) = client.watch().await?;
        Ok(Watching { sender, incoming, watches: Watches::default() })
    }

    /// Asks for a watch; what the server answers.
    ///
    /// # Errors
    /// How the stream ended, or a broken rule.
    pub async fn create(&mut self, watch: WatchCreate) -> Answered<Vec<PbWatchResponse>> {
        self.watches.fragment = watch.fragment;
        self.send(WatchAsk::Create(watch)).await?;
        self.answers(|answer| answer.created || answer.canceled).await
    }

    /// Ends a watch. An unknown one is not answered at all, so the answer to a question for progress marks the end.
    ///
    /// # Errors
    /// How the stream ended, or a broken rule.
    pub async fn cancel(&mut self, watch_id: i64) -> Answered<Vec<PbWatchResponse>> {
        self.send(WatchAsk::Cancel(WatchCancel { watch_id })).await?;
        self.progress().await
    }

    /// Asks for progress.
    ///
    /// # Errors
    /// How the stream ended, or a broken rule.
    pub async fn progress(&mut self) -> Answered<Vec<PbWatchResponse>> {
        self.send(WatchAsk::Progress(WatchProgress {})).await?;
        self.answers(|answer| answer.watch_id == NO_WATCH && !answer.canceled).await
    }

    /// Reads until each watch has seen an event of its revision or has ended; then everything filed so far.
    ///
    /// # Errors
    /// How the stream ended, or a broken rule.
    pub async fn settle(&mut self, revisions: &BTreeMap<i64, i64>) -> Answered<Answer> {
        while let Some(waiting) = self.watches.waiting(revisions) {
            let next = self.incoming.next().await;
            let next = next.map_err(|e| Status::new(e.code(), format!("{waiting}: {}", e.message())))?;
            if let Some(answer) = self.watches.file(next)? {
                return Err(Status::data_loss(format!("an answer to no request: {answer:?}")));
            }
        }
        Ok(self.watches.take())
    }

    async fn send(&mut self, ask: WatchAsk) -> Answered<()> {
        let sent = self.sender.send(WatchRequest::of(ask)).await;
        sent.map_err(|_| Status::unavailable("the watch stream is closed"))
    }

    async fn answers(&mut self, last: fn(&PbWatchResponse) -> bool) -> Answered<Vec<PbWatchResponse>> {
        let mut answers = Vec::new();
        loop {
            if let Some(answer) = self.watches.file(self.incoming.next().await?)? {
                let done = last(&answer);
                answers.push(answer);
                if done {
                    return Ok(answers);
                }
            }
        }
    }
}

impl Watches {
    /// Files a response with its watch, or gives it back when it answers a request.
    fn file(&mut self, response: PbWatchResponse) -> Answered<Option<PbWatchResponse>> {
        let id = response.watch_id;
        if response.created {
            if !response.canceled
                && self.live.insert(id, Watch { fragment: self.fragment, ..Watch::default() }).is_some()
            {
                return Err(Status::data_loss(format!("watch {id} was created twice")));
            }
            return Ok(Some(response));
        }
        if response.canceled {
            return self.end(response);
        }
        if id == NO_WATCH {
            return Ok(Some(response));
        }
        let watch = self.live.get_mut(&id);
        let watch = watch.ok_or_else(|| Status::data_loss(format!("events for no watch: {response:?}")))?;
        watch.add(response).map(|()| None)
    }

    /// A watch ended: by our request, which this answers, or because its start was compacted.
    fn end(&mut self, response: PbWatchResponse) -> Answered<Option<PbWatchResponse>> {
        let Some(watch) = self.live.remove(&response.watch_id) else {
            if self.compacted.remove(&response.watch_id) {
                return Ok(Some(response));
            }
            return Err(Status::data_loss(format!("the end of no watch: {response:?}")));
        };
        let by_request = response.compact_revision == 0;
        if !by_request {
            self.compacted.insert(response.watch_id);
        }
        let end = (!by_request).then(|| response.clone());
        self.ended.push(Answer::Events(response.watch_id, watch.events, end));
        Ok(by_request.then_some(response))
    }

    /// What is not there yet, if anything.
    fn waiting(&self, revisions: &BTreeMap<i64, i64>) -> Option<String> {
        let late = |(id, revision): (&i64, &i64)| {
            let watch = self.live.get(id)?;
            let last = watch.last;
            (last < *revision).then(|| format!("watch {id} has seen {last} and waits for {revision}"))
        };
        revisions.iter().find_map(late)
    }

    /// Everything filed so far, by watch.
    fn take(&mut self) -> Answer {
        let mut all = std::mem::take(&mut self.ended);
        let live = self.live.iter_mut().filter(|(_, watch)| !watch.events.is_empty());
        all.extend(live.map(|(id, watch)| Answer::Events(*id, std::mem::take(&mut watch.events), None)));
        // Watches end in an order of their own.
        all.sort_by_key(|answer| if let Answer::Events(id, ..) = answer { *id } else { NO_WATCH });
        Answer::Several(all)
    }
}

impl Watch {
    fn add(&mut self, response: PbWatchResponse) -> Answered<()> {
        let broken = |rule: &str| Err(Status::data_loss(format!("{rule}: {response:?}")));
        if response.fragment && !self.fragment {
            return broken("a fragment that was not asked for");
        }
        for (at, event) in response.events.iter().enumerate() {
            let revision = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
            // Within a response a revision may go on; over two responses only in fragments.
            let goes_on = at > 0 || self.unfinished;
            if revision < self.last || (revision == self.last && !goes_on) {
                return broken("a revision split or out of order");
            }
            self.last = revision;
        }
        if response.header.as_ref().is_none_or(|header| header.revision < self.last) {
            return broken("events above the revision of their header");
        }
        self.unfinished = response.fragment;
        self.events.extend(response.events);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd_client::proto::{PbKeyValue, PbResponseHeader};

    fn response(revisions: &[i64], fragment: bool) -> PbWatchResponse {
        let kv = |mod_revision: i64| Some(PbKeyValue { mod_revision, ..Default::default() });
        let events = revisions.iter().map(|r| PbEvent { kv: kv(*r), ..Default::default() }).collect();
        let header = Some(PbResponseHeader { revision: 100, ..Default::default() });
        PbWatchResponse { header, watch_id: 3, events, fragment, ..Default::default() }
    }

    fn watches(fragment: bool) -> Watches {
        let mut watches = Watches { fragment, ..Watches::default() };
        let created = PbWatchResponse { created: true, ..response(&[], false) };
        assert!(watches.file(created).unwrap().is_some());
        watches
    }

    #[test]
    fn events_are_filed_in_their_order() {
        let mut watches = watches(false);
        assert!(watches.file(response(&[4, 4, 5], false)).unwrap().is_none());
        assert!(watches.waiting(&BTreeMap::from([(3, 6)])).is_some());
        assert!(watches.file(response(&[6], false)).unwrap().is_none());
        assert!(watches.waiting(&BTreeMap::from([(3, 6)])).is_none());
        assert!(
            matches!(watches.take(), Answer::Several(all) if matches!(&all[..], [Answer::Events(3, e, None)] if e.len() == 4))
        );
    }

    #[test]
    fn a_split_revision_is_refused() {
        let mut watches = watches(false);
        assert!(watches.file(response(&[4], false)).is_ok());
        assert!(watches.file(response(&[4], false)).is_err());
    }

    #[test]
    fn an_older_revision_is_refused() {
        let mut watches = watches(false);
        assert!(watches.file(response(&[5, 4], false)).is_err());
    }

    #[test]
    fn fragments_only_where_asked_for() {
        assert!(watches(false).file(response(&[4], true)).is_err());
        let mut watches = watches(true);
        assert!(watches.file(response(&[4], true)).is_ok());
        assert!(watches.file(response(&[4], false)).is_ok());
        assert!(watches.file(response(&[4], false)).is_err());
    }

    #[test]
    fn nothing_may_come_for_no_watch() {
        let foreign = PbWatchResponse { watch_id: 9, ..response(&[4], false) };
        assert!(watches(false).file(foreign.clone()).is_err());
        assert!(watches(false).file(PbWatchResponse { canceled: true, ..foreign }).is_err());
        assert!(watches(false).file(response(&[101], false)).is_err());
    }
}
