//! ICMP errors are translated back, so that the sender of the packet that failed knows it again.
#![allow(clippy::unwrap_used, reason = "the file is a test")]

mod packets;

use packets::bed::Bed;
use packets::build::{ACK, ETHERNET, Packet, SYN, TCP, UDP, error, of, tcp, udp};
use packets::node::{FAMILIES, Names, PROTOCOLS, V4, becomes, key, untouched, with_endpoints, written};
use weft_proxy_abi::HOOK_EGRESS;

/// The errors of each family.
fn errors(names: &Names) -> &'static [u8] {
    if names.client.starts_with('[') { &[1, 2, 3, 4] } else { &[3, 11, 12] }
}

/// A connection with SNAT, established; the address and port that SNAT took.
fn established(names: &Names, protocol: u8) -> (Bed, String) {
    let mut bed = with_endpoints(names, &[names.endpoint], false);
    let output = bed.ingress(&of(protocol, names.client, names.frontend, SYN).bytes());
    bed.egress(&output.packet);
    let node = written(&bed.connection(key(HOOK_EGRESS, protocol, names.client, names.endpoint)).unwrap());
    let output = bed.ingress(&of(protocol, names.endpoint, &node, SYN | ACK).bytes());
    bed.egress(&output.packet);
    (bed, node)
}

#[test]
fn the_client_is_told_of_its_own_packet() {
    for names in FAMILIES {
        for protocol in PROTOCOLS {
            let (mut bed, node) = established(&names, protocol);
            for &kind in errors(&names) {
                for (source, as_seen) in
                    [(names.router, names.router), (names.endpoint_address, names.frontend_address)]
                {
                    let failed = |from: &str, to: &str| of(protocol, from, to, ACK);
                    let came =
                        error(source, names.snat_address, kind, &failed(&node, names.endpoint), usize::MAX);
                    let output = bed.ingress(&came.bytes());
                    let between = failed(names.client, names.endpoint);
                    becomes(&output, &error(source, names.client_address, kind, &between, usize::MAX));
                    let output = bed.egress(&output.packet);
                    let told = failed(names.client, names.frontend);
                    becomes(&output, &error(as_seen, names.client_address, kind, &told, usize::MAX));
                }
            }
        }
    }
}

#[test]
fn the_endpoint_is_told_of_its_own_reply() {
    for names in FAMILIES {
        for protocol in PROTOCOLS {
            let (mut bed, node) = established(&names, protocol);
            for &kind in errors(&names) {
                for (source, as_seen) in
                    [(names.router, names.router), (names.client_address, names.snat_address)]
                {
                    let failed = |from: &str, to: &str| of(protocol, from, to, ACK);
                    let reply = failed(names.frontend, names.client);
                    let output =
                        bed.ingress(&error(source, names.frontend_address, kind, &reply, usize::MAX).bytes());
                    let between = failed(names.endpoint, names.client);
                    becomes(&output, &error(source, names.endpoint_address, kind, &between, usize::MAX));
                    let output = bed.egress(&output.packet);
                    let told = failed(names.endpoint, &node);
                    becomes(&output, &error(as_seen, names.endpoint_address, kind, &told, usize::MAX));
                }
            }
        }
    }
}

#[test]
fn as_little_as_the_ports_of_a_packet_is_enough() {
    for names in FAMILIES {
        let least = if names.client.starts_with('[') { 48 } else { 28 };
        for protocol in PROTOCOLS {
            let (mut bed, node) = established(&names, protocol);
            let kind = errors(&names)[0];
            let failed = |from: &str| of(protocol, from, names.endpoint, ACK);
            let whole = failed(&node).bytes().len() - ETHERNET;
            for bytes in 0..=whole {
                let came = error(names.router, names.snat_address, kind, &failed(&node), bytes);
                let output = bed.ingress(&came.bytes());
                if bytes < least {
                    untouched(&output, &came.bytes());
                } else {
                    let told = failed(names.client);
                    let mut told = error(names.router, names.client_address, kind, &told, bytes);
                    if protocol == TCP && bytes == least + 9 {
                        // Half a checksum cannot be brought up to date.
                        *told.payload.last_mut().unwrap() = *came.payload.last().unwrap();
                    }
                    becomes(&output, &told);
                }
            }
        }
    }
}

#[test]
fn embedded_options_are_stepped_over() {
    let (mut bed, node) = established(&V4, UDP);
    let with_options = |mut packet: Packet| {
        packet.options = vec![1; 12];
        packet
    };
    let failed = |from: &str| with_options(udp(from, V4.endpoint));
    let came = error(V4.router, V4.snat_address, 3, &failed(&node), usize::MAX);
    let told = error(V4.router, V4.client_address, 3, &failed(V4.client), usize::MAX);
    becomes(&bed.ingress(&came.bytes()), &told);
}

#[test]
fn what_is_no_error_of_ours_is_not_touched() {
    for names in FAMILIES {
        let (mut bed, node) = established(&names, UDP);
        let ours = udp(&node, names.endpoint);
        let echo = if names.client.starts_with('[') { 128 } else { 8 };
        let error_kind = errors(&names)[0];
        let stranger = udp(&node, names.other_endpoint);
        for packet in [
            error(names.router, names.snat_address, echo, &ours, usize::MAX),
            error(names.router, names.snat_address, error_kind, &stranger, usize::MAX),
            // Not to whom the packet was from: no router says so.
            error(names.router, names.node_address, error_kind, &ours, usize::MAX),
        ] {
            untouched(&bed.ingress(&packet.bytes()), &packet.bytes());
            untouched(&bed.egress(&packet.bytes()), &packet.bytes());
        }
    }
}

#[test]
fn a_connection_whose_source_has_no_port_yet_is_not_written() {
    let mut bed = with_endpoints(&V4, &[V4.endpoint], false);
    bed.ingress(&tcp(V4.client, V4.frontend, SYN).bytes());
    let reply = tcp(V4.endpoint, V4.client, ACK);
    let packet = error(V4.router, V4.endpoint_address, 3, &reply, usize::MAX).bytes();
    untouched(&bed.egress(&packet), &packet);
}
