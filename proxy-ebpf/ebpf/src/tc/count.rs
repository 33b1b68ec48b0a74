//! What the packet path counts for a service.

pub use crate::count::dropped;
use crate::count::of;

use super::packet::Packet;
use super::skb::Skb;

/// A connection got an endpoint.
#[inline(always)]
pub fn connection(service: u32) {
    if let Some(counters) = of(service) {
        counters.packet_connections += 1;
    }
}

/// A packet goes to an endpoint.
#[inline(always)]
pub fn packet_in(service: u32, skb: Skb, packet: &Packet) {
    let bytes = skb.len() - packet.l3;
    if let Some(counters) = of(service) {
        counters.packets_in += 1;
        counters.bytes_in += u64::from(bytes);
    }
}

/// A packet comes from an endpoint.
#[inline(always)]
pub fn packet_out(service: u32, skb: Skb, packet: &Packet) {
    let bytes = skb.len() - packet.l3;
    if let Some(counters) = of(service) {
        counters.packets_out += 1;
        counters.bytes_out += u64::from(bytes);
    }
}
