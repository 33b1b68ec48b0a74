//! Policy routing rules.

use ipnetwork::IpNetwork;

use crate::ROUTE_PROTOCOL;

/// A rule: packets that match look in a routing table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// Lower is asked first.
    pub priority: u32,
    /// IPv6 rule (a rule without addresses does not show it).
    pub ipv6: bool,
    /// Source.
    pub from: Option<IpNetwork>,
    /// Destination.
    pub to: Option<IpNetwork>,
    /// Firewall mark and mask.
    pub mark: Option<(u32, u32)>,
    /// The table to look in.
    pub table: u32,
    /// Who made it: [`ROUTE_PROTOCOL`] for us (kernel ≥ 4.17).
    pub protocol: u8,
}

impl Rule {
    /// Our rule that sends what comes from `from` to `table`.
    pub fn from_source(priority: u32, from: IpNetwork, table: u32) -> Self {
        Self {
            priority,
            ipv6: from.is_ipv6(),
            from: Some(from),
            to: None,
            mark: None,
            table,
            protocol: ROUTE_PROTOCOL,
        }
    }
}
