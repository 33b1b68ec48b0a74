//! Fragments: the first one has the ports, and the later ones are given them.
//!
//! A later fragment that overtakes the first is not known and goes on untouched; its packet is lost, as its sender
//! must expect. No entry times out: an identification that is used again is written again by its first fragment.

use weft_proxy_abi::{FragmentKey, FragmentPorts};

use crate::maps::FRAGMENTS;

use super::packet::{Packet, Part};

/// Notes the ports of a first fragment.
#[inline(always)]
pub fn note(packet: &Packet) {
    if packet.part == Part::First {
        let ports = FragmentPorts {
            source_be: packet.key.source_port_be,
            destination_be: packet.key.destination_port_be,
        };
        // An LRU map takes a new entry for an old one; should it not, the packet is lost and sent again.
        let _ = FRAGMENTS.insert(&key(packet), &ports, 0);
    }
}

/// Gives a later fragment its ports; false when they are not known.
#[inline(always)]
pub fn complete(packet: &mut Packet) -> bool {
    if packet.part != Part::Later {
        return true;
    }
    // SAFETY: the value is read before any entry of the map is written by this program.
    let Some(ports) = (unsafe { FRAGMENTS.get(&key(packet)) }) else {
        return false;
    };
    packet.key.source_port_be = ports.source_be;
    packet.key.destination_port_be = ports.destination_be;
    true
}

#[inline(always)]
fn key(packet: &Packet) -> FragmentKey {
    FragmentKey {
        source: packet.key.source,
        destination: packet.key.destination,
        id: packet.id,
        protocol: packet.key.protocol,
        hook: packet.key.hook,
        zero: 0,
    }
}
