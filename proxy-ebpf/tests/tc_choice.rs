//! Which endpoint a new connection gets, and which connections get none.
#![allow(clippy::unwrap_used, reason = "the file is a test")]

mod packets;

use packets::bed::{Bed, Verdict, now};
use packets::build::{ACK, RST, SYN, error, of, tcp, udp};
use packets::node::{
    FAMILIES, PROTOCOLS, SERVICE, V4, address, becomes, key, service, set_service, untouched, with_endpoints,
    written,
};
use weft_proxy_abi::{
    Affinity, AffinityKey, CLIENT_ADDRESS, DROPPED_NO_ENDPOINT, DROPPED_NO_LOCAL_ENDPOINT,
    DROPPED_SOURCE_RANGE, HOOK_INGRESS, INSIDE, SERVICE_AFFINITY, SERVICE_SOURCE_RANGES, TCP, hash,
};

const SLOTS: u32 = 251;

/// Endpoints of one node, at 10.42.2.1 and on.
fn endpoints(count: u16) -> Vec<String> {
    (1..=count).map(|n| format!("10.42.2.{n}:8080")).collect()
}

fn bed_with(endpoints: &[String]) -> Bed {
    with_endpoints(&V4, &endpoints.iter().map(String::as_str).collect::<Vec<_>>(), true)
}

/// The endpoint that a new connection of a client gets.
fn chosen(bed: &mut Bed, client: &str) -> String {
    bed.ingress(&tcp(client, V4.frontend, SYN).bytes());
    written(&bed.connection(key(HOOK_INGRESS, TCP, client, V4.frontend)).unwrap())
}

fn client(port: u32) -> String {
    format!("192.0.2.9:{port}")
}

/// The hash that the kernel and the daemon must agree on.
fn hash_of(port: u32) -> u64 {
    hash::flow(&address("192.0.2.9"), (port as u16).to_be(), 80_u16.to_be(), TCP)
}

#[test]
fn without_a_table_endpoints_are_chosen_by_the_shared_hash() {
    let all = endpoints(7);
    let mut bed = bed_with(&all);
    for port in 1_000..1_500 {
        let expected = &all[hash::slot(hash_of(port), 7) as usize];
        assert_eq!(&chosen(&mut bed, &client(port)), expected);
    }
}

#[test]
fn the_maglev_table_decides_for_clients_elsewhere() {
    let all = endpoints(4);
    let mut bed = bed_with(&all);
    let mut with_table = service(0, 4);
    with_table.maglev = 0;
    set_service(&mut bed, &V4, with_table);
    let mut table: Vec<u16> = (0..SLOTS).map(|slot| (slot * 7 % SLOTS % 4) as u16).collect();
    bed.set_maglev(&table);
    let mut hits = [0_u32; 4];
    for port in 1_000..3_000 {
        let position = table[hash::slot(hash_of(port), SLOTS) as usize];
        assert_eq!(chosen(&mut bed, &client(port)), all[usize::from(position)]);
        hits[usize::from(position)] += 1;
    }
    assert!(hits.iter().all(|count| (400..600).contains(count)), "{hits:?}");
    // One slot changes: the flows of that slot move, and no others.
    let moved = hash::slot(hash_of(3_000), SLOTS) as usize;
    table[moved] = (table[moved] + 1) % 4;
    bed.set_maglev(&table);
    for port in 3_000..3_500 {
        let position = table[hash::slot(hash_of(port), SLOTS) as usize];
        assert_eq!(chosen(&mut bed, &client(port)), all[usize::from(position)]);
    }
    // A table of more endpoints than the block has is not believed.
    bed.set_maglev(&[9; SLOTS as usize]);
    let expected = &all[hash::slot(hash_of(4_000), 4) as usize];
    assert_eq!(&chosen(&mut bed, &client(4_000)), expected);
}

#[test]
fn clients_inside_have_their_own_block() {
    let all = endpoints(4);
    let mut bed = bed_with(&all);
    let mut divided = service(0, 1);
    divided.inside.base = 3;
    set_service(&mut bed, &V4, divided);
    assert_eq!(chosen(&mut bed, &client(1_000)), all[0]);
    bed.set_interface(address(V4.snat_address), [0; 16], INSIDE);
    assert_eq!(chosen(&mut bed, &client(1_001)), all[3]);
}

