//! The snapshot that etcd's own tools restore: a bbolt file with a SHA-256 behind it.
//!
//! Whoever outgrows the embedded state moves to a real etcd by `etcdctl snapshot save` and `etcdctl snapshot
//! restore`; there is nothing of ours to convert. Our table of revisions holds etcd's own encoding, so that
//! a snapshot is a copy in key order, and only the file around it has to be made:
//!
//! ```text
//! write() ── etcd.rs    which buckets with which keys etcd 3.4 and 3.5 expect
//!    └─ BoltWriter      file.rs: pages in the order of writing, meta pages last
//!         └─ Tree       tree.rs: sorted entries → leaf pages → branch pages
//!              └─ …Page page.rs: bytes of one page
//! trailer               the hash behind the file, and the chunks of Maintenance.Snapshot
//! Reader                reader.rs, walk.rs: the way back, for files of anybody's, of which nothing is believed
//! ```
//!
//! It is written in one pass: time grows with the data, memory with the depth of the tree (a page per level)
//! and the largest value, not with the data. The caller's iterators should read from one transaction, so that
//! writing goes on beside the snapshot.

mod error;
mod etcd;
mod file;
mod page;
mod reader;
pub mod trailer;
mod tree;
mod walk;

#[cfg(test)]
mod reading;
#[cfg(test)]
mod strict;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use etcd::{Auth, Member, Meta, write};
pub use file::{BoltWriter, BucketWriter};
pub use reader::{Bucket, ReadAt, ReadError, Reader};
pub use walk::{Entries, Entry, Item};
