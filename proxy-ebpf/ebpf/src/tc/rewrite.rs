//! Writing an address and a port over a packet, with all checksums that cover them.
//!
//! Checksums are brought up to date by the difference, never computed anew: a packet that came with a wrong one goes
//! on with a wrong one. Three kinds of packets stay right: complete checksums, those that the network card will
//! complete (CHECKSUM_PARTIAL), and those with the card's sum over the whole packet (CHECKSUM_COMPLETE). For the last
//! kind IPv6 differs: no header checksum makes up for the address, so the write itself has to be summed.

use weft_proxy_abi::{Address, HOOK_INGRESS, UDP};

use super::checksum;
use super::packet::{Packet, Part};
use super::skb::{Broken, Skb};

/// Writes over the destination (ingress) or the source (egress) of a packet.
#[inline(never)]
pub fn tuple(skb: Skb, packet: &Packet, address: &Address, port_be: u16) -> Result<(), Broken> {
    let key = &packet.key;
    let ingress = key.hook == HOOK_INGRESS;
    let (old, old_port_be) =
        if ingress { (&key.destination, key.destination_port_be) } else { (&key.source, key.source_port_be) };
    let udp = key.protocol == UDP;
    let difference = checksum::of_address(old, address);
    let covered = packet.part != Part::Later;
    if covered && (packet.v6 || !packet.is_icmp()) {
        skb.sum_pseudo_header(packet.checksum(), difference, udp)?;
    }
    write_address(skb, packet, ingress, address, difference)?;
    if covered && !packet.is_icmp() && old_port_be != port_be {
        let port = packet.l4 + if ingress { 2 } else { 0 };
        skb.sum_payload(packet.checksum(), checksum::of_field(old_port_be, port_be), udp)?;
        skb.write(port, &port_be)?;
    }
    Ok(())
}

#[inline(always)]
fn write_address(
    skb: Skb,
    packet: &Packet,
    destination: bool,
    address: &Address,
    difference: u32,
) -> Result<(), Broken> {
    if packet.v6 {
        let at = packet.l3 + if destination { 24 } else { 8 };
        return skb.write_and_sum(at, address);
    }
    // The checksum and the addresses follow each other, so that one write does: the kernel makes a packet writable
    // for each. Their differences make up for each other in a sum over the whole packet.
    let sum_be = checksum::apply(packet.sum_be, difference).to_ne_bytes();
    let at = packet.l3 + 10;
    let [.., a, b, c, d] = *address;
    if !destination {
        return skb.write(at, &[sum_be[0], sum_be[1], a, b, c, d]);
    }
    let [.., e, f, g, h] = packet.key.source;
    skb.write(at, &[sum_be[0], sum_be[1], e, f, g, h, a, b, c, d])
}

/// Writes over one side of the packet inside an ICMP error: the source where errors come in, the destination where
/// they go out. Its transport checksum is often cut off. The error's own checksum covers every byte that changes.
#[inline(never)]
pub fn embedded(
    skb: Skb,
    outer: &Packet,
    inner: &Packet,
    address: &Address,
    port_be: u16,
) -> Result<(), Broken> {
    let key = &inner.key;
    let source = key.hook == HOOK_INGRESS;
    let (old, old_port_be) =
        if source { (&key.source, key.source_port_be) } else { (&key.destination, key.destination_port_be) };
    let of_address = checksum::of_address(old, address);
    let of_port = checksum::of_field(old_port_be, port_be);
    let tuple = checksum::both(of_address, of_port);
    let mut total = tuple;
    if inner.checksum() + 2 <= inner.end {
        let old_sum: u16 = skb.read(inner.checksum()).ok_or(Broken)?;
        if !(key.protocol == UDP && old_sum == 0) {
            let new_sum = match checksum::apply(old_sum, tuple) {
                0 if key.protocol == UDP => 0xffff,
                sum => sum,
            };
            total = checksum::both(total, checksum::of_field(old_sum, new_sum));
            skb.write(inner.checksum(), &new_sum)?;
        }
    }
    if inner.v6 {
        skb.write(inner.l3 + if source { 8 } else { 24 }, address)?;
    } else {
        let old_sum: u16 = skb.read(inner.l3 + 10).ok_or(Broken)?;
        let new_sum = checksum::apply(old_sum, of_address);
        total = checksum::both(total, checksum::of_field(old_sum, new_sum));
        skb.write(inner.l3 + 10, &new_sum)?;
        let v4 = [address[12], address[13], address[14], address[15]];
        skb.write(inner.l3 + if source { 12 } else { 16 }, &v4)?;
    }
    skb.write(inner.l4 + if source { 0 } else { 2 }, &port_be)?;
    skb.sum_payload(outer.checksum(), total, false)
}
