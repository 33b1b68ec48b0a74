//! A service port in the layouts of the maps, and back. Pure.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aya::maps::lpm_trie::Key;
use ipnetwork::IpNetwork;
use weft_proxy_abi as abi;

use super::row::{Row, address, ip};
use crate::table::{
    Endpoint, Family, Frontend, FrontendKind, Policy, PortId, Protocol, ServiceName, ServicePort,
};

/// A block of nothing.
pub const EMPTY: abi::Block = abi::Block { base: 0, count: 0 };

/// Bits of an LPM key before the address.
const SERVICE_BITS: u32 = 32;

/// What the maps shall have for a service port.
#[derive(Debug)]
pub struct Wanted {
    /// Each frontend.
    pub frontends: Vec<(abi::FrontendKey, WantedFrontend)>,
    /// The policy of clients from elsewhere, if any frontend is for them: it gets a Maglev table.
    pub maglev: Option<Policy>,
    /// All source ranges.
    pub ranges: BTreeSet<IpNetwork>,
}

/// What one frontend shall lead to.
#[derive(Debug)]
pub struct WantedFrontend {
    inside: Policy,
    outside: Policy,
    /// Clients from elsewhere are expected.
    pub external: bool,
    flags: u32,
    affinity: u32,
}

impl Wanted {
    /// Of a service port.
    pub fn of(id: &PortId, port: &ServicePort) -> Wanted {
        let frontends: Vec<_> =
            port.frontends.iter().map(|f| (key(id, f), WantedFrontend::of(f, port))).collect();
        let maglev = frontends.iter().find(|(_, f)| f.external).map(|(_, f)| f.outside);
        let ranges = port.frontends.iter().flat_map(|f| &f.source_ranges).copied().collect();
        Wanted { frontends, maglev, ranges }
    }

    /// The policies whose endpoints are needed.
    pub fn policies(&self) -> BTreeSet<Policy> {
        self.frontends.iter().flat_map(|(_, f)| [f.inside, f.outside]).collect()
    }
}

impl WantedFrontend {
    fn of(frontend: &Frontend, port: &ServicePort) -> WantedFrontend {
        let mut flags = 0;
        let mut flag = |when: bool, flag: u32| flags |= if when { flag } else { 0 };
        flag(port.affinity.is_some(), abi::SERVICE_AFFINITY);
        flag(!frontend.source_ranges.is_empty(), abi::SERVICE_SOURCE_RANGES);
        flag(!port.any_endpoint, abi::SERVICE_REJECT_INSIDE | abi::SERVICE_REJECT_OUTSIDE);
        flag(frontend.kind == FrontendKind::NodePort, abi::SERVICE_NODE_PORT);
        flag(frontend.keep_source, abi::SERVICE_KEEP_SOURCE);
        WantedFrontend {
            inside: frontend.inside,
            outside: frontend.outside,
            external: frontend.kind != FrontendKind::ClusterIp,
            flags,
            affinity: port.affinity.unwrap_or(0),
        }
    }

    /// The map's value.
    pub fn service(
        &self,
        placed: &HashMap<Policy, abi::Block>,
        (id, generation): (u32, u32),
        maglev: Option<u32>,
    ) -> abi::Service {
        let block = |policy| placed.get(policy).copied().unwrap_or(EMPTY);
        abi::Service {
            inside: block(&self.inside),
            outside: block(&self.outside),
            id,
            generation,
            flags: self.flags,
            affinity_seconds: self.affinity,
            maglev: maglev.unwrap_or(abi::NO_MAGLEV),
            zero: 0,
        }
    }
}

/// The keys of all frontends.
pub fn keys<'a>(id: &'a PortId, port: &'a ServicePort) -> impl Iterator<Item = abi::FrontendKey> + 'a {
    port.frontends.iter().map(|frontend| key(id, frontend))
}

/// The key of a frontend.
pub fn key(id: &PortId, frontend: &Frontend) -> abi::FrontendKey {
    let unspecified = match id.family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    abi::FrontendKey {
        address: address(frontend.address.unwrap_or(unspecified)),
        port_be: frontend.port.to_be(),
        protocol: number(id.protocol),
        zero: 0,
    }
}

/// A protocol's number; SCTP's is never written into a map.
pub fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => abi::TCP,
        Protocol::Udp => abi::UDP,
        Protocol::Sctp => 132,
    }
}

/// The bitmaps of frontends' and of endpoints' ports.
pub fn bitmaps(protocol: Protocol) -> (u32, u32) {
    match protocol {
        Protocol::Udp => (abi::PORTS_OF_FRONTENDS_UDP, abi::PORTS_OF_ENDPOINTS_UDP),
        _ => (abi::PORTS_OF_FRONTENDS_TCP, abi::PORTS_OF_ENDPOINTS_TCP),
    }
}

/// An endpoint as the map has it.
pub fn endpoint(of: &Endpoint) -> abi::Endpoint {
    let flags = if of.local { abi::ENDPOINT_LOCAL } else { 0 };
    abi::Endpoint { address: address(of.address), port_be: of.port.to_be(), flags, zero: 0 }
}

/// An endpoint of the map.
pub fn of_endpoint(of: &abi::Endpoint) -> Endpoint {
    let local = of.flags & abi::ENDPOINT_LOCAL != 0;
    Endpoint { address: ip(&of.address), port: u16::from_be(of.port_be), local }
}

/// The key of a source range.
pub fn range_key(service: u32, range: &IpNetwork) -> Key<Row<abi::SourceRange>> {
    let mapped = if range.is_ipv4() { 96 } else { 0 };
    let bits = SERVICE_BITS + mapped + u32::from(range.prefix());
    Key::new(bits, Row(abi::SourceRange { service, address: address(range.network()) }))
}

/// The source range of a key.
pub fn network_of(key: &Key<Row<abi::SourceRange>>) -> Option<IpNetwork> {
    let address = ip(&key.data().0.address);
    let mapped = if address.is_ipv4() { 96 } else { 0 };
    let prefix = key.prefix_len().checked_sub(SERVICE_BITS + mapped)?;
    IpNetwork::new(address, u8::try_from(prefix).ok()?).ok()
}

/// A name for what an earlier process left: no object can have it.
pub fn left_over(number: u32) -> PortId {
    PortId {
        service: ServiceName { namespace: String::new(), name: format!("left over {number}") }.into(),
        port: "".into(),
        protocol: Protocol::Tcp,
        family: Family::V4,
    }
}

/// A frontend's address as people write it.
pub fn text(key: &abi::FrontendKey) -> String {
    let protocol = if key.protocol == abi::UDP { "UDP" } else { "TCP" };
    let port = u16::from_be(key.port_be);
    match ip(&key.address) {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => format!("NodePort {port} {protocol} IPv4"),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => format!("NodePort {port} {protocol} IPv6"),
        address => format!("{} {protocol}", std::net::SocketAddr::new(address, port)),
    }
}
