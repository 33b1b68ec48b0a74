//! A new connection: which service, which endpoint, and the entries that remember it.

use aya_ebpf::btf_maps::lpm_trie::Key;
use weft_proxy_abi::{
    Address, AffinityKey, Block, CLIENT_ADDRESS, CONNECTION_DNAT, CONNECTION_SNAT, CONNECTION_UNDO_DNAT,
    Connection, ConnectionKey, DROPPED_MAP_FULL, DROPPED_NO_ENDPOINT, DROPPED_NO_LOCAL_ENDPOINT,
    DROPPED_SOURCE_RANGE, ENDPOINT_LOCAL, Endpoint, FrontendKey, HOOK_EGRESS, INSIDE, Interface,
    MAGLEV_CHUNK, NO_MAGLEV, NODE_LOOPBACK, SERVICE_AFFINITY, SERVICE_KEEP_SOURCE, SERVICE_REJECT_INSIDE,
    SERVICE_REJECT_OUTSIDE, SERVICE_SOURCE_RANGES, STATE_CLOSED, STATE_NEW, Service, SourceRange, hash,
    state,
};

use crate::choose;
use crate::maps::{CONFIG, CONNECTIONS, INTERFACES, MAGLEV, NODE_ADDRESSES, SERVICES, SOURCE_RANGES};

use super::connection;
use super::count;
use super::packet::Packet;
use super::skb::Skb;

/// How many endpoints are looked at for one whose replies to the client's port are free.
const POSITIONS: u32 = 4;
/// Bits of a key of SOURCE_RANGES: the service's number, then the address.
const SOURCE_RANGE_BITS: u32 = 32 + 128;

/// Which side of the node a packet comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Inside,
    Outside,
}

/// What becomes of a packet that belongs to no connection yet.
pub enum Begun {
    /// It goes to this endpoint.
    To(&'static Endpoint),
    /// It goes to the node's own address, at a port where nobody listens, and the kernel refuses it.
    Refused(&'static Address),
    /// It is dropped, and was counted.
    Dropped,
}

/// The side that an interface is on.
#[inline(always)]
pub fn side(skb: Skb) -> Side {
    match interface(skb) {
        Some(interface) if interface.flags & INSIDE != 0 => Side::Inside,
        _ => Side::Outside,
    }
}

/// What is known of the hook's interface.
#[inline(always)]
pub fn interface(skb: Skb) -> Option<&'static Interface> {
    // SAFETY: programs only read this map.
    unsafe { INTERFACES.get(&skb.ifindex()) }
}

/// The node's address of a family at an interface, if it has one.
#[inline(always)]
pub fn node_address(skb: Skb, v6: bool) -> Option<&'static Address> {
    let interface = interface(skb)?;
    let address = if v6 { &interface.v6 } else { &interface.v4 };
    let unspecified = address[12] | address[13] | address[14] | address[15] == 0 && (!v6 || is_zero(address));
    if unspecified { None } else { Some(address) }
}

#[inline(always)]
fn is_zero(address: &Address) -> bool {
    connection::same(address, &[0; 16])
}

/// The service whose frontend a packet is for.
#[inline(never)]
pub fn of(packet: &Packet) -> Option<&'static Service> {
    let mut frontend = FrontendKey {
        address: packet.key.destination,
        port_be: packet.key.destination_port_be,
        protocol: packet.key.protocol,
        zero: 0,
    };
    // SAFETY: programs only read this map; so below.
    if let Some(service) = unsafe { SERVICES.get(&frontend) } {
        return Some(service);
    }
    // SAFETY: as above.
    let node = unsafe { NODE_ADDRESSES.get(&packet.key.destination) }?;
    if node.flags & NODE_LOOPBACK != 0 {
        return None;
    }
    frontend.address =
        if packet.v6 { [0; 16] } else { [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0] };
    // SAFETY: as above.
    unsafe { SERVICES.get(&frontend) }
}

