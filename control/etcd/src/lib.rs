//! Embedded state: a single-node server that speaks etcd v3.
//!
//! ```text
//! etcd-client ─ channel without a socket ─┐
//! etcdctl ─ HTTP/2, TLS ─ listen ─────────┴─ service ─┬─ reads ─ store (index in memory, rows on disk)
//!                                                     ├─ writes ─ write (one thread, one fsync for all that wait)
//!                                                     └─ watches ─ watch (each stream pulls what is new to it)
//! ```
//!
//! The suite reaches its state by etcd-client alone, so a real etcd cluster is the same code path. What is stored has
//! etcd's own form, so a snapshot is one that etcd restores. What it scales with: docs/architecture/etcd.md.

mod authority;
mod compactor;
pub mod config;
pub mod error;
mod hash;
mod keys;
mod lease;
mod listen;
mod metrics;
mod mvcc;
mod proto;
mod restore;
mod save;
mod server;
mod service;
pub mod snapshot;
pub mod storage;
mod store;
mod tls;
mod txn;
mod watch;
mod write;

pub use config::{AutoCompaction, Config};
pub use error::StartError;
pub use listen::listen;
pub use restore::{Restored, Unfit, restore};
pub use server::Etcd;
pub use service::VERSION;
pub use store::Disk;
pub use tls::TlsFiles;