#[test]
fn a_client_keeps_its_endpoint_until_the_time_out() {
    let all = endpoints(16);
    let mut bed = bed_with(&all);
    let mut with_affinity = service(0, 16);
    with_affinity.flags |= SERVICE_AFFINITY;
    with_affinity.affinity_seconds = 100;
    set_service(&mut bed, &V4, with_affinity);
    let by_address = &all[hash::slot(hash::client(&address("192.0.2.9")), 16) as usize];
    for port in 1_000..1_020 {
        assert_eq!(&chosen(&mut bed, &client(port)), by_address);
    }
    let kept = AffinityKey { client: address("192.0.2.9"), service: SERVICE, kind: CLIENT_ADDRESS };
    assert!(now() - bed.affinity(kept).unwrap().seen <= 1);
    let other = all.iter().find(|at| *at != by_address).unwrap();
    let seen_ago = |seconds: u32| Affinity {
        address: address(other.strip_suffix(":8080").unwrap()),
        port_be: 8080_u16.to_be(),
        zero: 0,
        seen: now() - seconds,
    };
    bed.set_affinity(kept, seen_ago(90));
    assert_eq!(&chosen(&mut bed, &client(2_000)), other);
    assert!(now() - bed.affinity(kept).unwrap().seen <= 1, "each connection begins the time-out anew");
    bed.set_affinity(kept, seen_ago(110));
    assert_eq!(&chosen(&mut bed, &client(2_001)), by_address);
    // An endpoint that is gone is not kept.
    bed.set_affinity(kept, Affinity { port_be: 1, ..seen_ago(0) });
    assert_eq!(&chosen(&mut bed, &client(2_002)), by_address);
}

#[test]
fn only_source_ranges_may_come_in() {
    let mut bed = with_endpoints(&V4, &[V4.endpoint], true);
    let mut limited = service(0, 1);
    limited.flags |= SERVICE_SOURCE_RANGES;
    set_service(&mut bed, &V4, limited);
    bed.add_source_range(SERVICE, address("192.0.2.0"), 96 + 29);
    bed.add_source_range(SERVICE + 1, address("0.0.0.0"), 96);
    for (source, may) in [("192.0.2.7:5", true), ("192.0.2.9:5", false), ("198.51.100.1:5", false)] {
        let output = bed.ingress(&tcp(source, V4.frontend, SYN).bytes());
        assert_eq!(output.verdict == Verdict::Pass, may, "{source}");
    }
    let counters = bed.counters(SERVICE);
    assert_eq!(counters.dropped[DROPPED_SOURCE_RANGE], 2);
    assert_eq!(counters.packet_connections, 1);
}

#[test]
fn a_service_without_endpoints_refuses_by_the_node_itself() {
    for names in FAMILIES {
        for protocol in PROTOCOLS {
            let mut bed = with_endpoints(&names, &[], true);
            let brackets = names.client.starts_with('[');
            let nobody = if brackets {
                format!("[{}]:0", names.snat_address)
            } else {
                format!("{}:0", names.snat_address)
            };
            let output = bed.ingress(&of(protocol, names.client, names.frontend, SYN).bytes());
            becomes(&output, &of(protocol, names.client, &nobody, SYN));
            if protocol == TCP {
                let refusal = tcp(&nobody, names.client, RST | ACK);
                becomes(&bed.egress(&refusal.bytes()), &tcp(names.frontend, names.client, RST | ACK));
            } else {
                let kind = if brackets { 1 } else { 3 };
                let about = |to: &str| udp(names.client, to);
                let refusal =
                    error(names.snat_address, names.client_address, kind, &about(&nobody), usize::MAX);
                let told = error(
                    names.frontend_address,
                    names.client_address,
                    kind,
                    &about(names.frontend),
                    usize::MAX,
                );
                becomes(&bed.egress(&refusal.bytes()), &told);
            }
            assert_eq!(bed.counters(SERVICE).dropped[DROPPED_NO_ENDPOINT], 1);
            // Without an address at the interface nobody could refuse.
            bed.set_interface([0; 16], [0; 16], 0);
            let output = bed.ingress(&of(protocol, names.client, names.frontend, SYN).bytes());
            assert_eq!(output.verdict, Verdict::Drop);
            assert_eq!(bed.counters(SERVICE).dropped[DROPPED_NO_ENDPOINT], 2);
        }
    }
}