#[inline(always)]
fn block(service: &Service, side: Side) -> &Block {
    match side {
        Side::Inside => &service.inside,
        Side::Outside => &service.outside,
    }
}

/// Whether an endpoint is still one of the service's for a side.
#[inline(never)]
pub fn has(service: &Service, inside: bool, address: &Address, port_be: u16) -> bool {
    let block = if inside { &service.inside } else { &service.outside };
    choose::find(block, address, port_be).is_some()
}

/// Begins a connection: chooses an endpoint and remembers it.
#[inline(never)]
pub fn begin(skb: Skb, packet: &Packet, service: &Service, now: u32) -> Begun {
    let side = side(skb);
    if service.flags & SERVICE_SOURCE_RANGES != 0 && !in_source_ranges(service, packet) {
        count::dropped(service.id, DROPPED_SOURCE_RANGE);
        return Begun::Dropped;
    }
    if block(service, side).count == 0 {
        return refuse(skb, packet, service, side, now);
    }
    let Some(endpoint) = choose(service, packet, side, now) else {
        count::dropped(service.id, DROPPED_NO_ENDPOINT);
        return Begun::Dropped;
    };
    if !remember(packet, service, endpoint, side, now) {
        count::dropped(service.id, DROPPED_MAP_FULL);
        return Begun::Dropped;
    }
    count::connection(service.id);
    Begun::To(endpoint)
}

#[inline(always)]
fn in_source_ranges(service: &Service, packet: &Packet) -> bool {
    let source = SourceRange { service: service.id, address: packet.key.source };
    SOURCE_RANGES.get(&Key::new(SOURCE_RANGE_BITS, source)).is_some()
}

/// A service without endpoints for this side.
#[inline(always)]
fn refuse(skb: Skb, packet: &Packet, service: &Service, side: Side, now: u32) -> Begun {
    let reject = match side {
        Side::Inside => SERVICE_REJECT_INSIDE,
        Side::Outside => SERVICE_REJECT_OUTSIDE,
    };
    if service.flags & reject == 0 {
        count::dropped(service.id, DROPPED_NO_LOCAL_ENDPOINT);
        return Begun::Dropped;
    }
    count::dropped(service.id, DROPPED_NO_ENDPOINT);
    let Some(address) = node_address(skb, packet.v6) else {
        return Begun::Dropped;
    };
    let expires = now + state::REFUSED_SECONDS;
    let to = connection(address, 0, CONNECTION_DNAT, service, expires);
    if remember_reply(packet, &to) { Begun::Refused(address) } else { Begun::Dropped }
}

#[inline(always)]
fn choose(service: &Service, packet: &Packet, side: Side, now: u32) -> Option<&'static Endpoint> {
    let affinity = AffinityKey { client: packet.key.source, service: service.id, kind: CLIENT_ADDRESS };
    let block = block(service, side);
    if let Some(endpoint) = choose::kept(service, block, &affinity, now) {
        choose::keep(service, &affinity, endpoint, now);
        return Some(endpoint);
    }
    let key = &packet.key;
    let hash = if service.flags & SERVICE_AFFINITY != 0 {
        hash::client(&key.source)
    } else {
        hash::flow(&key.source, key.source_port_be, key.destination_port_be, key.protocol)
    };
    let position = match side {
        Side::Outside => by_table(service, hash).filter(|position| *position < block.count),
        Side::Inside => None,
    };
    let position = position.unwrap_or(hash::slot(hash, block.count));
    if service.flags & SERVICE_AFFINITY != 0 {
        let endpoint = choose::at(block, position)?;
        choose::keep(service, &affinity, endpoint, now);
        return Some(endpoint);
    }
    free_from(packet, block, position, now)
}

