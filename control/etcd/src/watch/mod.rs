//! Watches: one task for each gRPC stream, which pulls events at its own pace.
//!
//! ```text
//! writer ─ publishes a revision ─▶ task: which watchers are behind?
//!                                    ├─ recent transactions, from memory      (it keeps up)
//!                                    └─ rows, from disk, a piece at a time    (it starts in the past, or is slow)
//!                                  ─▶ events by watcher ─▶ responses ─▶ the client, with HTTP/2's flow control
//! ```
//!
//! Each watcher has its next revision, and that is all its state: there is no queue that can overflow, so a slow
//! client holds up nobody and loses nothing, until compaction overtakes it. Cost per transaction and stream: a look
//! at each of its ranges; single keys are found by hash.

mod piece;
mod respond;
mod stream;
mod watchers;

pub use stream::run;
