//! Replays one sequence on several servers in step and compares each answer and each event.
//!
//! An operation goes to all servers at once and the next one only when all have answered, so all have the same
//! history. Events are compared whenever the watches are settled: a write into the range of each watch is waited
//! for on every server. That happens now and then, at the end, and before whatever would make the outcome a matter
//! of time (the end of a watch, a compaction). Memory is that of the events since the last time.

use super::answer::Answer;
use super::differences;
use super::operation::{Bytes, Delete, Operation, Put, Stand, Watch};
use super::peer::{Ask, Peer};
use super::request;
use super::server::{Kind, Server};
use std::collections::BTreeMap;
use std::fmt;
use std::mem;

/// Operations between two comparisons of all events.
const SETTLE_EVERY: usize = 250;

/// A watch that starts further ahead is never waited for.
const AHEAD: i64 = 100;

/// The filters' numbers of the kinds of events.
const PUT: i32 = 0;
const DELETE: i32 = 1;

/// Where two servers answered differently.
#[derive(Debug)]
pub struct Mismatch {
    /// Number of the operation.
    pub at: usize,
    /// What was asked.
    pub asked: String,
    /// What each answered; the first is what the others are compared with.
    pub answers: Vec<(Kind, Answer)>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "operation {}: {}", self.at, self.asked)?;
        let first = self.answers.first().map(|(_, answer)| answer);
        for (kind, answer) in &self.answers {
            let mark = if first.is_some_and(|first| first.same(answer)) { ' ' } else { '!' };
            writeln!(f, "{mark} {kind:?}: {answer:?}")?;
        }
        Ok(())
    }
}

/// What was compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Answers, each of all servers.
    pub answers: usize,
    /// Events of watches.
    pub events: usize,
    /// Answers that were errors.
    pub errors: usize,
}

/// Replays a sequence on servers without any data.
///
/// # Errors
/// The first difference.
///
/// # Panics
/// When a server cannot be reached at all.
pub fn replay(servers: &[Server], operations: &[Operation]) -> Result<Tally, Box<Mismatch>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut peers = Vec::new();
        for server in servers {
            peers.push(Peer::connect(server).await.expect("the server is reached"));
        }
        let stand = Stand { current: 1, compacted: 0 };
        let go_on = std::env::var_os("WEFT_ETCD_GO_ON").is_some();
        let mut replay =
            Replay { peers, stand, live: BTreeMap::new(), at: 0, go_on, tally: Tally::default() };

        for (at, operation) in operations.iter().enumerate() {
            replay.at = at;
            replay.operation(operation).await?;
        }
        replay.settle().await?;
        Ok(replay.tally)
    })
}

struct Replay {
    peers: Vec<Peer>,
    stand: Stand,
    live: BTreeMap<i64, Live>,
    at: usize,
    /// Differences are only printed, to see many of them in one run by hand.
    go_on: bool,
    tally: Tally,
}

/// A watch that the servers have.
struct Live {
    watch: Watch,
    start: i64,
}

impl Replay {
    async fn operation(&mut self, operation: &Operation) -> Result<(), Box<Mismatch>> {
        if let Operation::Watch(watch) = operation
            && self.stand.compacted > 0
            && request::start(watch, self.stand) == self.stand.compacted
        {
            // Whether it is told of the deletions in that revision depends on how far the compaction has got.
            return Ok(());
        }
        let risky = matches!(operation, Operation::Cancel { .. } | Operation::Compact { .. });
        if risky || self.at % SETTLE_EVERY == SETTLE_EVERY - 1 {
            self.settle().await?;
        }
        let stand = self.stand;
        let answer = self.ask(Ask::Operation(operation.clone())).await?;
        match (operation, answer) {
            (Operation::Compact { revision, .. }, Answer::Compact(_)) => {
                self.stand.compacted = revision.at(stand)
            }
            (Operation::Watch(watch), Answer::Watch(answers)) => {
                let Some(created) = answers.iter().find(|a| a.created && !a.canceled) else { return Ok(()) };
                let start = request::start(watch, stand);
                self.live.insert(created.watch_id, Live { watch: watch.clone(), start });
                // It will be told that its start is gone, at some time: now, for nothing else to depend on when.
                if start > 0 && start < stand.compacted {
                    self.settle().await?;
                }
            }
            (Operation::Cancel { id }, _) => drop(self.live.remove(id)),
            _ => {}
        }
        Ok(())
    }

