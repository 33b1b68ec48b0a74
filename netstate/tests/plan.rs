//! Properties of the plan, against a model of the kernel: no root needed.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netstate::{Address, Desired, FdbEntry, Mac, Neighbour, Op, Route, Rule, Scope, State, plan};
use proptest::prelude::*;

/// Does what the kernel does, on a value.
fn apply(state: &mut State, op: Op) {
    match op {
        Op::AddAddress(a) => {
            assert!(
                !state.addresses.iter().any(|x| x.dev == a.dev && x.net.ip() == a.net.ip()),
                "EEXIST {a:?}"
            );
            state.addresses.push(a);
        }
        Op::DeleteAddress(a) => state.addresses.retain(|x| *x != a),
        Op::ReplaceRoute(r) => {
            state.routes.retain(|x| x.key() != r.key());
            state.routes.push(r);
        }
        Op::DeleteRoute(r) => state.routes.retain(|x| *x != r),
        Op::ReplaceNeighbour(n) => {
            state.neighbours.retain(|x| (&x.dev, x.ip) != (&n.dev, n.ip));
            state.neighbours.push(n);
        }
        Op::DeleteNeighbour(n) => state.neighbours.retain(|x| *x != n),
        Op::ReplaceFdb(e) => {
            state.fdb.retain(|x| (&x.dev, x.mac) != (&e.dev, e.mac));
            state.fdb.push(e);
        }
        Op::DeleteFdb(e) => state.fdb.retain(|x| *x != e),
        Op::AddRule(r) => state.rules.push(r),
        Op::DeleteRule(r) => state.rules.retain(|x| *x != r),
        other => panic!("{other} is not planned from entries"),
    }
}

fn dev() -> impl Strategy<Value = netstate::DevName> {
    prop_oneof![Just("flannel.1".into()), Just("eth0".into())]
}

fn net(low: u8) -> impl Strategy<Value = IpNetwork> {
    (0..low, prop_oneof![Just(24u8), Just(16u8)])
        .prop_map(|(n, prefix)| IpNetwork::new(IpAddr::from([10, n, 0, 0]), prefix).unwrap())
}

fn route() -> impl Strategy<Value = Route> {
    (net(4), dev(), 1u8..4, any::<bool>()).prop_map(|(dest, dev, via, ours)| {
        let route = Route::of(dest, dev).via(IpAddr::from([192, 0, 2, via]));
        Route { protocol: if ours { netstate::ROUTE_PROTOCOL } else { 3 }, ..route }
    })
}

fn address() -> impl Strategy<Value = Address> {
    (dev(), net(3)).prop_map(|(dev, net)| Address::of(dev, net))
}

fn neighbour() -> impl Strategy<Value = Neighbour> {
    (dev(), 0u8..3, 0u8..3, any::<bool>()).prop_map(|(dev, ip, mac, permanent)| Neighbour {
        dev,
        ip: IpAddr::from([10, 0, 0, ip]),
        mac: Some(Mac([2, 0, 0, 0, 0, mac])),
        permanent,
    })
}

fn fdb() -> impl Strategy<Value = FdbEntry> {
    (dev(), 0u8..3, 0u8..3, any::<bool>()).prop_map(|(dev, mac, dst, permanent)| FdbEntry {
        dev,
        mac: Mac([2, 0, 0, 0, 0, mac]),
        dst: Some(IpAddr::from([192, 0, 2, dst])),
        permanent,
    })
}

fn unique<T: Clone, K: std::hash::Hash + Eq>(items: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut seen = std::collections::HashSet::new();
    items.into_iter().filter(|item| seen.insert(key(item))).collect()
}

prop_compose! {
    fn state()(
        addresses in prop::collection::vec(address(), 0..6),
        routes in prop::collection::vec(route(), 0..6),
        neighbours in prop::collection::vec(neighbour(), 0..6),
        fdb in prop::collection::vec(fdb(), 0..6),
        rules in prop::collection::vec((0u32..4).prop_map(|p| Rule::from_source(p, "10.0.0.0/8".parse().unwrap(), 100)), 0..3),
    ) -> State {
        State {
            addresses: unique(addresses, |a| (a.dev.clone(), a.net.ip())),
            routes: unique(routes, Route::key),
            neighbours: unique(neighbours, |n| (n.dev.clone(), n.ip)),
            fdb: unique(fdb, |e| (e.dev.clone(), e.mac)),
            rules: unique(rules, Clone::clone),
            ..State::default()
        }
    }
}

proptest! {
    #[test]
    fn one_round_reaches_the_goal_and_a_second_has_nothing_to_do(want in state(), have in state()) {
        let scope = Scope { devices: ["flannel.1".into()].into(), route_networks: vec!["10.0.0.0/8".parse().unwrap()], rule_priorities: Some((0, 2)) };
        let desired = Desired {
            addresses: want.addresses, routes: want.routes, neighbours: want.neighbours, fdb: want.fdb, rules: want.rules,
            scope: scope.clone(), ..Desired::default()
        };
        let before = have.clone();
        let mut now = have;
        // An address of a device that is not ours is not deleted, so one we want there must be new.
        prop_assume!(desired.addresses.iter().all(|a| scope.devices.contains(&a.dev)
            || before.addresses.iter().all(|b| b.dev != a.dev || b.net.ip() != a.net.ip() || b.net == a.net)));
        for op in plan(&desired, &now) {
            apply(&mut now, op);
        }
        prop_assert_eq!(plan(&desired, &now), vec![]);
        for route in &desired.routes {
            prop_assert!(now.routes.iter().any(|r| route.same_path(r)));
        }
        // What is neither ours nor in our way is as it was.
        for route in before.routes.iter().filter(|r| r.dev.as_deref() == Some("eth0") && r.protocol == 3) {
            let in_the_way = desired.routes.iter().any(|d| d.key() == route.key());
            prop_assert!(in_the_way || now.routes.contains(route));
        }
        for entry in before.fdb.iter().filter(|e| &*e.dev == "eth0" || !e.permanent) {
            let in_the_way = desired.fdb.iter().any(|d| d.dev == entry.dev && d.mac == entry.mac);
            prop_assert!(in_the_way || now.fdb.contains(entry));
        }
    }
}
