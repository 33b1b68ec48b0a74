//! Packets that come in: their destination is rewritten.

use core::mem::MaybeUninit;
use weft_proxy_abi::state::{self, RST};
use weft_proxy_abi::{
    Address, CONNECTION_DNAT, CONNECTION_UNDO_DNAT, CONNECTION_UNDO_SNAT, Connection, DROPPED_REWRITE,
    HOOK_EGRESS, HOOK_INGRESS, MARK, SERVICE_NODE_PORT, STATE_CLOSED, Service, UDP,
};

use crate::choose::now;
use crate::maps::{CONFIG, CONNECTIONS};
use crate::ports::{endpoint_port, frontend_port};

use super::connection::{follow, live, pair_key, turned};
use super::packet::{Packet, Part};
use super::quick::Ends;
use super::service::{self, Begun, Side};
use super::skb::Skb;
use super::{DROP, PASS, count, fragment, icmp, rewrite};

/// What becomes of a packet that came in, whose IP header is at `l3`.
#[inline(always)]
pub fn packet(skb: Skb, l3: u32) -> i32 {
    if Ends::of(skb, l3).is_some_and(|ends| others(skb, &ends)) {
        return PASS;
    }
    let mut place = MaybeUninit::uninit();
    let Some(packet) = Packet::of(skb, l3, HOOK_INGRESS, &mut place) else {
        return PASS;
    };
    if packet.is_icmp() {
        return icmp::error(skb, packet);
    }
    if !fragment::complete(packet) {
        return PASS;
    }
    let (protocol, port_be) = (packet.key.protocol, packet.key.destination_port_be);
    if rewritten_port(protocol, port_be) {
        fragment::note(packet);
        return known(skb, packet);
    }
    if may_be_direct(packet) {
        forget_reverse(packet, now());
    }
    PASS
}

/// Whether a packet neither belongs to a connection of ours nor begins one to an endpoint itself.
#[inline(always)]
fn others(skb: Skb, ends: &Ends) -> bool {
    let (protocol, port_be) = (ends.protocol, ends.destination_be);
    if rewritten_port(protocol, port_be) {
        return false;
    }
    let begins = || protocol == UDP || ends.flags(skb).is_none_or(state::opens);
    !endpoint_port(protocol, port_be) || !begins()
}

/// Whether packets to this port may be rewritten: any frontend has it, or SNAT takes it.
#[inline(always)]
fn rewritten_port(protocol: u8, port_be: u16) -> bool {
    frontend_port(protocol, port_be) || snat_port(port_be)
}

/// Whether SNAT takes this port.
#[inline(always)]
fn snat_port(port_be: u16) -> bool {
    let port = u16::from_be(port_be);
    CONFIG.get(0).is_some_and(|config| (config.snat_first..=config.snat_last).contains(&port))
}

/// A packet to a port of a frontend, or one that SNAT takes.
#[inline(always)]
fn known(skb: Skb, packet: &Packet) -> i32 {
    let now = now();
    let entry = live(&packet.key, now);
    if let Some(entry) = entry {
        if entry.kind == CONNECTION_UNDO_SNAT {
            follow(packet, entry, now);
            return written(skb, packet, &entry.address, entry.port_be, entry.service);
        }
        if entry.kind == CONNECTION_DNAT && stays(skb, packet, entry) {
            follow(packet, entry, now);
            count::packet_in(entry.service, skb, packet);
            return written(skb, packet, &entry.address, entry.port_be, entry.service);
        }
        forget(packet, entry);
    }
    if packet.part == Part::Later {
        return PASS;
    }
    match service::of(packet) {
        Some(service) if opens(service, packet) => new(skb, packet, service, now),
        _ => {
            if may_be_direct(packet) {
                forget_reverse(packet, now);
            }
            PASS
        }
    }
}

/// Whether a connection keeps its endpoint. UDP's flows leave one that is gone at once, TCP's connections stay until
/// they end: only a SYN asks again.
#[inline(always)]
fn stays(skb: Skb, packet: &Packet, entry: &mut Connection) -> bool {
    if packet.part == Part::Later {
        return true;
    }
    if packet.key.protocol != UDP {
        if !state::opens(packet.flags) {
            return true;
        }
        if entry.state == STATE_CLOSED {
            return false;
        }
    }
    let Some(service) = service::of(packet) else {
        return false;
    };
    if service.generation == entry.generation && service.id == entry.service {
        return true;
    }
    let inside = service::side(skb) == Side::Inside;
    if !service::has(service, inside, &entry.address, entry.port_be) {
        return false;
    }
    entry.service = service.id;
    entry.generation = service.generation;
    true
}

/// Whether a packet without a connection may get an endpoint. At a NodePort only one that begins a connection: the
/// node's own masquerading takes source ports that may be NodePorts, and the replies to those are not for us.
#[inline(always)]
fn opens(service: &Service, packet: &Packet) -> bool {
    service.flags & SERVICE_NODE_PORT == 0 || packet.key.protocol == UDP || state::opens(packet.flags)
}

/// A packet for a service that belongs to no connection. One in the middle of a TCP connection, whose entry was lost,
/// gets an endpoint as well: with a Maglev table the one that it had.
#[inline(always)]
fn new(skb: Skb, packet: &Packet, service: &Service, now: u32) -> i32 {
    if packet.flags & RST != 0 {
        return DROP;
    }
    match service::begin(skb, packet, service, now) {
        Begun::To(endpoint) => {
            count::packet_in(service.id, skb, packet);
            written(skb, packet, &endpoint.address, endpoint.port_be, service.id)
        }
        Begun::Refused(address) => written(skb, packet, address, 0, service.id),
        Begun::Dropped => DROP,
    }
}

#[inline(always)]
fn written(skb: Skb, packet: &Packet, address: &Address, port_be: u16, service: u32) -> i32 {
    if rewrite::tuple(skb, packet, address, port_be).is_err() {
        count::dropped(service, DROPPED_REWRITE);
        return DROP;
    }
    skb.add_mark(MARK);
    PASS
}

/// Forgets a connection that begins anew, and with it the way back from its endpoint.
#[inline(never)]
fn forget(packet: &Packet, entry: &Connection) {
    let _ = CONNECTIONS.remove(&pair_key(&packet.key, entry));
    let _ = CONNECTIONS.remove(&packet.key);
}

/// Whether a packet may begin a connection to an endpoint itself.
#[inline(always)]
fn may_be_direct(packet: &Packet) -> bool {
    let key = &packet.key;
    let begins = key.protocol == UDP && packet.part != Part::Later || state::opens(packet.flags);
    begins && endpoint_port(key.protocol, key.destination_port_be)
}

/// Forgets what an earlier connection by a frontend, of the same client's port and the same endpoint, would write over
/// the replies to a connection that is made to the endpoint itself, and over its packets where SNAT was needed.
#[inline(never)]
fn forget_reverse(packet: &Packet, now: u32) {
    let mut key = turned(&packet.key);
    key.hook = HOOK_EGRESS;
    match live(&key, now) {
        Some(entry) if entry.kind == CONNECTION_UNDO_DNAT => {
            let _ = CONNECTIONS.remove(&key);
            key = turned(&key);
            let _ = CONNECTIONS.remove(&key);
        }
        _ => {}
    }
}
