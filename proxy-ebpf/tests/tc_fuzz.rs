//! Packets of every kind, whole and damaged, in any order: each goes on as it came, is dropped, or differs in nothing
//! but one side of its tuple and the checksums over it.
#![allow(clippy::unwrap_used, reason = "the file is a test")]

mod packets;

use packets::bed::{Bed, Verdict};
use packets::build::{Fragment, Packet, Transport, error, of, udp};
use packets::check::{Side, rewritten};
use packets::node::{V4, V6, address, endpoint, service, set_service};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::{Cell, RefCell};
use weft_proxy_abi::INSIDE;

const CASES: u32 = 20_000;

/// Tuples around the services: clients, frontends, endpoints, the node with SNAT's ports, strangers.
const TUPLES_V4: [&str; 10] = [
    "192.0.2.9:40000",
    "192.0.2.10:40000",
    "10.96.0.1:80",
    "192.0.2.1:30080",
    "10.42.2.5:8080",
    "10.42.2.6:8080",
    "10.42.1.1:61000",
    "10.42.1.1:61001",
    "10.42.1.1:0",
    "198.51.100.1:8472",
];
const TUPLES_V6: [&str; 10] = [
    "[2001:db8::9]:40000",
    "[2001:db8::a]:40000",
    "[fd00:96::1]:80",
    "[2001:db8::1]:30080",
    "[fd00:42:2::5]:8080",
    "[fd00:42:2::6]:8080",
    "[fd00:42:1::1]:61000",
    "[fd00:42:1::1]:61001",
    "[fd00:42:1::1]:0",
    "[2001:db8:1::1]:8472",
];

/// Positions of sources and destinations that connections have.
const CONNECTIONS: [(usize, usize); 8] = [(0, 2), (0, 3), (1, 2), (4, 0), (5, 0), (0, 4), (4, 6), (8, 0)];

/// What is done to a right packet.
#[derive(Clone, Debug)]
enum Damage {
    None,
    Byte { at: prop::sample::Index, value: u8 },
    Cut { to: prop::sample::Index },
    Padding { bytes: u8 },
}

#[derive(Clone, Debug)]
struct Case {
    packet: Packet,
    damage: Damage,
    ingress: bool,
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.packet.bytes();
        match &self.damage {
            Damage::None => {}
            Damage::Byte { at, value } => *at.get_mut(&mut bytes[12..]) = *value,
            Damage::Cut { to } => bytes.truncate(15 + to.index(bytes.len() - 15)),
            Damage::Padding { bytes: more } => bytes.extend(std::iter::repeat_n(0xa5, usize::from(*more))),
        }
        bytes
    }
}

fn tuples() -> impl Strategy<Value = (&'static str, &'static str)> {
    let any_two = (0..10_usize, 0..10_usize);
    let pairs = prop_oneof![any_two, prop::sample::select(CONNECTIONS.to_vec())];
    (any::<bool>(), pairs).prop_map(|(v6, (source, destination))| {
        let tuples = if v6 { TUPLES_V6 } else { TUPLES_V4 };
        (tuples[source], tuples[destination])
    })
}

fn transports() -> impl Strategy<Value = Packet> {
    let headers = (
        proptest::collection::vec(Just(1_u8), 0..=40),
        proptest::sample::subsequence(vec![0, 43, 60], 0..=3),
    );
    (
        tuples(),
        any::<bool>(),
        any::<u8>(),
        proptest::collection::vec(any::<u8>(), 0..40),
        headers,
        any::<bool>(),
    )
        .prop_map(|((source, destination), tcp, flags, payload, (options, extensions), checksum)| {
            let mut packet = of(if tcp { 6 } else { 17 }, source, destination, flags).with_payload(&payload);
            if !tcp {
                packet.transport = Transport::Udp { checksum };
            }
            if packet.source.is_ipv4() {
                packet.options = options;
            } else {
                packet.extensions = extensions;
            }
            packet
        })
}

fn fragments() -> impl Strategy<Value = Packet> {
    (tuples(), 0..2_u16, prop::sample::select(vec![(0, 24), (24, 48), (48, usize::MAX)])).prop_map(
        |((source, destination), id, (from, to))| {
            let mut packet = udp(source, destination).with_payload(&[0x3c; 64]);
            packet.fragment = Some(Fragment { id, from, to });
            packet
        },
    )
}

fn errors() -> impl Strategy<Value = Packet> {
    (transports(), tuples(), 0..140_u8, 0..100_usize, any::<bool>()).prop_map(
        |(about, (router, _), kind, bytes, to_its_sender)| {
            let ip = |socket: std::net::SocketAddr| socket.ip().to_string();
            let router = packets::build::socket(router);
            let source = if router.is_ipv4() == about.source.is_ipv4() { router } else { about.destination };
            let destination = if to_its_sender { about.source } else { about.destination };
            // Mostly the kinds that carry a packet.
            let kind = if kind < 120 { [1, 2, 3, 4, 11, 12][usize::from(kind % 6)] } else { kind };
            error(&ip(source), &ip(destination), kind, &about, bytes)
        },
    )
}

fn cases() -> impl Strategy<Value = Case> {
    let packets = prop_oneof![4 => transports(), 1 => fragments(), 3 => errors()];
    let damage = prop_oneof![
        4 => Just(Damage::None),
        2 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, value)| Damage::Byte { at, value }),
        1 => any::<prop::sample::Index>().prop_map(|to| Damage::Cut { to }),
        1 => (1..30_u8).prop_map(|bytes| Damage::Padding { bytes }),
    ];
    (packets, damage, any::<bool>()).prop_map(|(packet, damage, ingress)| Case { packet, damage, ingress })
}

/// A node with both families, on which a pod's side and the other side are one interface in turn.
fn node() -> Bed {
    let mut bed = Bed::new();
    bed.set_interface(address(V4.snat_address), address(V6.snat_address), 0);
    for (base, names) in [(0, V4), (2, V6)] {
        bed.add_node_address(address(names.node_address), false);
        bed.set_endpoints(base, &[endpoint(names.endpoint, false), endpoint(names.other_endpoint, true)]);
        set_service(&mut bed, &names, service(base, 2));
    }
    bed
}

#[test]
fn any_packet_is_passed_on_dropped_or_rewritten_right() {
    let bed = RefCell::new(node());
    let (changed, seen) = (Cell::new(0_u32), Cell::new(0_u32));
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&cases(), |case| {
        let mut bed = bed.borrow_mut();
        seen.set(seen.get() + 1);
        let inside = if seen.get() / 200 % 2 == 1 { INSIDE } else { 0 };
        bed.set_interface(address(V4.snat_address), address(V6.snat_address), inside);
        let bytes = case.bytes();
        let (program, side) =
            if case.ingress { ("ingress", Side::Destination) } else { ("egress", Side::Source) };
        let Some(output) = bed.try_run(program, &bytes) else {
            return Ok(());
        };
        if output.verdict == Verdict::Pass && output.packet != bytes {
            changed.set(changed.get() + 1);
            rewritten(&bytes, &output.packet, side);
        }
        Ok(())
    });
    result.unwrap();
    // As many as must be, or nothing was tested.
    assert!(changed.get() > CASES / 40, "{} of {} packets were rewritten", changed.get(), seen.get());
    println!("{} of {} packets were rewritten", changed.get(), seen.get());
}
