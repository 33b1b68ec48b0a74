//! Addresses of devices.

use ipnetwork::IpNetwork;

use crate::DevName;

/// An address on a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The device.
    pub dev: DevName,
    /// The address with its prefix length.
    pub net: IpNetwork,
    /// Skip duplicate address detection (IPv6): usable at once.
    pub nodad: bool,
    /// Set the IPv4 broadcast address, as reference plugins do and flannel does not.
    pub broadcast: bool,
    /// No route to the address's network comes with it (`noprefixroute`).
    pub no_prefix_route: bool,
    /// Only valid on this link (`scope link`): what the kernel gives fe80::/10.
    pub link_scope: bool,
}

impl Address {
    /// `net` on `dev`, global, without duplicate address detection or a broadcast address.
    pub fn of(dev: impl Into<DevName>, net: IpNetwork) -> Self {
        Self {
            dev: dev.into(),
            net,
            nodad: true,
            broadcast: false,
            no_prefix_route: false,
            link_scope: false,
        }
    }
}
