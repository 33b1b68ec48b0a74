//! ICMP errors: what they tell of a packet is translated back, so that its sender knows it again.
//!
//! ```text
//! ingress   n→e failed (SNAT): the node, S = n, is told     outer destination := c    embedded source := c
//!           v→c failed (a reply): the frontend is told      outer destination := e    embedded source := e
//! egress    c→e failed (DNAT): the client is told           outer source e := v       embedded destination := v
//!           e→c failed (a reply, SNAT undone)               outer source c := n       embedded destination := n
//! ```
//!
//! In each line the embedded tuple, turned round, is one that this hook knows. An outer source that is not the
//! embedded destination is a router's own address, and stays.

use core::mem::MaybeUninit;
use weft_proxy_abi::{Address, HOOK_INGRESS, MARK};

use crate::choose::now;

use super::connection::{live, same, turned};
use super::packet::Packet;
use super::skb::{Broken, Skb};
use super::{DROP, PASS, rewrite};

/// Length of an error's own header, in both families.
const HEADER: u32 = 8;

/// What becomes of an ICMP packet.
#[inline(always)]
pub fn error(skb: Skb, outer: &Packet) -> i32 {
    match skb.read::<u8>(outer.l4) {
        Some(kind) if is_error(kind, outer.v6) => told(skb, outer),
        _ => PASS,
    }
}

/// Errors that carry the packet they are about (RFC 792; RFC 4443, section 2.1).
#[inline(always)]
fn is_error(kind: u8, v6: bool) -> bool {
    if v6 { matches!(kind, 1..=4) } else { matches!(kind, 3 | 11 | 12) }
}

#[inline(never)]
fn told(skb: Skb, outer: &Packet) -> i32 {
    let hook = outer.key.hook;
    let mut place = MaybeUninit::uninit();
    let Some(inner) = Packet::embedded(skb, outer, HEADER, &mut place) else {
        return PASS;
    };
    let Some(entry) = live(&turned(&inner.key), now()) else {
        return PASS;
    };
    // SNAT has no port yet: no packet of the connection has left.
    if entry.port_be == 0 {
        return PASS;
    }
    if hook == HOOK_INGRESS && !same(&outer.key.destination, &inner.key.source) {
        return PASS;
    }
    match write(skb, outer, inner, &entry.address, entry.port_be) {
        Ok(()) => PASS,
        Err(Broken) => DROP,
    }
}

#[inline(always)]
fn write(skb: Skb, outer: &Packet, inner: &Packet, address: &Address, port_be: u16) -> Result<(), Broken> {
    rewrite::embedded(skb, outer, inner, address, port_be)?;
    let ingress = outer.key.hook == HOOK_INGRESS;
    if ingress || same(&outer.key.source, &inner.key.destination) {
        rewrite::tuple(skb, outer, address, port_be)?;
    }
    if ingress {
        skb.add_mark(MARK);
    }
    Ok(())
}
