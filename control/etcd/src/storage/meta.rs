//! The facts that are stored beside rows and leases: who this server is, how far things have come.
//!
//! ```text
//! table "meta":  name ── value
//!   format            1                      form of the file; another one is refused
//!   cluster, member   random, for good       8 bytes, little endian, as all numbers here
//!   term              counts starts          given out as raft_term
//!   scheduled_compact, finished_compact      revisions: between the two rows are still being removed
//!   clock             ms that leases have lived through (downtime does not count)
//!   alarms            bits by alarm type
//!   seq               number of the last batch in the last durable commit, see storage::log
//! ```

use crate::error::{Error, Result};
use redb::{ReadableTable, Table, TableDefinition};

/// The table.
pub const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// The form that this program writes.
pub const FORMAT: u64 = 1;

/// A fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Form of the file.
    Format,
    /// Id of the cluster.
    Cluster,
    /// Id of the member.
    Member,
    /// Number of starts.
    Term,
    /// The revision up to which history is to go.
    ScheduledCompact,
    /// The revision up to which it is gone.
    FinishedCompact,
    /// Age of the server in ms.
    Clock,
    /// Alarms that are on.
    Alarms,
    /// Number of the last batch that is in the database for good.
    Seq,
}

impl Fact {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Fact::Format => "format",
            Fact::Cluster => "cluster",
            Fact::Member => "member",
            Fact::Term => "term",
            Fact::ScheduledCompact => "scheduled_compact",
            Fact::FinishedCompact => "finished_compact",
            Fact::Clock => "clock",
            Fact::Alarms => "alarms",
            Fact::Seq => "seq",
        }
    }
}

/// Reads a fact.
pub fn get(table: &impl ReadableTable<&'static str, u64>, fact: Fact) -> Result<Option<u64>> {
    Ok(table.get(fact.name()).map_err(Error::disk)?.map(|value| value.value()))
}

/// Writes a fact.
pub fn set(table: &mut Table<'_, &'static str, u64>, fact: Fact, value: u64) -> Result<()> {
    table.insert(fact.name(), value).map_err(Error::disk).map(drop)
}
