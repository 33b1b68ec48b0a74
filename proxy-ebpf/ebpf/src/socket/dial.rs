//! A process dials: which endpoint it gets.

use aya_ebpf::{
    helpers::{bpf_get_prandom_u32, bpf_set_retval},
    programs::SockAddrContext,
};
use weft_proxy_abi::{
    Address, AffinityKey, CLIENT_NETNS, DROPPED_MAP_FULL, DROPPED_NO_ENDPOINT, DROPPED_NO_LOCAL_ENDPOINT, Endpoint,
    FrontendKey, NODE_LOOPBACK, SERVICE_REJECT_INSIDE, SERVICE_SOURCE_RANGES, Service, SocketKey, SocketPeer, UDP,
};

use super::address::{self, Form};
use super::{PROCEED, REFUSE};
use crate::choose;
use crate::maps::{NODE_ADDRESSES, SERVICES, SOCKET_FLOWS, SOCKET_PEERS};
use crate::ports::frontend_port;
use crate::count;

/// What a socket gets when all endpoints are away.
const ECONNREFUSED: i32 = 111;
/// What it gets when the traffic policy leaves it none: there are some, but not for it.
const EHOSTUNREACH: i32 = 113;

/// A stream, or a datagram socket that speaks to one peer from now on.
#[inline(always)]
pub fn connect<F: Form>(context: &SockAddrContext) -> i32 {
    dial::<F>(context, false)
}

/// A datagram to an address of its own.
#[inline(always)]
pub fn send<F: Form>(context: &SockAddrContext) -> i32 {
    dial::<F>(context, true)
}

#[inline(always)]
fn dial<F: Form>(context: &SockAddrContext, each_datagram: bool) -> i32 {
    let Some(protocol) = address::protocol(context) else { return PROCEED };
    let port_be = address::port(context);
    if !frontend_port(protocol, port_be) {
        return PROCEED;
    }
    let dialled = FrontendKey { address: F::address(context), port_be, protocol, zero: 0 };
    let Some(service) = service(context, &dialled) else { return PROCEED };
    if service.flags & SERVICE_SOURCE_RANGES != 0 && !address::on_node(context) {
        // Which address the socket will have is not known yet: the packet path judges it.
        return PROCEED;
    }
    let cookie = address::cookie(context);
    let endpoint = if each_datagram {
        flow_endpoint(context, service, &dialled, cookie)
    } else {
        new_endpoint(context, service)
    };
    let Some(endpoint) = endpoint else { return refuse(service) };
    remember(service, &dialled, endpoint, cookie);
    F::set_address(context, &endpoint.address);
    address::set_port(context, endpoint.port_be);
    PROCEED
}

/// The service behind an address, if it is one, for this socket.
#[inline(always)]
fn service(context: &SockAddrContext, dialled: &FrontendKey) -> Option<&'static Service> {
    let unspecified = is_unspecified(&dialled.address);
    if !unspecified {
        // SAFETY: entries are replaced as a whole by the daemon; a reader keeps the one that it found.
        if let Some(service) = unsafe { SERVICES.get(dialled) } {
            return Some(service);
        }
        // SAFETY: as above.
        let at = unsafe { NODE_ADDRESSES.get(&dialled.address) }?;
        if at.flags & NODE_LOOPBACK != 0 && !address::on_node(context) {
            return None;
        }
    } else if !address::on_node(context) {
        // Dialling 0.0.0.0 is dialling one's own loopback.
        return None;
    }
    // SAFETY: as above.
    unsafe { SERVICES.get(FrontendKey { address: wildcard(&dialled.address), ..*dialled }) }
}

/// The address under which NodePorts of a family are.
#[inline(always)]
pub fn wildcard(address: &Address) -> Address {
    let mut unspecified = [0; 16];
    if is_mapped(address) {
        unspecified[10] = 0xff;
        unspecified[11] = 0xff;
    }
    unspecified
}

/// Whether it is an IPv4 address in IPv6 form.
#[inline(always)]
fn is_mapped(address: &Address) -> bool {
    let (high, low) = halves(address);
    high == 0 && low >> 32 == 0xffff
}

