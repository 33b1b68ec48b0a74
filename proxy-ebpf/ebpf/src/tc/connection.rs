//! Entries of CONNECTIONS: looked up, followed through their states, kept in pairs.
//!
//! ```text
//! ingress c→v : destination := e    DNAT ◄─ pair ─► DNAT undone    egress  e→c : source := v
//! egress  c→e : source := n         SNAT ◄─ pair ─► SNAT undone    ingress e→n : destination := c
//! ```
//!
//! Each entry tells where its pair is: the packet as it leaves, turned round, at the other hook. An entry names what
//! its pair's key has, or it is not its pair: that is how a reverse entry is checked against the forward one.
//! Expiry is refreshed at most once per second, for both of a pair, so that one-way traffic keeps the way back.

use weft_proxy_abi::state::{self, ACK, SYN};
use weft_proxy_abi::{
    Address, CONNECTION_UNDO_DNAT, Connection, ConnectionKey, HOOK_EGRESS, HOOK_INGRESS, STATE_CLOSED,
    STATE_ESTABLISHED, TCP,
};

use crate::maps::CONNECTIONS;

use super::packet::Packet;

/// In the kind: the entry is for replies.
const REPLY: u8 = 1;

/// The entry for a tuple, unless it has expired.
#[inline(always)]
pub fn live(key: &ConnectionKey, now: u32) -> Option<&'static mut Connection> {
    // SAFETY: the kernel keeps an entry's memory while a program runs; fields that race are plain numbers, and an
    // LRU entry that is given away meanwhile costs one packet.
    let entry = unsafe { &mut *CONNECTIONS.get_ptr_mut(key)? };
    if entry.expires > now { Some(entry) } else { None }
}

/// Takes in what a packet does to its connection. False: a stale reverse entry, which says nothing of this packet.
#[inline(never)]
pub fn follow(packet: &Packet, entry: &mut Connection, now: u32) -> bool {
    let protocol = packet.key.protocol;
    let reply = entry.kind & REPLY != 0;
    let expires = now + state::seconds(protocol, entry.state);
    let concerns_pair = state::concerns_pair(entry.state, reply, packet.flags);
    if expires == entry.expires && !concerns_pair {
        return true;
    }
    let pair_key = pair_key(&packet.key, entry);
    let found = live(&pair_key, now);
    let absent = found.is_none();
    let Some(pair) = found.filter(|pair| is_pair(packet, entry, pair)) else {
        let answers = protocol == TCP && packet.flags & (SYN | ACK) == SYN | ACK;
        if entry.kind == CONNECTION_UNDO_DNAT && answers {
            let _ = CONNECTIONS.remove(&packet.key);
            return false;
        }
        let (own, _) = state::next(entry.state, STATE_ESTABLISHED, reply, packet.flags);
        entry.state = own;
        entry.expires = now + state::seconds(protocol, own);
        if absent && !reply && own != STATE_CLOSED {
            restore_pair(packet, entry, &pair_key);
        }
        return true;
    };
    let (own, other) = state::next(entry.state, pair.state, reply, packet.flags);
    entry.state = own;
    entry.expires = now + state::seconds(protocol, own);
    pair.state = other;
    pair.expires = now + state::seconds(protocol, other);
    true
}

/// Whether an entry found at the pair's place is about this connection.
#[inline(always)]
fn is_pair(packet: &Packet, entry: &Connection, pair: &Connection) -> bool {
    let (address, port_be) = overwritten(packet);
    pair.kind == entry.kind ^ REPLY && pair.port_be == port_be && same(&pair.address, address)
}

/// Writes the entry for replies again, which an LRU map may have given away.
#[inline(always)]
fn restore_pair(packet: &Packet, entry: &Connection, pair_key: &ConnectionKey) {
    let (address, port_be) = overwritten(packet);
    // Whether the other side has sent FIN is not known any more.
    let state = entry.state.min(STATE_ESTABLISHED);
    let pair = Connection { address: *address, port_be, kind: entry.kind | REPLY, state, ..*entry };
    // Should the map not take it, the next second tries again.
    let _ = CONNECTIONS.insert(pair_key, &pair, 0);
}

/// What an entry is written over.
#[inline(always)]
fn overwritten(packet: &Packet) -> (&Address, u16) {
    let key = &packet.key;
    if key.hook == HOOK_INGRESS {
        (&key.destination, key.destination_port_be)
    } else {
        (&key.source, key.source_port_be)
    }
}

/// The tuple of the other direction's packets at the other hook.
#[inline(always)]
pub fn pair_key(key: &ConnectionKey, entry: &Connection) -> ConnectionKey {
    let mut pair = turned(key);
    if key.hook == HOOK_INGRESS {
        pair.hook = HOOK_EGRESS;
        pair.source = entry.address;
        pair.source_port_be = entry.port_be;
    } else {
        pair.hook = HOOK_INGRESS;
        pair.destination = entry.address;
        pair.destination_port_be = entry.port_be;
    }
    pair
}

/// The tuple with its ends exchanged.
#[inline(always)]
pub fn turned(key: &ConnectionKey) -> ConnectionKey {
    ConnectionKey {
        source: key.destination,
        destination: key.source,
        source_port_be: key.destination_port_be,
        destination_port_be: key.source_port_be,
        ..*key
    }
}

/// Whether two addresses are equal, word by word: the compiler would call `memcmp`.
#[inline(always)]
pub fn same(one: &Address, other: &Address) -> bool {
    let word = |a: &Address, at: usize| {
        u64::from_ne_bytes([
            a[at],
            a[at + 1],
            a[at + 2],
            a[at + 3],
            a[at + 4],
            a[at + 5],
            a[at + 6],
            a[at + 7],
        ])
    };
    word(one, 0) == word(other, 0) && word(one, 8) == word(other, 8)
}
