//! Routes.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::{DevName, ROUTE_PROTOCOL};

/// The kernel's main routing table.
pub(crate) const MAIN_TABLE: u32 = 254;

/// How far a route's destination is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum RouteScope {
    /// Beyond a gateway.
    #[default]
    Global,
    /// On the link.
    Link,
    /// This host.
    Host,
}

/// A unicast route with one next hop.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// Destination; the default route is 0.0.0.0/0 or ::/0.
    pub dest: IpNetwork,
    /// Gateway.
    pub via: Option<IpAddr>,
    /// Device; `None` only on routes that we observed and that have several or none.
    pub dev: Option<DevName>,
    /// The gateway is on the link although no address of the device covers it.
    pub onlink: bool,
    /// Who made it: [`ROUTE_PROTOCOL`] for us, 2 for the kernel.
    pub protocol: u8,
    /// Routing table; main is 254.
    pub table: u32,
    /// How far.
    pub scope: RouteScope,
    /// Metric; 0 is the kernel's default (1024 for IPv6).
    pub metric: u32,
    /// Preferred source address.
    pub source: Option<IpAddr>,
    /// Path MTU of the route, bytes.
    pub mtu: Option<u32>,
}

/// What the kernel tells routes apart by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteKey {
    /// Routing table.
    pub table: u32,
    /// Destination.
    pub dest: IpNetwork,
    /// Metric, with IPv6's default filled in.
    pub metric: u32,
}

impl Route {
    /// Our route to `dest` by `dev`, in the main table.
    pub fn of(dest: IpNetwork, dev: impl Into<DevName>) -> Self {
        Self {
            dest,
            via: None,
            dev: Some(dev.into()),
            onlink: false,
            protocol: ROUTE_PROTOCOL,
            table: MAIN_TABLE,
            scope: RouteScope::Global,
            metric: 0,
            source: None,
            mtu: None,
        }
    }

    /// The same route through a gateway.
    #[must_use]
    pub fn via(mut self, gateway: IpAddr) -> Self {
        self.via = Some(gateway);
        self
    }

    /// The same route with the gateway taken to be on the link.
    #[must_use]
    pub fn onlink(mut self) -> Self {
        self.onlink = true;
        self
    }

    /// What the kernel tells it apart by.
    pub fn key(&self) -> RouteKey {
        const IPV6_DEFAULT_METRIC: u32 = 1024; // IP6_RT_PRIO_USER
        let metric = if self.dest.is_ipv6() && self.metric == 0 { IPV6_DEFAULT_METRIC } else { self.metric };
        RouteKey { table: self.table, dest: self.dest, metric }
    }

    /// Whether `other` sends the same packets the same way.
    pub fn same_path(&self, other: &Self) -> bool {
        self.key() == other.key()
            && self.via == other.via
            && self.dev == other.dev
            && self.onlink == other.onlink
            && self.protocol == other.protocol
            && self.mtu == other.mtu
            && (self.source.is_none() || self.source == other.source)
    }
}
