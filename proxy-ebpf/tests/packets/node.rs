//! A node with services of both families, as the daemon would write them down.
//!
//! ```text
//! 10.96.0.1, fd00:96::1       service 1: endpoints 10.42.2.5, .6, fd00:42:2::5, ::6 on another node
//! 192.0.2.1, 2001:db8::1      the node's own address: NodePort 30080 of service 1
//! 192.0.2.9, 2001:db8::9      a client elsewhere
//! 10.42.1.1, fd00:42:1::1     the node's address at the interface; SNAT takes it
//! ```

use std::net::{IpAddr, SocketAddr};
use weft_proxy_abi::{
    Address, Block, Connection, ConnectionKey, ENDPOINT_LOCAL, Endpoint, NO_MAGLEV, SERVICE_REJECT_INSIDE,
    SERVICE_REJECT_OUTSIDE, Service,
};

use super::bed::{Bed, Output, Verdict};
use super::build::{Packet, socket};

/// Names of the same things in one family.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    pub client: &'static str,
    pub client_address: &'static str,
    pub frontend: &'static str,
    pub frontend_address: &'static str,
    pub node_port: &'static str,
    pub node_address: &'static str,
    pub snat_address: &'static str,
    pub endpoint: &'static str,
    pub endpoint_address: &'static str,
    pub other_endpoint: &'static str,
    pub router: &'static str,
}

pub const V4: Names = Names {
    client: "192.0.2.9:40000",
    client_address: "192.0.2.9",
    frontend: "10.96.0.1:80",
    frontend_address: "10.96.0.1",
    node_port: "192.0.2.1:30080",
    node_address: "192.0.2.1",
    snat_address: "10.42.1.1",
    endpoint: "10.42.2.5:8080",
    endpoint_address: "10.42.2.5",
    other_endpoint: "10.42.2.6:8080",
    router: "198.51.100.1",
};

pub const V6: Names = Names {
    client: "[2001:db8::9]:40000",
    client_address: "2001:db8::9",
    frontend: "[fd00:96::1]:80",
    frontend_address: "fd00:96::1",
    node_port: "[2001:db8::1]:30080",
    node_address: "2001:db8::1",
    snat_address: "fd00:42:1::1",
    endpoint: "[fd00:42:2::5]:8080",
    endpoint_address: "fd00:42:2::5",
    other_endpoint: "[fd00:42:2::6]:8080",
    router: "2001:db8:1::1",
};

pub const FAMILIES: [Names; 2] = [V4, V6];
pub const PROTOCOLS: [u8; 2] = [6, 17];
/// The service's number.
pub const SERVICE: u32 = 1;

/// An address as the maps have it.
pub fn address(ip: &str) -> Address {
    mapped(ip.parse().unwrap())
}

fn mapped(ip: IpAddr) -> Address {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The key of a tuple at a hook.
pub fn key(hook: u8, protocol: u8, source: &str, destination: &str) -> ConnectionKey {
    let (source, destination) = (socket(source), socket(destination));
    ConnectionKey {
        source: mapped(source.ip()),
        destination: mapped(destination.ip()),
        source_port_be: source.port().to_be(),
        destination_port_be: destination.port().to_be(),
        protocol,
        hook,
        zero: 0,
    }
}

/// What an entry writes, as text.
pub fn written(connection: &Connection) -> String {
    let ip = std::net::Ipv6Addr::from(connection.address);
    let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
    SocketAddr::new(ip, u16::from_be(connection.port_be)).to_string()
}

pub fn endpoint(at: &str, local: bool) -> Endpoint {
    let at = socket(at);
    let flags = if local { ENDPOINT_LOCAL } else { 0 };
    Endpoint { address: mapped(at.ip()), port_be: at.port().to_be(), flags, zero: 0 }
}

/// A service with the same block for both sides.
pub fn service(base: u32, count: u32) -> Service {
    Service {
        inside: Block { base, count },
        outside: Block { base, count },
        id: SERVICE,
        generation: 1,
        flags: SERVICE_REJECT_INSIDE | SERVICE_REJECT_OUTSIDE,
        affinity_seconds: 0,
        maglev: NO_MAGLEV,
        zero: 0,
    }
}

/// A node whose service has these endpoints, at its cluster address and at its NodePort, for TCP and UDP.
pub fn with_endpoints(names: &Names, endpoints: &[&str], local: bool) -> Bed {
    let mut bed = Bed::new();
    bed.set_interface(address(V4.snat_address), address(V6.snat_address), 0);
    bed.add_node_address(address(names.node_address), false);
    let all: Vec<Endpoint> = endpoints.iter().map(|at| endpoint(at, local)).collect();
    bed.set_endpoints(0, &all);
    set_service(&mut bed, names, service(0, all.len() as u32));
    bed
}

/// Writes the service's frontends.
pub fn set_service(bed: &mut Bed, names: &Names, service: Service) {
    let wildcard = if names.client.starts_with('[') { [0; 16] } else { address("0.0.0.0") };
    for protocol in PROTOCOLS {
        bed.add_frontend(address(names.frontend_address), 80, protocol, service);
        bed.add_frontend(wildcard, 30080, protocol, service);
    }
}

/// A packet that must pass, changed into another one.
#[track_caller]
pub fn becomes(output: &Output, expected: &Packet) {
    assert_eq!(output.verdict, Verdict::Pass);
    assert_bytes(&output.packet, &expected.bytes());
}

/// A packet that must pass as it is, without a mark.
#[track_caller]
pub fn untouched(output: &Output, packet: &[u8]) {
    assert_eq!(output.verdict, Verdict::Pass);
    assert_eq!(output.mark, 0);
    assert_bytes(&output.packet, packet);
}

#[track_caller]
fn assert_bytes(is: &[u8], expected: &[u8]) {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    assert_eq!(hex(is), hex(expected));
}
