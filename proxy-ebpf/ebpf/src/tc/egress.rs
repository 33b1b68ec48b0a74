//! Packets that go out: their source is rewritten.

use aya_ebpf::helpers::bpf_get_prandom_u32;
use core::mem::MaybeUninit;
use weft_proxy_abi::{
    Address, CONNECTION_SNAT, CONNECTION_UNDO_DNAT, CONNECTION_UNDO_SNAT, Connection, DROPPED_NO_SNAT_PORT,
    DROPPED_REWRITE, HOOK_EGRESS, HOOK_INGRESS, STATE_CLOSED, hash,
};

use crate::choose::now;
use crate::maps::{CONFIG, CONNECTIONS};
use crate::ports::endpoint_port;

use super::connection::{follow, live, turned};
use super::packet::Packet;
use super::quick::Ends;
use super::service;
use super::skb::Skb;
use super::{DROP, PASS, count, fragment, icmp, rewrite};

/// How many ports are tried for a connection.
const TRIES: u32 = 32;
/// From this try on, ports of closed connections are taken as well: before, an endpoint that remembers the old
/// connection (TIME-WAIT) would delay the new one.
const TRIES_BEFORE_CLOSED: u32 = 16;
/// The kernel's flag for "only when there is none".
const BPF_NOEXIST: u64 = 1;

/// What becomes of a packet that goes out, whose IP header is at `l3`.
#[inline(always)]
pub fn packet(skb: Skb, l3: u32) -> i32 {
    if Ends::of(skb, l3).is_some_and(|ends| others(ends.protocol, ends.source_be, ends.destination_be)) {
        return PASS;
    }
    let mut place = MaybeUninit::uninit();
    let Some(packet) = Packet::of(skb, l3, HOOK_EGRESS, &mut place) else {
        return PASS;
    };
    if packet.is_icmp() {
        return icmp::error(skb, packet);
    }
    if !fragment::complete(packet) {
        return PASS;
    }
    let key = &packet.key;
    if others(key.protocol, key.source_port_be, key.destination_port_be) {
        return PASS;
    }
    fragment::note(packet);
    known(skb, packet)
}

/// Whether no end has a port of an endpoint, nor the port 0 of a refusal.
#[inline(always)]
fn others(protocol: u8, source_be: u16, destination_be: u16) -> bool {
    let refusal = source_be == 0;
    !refusal && !endpoint_port(protocol, source_be) && !endpoint_port(protocol, destination_be)
}

/// A packet from or to a port of an endpoint.
#[inline(always)]
fn known(skb: Skb, packet: &Packet) -> i32 {
    let now = now();
    let Some(entry) = live(&packet.key, now) else {
        return PASS;
    };
    match entry.kind {
        CONNECTION_UNDO_DNAT => {
            if !follow(packet, entry, now) {
                return PASS;
            }
            count::packet_out(entry.service, skb, packet);
        }
        CONNECTION_SNAT => {
            if entry.port_be == 0 && !allocate(skb, packet, entry) {
                count::dropped(entry.service, DROPPED_NO_SNAT_PORT);
                return DROP;
            }
            follow(packet, entry, now);
        }
        _ => return PASS,
    }
    if rewrite::tuple(skb, packet, &entry.address, entry.port_be).is_err() {
        count::dropped(entry.service, DROPPED_REWRITE);
        return DROP;
    }
    PASS
}

/// Finds the node's address and a port for a connection, and remembers both ways.
#[inline(never)]
fn allocate(skb: Skb, packet: &Packet, entry: &mut Connection) -> bool {
    let Some(address) = service::node_address(skb, packet.v6) else {
        return false;
    };
    let Some(port_be) = free_port(packet, address, entry) else {
        return false;
    };
    entry.address = *address;
    entry.port_be = port_be;
    true
}

/// A port that no other connection to the endpoint has, now taken.
#[inline(always)]
fn free_port(packet: &Packet, address: &Address, entry: &Connection) -> Option<u16> {
    let config = CONFIG.get(0)?;
    let (first, last) = (u32::from(config.snat_first), u32::from(config.snat_last));
    if last < first {
        return None;
    }
    let count = last - first + 1;
    // SAFETY: the helper has no preconditions.
    let random = unsafe { bpf_get_prandom_u32() };
    let start = hash::slot(u64::from(random) << 32, count);
    let mut key = turned(&packet.key);
    key.hook = HOOK_INGRESS;
    key.destination = *address;
    let reply = Connection {
        address: packet.key.source,
        port_be: packet.key.source_port_be,
        kind: CONNECTION_UNDO_SNAT,
        ..*entry
    };
    for attempt in 0..TRIES {
        // Nothing but the attempt's number is carried on, which keeps the verifier's work linear.
        let offset = (start + attempt).checked_rem(count)?;
        key.destination_port_be = ((first + offset) as u16).to_be();
        if CONNECTIONS.insert(&key, &reply, BPF_NOEXIST).is_ok() {
            return Some(key.destination_port_be);
        }
        let closed = attempt >= TRIES_BEFORE_CLOSED;
        let taken = match live(&key, now()) {
            Some(other) => !(closed && other.state == STATE_CLOSED),
            None => false,
        };
        if !taken && CONNECTIONS.insert(&key, &reply, 0).is_ok() {
            return Some(key.destination_port_be);
        }
    }
    None
}
