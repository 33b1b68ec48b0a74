//! What the writer is asked to do, and how it answers.

use crate::error::{Error, Result};
use crate::proto::{
    AlarmMember, AlarmRequest, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, TxnRequest,
    TxnResponse,
};
use tokio::sync::oneshot;

/// Where an answer goes.
pub type Answer<T> = oneshot::Sender<Result<T>>;

/// A compaction that was taken on.
#[derive(Debug)]
pub struct Compaction {
    /// The revision that the answer tells.
    pub revision: i64,
    /// Told when its rows are gone.
    pub done: oneshot::Receiver<()>,
}

/// A lease, seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeLeft {
    /// Seconds left.
    pub ttl: i64,
    /// Seconds granted.
    pub granted: i64,
    /// Its keys, if asked for.
    pub keys: Vec<Vec<u8>>,
}

/// One request. Those that only look at leases come here too: an answer then never tells of what is not durable.
#[derive(Debug)]
pub enum Job {
    /// Put a key.
    Put(PutRequest, Answer<PutResponse>),
    /// Delete keys.
    Delete(DeleteRangeRequest, Answer<DeleteRangeResponse>),
    /// A transaction that may change something.
    Txn(TxnRequest, Answer<TxnResponse>),
    /// Forget history up to a revision.
    Compact(i64, Answer<Compaction>),
    /// Make a lease: id (0: any), TTL in s. Answers both as granted.
    Grant(i64, i64, Answer<(i64, i64)>),
    /// End a lease, and its keys.
    Revoke(i64, Answer<()>),
    /// Give a lease its whole time again. Answers the TTL.
    KeepAlive(i64, Answer<i64>),
    /// Look at a lease, with its keys or without.
    TimeToLive(i64, bool, Answer<TimeLeft>),
    /// List leases.
    Leases(Answer<Vec<i64>>),
    /// List, raise or clear alarms.
    Alarm(AlarmRequest, Answer<Vec<AlarmMember>>),
    /// Make the file small again.
    Defragment(Answer<()>),
    /// Write down where time stands, close, and end.
    Stop(Answer<()>),
}

/// Sends the outcome once its batch is durable, or the batch's failure.
pub type Settle = Box<dyn FnOnce(Option<&Error>) + Send>;

/// Keeps an outcome until then.
pub fn settle<T: Send + 'static>(answer: Answer<T>, outcome: Result<T>) -> Settle {
    Box::new(move |failed| {
        // Nobody may be waiting any more.
        drop(answer.send(match failed {
            Some(error) => Err(error.clone()),
            None => outcome,
        }));
    })
}