/// Whether it is `::` or `::ffff:0.0.0.0`.
#[inline(always)]
pub fn is_unspecified(address: &Address) -> bool {
    let (high, low) = halves(address);
    high == 0 && (low == 0 || low == 0xffff_0000_0000)
}

#[inline(always)]
fn halves(address: &Address) -> (u64, u64) {
    let all = u128::from_be_bytes(*address);
    ((all >> 64) as u64, all as u64)
}

/// The endpoint that the client keeps, or any.
#[inline(always)]
fn new_endpoint(context: &SockAddrContext, service: &Service) -> Option<&'static Endpoint> {
    let block = &service.inside;
    if block.count == 0 {
        return None;
    }
    let now = choose::now();
    let mut client = [0; 16];
    client[..8].copy_from_slice(&address::netns(context).to_ne_bytes());
    let key = AffinityKey { client, service: service.id, kind: CLIENT_NETNS };
    let endpoint = match choose::kept(service, block, &key, now) {
        Some(endpoint) => endpoint,
        // SAFETY: the helper has no preconditions.
        None => choose::at(block, unsafe { bpf_get_prandom_u32() } % block.count)?,
    };
    choose::keep(service, &key, endpoint, now);
    count::socket_connection(service.id);
    Some(endpoint)
}

/// The endpoint of the flow that a datagram belongs to, while it is one of the service's; else a new one.
#[inline(always)]
fn flow_endpoint(
    context: &SockAddrContext,
    service: &Service,
    dialled: &FrontendKey,
    cookie: u64,
) -> Option<&'static Endpoint> {
    let key = SocketKey { cookie, address: dialled.address, port_be: dialled.port_be, protocol: UDP, zero: [0; 5] };
    // SAFETY: the entry is this socket's own, and read before it is written.
    if let Some(flow) = unsafe { SOCKET_FLOWS.get(&key) }
        && let Some(endpoint) = choose::find(&service.inside, &flow.address, flow.port_be)
    {
        return Some(endpoint);
    }
    let endpoint = new_endpoint(context, service)?;
    let flow = peer(service, &endpoint.address, endpoint.port_be);
    if SOCKET_FLOWS.insert(&key, &flow, 0).is_err() {
        count::dropped(service.id, DROPPED_MAP_FULL);
    }
    Some(endpoint)
}

/// Notes what the process dialled, for what it is shown later.
#[inline(always)]
fn remember(service: &Service, dialled: &FrontendKey, endpoint: &Endpoint, cookie: u64) {
    let key = SocketKey {
        cookie,
        address: endpoint.address,
        port_be: endpoint.port_be,
        protocol: dialled.protocol,
        zero: [0; 5],
    };
    // SAFETY: the entry is this socket's own.
    if let Some(there) = unsafe { SOCKET_PEERS.get(&key) }
        && there.port_be == dialled.port_be
        && there.address == dialled.address
    {
        return;
    }
    if SOCKET_PEERS.insert(&key, &peer(service, &dialled.address, dialled.port_be), 0).is_err() {
        count::dropped(service.id, DROPPED_MAP_FULL);
    }
}

#[inline(always)]
fn peer(service: &Service, address: &Address, port_be: u16) -> SocketPeer {
    SocketPeer {
        address: *address,
        port_be,
        zero: 0,
        service: service.id,
        generation: service.generation,
        zero_too: 0,
    }
}

/// Ends the system call at once, by the reason why there is no endpoint.
#[inline(always)]
fn refuse(service: &Service) -> i32 {
    let (error, reason) = if service.flags & SERVICE_REJECT_INSIDE != 0 {
        (ECONNREFUSED, DROPPED_NO_ENDPOINT)
    } else {
        (EHOSTUNREACH, DROPPED_NO_LOCAL_ENDPOINT)
    };
    count::dropped(service.id, reason);
    // SAFETY: the helper takes any error number.
    unsafe { bpf_set_retval(-error) };
    REFUSE
}
