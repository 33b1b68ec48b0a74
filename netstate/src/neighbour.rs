//! Neighbours (ARP, NDP) and forwarding database entries.

use std::net::IpAddr;

use crate::{DevName, Mac};

/// A neighbour entry: which Ethernet address answers for an IP address on a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Neighbour {
    /// The device.
    pub dev: DevName,
    /// The neighbour's address.
    pub ip: IpAddr,
    /// Its Ethernet address; `None` while it is being resolved.
    pub mac: Option<Mac>,
    /// Set by hand for ever (`NUD_PERMANENT`).
    pub permanent: bool,
}

/// An entry of a bridge's or VXLAN device's forwarding database.
///
/// On a VXLAN device (`self`) it says which host carries an Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FdbEntry {
    /// The VXLAN device or the bridge's port.
    pub dev: DevName,
    /// The Ethernet address.
    pub mac: Mac,
    /// The host behind it; only on VXLAN devices.
    pub dst: Option<IpAddr>,
    /// Never ages (`NUD_PERMANENT`).
    pub permanent: bool,
}