/// The first endpoint from a position on whose replies are free; when there is none, the newest connection wins.
#[inline(always)]
fn free_from(packet: &Packet, block: &Block, position: u32, now: u32) -> Option<&'static Endpoint> {
    for step in 0..POSITIONS {
        if step >= block.count {
            break;
        }
        let next = position + step;
        let next = if next >= block.count { next - block.count } else { next };
        let endpoint = choose::at(block, next)?;
        if !replies_are_taken(packet, endpoint, now) {
            return Some(endpoint);
        }
    }
    choose::at(block, position)
}

/// Whether replies of an endpoint to the client's port are those of a live connection by another frontend. Two of
/// them could not be told apart.
#[inline(never)]
fn replies_are_taken(packet: &Packet, endpoint: &Endpoint, now: u32) -> bool {
    let mut key = connection::turned(&packet.key);
    key.hook = HOOK_EGRESS;
    key.source = endpoint.address;
    key.source_port_be = endpoint.port_be;
    let Some(reply) = connection::live(&key, now) else {
        return false;
    };
    let ours = reply.port_be == packet.key.destination_port_be
        && connection::same(&reply.address, &packet.key.destination);
    if ours || reply.state == STATE_CLOSED || reply.kind != CONNECTION_UNDO_DNAT {
        return false;
    }
    match connection::live(&connection::pair_key(&key, reply), now) {
        Some(forward) => {
            forward.port_be == endpoint.port_be && connection::same(&forward.address, &endpoint.address)
        }
        None => false,
    }
}

/// The position that the service's Maglev table has for a hash.
#[inline(always)]
fn by_table(service: &Service, hash: u64) -> Option<u32> {
    let slots = CONFIG.get(0)?.maglev_slots;
    if service.maglev == NO_MAGLEV || slots == 0 {
        return None;
    }
    let chunk_slots = MAGLEV_CHUNK as u32;
    let slot = hash::slot(hash, slots);
    let chunks = slots.div_ceil(chunk_slots);
    let chunk = MAGLEV.get(service.maglev.wrapping_mul(chunks).wrapping_add(slot / chunk_slots))?;
    Some(chunk.slots[(slot % chunk_slots) as usize].into())
}

/// Writes a connection's entries; false when a map takes none.
#[inline(always)]
fn remember(packet: &Packet, service: &Service, endpoint: &Endpoint, side: Side, now: u32) -> bool {
    let expires = now + state::seconds(packet.key.protocol, STATE_NEW);
    let mut entry = connection(&endpoint.address, endpoint.port_be, CONNECTION_DNAT, service, expires);
    if !remember_reply(packet, &entry) || CONNECTIONS.insert(&packet.key, &entry, 0).is_err() {
        return false;
    }
    let local = endpoint.flags & ENDPOINT_LOCAL != 0;
    let snat = match side {
        Side::Inside => local,
        Side::Outside => !local && service.flags & SERVICE_KEEP_SOURCE == 0,
    };
    if !snat {
        return true;
    }
    let key = ConnectionKey {
        destination: entry.address,
        destination_port_be: entry.port_be,
        hook: HOOK_EGRESS,
        ..packet.key
    };
    entry.kind = CONNECTION_SNAT;
    entry.address = [0; 16];
    entry.port_be = 0;
    CONNECTIONS.insert(&key, &entry, 0).is_ok()
}

/// Writes the entry for the replies to a packet that goes `to` an endpoint.
#[inline(always)]
fn remember_reply(packet: &Packet, to: &Connection) -> bool {
    let key = connection::pair_key(&packet.key, to);
    let mut reply = *to;
    reply.address = packet.key.destination;
    reply.port_be = packet.key.destination_port_be;
    reply.kind = CONNECTION_UNDO_DNAT;
    CONNECTIONS.insert(&key, &reply, 0).is_ok()
}

#[inline(always)]
fn connection(address: &Address, port_be: u16, kind: u8, service: &Service, expires: u32) -> Connection {
    Connection {
        address: *address,
        port_be,
        kind,
        state: STATE_NEW,
        service: service.id,
        generation: service.generation,
        expires,
    }
}