#[test]
fn a_service_whose_endpoints_are_elsewhere_drops() {
    let mut bed = with_endpoints(&V4, &[], true);
    let mut local = service(0, 0);
    local.flags = 0;
    set_service(&mut bed, &V4, local);
    let output = bed.ingress(&tcp(V4.client, V4.node_port, SYN).bytes());
    assert_eq!(output.verdict, Verdict::Drop);
    let counters = bed.counters(SERVICE);
    assert_eq!(counters.dropped[DROPPED_NO_LOCAL_ENDPOINT], 1);
    assert_eq!(counters.packet_connections, 0);
    assert!(bed.connections().is_empty());
}

#[test]
fn a_connection_whose_entry_was_lost_finds_its_endpoint_again() {
    let all = endpoints(9);
    let mut bed = bed_with(&all);
    for port in 1_000..1_100 {
        let before = chosen(&mut bed, &client(port));
        bed.remove_connection(key(HOOK_INGRESS, TCP, &client(port), V4.frontend));
        let output = bed.ingress(&tcp(&client(port), V4.frontend, ACK).bytes());
        becomes(&output, &tcp(&client(port), &before, ACK));
    }
}

/// One client's port, two frontends, the same endpoints: replies from one endpoint could not be told apart.
#[test]
fn two_connections_from_one_port_get_two_endpoints() {
    for names in FAMILIES {
        for protocol in PROTOCOLS {
            let mut bed = with_endpoints(&names, &[names.endpoint, names.other_endpoint], true);
            let mut with_table = service(0, 2);
            with_table.maglev = 0;
            set_service(&mut bed, &names, with_table);
            bed.set_maglev(&[1; SLOTS as usize]);
            let to = |frontend: &str| of(protocol, names.client, frontend, SYN);
            let output = bed.ingress(&to(names.frontend).bytes());
            becomes(&output, &of(protocol, names.client, names.other_endpoint, SYN));
            let output = bed.ingress(&to(names.node_port).bytes());
            becomes(&output, &of(protocol, names.client, names.endpoint, SYN));
            for (endpoint, frontend) in
                [(names.other_endpoint, names.frontend), (names.endpoint, names.node_port)]
            {
                let reply = |from: &str| of(protocol, from, names.client, SYN | ACK);
                becomes(&bed.egress(&reply(endpoint).bytes()), &reply(frontend));
            }
        }
    }
}

#[test]
fn a_connection_that_has_ended_takes_no_replies() {
    let mut bed = with_endpoints(&V4, &[V4.endpoint, V4.other_endpoint], true);
    let mut with_table = service(0, 2);
    with_table.maglev = 0;
    set_service(&mut bed, &V4, with_table);
    bed.set_maglev(&[0; SLOTS as usize]);
    bed.ingress(&tcp(V4.client, V4.frontend, SYN).bytes());
    bed.ingress(&tcp(V4.client, V4.frontend, RST).bytes());
    let output = bed.ingress(&tcp(V4.client, V4.node_port, SYN).bytes());
    becomes(&output, &tcp(V4.client, V4.endpoint, SYN));
}

/// With one endpoint the newest connection wins.
#[test]
fn one_endpoint_goes_to_the_newest_connection() {
    let mut bed = with_endpoints(&V4, &[V4.endpoint], true);
    for frontend in [V4.frontend, V4.node_port] {
        let output = bed.ingress(&tcp(V4.client, frontend, SYN).bytes());
        becomes(&output, &tcp(V4.client, V4.endpoint, SYN));
        let reply = tcp(V4.endpoint, V4.client, SYN | ACK);
        becomes(&bed.egress(&reply.bytes()), &tcp(frontend, V4.client, SYN | ACK));
    }
}

#[test]
fn a_reset_of_no_connection_ends_here() {
    let mut bed = with_endpoints(&V4, &[V4.endpoint], true);
    let output = bed.ingress(&tcp(V4.client, V4.frontend, RST).bytes());
    assert_eq!(output.verdict, Verdict::Drop);
    assert!(bed.connections().is_empty());
    assert_eq!(bed.counters(SERVICE).dropped, [0; 8]);
    let direct = tcp(V4.client, V4.endpoint, RST).bytes();
    untouched(&bed.ingress(&direct), &direct);
}
