//! Connections over their lives: no order of flags loses an endpoint, a closed tuple begins anew, and no entry of an
//! old connection is taken for a new one's.
#![allow(clippy::unwrap_used, reason = "the file is a test")]

mod packets;

use packets::bed::{Bed, SNAT_PORTS, Verdict, now};
use packets::build::{ACK, FIN, RST, SYN, TCP, UDP, of, tcp, udp};
use packets::node::{
    FAMILIES, Names, PROTOCOLS, SERVICE, V4, address, becomes, key, service, set_service, untouched,
    with_endpoints, written,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;
use weft_proxy_abi::{
    Config, Connection, DROPPED_NO_SNAT_PORT, HOOK_EGRESS, HOOK_INGRESS, LAYOUT, STATE_CLOSED, STATE_CLOSING,
    STATE_ESTABLISHED, STATE_NEW, Service, state,
};

/// A node with two endpoints, whose table sends every new connection to one of them.
fn two_endpoints(names: &Names, first: u16) -> Bed {
    let mut bed = with_endpoints(names, &[names.endpoint, names.other_endpoint], true);
    let mut with_table = service(0, 2);
    with_table.maglev = 0;
    set_service(&mut bed, names, with_table);
    send_new_to(&mut bed, first);
    bed
}

fn send_new_to(bed: &mut Bed, position: u16) {
    bed.set_maglev(&[position; 251]);
}

fn forward(bed: &mut Bed, names: &Names, protocol: u8) -> Option<Connection> {
    bed.connection(key(HOOK_INGRESS, protocol, names.client, names.frontend))
}

fn back(bed: &mut Bed, names: &Names, protocol: u8) -> Option<Connection> {
    bed.connection(key(HOOK_EGRESS, protocol, names.endpoint, names.client))
}

/// An established connection to the first endpoint.
fn establish(bed: &mut Bed, names: &Names) {
    bed.ingress(&tcp(names.client, names.frontend, SYN).bytes());
    bed.egress(&tcp(names.endpoint, names.client, SYN | ACK).bytes());
    bed.ingress(&tcp(names.client, names.frontend, ACK).bytes());
}

#[test]
fn a_connection_is_followed_from_syn_to_the_last_fin() {
    for names in FAMILIES {
        let mut bed = two_endpoints(&names, 0);
        let states = |bed: &mut Bed| {
            let (there, back) = (forward(bed, &names, TCP).unwrap(), back(bed, &names, TCP).unwrap());
            for entry in [there, back] {
                let left = entry.expires - now();
                let whole = state::seconds(TCP, entry.state);
                assert!(left <= whole && left + 2 >= whole, "{left} of {whole} s");
            }
            (there.state, back.state)
        };
        bed.ingress(&tcp(names.client, names.frontend, SYN).bytes());
        assert_eq!(states(&mut bed), (STATE_NEW, STATE_NEW));
        bed.egress(&tcp(names.endpoint, names.client, SYN | ACK).bytes());
        assert_eq!(states(&mut bed), (STATE_ESTABLISHED, STATE_ESTABLISHED));
        bed.egress(&tcp(names.endpoint, names.client, FIN | ACK).bytes());
        assert_eq!(states(&mut bed), (STATE_ESTABLISHED, STATE_CLOSING));
        bed.ingress(&tcp(names.client, names.frontend, FIN | ACK).bytes());
        assert_eq!(states(&mut bed), (STATE_CLOSED, STATE_CLOSED));
        let last = tcp(names.endpoint, names.client, ACK);
        becomes(&bed.egress(&last.bytes()), &tcp(names.frontend, names.client, ACK));
    }
}

#[test]
fn a_syn_on_a_closed_tuple_chooses_afresh() {
    for names in FAMILIES {
        for closing in [&[(true, FIN | ACK), (false, FIN | ACK)][..], &[(true, RST)], &[(false, RST | ACK)]] {
            let mut bed = two_endpoints(&names, 0);
            establish(&mut bed, &names);
            send_new_to(&mut bed, 1);
            let again = tcp(names.client, names.frontend, SYN);
            becomes(&bed.ingress(&again.bytes()), &tcp(names.client, names.endpoint, SYN));
            for (from_client, flags) in closing {
                if *from_client {
                    bed.ingress(&tcp(names.client, names.frontend, *flags).bytes());
                } else {
                    bed.egress(&tcp(names.endpoint, names.client, *flags).bytes());
                }
            }
            becomes(&bed.ingress(&again.bytes()), &tcp(names.client, names.other_endpoint, SYN));
            assert_eq!(forward(&mut bed, &names, TCP).unwrap().state, STATE_NEW);
            // What the old endpoint still says is not said in the frontend's name.
            let late = tcp(names.endpoint, names.client, FIN | ACK).bytes();
            untouched(&bed.egress(&late), &late);
        }
    }
}

#[test]
fn an_expired_entry_counts_as_absent() {
    for protocol in PROTOCOLS {
        let mut bed = two_endpoints(&V4, 0);
        bed.ingress(&of(protocol, V4.client, V4.frontend, SYN).bytes());
        send_new_to(&mut bed, 1);
        for (hook, source, destination) in
            [(HOOK_INGRESS, V4.client, V4.frontend), (HOOK_EGRESS, V4.endpoint, V4.client)]
        {
            let at = key(hook, protocol, source, destination);
            let entry = bed.connection(at).unwrap();
            bed.set_connection(at, Connection { expires: now(), ..entry });
        }
        let output = bed.ingress(&of(protocol, V4.client, V4.frontend, SYN).bytes());
        becomes(&output, &of(protocol, V4.client, V4.other_endpoint, SYN));
        let late = of(protocol, V4.endpoint, V4.client, ACK).bytes();
        untouched(&bed.egress(&late), &late);
    }
}

/// The stale reverse entry: a client that went by the frontend opens a connection to the endpoint itself, from the
/// same port.
#[test]
fn a_direct_connection_is_not_answered_in_the_frontends_name() {
    for names in FAMILIES {
        for protocol in PROTOCOLS {
            // Where a frontend has the endpoint's port as well, the quick way out is not taken.
            for (local, frontends_port) in [(true, false), (false, false), (true, true), (false, true)] {
                let mut bed = with_endpoints(&names, &[names.endpoint], local);
                if frontends_port {
                    bed.add_port(u32::from(protocol == UDP), 8080);
                }
                let output = bed.ingress(&of(protocol, names.client, names.frontend, SYN).bytes());
                bed.egress(&output.packet);
                let direct = of(protocol, names.client, names.endpoint, SYN).bytes();
                untouched(&bed.ingress(&direct), &direct);
                untouched(&bed.egress(&direct), &direct);
                let reply = of(protocol, names.endpoint, names.client, SYN | ACK).bytes();
                untouched(&bed.egress(&reply), &reply);
            }
        }
    }
}

/// The same trap, where the direct SYN did not come by here: the forward entry is gone or leads elsewhere.
#[test]
fn a_reverse_entry_without_its_forward_entry_is_not_believed() {
    let mut bed = two_endpoints(&V4, 0);
    bed.ingress(&tcp(V4.client, V4.frontend, SYN).bytes());
    let there = key(HOOK_INGRESS, TCP, V4.client, V4.frontend);
    bed.remove_connection(there);
    let reply = tcp(V4.endpoint, V4.client, SYN | ACK).bytes();
    untouched(&bed.egress(&reply), &reply);
    assert!(back(&mut bed, &V4, TCP).is_none());

    bed.ingress(&tcp(V4.client, V4.frontend, SYN).bytes());
    let entry = bed.connection(there).unwrap();
    let elsewhere = address("10.42.2.6");
    bed.set_connection(there, Connection { address: elsewhere, ..entry });
    untouched(&bed.egress(&reply), &reply);
    assert!(back(&mut bed, &V4, TCP).is_none());
}

/// An LRU map may give any entry away: traffic of one direction restores the other's.
#[test]
fn traffic_keeps_and_restores_the_way_back() {
    for protocol in PROTOCOLS {
        let mut bed = two_endpoints(&V4, 0);
        bed.ingress(&of(protocol, V4.client, V4.frontend, SYN).bytes());
        bed.egress(&of(protocol, V4.endpoint, V4.client, SYN | ACK).bytes());
        let reverse = key(HOOK_EGRESS, protocol, V4.endpoint, V4.client);
        let there = key(HOOK_INGRESS, protocol, V4.client, V4.frontend);
        let whole = state::seconds(protocol, STATE_ESTABLISHED);
        // Both are about to expire; packets of the client alone keep both.
        for at in [reverse, there] {
            let entry = bed.connection(at).unwrap();
            bed.set_connection(at, Connection { expires: now() + 5, ..entry });
        }
        bed.ingress(&of(protocol, V4.client, V4.frontend, ACK).bytes());
        for at in [reverse, there] {
            assert!(bed.connection(at).unwrap().expires + 2 >= now() + whole);
        }
        bed.remove_connection(reverse);
        let entry = bed.connection(there).unwrap();
        bed.set_connection(there, Connection { expires: now() + 5, ..entry });
        bed.ingress(&of(protocol, V4.client, V4.frontend, ACK).bytes());
        let output = bed.egress(&of(protocol, V4.endpoint, V4.client, ACK).bytes());
        becomes(&output, &of(protocol, V4.frontend, V4.client, ACK));
    }
}

/// A FIN that is sent again, while the other direction's entry is lost, is still the FIN of one side.
#[test]
fn a_lost_entry_does_not_close_its_connection() {
    let mut bed = two_endpoints(&V4, 0);
    establish(&mut bed, &V4);
    for _ in 0..3 {
        bed.remove_connection(key(HOOK_EGRESS, TCP, V4.endpoint, V4.client));
        bed.ingress(&tcp(V4.client, V4.frontend, FIN | ACK).bytes());
        assert_eq!(forward(&mut bed, &V4, TCP).unwrap().state, STATE_CLOSING);
        assert_eq!(back(&mut bed, &V4, TCP).unwrap().state, STATE_ESTABLISHED);
    }
    let reply = tcp(V4.endpoint, V4.client, ACK);
    becomes(&bed.egress(&reply.bytes()), &tcp(V4.frontend, V4.client, ACK));
    bed.egress(&tcp(V4.endpoint, V4.client, FIN | ACK).bytes());
    assert_eq!(forward(&mut bed, &V4, TCP).unwrap().state, STATE_CLOSED);
}

#[test]
fn a_udp_flow_leaves_an_endpoint_that_is_gone() {
    for names in FAMILIES {
        let mut bed = two_endpoints(&names, 0);
        let packet = udp(names.client, names.frontend).bytes();
        becomes(&bed.ingress(&packet), &udp(names.client, names.endpoint));
        // The endpoints changed, and this one is still there.
        send_new_to(&mut bed, 1);
        let mut changed = service(0, 2);
        (changed.generation, changed.maglev) = (2, 0);
        set_service(&mut bed, &names, changed);
        becomes(&bed.ingress(&packet), &udp(names.client, names.endpoint));
        assert_eq!(forward(&mut bed, &names, UDP).unwrap().generation, 2);
        set_service(&mut bed, &names, only_the_second(3));
        becomes(&bed.ingress(&packet), &udp(names.client, names.other_endpoint));
        assert_eq!(bed.counters(SERVICE).packet_connections, 2);
        let late = udp(names.endpoint, names.client).bytes();
        untouched(&bed.egress(&late), &late);
        // The service is gone.
        bed.remove_frontend(address(names.frontend_address), 80, UDP);
        untouched(&bed.ingress(&packet), &packet);
        assert!(forward(&mut bed, &names, UDP).is_none());
    }
}

fn only_the_second(generation: u32) -> Service {
    let mut only = service(1, 1);
    only.generation = generation;
    only
}

#[test]
fn a_tcp_connection_stays_with_an_endpoint_that_is_gone_until_its_next_syn() {
    let mut bed = two_endpoints(&V4, 0);
    establish(&mut bed, &V4);
    set_service(&mut bed, &V4, only_the_second(2));
    let more = tcp(V4.client, V4.frontend, ACK);
    becomes(&bed.ingress(&more.bytes()), &tcp(V4.client, V4.endpoint, ACK));
    let reply = tcp(V4.endpoint, V4.client, ACK);
    becomes(&bed.egress(&reply.bytes()), &tcp(V4.frontend, V4.client, ACK));
    let again = tcp(V4.client, V4.frontend, SYN);
    becomes(&bed.ingress(&again.bytes()), &tcp(V4.client, V4.other_endpoint, SYN));
}

#[test]
fn a_syn_that_is_sent_again_keeps_its_endpoint() {
    let mut bed = two_endpoints(&V4, 0);
    let syn = tcp(V4.client, V4.frontend, SYN);
    bed.ingress(&syn.bytes());
    send_new_to(&mut bed, 1);
    becomes(&bed.ingress(&syn.bytes()), &tcp(V4.client, V4.endpoint, SYN));
    assert_eq!(bed.counters(SERVICE).packet_connections, 1);
}

#[test]
fn connections_that_find_no_port_are_dropped_until_one_is_free() {
    for names in FAMILIES {
        let mut bed = with_endpoints(&names, &[names.endpoint], false);
        let port = SNAT_PORTS.0;
        bed.configure(Config {
            layout: LAYOUT,
            maglev_slots: 251,
            netns_cookie: 0,
            snat_first: port,
            snat_last: port,
            zero: 0,
        });
        let other = names.client.replace(":40000", ":40001");
        let between = |bed: &mut Bed, client: &str| {
            let output = bed.ingress(&tcp(client, names.frontend, SYN).bytes());
            bed.egress(&output.packet)
        };
        assert_eq!(between(&mut bed, names.client).verdict, Verdict::Pass);
        assert_eq!(between(&mut bed, &other).verdict, Verdict::Drop);
        assert_eq!(bed.counters(SERVICE).dropped[DROPPED_NO_SNAT_PORT], 1);
        assert_eq!(between(&mut bed, names.client).verdict, Verdict::Pass, "the first one has its port");
        let node = if names.client.starts_with('[') {
            format!("[{}]:{port}", names.snat_address)
        } else {
            format!("{}:{port}", names.snat_address)
        };
        // A RST closes the first one; the next SYN of the other gets its port.
        bed.ingress(&tcp(names.endpoint, &node, RST).bytes());
        becomes(&between(&mut bed, &other), &tcp(&node, names.endpoint, SYN));
        let reply = tcp(names.endpoint, &node, SYN | ACK);
        becomes(&bed.ingress(&reply.bytes()), &tcp(names.endpoint, &other, SYN | ACK));
    }
}

#[test]
fn no_two_connections_to_an_endpoint_share_a_port() {
    let mut bed = with_endpoints(&V4, &[V4.endpoint, V4.other_endpoint], false);
    let mut nodes = Vec::new();
    for client_port in 1_000..1_100 {
        let client = format!("192.0.2.9:{client_port}");
        let output = bed.ingress(&tcp(&client, V4.frontend, SYN).bytes());
        assert_eq!(bed.egress(&output.packet).verdict, Verdict::Pass);
        let endpoint = written(&bed.connection(key(HOOK_INGRESS, TCP, &client, V4.frontend)).unwrap());
        let node = written(&bed.connection(key(HOOK_EGRESS, TCP, &client, &endpoint)).unwrap());
        nodes.push((endpoint, node));
    }
    let pairs = nodes.len();
    nodes.sort();
    nodes.dedup();
    assert_eq!(nodes.len(), pairs);
}

/// What the test knows of the connection, by itself: only RST, or FIN of both sides, closes.
struct Model {
    position: usize,
    client_fin: bool,
    endpoint_fin: bool,
    reset: bool,
}

impl Model {
    fn closed(&self) -> bool {
        self.reset || (self.client_fin && self.endpoint_fin)
    }

    fn sent(&mut self, from_client: bool, flags: u8) {
        self.reset |= flags & RST != 0;
        if flags & FIN != 0 && flags & RST == 0 {
            *(if from_client { &mut self.client_fin } else { &mut self.endpoint_fin }) = true;
        }
    }
}

/// Any flags from both sides: each packet goes where the connection is, and only a SYN after its end begins another,
/// at the endpoint that is then chosen.
#[test]
fn no_order_of_flags_loses_an_endpoint() {
    let names = V4;
    let bed = RefCell::new(two_endpoints(&names, 0));
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let events = proptest::collection::vec((any::<bool>(), 0_u8..64, any::<bool>()), 1..60);
    let result = TestRunner::new(config).run(&events, |events| {
        run_events(&mut bed.borrow_mut(), &names, &events);
        Ok(())
    });
    result.unwrap();
}

/// Runs packets (from the client or not, flags, whether a new connection would get the other endpoint) after a SYN.
fn run_events(bed: &mut Bed, names: &Names, events: &[(bool, u8, bool)]) {
    for (key, _) in bed.connections() {
        bed.remove_connection(key);
    }
    let endpoints = [names.endpoint, names.other_endpoint];
    send_new_to(bed, 0);
    bed.ingress(&tcp(names.client, names.frontend, SYN).bytes());
    let mut model = Model { position: 0, client_fin: false, endpoint_fin: false, reset: false };
    for &(from_client, flags, choose_other) in events {
        send_new_to(bed, u16::from(choose_other));
        if from_client {
            if model.closed() && state::opens(flags) {
                let position = usize::from(choose_other);
                model = Model { position, client_fin: false, endpoint_fin: false, reset: false };
            }
            model.sent(true, flags);
            let output = bed.ingress(&tcp(names.client, names.frontend, flags).bytes());
            becomes(&output, &tcp(names.client, endpoints[model.position], flags));
        } else {
            model.sent(false, flags);
            let output = bed.egress(&tcp(endpoints[model.position], names.client, flags).bytes());
            becomes(&output, &tcp(names.frontend, names.client, flags));
        }
        let entry = forward(bed, names, TCP).unwrap();
        assert_eq!(entry.state == STATE_CLOSED, model.closed());
    }
}
