//! What a back end is: something that writes a service table down.

use crate::semantics::NodeView;
use crate::table::{PortId, ServicePort, ServiceTable, TableChanges};

/// What a back end did with a table or with changes.
#[derive(Debug, Default)]
pub struct Applied {
    /// Service ports that were written or removed.
    pub written: usize,
    /// Service ports that could not be, each with the reason; they stay as they were.
    pub failed: Vec<(PortId, String)>,
}

/// How full a table of the back end is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapUsage {
    /// Its name.
    pub name: &'static str,
    /// The flag that sizes it, without dashes.
    pub flag: &'static str,
    /// Entries in use.
    pub used: u64,
    /// Entries that it has room for.
    pub capacity: u64,
    /// A full table takes new entries for the oldest ones.
    pub evicts: bool,
}

/// What was counted for a service port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Connections and UDP flows that were given an endpoint at a socket.
    pub socket_connections: u64,
    /// Connections and UDP flows that were given an endpoint on the packet path.
    pub packet_connections: u64,
    /// Packets to endpoints.
    pub packets_in: u64,
    /// Bytes to endpoints.
    pub bytes_in: u64,
    /// Packets from endpoints.
    pub packets_out: u64,
    /// Bytes from endpoints.
    pub bytes_out: u64,
    /// Drops, by reason.
    pub dropped: [u64; weft_proxy_abi::DROPPED],
}

/// A back end. Other ones (IPVS, nftables) come beside the one of eBPF.
pub trait Backend {
    /// Its errors.
    type Error: std::error::Error + Send + Sync + 'static;

    /// What `/proxyMode` answers.
    fn mode(&self) -> &'static str;

    /// Why a service port cannot be served, if it cannot.
    fn unsupported(&self, id: &PortId, port: &ServicePort) -> Option<String>;

    /// Brings everything to the table, taking over what an earlier process wrote for the same services. Called once,
    /// before traffic is served. What it wrote for others stays until [`Self::retire`].
    fn start(&mut self, table: &ServiceTable, node: &NodeView) -> Result<Applied, Self::Error>;

    /// Removes what an earlier process left for services and endpoints that are not in the table, which is complete.
    /// The first call does it.
    fn retire(&mut self, table: &ServiceTable) -> Result<(), Self::Error>;

    /// Brings the differences: work in proportion to them.
    fn apply(&mut self, changes: &TableChanges) -> Result<Applied, Self::Error>;

    /// Looks at the node's interfaces and addresses again, and at what somebody may have taken away.
    fn look_at_node(&mut self, node: &NodeView) -> Result<(), Self::Error>;

    /// What was counted, by service port.
    fn counted(&self) -> Result<Vec<(PortId, Counted)>, Self::Error>;

    /// How full its tables are.
    fn usage(&self) -> Result<Vec<MapUsage>, Self::Error>;

    /// Bytes of kernel memory that its tables take.
    fn memory(&self) -> u64;
}
