//! What the packet path costs, in nanoseconds per packet: a measurement for maintainers, ignored otherwise.
//!
//! `cargo test -p proxy-ebpf --test tc_cost -- --ignored --nocapture`
//!
//! The kernel runs a program many times over one packet, which stays as the program left it. Two connections whose
//! rewriting leads from one to the other keep the work the same in each run. The kernel's own part of a run is not
//! taken off. Numbers of one machine compare only with each other.
#![allow(clippy::unwrap_used, reason = "the file is a test")]

mod packets;

use packets::bed::{Bed, SNAT_PORTS, Verdict, now};
use packets::build::{ACK, tcp, udp};
use packets::node::{FAMILIES, Names, SERVICE, V4, address, key, with_endpoints};
use weft_proxy_abi::{
    CONNECTION_DNAT, CONNECTION_SNAT, CONNECTION_UNDO_DNAT, CONNECTION_UNDO_SNAT, Connection, HOOK_EGRESS,
    HOOK_INGRESS, STATE_ESTABLISHED, TCP,
};

const REPEAT: u32 = 1_000_000;
/// The best of so many measurements counts: other work on the machine only adds.
const ROUNDS: u32 = 3;

/// Measures and prints one line.
fn line(bed: &mut Bed, what: &str, hook: u8, packet: &[u8]) {
    let program = if hook == HOOK_INGRESS { "ingress" } else { "egress" };
    let best = (0..ROUNDS).map(|_| bed.cost(program, packet, REPEAT)).min().unwrap();
    println!("{program:8} {what:32} {:4} ns", best.as_nanos());
}

/// Two tuples at a hook, each of which is rewritten to the other.
fn exchange(bed: &mut Bed, hook: u8, kind: u8, tuples: [(&str, &str); 2]) {
    for (index, (source, destination)) in tuples.into_iter().enumerate() {
        let (other_source, other_destination) = tuples[1 - index];
        let written = if hook == HOOK_INGRESS { other_destination } else { other_source };
        let (ip, port) = written.rsplit_once(':').unwrap();
        let entry = Connection {
            address: address(ip.trim_matches(['[', ']'])),
            port_be: port.parse::<u16>().unwrap().to_be(),
            kind,
            state: STATE_ESTABLISHED,
            service: SERVICE,
            generation: 1,
            expires: now() + 21_600,
        };
        bed.set_connection(key(hook, TCP, source, destination), entry);
    }
}

/// Packets of the four kinds of connections.
fn translated(names: &Names) {
    let mut bed = with_endpoints(names, &[names.endpoint], false);
    bed.add_port(0, 8080);
    bed.add_port(2, 30080);
    let node = |port| format!("{}:{port}", names.node_port.trim_end_matches(":30080"));
    let (node, other_node) = (node(SNAT_PORTS.0), node(SNAT_PORTS.1));
    let kinds = [
        (
            "DNAT",
            HOOK_INGRESS,
            CONNECTION_DNAT,
            [(names.client, names.node_port), (names.client, names.endpoint)],
        ),
        (
            "DNAT undone",
            HOOK_EGRESS,
            CONNECTION_UNDO_DNAT,
            [(names.endpoint, names.client), (names.node_port, names.client)],
        ),
        ("SNAT", HOOK_EGRESS, CONNECTION_SNAT, [(names.client, names.endpoint), (&node, names.endpoint)]),
        (
            "SNAT undone",
            HOOK_INGRESS,
            CONNECTION_UNDO_SNAT,
            [(names.endpoint, &node), (names.endpoint, &other_node)],
        ),
    ];
    let family = if names.client.starts_with('[') { "IPv6" } else { "IPv4" };
    for (what, hook, kind, tuples) in kinds {
        exchange(&mut bed, hook, kind, tuples);
        let [one, other] = tuples.map(|(source, destination)| tcp(source, destination, ACK).bytes());
        let program = if hook == HOOK_INGRESS { "ingress" } else { "egress" };
        let output = bed.run(program, &one);
        assert_eq!(
            (output.verdict, output.packet),
            (Verdict::Pass, other),
            "{what} leads to the other tuple"
        );
        line(&mut bed, &format!("{what}, {family}"), hook, &one);
    }
}

/// Packets that are no service's.
fn others(names: &Names) {
    let mut bed = with_endpoints(names, &[names.endpoint], false);
    let tunnel = names.node_port.replace(":30080", ":8472");
    let elsewhere = names.node_port.replace(":30080", ":443");
    let family = if names.client.starts_with('[') { "IPv6" } else { "IPv4" };
    for hook in [HOOK_INGRESS, HOOK_EGRESS] {
        let packet = udp(names.client, &tunnel).bytes();
        line(&mut bed, &format!("others' UDP, {family}"), hook, &packet);
        let packet = tcp(names.client, &elsewhere, ACK).bytes();
        line(&mut bed, &format!("others' TCP, {family}"), hook, &packet);
    }
}

#[test]
#[ignore = "a measurement"]
fn cost_of_a_packet() {
    let mut arp = udp(V4.client, V4.client).bytes();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    line(&mut Bed::new(), "ARP", HOOK_INGRESS, &arp);
    for names in FAMILIES {
        others(&names);
        translated(&names);
    }
}
