//! Packets that are not whole: fragments, and frames that are cut short.
#![allow(clippy::unwrap_used, reason = "the file is a test")]

mod packets;

use packets::build::{ETHERNET, Fragment, Packet, SYN, TCP, error, of, tcp, udp};
use packets::node::{FAMILIES, V4, V6, becomes, key, untouched, with_endpoints, written};
use weft_proxy_abi::HOOK_EGRESS;

const PAYLOAD: [u8; 100] = [0x5a; 100];

fn part(source: &str, destination: &str, from: usize, to: usize) -> Packet {
    let mut packet = udp(source, destination).with_payload(&PAYLOAD);
    packet.fragment = Some(Fragment { id: 77, from, to });
    packet
}

const PARTS: [(usize, usize); 3] = [(0, 24), (24, 64), (64, usize::MAX)];

#[test]
fn later_fragments_follow_the_first() {
    for names in FAMILIES {
        let mut bed = with_endpoints(&names, &[names.endpoint], false);
        for (from, to) in PARTS {
            let output = bed.ingress(&part(names.client, names.frontend, from, to).bytes());
            becomes(&output, &part(names.client, names.endpoint, from, to));
            let output = bed.egress(&output.packet);
            let entry = bed.connection(key(HOOK_EGRESS, 17, names.client, names.endpoint)).unwrap();
            becomes(&output, &part(&written(&entry), names.endpoint, from, to));
        }
        let entry = bed.connection(key(HOOK_EGRESS, 17, names.client, names.endpoint)).unwrap();
        for (from, to) in PARTS {
            let output = bed.ingress(&part(names.endpoint, &written(&entry), from, to).bytes());
            becomes(&output, &part(names.endpoint, names.client, from, to));
            let output = bed.egress(&output.packet);
            becomes(&output, &part(names.frontend, names.client, from, to));
        }
    }
}

#[test]
fn fragments_of_unknown_packets_are_not_touched() {
    for names in FAMILIES {
        let mut bed = with_endpoints(&names, &[names.endpoint], true);
        for (from, to) in &PARTS[1..] {
            let packet = part(names.client, names.frontend, *from, *to).bytes();
            untouched(&bed.ingress(&packet), &packet);
            untouched(&bed.egress(&packet), &packet);
        }
        // The first fragment of a packet with another identification says nothing of this one.
        let mut other = part(names.client, names.frontend, 0, 24);
        other.fragment = Some(Fragment { id: 78, from: 0, to: 24 });
        bed.ingress(&other.bytes());
        let packet = part(names.client, names.frontend, 24, 64).bytes();
        untouched(&bed.ingress(&packet), &packet);
    }
}

#[test]
fn a_later_fragment_never_begins_a_connection() {
    let mut bed = with_endpoints(&V4, &[V4.endpoint], true);
    bed.ingress(&part(V4.client, V4.frontend, 0, 24).bytes());
    bed.remove_connection(key(0, 17, V4.client, V4.frontend));
    let packet = part(V4.client, V4.frontend, 24, 64).bytes();
    untouched(&bed.ingress(&packet), &packet);
    assert!(bed.connection(key(0, 17, V4.client, V4.frontend)).is_none());
}

/// Every frame that ends too early goes on as it came, whatever the place.
#[test]
fn frames_that_are_cut_short_are_not_touched() {
    for names in FAMILIES {
        for protocol in [TCP, 17] {
            let mut bed = with_endpoints(&names, &[names.endpoint], true);
            let packet = of(protocol, names.client, names.frontend, SYN);
            assert_ne!(bed.ingress(&packet.bytes()).packet, packet.bytes());
            let failed = of(protocol, names.frontend, names.client, SYN);
            let kind = if names.client.starts_with('[') { 1 } else { 3 };
            let told = error(names.router, names.frontend_address, kind, &failed, usize::MAX);
            assert_ne!(bed.ingress(&told.bytes()).packet, told.bytes());
            for whole in [packet.bytes(), told.bytes()] {
                for length in ETHERNET + 1..whole.len() {
                    if let Some(output) = bed.try_run("ingress", &whole[..length]) {
                        untouched(&output, &whole[..length]);
                    }
                }
            }
        }
    }
}

/// A frame may say less than it holds (padding), but not less than its headers.
#[test]
fn a_length_that_cuts_off_the_transport_header_is_believed() {
    let mut bed = with_endpoints(&V4, &[V4.endpoint], true);
    let mut bytes = tcp(V4.client, V4.frontend, SYN).bytes();
    for total in 20..40_u8 {
        bytes[ETHERNET + 3] = total;
        untouched(&bed.ingress(&bytes), &bytes);
    }
    let mut bed = with_endpoints(&V6, &[V6.endpoint], true);
    let mut bytes = tcp(V6.client, V6.frontend, SYN).bytes();
    for payload in 1..20_u8 {
        bytes[ETHERNET + 5] = payload;
        untouched(&bed.ingress(&bytes), &bytes);
    }
}

#[test]
fn padding_behind_a_packet_stays() {
    let mut bed = with_endpoints(&V4, &[V4.endpoint], true);
    let padded = |packet: Packet| [packet.bytes(), vec![0xee; 20]].concat();
    let output = bed.ingress(&padded(tcp(V4.client, V4.frontend, SYN)));
    assert_eq!(output.packet, padded(tcp(V4.client, V4.endpoint, SYN)));
}