    /// Waits until all watches have seen everything, and compares it.
    async fn settle(&mut self) -> Result<(), Box<Mismatch>> {
        let ahead = |live: &Live| live.start <= self.stand.current + AHEAD;
        let wanted: Vec<i64> = self.live.iter().filter(|(_, live)| ahead(live)).map(|(id, _)| *id).collect();
        let last = wanted.iter().map(|id| self.live[id].start).max().unwrap_or_default();
        while self.stand.current < last {
            self.put(b"settle".to_vec()).await?;
        }
        let mut written = Vec::new();
        for id in &wanted {
            let key = self.live[id].watch.first_key();
            self.put(key.clone()).await?;
            written.push((key.clone(), PUT, self.stand.current));
            let delete = Delete { key: Bytes(key.clone()), ..Delete::default() };
            self.ask(Ask::Operation(Operation::Delete(delete))).await?;
            written.push((key, DELETE, self.stand.current));
        }
        // Those of the other watches too: none of them may be on its way when this watch ends.
        let last_seen = |id: &i64| {
            let watch = &self.live[id].watch;
            let seen = written.iter().rev().find(|(key, kind, _)| watch.sees(key, *kind));
            seen.map(|(_, _, revision)| (*id, *revision))
        };
        let revisions: BTreeMap<i64, i64> = wanted.iter().filter_map(last_seen).collect();
        let Answer::Several(all) = self.ask(Ask::Settle(revisions)).await? else { return Ok(()) };
        for answer in all {
            if let Answer::Events(id, events, end) = answer {
                self.tally.events += events.len();
                if end.is_some() {
                    self.live.remove(&id);
                }
            }
        }
        Ok(())
    }

    async fn put(&mut self, key: Vec<u8>) -> Result<(), Box<Mismatch>> {
        let put = Put { key: Bytes(key), value: Bytes(b"settle".to_vec()), ..Put::default() };
        self.ask(Ask::Operation(Operation::Put(put))).await.map(drop)
    }

    /// Asks all servers at once; the answer that they agree on.
    async fn ask(&mut self, ask: Ask) -> Result<Answer, Box<Mismatch>> {
        let stand = self.stand;
        let asked = mem::take(&mut self.peers).into_iter().map(|mut peer| {
            let ask = ask.clone();
            tokio::spawn(async move {
                let answer = peer.ask(&ask, stand).await.plain();
                (peer, answer)
            })
        });
        let mut answers = Vec::new();
        for task in asked.collect::<Vec<_>>() {
            let (peer, answer) = task.await.expect("a peer answers or fails");
            answers.push((peer.kind(), differences::levelled(&ask, answer)));
            self.peers.push(peer);
        }
        let first = answers[0].1.clone();
        if answers.iter().any(|(_, answer)| !first.same(answer)) || lost(&first) {
            let mismatch = Mismatch { at: self.at, asked: format!("{ask:?} at {stand:?}"), answers };
            if !self.go_on || diverged(&mismatch.answers) {
                return Err(Box::new(mismatch));
            }
            println!("{mismatch}");
        }
        self.tally.answers += 1;
        self.tally.errors += usize::from(matches!(first, Answer::Error { .. }));
        self.stand.current = self.stand.current.max(first.revision().unwrap_or_default());
        Ok(first)
    }
}

/// Whether the servers do not have the same history any more.
fn diverged(answers: &[(Kind, Answer)]) -> bool {
    answers.iter().any(|(_, answer)| answer.revision() != answers[0].1.revision())
}

/// Whether a server broke a rule or did not answer: wrong even if all do.
fn lost(answer: &Answer) -> bool {
    use tonic::Code::{Aborted, DataLoss, DeadlineExceeded, Internal, Unavailable};
    let lost = [Aborted, DataLoss, DeadlineExceeded, Internal, Unavailable];
    matches!(answer, Answer::Error { code, .. } if lost.contains(&tonic::Code::from_i32(*code)))
}
