//! Packets of a connection are rewritten on their way in and out, in both families and protocols.
#![allow(clippy::unwrap_used, reason = "the file is a test")]

mod packets;

use packets::bed::{Bed, SNAT_PORTS, Verdict};
use packets::build::{ACK, SYN, Transport, of, tcp, udp};
use packets::node::{
    FAMILIES, Names, PROTOCOLS, SERVICE, V4, V6, address, becomes, endpoint, key, service, set_service,
    untouched, with_endpoints, written,
};
use weft_proxy_abi::{HOOK_EGRESS, HOOK_INGRESS, INSIDE, MARK, SERVICE_KEEP_SOURCE, TCP};

/// The source that SNAT gave a packet to the endpoint, taken from the entry that undoes it.
fn snat_source(bed: &mut Bed, names: &Names, protocol: u8) -> String {
    let entry = bed.connection(key(HOOK_EGRESS, protocol, names.client, names.endpoint)).unwrap();
    let source = written(&entry);
    let port = source.rsplit(':').next().unwrap().parse::<u16>().unwrap();
    assert!((SNAT_PORTS.0..=SNAT_PORTS.1).contains(&port), "{source}");
    source
}

#[test]
fn a_connection_to_a_frontend_goes_to_its_endpoint_and_back() {
    for names in FAMILIES {
        for protocol in PROTOCOLS {
            for frontend in [names.frontend, names.node_port] {
                let mut bed = with_endpoints(&names, &[names.endpoint], true);
                let output = bed.ingress(&of(protocol, names.client, frontend, SYN).bytes());
                becomes(&output, &of(protocol, names.client, names.endpoint, SYN));
                assert_eq!(output.mark, MARK);
                let routed = output.packet;
                untouched(&bed.egress(&routed), &routed);
                let reply = of(protocol, names.endpoint, names.client, SYN | ACK);
                becomes(&bed.egress(&reply.bytes()), &of(protocol, frontend, names.client, SYN | ACK));
                let more = of(protocol, names.client, frontend, ACK);
                becomes(&bed.ingress(&more.bytes()), &of(protocol, names.client, names.endpoint, ACK));
                let counters = bed.counters(SERVICE);
                let bytes = (more.bytes().len() - 14) as u64;
                assert_eq!(counters.packet_connections, 1);
                assert_eq!((counters.packets_in, counters.packets_out), (2, 1));
                assert_eq!((counters.bytes_in, counters.bytes_out), (2 * bytes, bytes));
                assert_eq!(counters.dropped, [0; 8]);
            }
        }
    }
}

#[test]
fn an_endpoint_on_another_node_sees_this_node() {
    for names in FAMILIES {
        for protocol in PROTOCOLS {
            let mut bed = with_endpoints(&names, &[names.endpoint], false);
            for flags in [SYN, ACK] {
                let output = bed.ingress(&of(protocol, names.client, names.node_port, flags).bytes());
                becomes(&output, &of(protocol, names.client, names.endpoint, flags));
                let output = bed.egress(&output.packet);
                let node = snat_source(&mut bed, &names, protocol);
                becomes(&output, &of(protocol, &node, names.endpoint, flags));
                let reply = of(protocol, names.endpoint, &node, ACK);
                let output = bed.ingress(&reply.bytes());
                becomes(&output, &of(protocol, names.endpoint, names.client, ACK));
                assert_eq!(output.mark, MARK);
                becomes(&bed.egress(&output.packet), &of(protocol, names.node_port, names.client, ACK));
            }
        }
    }
}

#[test]
fn sources_are_changed_only_where_replies_would_not_come_back() {
    // (interface inside, endpoint local, source kept) → SNAT
    for (flags, local, keep, snat) in [
        (0, false, false, true),
        (0, true, false, false),
        (0, false, true, false),
        (INSIDE, false, false, false),
        (INSIDE, true, false, true),
        (INSIDE, true, true, true),
    ] {
        let mut bed = with_endpoints(&V4, &[V4.endpoint], local);
        bed.set_interface(address(V4.snat_address), address(V6.snat_address), flags);
        let mut service = service(0, 1);
        service.flags |= if keep { SERVICE_KEEP_SOURCE } else { 0 };
        set_service(&mut bed, &V4, service);
        bed.ingress(&tcp(V4.client, V4.frontend, SYN).bytes());
        let entry = bed.connection(key(HOOK_EGRESS, TCP, V4.client, V4.endpoint));
        assert_eq!(entry.is_some(), snat, "inside {flags}, local {local}, keep {keep}");
    }
}

#[test]
fn a_pod_that_gets_itself_as_endpoint_is_answered() {
    for names in FAMILIES {
        let mut bed = with_endpoints(&names, &[names.endpoint], true);
        bed.set_interface(address(V4.snat_address), address(V6.snat_address), INSIDE);
        let pod = names.endpoint.replace("8080", "41000");
        let output = bed.ingress(&tcp(&pod, names.frontend, SYN).bytes());
        becomes(&output, &tcp(&pod, names.endpoint, SYN));
        let output = bed.egress(&output.packet);
        let node = written(&bed.connection(key(HOOK_EGRESS, TCP, &pod, names.endpoint)).unwrap());
        becomes(&output, &tcp(&node, names.endpoint, SYN));
        let output = bed.ingress(&tcp(names.endpoint, &node, SYN | ACK).bytes());
        becomes(&output, &tcp(names.endpoint, &pod, SYN | ACK));
        becomes(&bed.egress(&output.packet), &tcp(names.frontend, &pod, SYN | ACK));
    }
}

