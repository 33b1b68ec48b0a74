//! What containers claim in a table of nftables: records on disk, elements in the kernel.
//!
//! ```text
//!  <dataDir>/<network>:<container>:<ifname>.json     what is claimed, written before the kernel is changed
//!      │  claims(): pure
//!      ▼
//!  set ports4 { tcp . 8080 comment "<network>/<container>/<ifname>" : 10.1.0.5 . 80 }
//! ```
//!
//! The table's chains and sets are the same whoever claims; the first claim makes them, the last one's
//! end deletes them. A claim is put, and taken away, at the cost of its own elements: nothing is listed
//! but the table's dozen of rules. Because every element can be derived from a record, whoever meets a
//! table that was flushed or deleted makes it whole again ([`restore`]). The element's comment is the
//! record's name, so that the owner of a taken key is found without a search.

mod keep;
mod put;
mod records;
mod table;

pub(crate) use keep::keep;
pub(crate) use put::{Put, Taken, put};
#[cfg(test)]
pub(crate) use records::parse;
pub(crate) use records::{Body, Owner, Record, Records, data_dir, is_malformed};
pub(crate) use table::{Claim, check, collect, restore, take_away, take_away_unread};

pub(crate) use crate::plugin::kernel_error;
