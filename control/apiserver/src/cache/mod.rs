//! The watch cache: every stored object as encoded bytes, shared by all who get, list and watch.
//!
//! ```text
//! etcd ─ one watch of /registry/ ─ reflector ─► Cache of the kind ─┬─ objects (ordered by key)
//!                                                                  ├─ history (the last changes)
//!                                                                  └─ dispatch ─ scopes ─► watchers (bounded queues)
//! ```
//!
//! A change costs one decoding and one encoding, then a queue entry for each watcher whose scope (all, a namespace, an
//! object, a node's pods) it is in; watchers of other scopes are not looked at. A watcher that does not read is cut.

mod dispatch;
mod entry;
mod kind_cache;
mod reflector;

pub use dispatch::{Message, Scope};
pub use entry::{Change, Entry, Told, line};
pub use kind_cache::{Cache, TooOld, Watching};
pub use reflector::{Caches, Listener};