#[test]
fn options_and_extension_headers_are_stepped_over() {
    let mut bed = with_endpoints(&V4, &[V4.endpoint], true);
    for options in [vec![1; 4], vec![1; 12], vec![1; 40]] {
        let with = |mut packet: packets::build::Packet| {
            packet.options.clone_from(&options);
            packet
        };
        let output = bed.ingress(&with(tcp(V4.client, V4.frontend, SYN)).bytes());
        becomes(&output, &with(tcp(V4.client, V4.endpoint, SYN)));
        let output = bed.egress(&with(udp(V4.endpoint, V4.client)).bytes());
        assert_eq!(output.verdict, Verdict::Pass);
    }
    let mut bed = with_endpoints(&V6, &[V6.endpoint], true);
    for extensions in [vec![0], vec![60], vec![0, 43, 60], vec![0, 60, 43, 60, 60]] {
        let with = |mut packet: packets::build::Packet| {
            packet.extensions.clone_from(&extensions);
            packet
        };
        let output = bed.ingress(&with(tcp(V6.client, V6.frontend, SYN)).bytes());
        becomes(&output, &with(tcp(V6.client, V6.endpoint, SYN)));
    }
    // More than any sender has a reason for, and headers that hide what follows, are let be.
    for extensions in [vec![60; 7], vec![51]] {
        let mut packet = tcp(V6.client, V6.frontend, SYN);
        packet.extensions = extensions;
        untouched(&bed.ingress(&packet.bytes()), &packet.bytes());
    }
}

#[test]
fn a_wrong_checksum_stays_wrong_and_none_stays_none() {
    for names in FAMILIES {
        for protocol in PROTOCOLS {
            let mut bed = with_endpoints(&names, &[names.endpoint], true);
            // The payload is damaged after the checksum was made: the same damage must remain.
            let damaged = |packet: packets::build::Packet| {
                let mut bytes = packet.bytes();
                *bytes.last_mut().unwrap() ^= 0x55;
                bytes
            };
            let output = bed.ingress(&damaged(of(protocol, names.client, names.frontend, SYN)));
            assert_eq!(output.packet, damaged(of(protocol, names.client, names.endpoint, SYN)));
        }
    }
    let none = |source: &str, destination: &str| {
        let mut packet = udp(source, destination);
        packet.transport = Transport::Udp { checksum: false };
        packet
    };
    let mut bed = with_endpoints(&V4, &[V4.endpoint], false);
    let output = bed.ingress(&none(V4.client, V4.frontend).bytes());
    becomes(&output, &none(V4.client, V4.endpoint));
    let output = bed.egress(&output.packet);
    let node = snat_source(&mut bed, &V4, 17);
    becomes(&output, &none(&node, V4.endpoint));
    let output = bed.ingress(&none(V4.endpoint, &node).bytes());
    becomes(&output, &none(V4.endpoint, V4.client));
    becomes(&bed.egress(&output.packet), &none(V4.frontend, V4.client));
}

#[test]
fn every_udp_checksum_comes_out_right_and_never_as_none() {
    let mut bed = with_endpoints(&V4, &[V4.endpoint], true);
    for word in 0..=u16::MAX {
        let payload = word.to_be_bytes();
        let output = bed.ingress(&udp(V4.client, V4.frontend).with_payload(&payload).bytes());
        let expected = udp(V4.client, V4.endpoint).with_payload(&payload).bytes();
        assert_eq!(output.packet, expected, "payload {word:04x}");
    }
}

#[test]
fn what_is_no_services_is_not_touched() {
    for names in FAMILIES {
        let mut bed = with_endpoints(&names, &[names.endpoint], true);
        let node = names.node_port.replace(":30080", "");
        for protocol in PROTOCOLS {
            for destination in [
                names.frontend.replace(":80", ":81"),
                names.endpoint.to_owned(),
                format!("{node}:8472"),
                format!("{node}:80"),
                names.other_endpoint.replace(":8080", ":80"),
                format!("{node}:{}", SNAT_PORTS.0),
            ] {
                let packet = of(protocol, names.client, &destination, SYN).bytes();
                untouched(&bed.ingress(&packet), &packet);
                untouched(&bed.egress(&packet), &packet);
            }
        }
        assert!(bed.connections().is_empty());
        let mut arp = tcp(names.client, names.frontend, SYN).bytes();
        arp[12..14].copy_from_slice(&[0x08, 0x06]);
        untouched(&bed.ingress(&arp), &arp);
    }
}

#[test]
fn node_ports_answer_at_the_nodes_addresses_alone() {
    let mut bed = with_endpoints(&V4, &[V4.endpoint], true);
    bed.add_node_address(address("127.0.0.1"), true);
    for destination in ["127.0.0.1:30080", "192.0.2.77:30080"] {
        let packet = tcp(V4.client, destination, SYN).bytes();
        untouched(&bed.ingress(&packet), &packet);
    }
    bed.set_endpoints(1, &[endpoint(V4.other_endpoint, true)]);
    // A frontend of its own at the address goes before the NodePort of all addresses.
    bed.add_frontend(address(V4.node_address), 30080, TCP, service(1, 1));
    let output = bed.ingress(&tcp(V4.client, V4.node_port, SYN).bytes());
    becomes(&output, &tcp(V4.client, V4.other_endpoint, SYN));
}

#[test]
fn interfaces_without_link_headers_have_their_own_programs() {
    // A test run always has an Ethernet header; the programs without one must not take it for IP.
    let mut bed = with_endpoints(&V4, &[V4.endpoint], true);
    let packet = tcp(V4.client, V4.frontend, SYN).bytes();
    untouched(&bed.run("ingress_l3", &packet), &packet);
    untouched(&bed.run("egress_l3", &packet), &packet);
    assert!(bed.connection(key(HOOK_INGRESS, TCP, V4.client, V4.frontend)).is_none());
}
