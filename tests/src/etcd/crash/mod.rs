//! A server that is killed again and again under load, and what must be true of it all the same.
//!
//! Writers each own a prefix and log what was acknowledged; watchers resume after each kill from what they last saw;
//! lease keepers measure time by the server's. At the end one fresh watch tells the whole history, with which all
//! logs must agree. Everything is kept in memory: some hundred bytes for each write.

pub mod event;
pub mod lease;
pub mod uptime;
pub mod watcher;
pub mod writer;
