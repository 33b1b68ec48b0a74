//! The eBPF back end: the service table in maps, and programs at sockets and interfaces that read them.
//!
//! ```text
//! object ── load ──► programs, on pinned maps ◄── writer: table and changes, as blocks and entries
//!                       └─ links: pinned, at the cgroup and at interfaces
//! ```
//!
//! Order at a start: programs are loaded onto the maps (those of an earlier process, where they fit), the whole table
//! is written, and only then do links get the new programs: nothing is ever served from half a table.

mod backend;
mod blocks;
mod clsact;
mod datagrams;
mod encode;
mod error;
mod interfaces;
mod links;
mod maglev;
mod object;
mod options;
mod pins;
mod reader;
mod row;
mod sys;
mod trace;
mod usage;
mod writer;

pub use backend::{EbpfBackend, unsupported};
pub use error::EbpfError;
pub use interfaces::Chosen;
pub use options::{EbpfOptions, MapSize, Sizes};
pub use reader::Reader;
pub use trace::{Client, Destination, TraceParseError};
