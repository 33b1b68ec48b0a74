//! The overlay against the real kernel and a real etcd: what it must do, and each fault of flanneld
//! 0.28.9 that it must not have (numbered as in docs/architecture/overlay.md).

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod network;

use std::time::Duration;

use flannel_vxlan::{Error, Options};
use netstate::{
    Address, FdbEntry, LinkChange, Mac, Neighbour, NewLink, NewLinkKind, Op, Route, Vxlan,
    nft::{Chain, ChainKind, Family, Hook, HookPoint, Rule, Table, TableId},
    sysctl,
};
use network::{CONFIG, DUAL, Network, eventually, eventually_on, peer_entries, up};

const MAC: &str = "1a:6a:3f:7a:7d:c5";

/// A route of the overlay's making; the tests' default routes bear the same tag, and must live.
fn overlay_route(route: &Route) -> bool {
    route.protocol == netstate::ROUTE_PROTOCOL && route.dest.prefix() > 0
}

fn mac(text: &str) -> Mac {
    text.parse().unwrap()
}

#[test]
fn fault_1_twenty_nodes_start_at_once_and_none_ends() {
    let network = Network::of(20, CONFIG);
    let daemons: Vec<_> = network.nodes.iter().map(network::Node::start).collect();
    for node in &network.nodes {
        eventually("every node has 19 routes", || (node.peer_routes() == 19).then_some(()));
    }
    let leases = network.leases();
    assert_eq!(leases.len(), 20);
    assert!(leases.iter().all(|(.., id)| *id != 0), "every lease hangs on an etcd lease");
    for daemon in daemons {
        daemon.stop().unwrap();
    }
}

#[test]
fn faults_2_and_6_what_is_deleted_by_hand_comes_back() {
    let network = Network::of(1, CONFIG);
    let node = &network.nodes[0];
    network.put_peer("10.244.33.0-24", "10.0.2.77", MAC);
    let daemon = node.start();
    eventually("the peer is programmed", || node.has_peer("10.244.33.0/24").then_some(()));
    let state = node.kernel_state();
    let dev_mac = state.link("flannel.1").unwrap().mac;
    let own = state.addresses.iter().find(|a| &*a.dev == "flannel.1" && a.net.is_ipv4()).unwrap().clone();
    let route = state.routes.iter().find(|r| r.onlink).unwrap().clone();
    let peer =
        Neighbour { dev: "flannel.1".into(), ip: route.via.unwrap(), mac: Some(mac(MAC)), permanent: true };
    let fdb = FdbEntry {
        dev: "flannel.1".into(),
        mac: mac(MAC),
        dst: Some("10.0.2.77".parse().unwrap()),
        permanent: true,
    };
    let table = TableId { family: Family::Inet, name: "weft-flannel".into() };
    let spoil = [
        Op::DeleteRoute(route),
        Op::DeleteNeighbour(peer),
        Op::DeleteFdb(fdb),
        Op::DeleteAddress(own.clone()),
        Op::DeleteTable(table.clone()),
        Op::ChangeLink(LinkChange { up: Some(false), ..LinkChange::of("flannel.1") }),
        Op::ChangeLink(LinkChange { mac: Some(mac("02:00:00:00:00:99")), ..LinkChange::of("flannel.1") }),
        Op::ChangeLink(LinkChange { mtu: Some(1300), ..LinkChange::of("flannel.1") }),
        Op::DeleteLink("flannel.1".into()),
    ];
    for op in spoil {
        let text = op.to_string();
        node.apply(op);
        eventually(&format!("healed after `{text}`"), || {
            let state = node.kernel_state();
            let link = state.link("flannel.1")?;
            let whole = link.up
                && link.mtu == 1450
                && link.mac == dev_mac
                && peer_entries(&state, "10.244.33.0/24") == 3;
            let table = node
                .ns
                .run(|| netstate::Kernel::open().unwrap().nft().unwrap().fingerprint(&table).unwrap())
                .unwrap();
            (whole && table.is_some() && state.addresses.iter().any(|a| a.net == own.net && a.dev == own.dev))
                .then_some(())
        });
    }
    let lease = network.leases().into_iter().find(|(.., id)| *id != 0).unwrap();
    assert!(
        lease.1.contains(&dev_mac.unwrap().to_string()),
        "the MAC in the lease is the device's: {lease:?}"
    );
    daemon.stop().unwrap();
}

#[test]
fn fault_3_an_entry_that_is_gone_already_holds_up_no_other_peer() {
    let network = Network::of(1, CONFIG);
    let node = &network.nodes[0];
    network.put_peer("10.244.33.0-24", "10.0.2.77", MAC);
    let daemon = node.start();
    eventually("the first peer", || node.has_peer("10.244.33.0/24").then_some(()));
    node.apply(Op::DeleteLink("flannel.1".into()));
    network.delete("/coreos.com/network/subnets/10.244.33.0-24");
    network.put_peer("10.244.34.0-24", "10.0.2.78", "02:00:00:00:00:34");
    eventually("the next peer", || node.has_peer("10.244.34.0/24").then_some(()));
    eventually("the first one is gone", || {
        (peer_entries(&node.kernel_state(), "10.244.33.0/24") == 0).then_some(())
    });
    daemon.stop().unwrap();
}

#[test]
fn faults_4_and_8_a_bad_lease_removes_no_peer_and_is_told() {
    let network = Network::of(1, CONFIG);
    let node = &network.nodes[0];
    network.put_peer("10.244.33.0-24", "10.0.2.77", MAC);
    network.put("/coreos.com/network/subnets/rubbish", "{");
    let daemon = node.start();
    eventually("the peer beside rubbish", || node.has_peer("10.244.33.0/24").then_some(()));
    assert_eq!(daemon.metrics.rejected.get(), 1);
    network.put("/coreos.com/network/subnets/10.244.40.0-24", "not json");
    network.put_peer("10.244.41.0-24", "10.0.2.99", MAC);
    eventually("both are counted", || (daemon.metrics.rejected.get() == 3).then_some(()));
    assert!(node.has_peer("10.244.33.0/24"), "the older lease of a MAC keeps its entries");
    assert_eq!(peer_entries(&node.kernel_state(), "10.244.41.0/24"), 0);
    drop(daemon);
    let again = node.start();
    eventually("a restart comes to the same", || {
        (again.metrics.rejected.get() == 3 && node.has_peer("10.244.33.0/24")).then_some(())
    });
    again.stop().unwrap();
}

#[test]
fn fault_5_what_a_peer_left_while_we_were_down_goes_and_nothing_else() {
    let network = Network::of(1, CONFIG);
    let node = &network.nodes[0];
    network.put_peer("10.244.33.0-24", "10.0.2.77", MAC);
    network.put_peer("10.244.34.0-24", "10.0.2.78", "02:00:00:00:00:34");
    let daemon = node.start();
    eventually("both peers", || {
        (node.has_peer("10.244.33.0/24") && node.has_peer("10.244.34.0/24")).then_some(())
    });
    drop(daemon);
    let stranger = Route { protocol: 4, ..Route::of("172.30.0.0/16".parse().unwrap(), "eth0") }
        .via("10.0.2.1".parse().unwrap());
    node.apply(Op::ReplaceRoute(stranger.clone()));
    network.delete("/coreos.com/network/subnets/10.244.33.0-24");
    let index = node.kernel_state().link("flannel.1").unwrap().index;
    let daemon = node.start();
    eventually("the stale peer's entries go", || {
        (peer_entries(&node.kernel_state(), "10.244.33.0/24") == 0).then_some(())
    });
    daemon.wait_ready();
    let state = node.kernel_state();
    assert!(node.has_peer("10.244.34.0/24") && state.routes.iter().any(|r| r.dest == stranger.dest));
    assert!(!state.fdb.iter().any(|e| e.mac == mac(MAC)));
    assert_eq!(state.link("flannel.1").unwrap().index, index, "the device lived on");
    daemon.stop().unwrap();
}

#[test]
fn fault_7_a_peers_new_mac_replaces_the_old_entry() {
    let network = Network::of(1, CONFIG);
    let node = &network.nodes[0];
    network.put_peer("10.244.33.0-24", "10.0.2.77", MAC);
    let daemon = node.start();
    eventually("the peer", || node.has_peer("10.244.33.0/24").then_some(()));
    network.put_peer("10.244.33.0-24", "10.0.2.77", "02:00:00:00:00:35");
    eventually("the new MAC and only it", || {
        let state = node.kernel_state();
        let macs: Vec<_> =
            state.fdb.iter().filter(|e| &*e.dev == "flannel.1").map(|e| e.mac.to_string()).collect();
        (macs == ["02:00:00:00:00:35"] && peer_entries(&state, "10.244.33.0/24") == 3).then_some(())
    });
    daemon.stop().unwrap();
}

#[test]
fn fault_9_our_own_key_deleted_or_changed_is_put_right() {
    let network = Network::of(2, CONFIG);
    let daemons: Vec<_> = network.nodes.iter().map(network::Node::start).collect();
    daemons.iter().for_each(network::Daemon::wait_ready);
    eventually("each sees the other", || network.nodes.iter().all(|n| n.peer_routes() == 1).then_some(()));
    let before = network.leases();
    let (key, value, _) = before.iter().find(|(_, value, _)| value.contains("10.0.2.15")).unwrap().clone();
    network.delete(&format!("/coreos.com/network/subnets/{key}"));
    let right = |what: &str, hangs: bool| {
        eventually(what, || {
            network.leases().into_iter().find(|(k, v, id)| *k == key && *v == value && (*id != 0) == hangs)
        })
    };
    right("the lease is back, on an etcd lease", true);
    // Somebody's put without a lease makes a reservation of it; what it says is still put right.
    network.put(&format!("/coreos.com/network/subnets/{key}"), &value.replace("\"VNI\":1", "\"VNI\":9"));
    right("the value is right again", false);
    eventually("the peer has its route", || (network.nodes[1].peer_routes() == 1).then_some(()));
    for daemon in daemons {
        daemon.stop().unwrap();
    }
}

#[test]
fn a_subnet_that_another_node_took_is_left_to_it() {
    let network = Network::of(1, CONFIG);
    let node = &network.nodes[0];
    let daemon = node.start();
    daemon.wait_ready();
    let (key, ..) = network.leases().remove(0);
    // Deleted and taken by another node before ours can put it back.
    let (full, value) = (format!("/coreos.com/network/subnets/{key}"), network::peer_value("10.0.2.77", MAC));
    network.state(async move |client| {
        client.put(full, value, None).await.unwrap();
    });
    eventually("another subnet, in lease, device and file", || {
        let (now, ..) = network.leases().into_iter().find(|(_, value, _)| value.contains("10.0.2.15"))?;
        let subnet = now.replace('-', "/");
        let network_address = subnet.split('/').next()?.to_owned();
        let on_device =
            node.kernel_state().addresses.iter().any(|a| a.net.ip().to_string() == network_address);
        let file = std::fs::read_to_string(&node.options.subnet_file).unwrap_or_default();
        let in_file = file.contains(network_address.trim_end_matches(".0"));
        (now != key && on_device && in_file).then_some(())
    });
    eventually("the other node's pods are reached", || node.has_peer(&key.replace('-', "/")).then_some(()));
    daemon.stop().unwrap();
}

#[test]
fn fault_10_a_reservation_stays_one() {
    let network = Network::of(1, CONFIG);
    network.put_peer("10.244.99.0-24", "10.0.2.15", MAC);
    let daemon = network.nodes[0].start();
    daemon.wait_ready();
    let leases = network.leases();
    assert_eq!(leases.len(), 1);
    assert_eq!((leases[0].0.as_str(), leases[0].2), ("10.244.99.0-24", 0), "no etcd lease hangs on it");
    daemon.stop().unwrap();
}

#[test]
fn faults_12_and_13_a_stop_is_prompt_and_a_restart_leaves_no_etcd_lease_behind() {
    let network = Network::of(1, CONFIG);
    let node = &network.nodes[0];
    let count = || network.state(async |client| client.leases().await.unwrap().leases().len());
    let daemon = node.start();
    daemon.wait_ready();
    let first = network.leases();
    daemon.stop().unwrap();
    for _ in 0..3 {
        let daemon = node.start();
        daemon.wait_ready();
        daemon.stop().unwrap();
    }
    assert_eq!(network.leases(), first, "the same key, value and etcd lease");
    assert_eq!(count(), 1, "the identity's lease is revoked, the subnet's is the first one");
    let daemon = node.start();
    daemon.wait_ready();
    network.pause_etcd(true);
    let started = std::time::Instant::now();
    daemon.stop().unwrap();
    let took = started.elapsed();
    network.pause_etcd(false);
    assert!(took < Duration::from_secs(10), "flanneld lingers for minutes; this took {took:?}");
}

#[test]
fn a_node_of_flanneld_changes_over_in_place() {
    let network = Network::of(1, CONFIG);
    let node = &network.nodes[0];
    // What flanneld 0.28.9 leaves: its device, address, one peer's entries (proto boot), its lease.
    let index = node.kernel_state().link("eth0").unwrap().index;
    let vxlan = Vxlan {
        vni: 1,
        port: 8472,
        local: Some(network::address(0)),
        parent: Some(index),
        learning: false,
        gbp: false,
    };
    let dev = NewLink {
        mac: Some(mac("1a:aa:aa:aa:aa:aa")),
        mtu: Some(1450),
        up: true,
        ..NewLink::of("flannel.1", NewLinkKind::Vxlan(vxlan))
    };
    node.apply(Op::AddLink(dev));
    node.apply(Op::AddAddress(Address::of("flannel.1", "10.244.83.0/32".parse().unwrap())));
    let gateway = "10.244.33.0".parse().unwrap();
    let route = Route { protocol: 3, ..Route::of("10.244.33.0/24".parse().unwrap(), "flannel.1") }
        .via(gateway)
        .onlink();
    node.apply(Op::ReplaceRoute(route));
    node.apply(Op::ReplaceNeighbour(Neighbour {
        dev: "flannel.1".into(),
        ip: gateway,
        mac: Some(mac(MAC)),
        permanent: true,
    }));
    network.put_peer("10.244.33.0-24", "10.0.2.77", MAC);
    let own = network::peer_value("10.0.2.15", "1a:aa:aa:aa:aa:aa");
    network.state(async move |client| {
        let id = client.lease_grant(86_400, None).await.unwrap().id();
        let options = etcd_client::PutOptions::new().with_lease(id);
        client.put("/coreos.com/network/subnets/10.244.83.0-24", own, Some(options)).await.unwrap();
    });
    let before = node.kernel_state().link("flannel.1").unwrap().clone();
    let leased = network.leases().into_iter().find(|(key, ..)| key == "10.244.83.0-24").unwrap();
    let daemon = node.start();
    daemon.wait_ready();
    eventually("the peer is whole", || node.has_peer("10.244.33.0/24").then_some(()));
    assert_eq!(node.kernel_state().link("flannel.1"), Some(&before), "the device is the same, untouched");
    let now = network.leases().into_iter().find(|(key, ..)| key == "10.244.83.0-24").unwrap();
    assert_eq!(now.2, leased.2, "the same etcd lease");
    assert!(
        now.1.starts_with(leased.1.trim_end_matches('}')),
        "flanneld's fields, in flanneld's order: {}",
        now.1
    );
    daemon.stop().unwrap();
}

#[test]
fn two_machines_with_one_address_do_not_both_run() {
    let network = Network::of(1, CONFIG);
    let node = &network.nodes[0];
    let daemon = node.start();
    daemon.wait_ready();
    let with = |name: &str, boot: &str, take_over: bool| Options {
        node_name: name.into(),
        boot_id: boot.into(),
        take_over,
        subnet_file: node.options.subnet_file.with_file_name("other.env"),
        ..node.options.clone()
    };
    let error = node.start_with(with("copy", "boot9", false)).end().unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Identity(_)), "{text}");
    for part in ["copy", "node0", "boot9", "boot0", "--public-ip", "--iface"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    daemon.stop().unwrap();
    // The first one has gone; its lease is still another node's.
    let text = node.start_with(with("copy", "boot9", false)).end().unwrap_err().to_string();
    assert!(text.contains("--take-over") && text.contains("node0"), "{text}");
    let taken = node.start_with(with("copy", "boot9", true));
    taken.wait_ready();
    assert!(network.leases()[0].1.contains(r#""WeftNode":"copy""#));
    taken.stop().unwrap();
}

#[test]
fn a_reboot_waits_for_its_own_earlier_hold_to_end() {
    let network = Network::of(1, CONFIG);
    let node = &network.nodes[0];
    let key = "/coreos.com/network/weft/nodes/10.0.2.15";
    network.state(async move |client| {
        let id = client.lease_grant(3, None).await.unwrap().id();
        let options = etcd_client::PutOptions::new().with_lease(id);
        client.put(key, r#"{"node":"node0","bootID":"before the reboot"}"#, Some(options)).await.unwrap();
    });
    let daemon = node.start();
    daemon.wait_ready();
    assert!(network.keys(key)[0].1.contains("boot0"));
    daemon.stop().unwrap();
}

#[test]
fn cloned_disks_do_not_mean_one_mac() {
    let network = Network::of(2, CONFIG);
    let daemons: Vec<_> = network.nodes.iter().map(network::Node::start).collect();
    eventually("each sees the other", || network.nodes.iter().all(|n| n.peer_routes() == 1).then_some(()));
    let macs: Vec<_> =
        network.nodes.iter().map(|n| n.kernel_state().link("flannel.1").unwrap().mac).collect();
    assert_ne!(macs[0], macs[1], "one machine id, two addresses");
    drop(daemons);
    // The second node's device gets the first one's MAC, as a copied persistent naming policy does.
    network.nodes[1].apply(Op::ChangeLink(LinkChange { mac: macs[0], ..LinkChange::of("flannel.1") }));
    let daemons: Vec<_> = network.nodes.iter().map(network::Node::start).collect();
    daemons.iter().for_each(network::Daemon::wait_ready);
    let now: Vec<_> = network.nodes.iter().map(|n| n.kernel_state().link("flannel.1").unwrap().mac).collect();
    assert_eq!(now, macs);
    eventually("each sees the other again", || {
        network.nodes.iter().all(|n| n.peer_routes() == 1).then_some(())
    });
    for daemon in daemons {
        daemon.stop().unwrap();
    }
}

#[test]
fn while_the_state_is_away_the_kernel_is_still_healed_and_then_news_is_caught_up() {
    let network = Network::of(1, CONFIG);
    let node = &network.nodes[0];
    network.put_peer("10.244.33.0-24", "10.0.2.77", MAC);
    let daemon = node.start();
    eventually("the peer", || node.has_peer("10.244.33.0/24").then_some(()));
    // Cut the node off, change and compact the state behind its back.
    network
        .hub
        .run(|| {
            netstate::Kernel::open()
                .unwrap()
                .apply_all(&[Op::ChangeLink(LinkChange { up: Some(false), ..LinkChange::of("v0") })])
                .unwrap()
        })
        .unwrap();
    node.apply(Op::DeleteLink("flannel.1".into()));
    eventually("healed without the state", || node.has_peer("10.244.33.0/24").then_some(()));
    network.put_peer("10.244.34.0-24", "10.0.2.78", "02:00:00:00:00:34");
    network.delete("/coreos.com/network/subnets/10.244.33.0-24");
    network.state(async |client| {
        let revision = client.get("x", None).await.unwrap().header().unwrap().revision();
        client.compact(revision, None).await.unwrap();
    });
    network.hub.run(|| netstate::Kernel::open().unwrap().apply_all(&[up("v0")]).unwrap()).unwrap();
    eventually("caught up", || {
        (node.has_peer("10.244.34.0/24") && peer_entries(&node.kernel_state(), "10.244.33.0/24") == 0)
            .then_some(())
    });
    daemon.stop().unwrap();
}

#[test]
fn the_uplinks_mtu_is_followed_to_device_and_file() {
    let network = Network::of(1, DUAL);
    let node = &network.nodes[0];
    let daemon = node.start();
    daemon.wait_ready();
    let file = || std::fs::read_to_string(&node.options.subnet_file).unwrap_or_default();
    assert!(file().contains("FLANNEL_MTU=1430\n") && file().contains("FLANNEL_IPV6_SUBNET="), "{}", file());
    node.apply(Op::ChangeLink(LinkChange { mtu: Some(1400), ..LinkChange::of("eth0") }));
    eventually("the MTU follows", || {
        let state = node.kernel_state();
        let mtu = |name: &str| state.link(name).map(|l| l.mtu);
        (mtu("flannel.1") == Some(1350)
            && mtu("flannel-v6.1") == Some(1330)
            && file().contains("FLANNEL_MTU=1330\n"))
        .then_some(())
    });
    node.apply(Op::ChangeLink(LinkChange { up: Some(false), ..LinkChange::of("eth0") }));
    node.apply(up("eth0"));
    assert_eq!(node.ns.run(|| sysctl::read("net/ipv6/conf/flannel.1/accept_ra").unwrap()).unwrap(), "0");
    daemon.stop().unwrap();
}

#[test]
fn dual_stack_and_direct_routing() {
    let network = Network::of(2, &DUAL.replace(r#""vxlan""#, r#""vxlan","DirectRouting":true"#));
    let daemons: Vec<_> = network.nodes.iter().map(network::Node::start).collect();
    for node in &network.nodes {
        eventually_on(node, "a direct route per family", |state| {
            let direct = state
                .routes
                .iter()
                .filter(|r| overlay_route(r) && r.dev.as_deref() == Some("eth0") && !r.onlink);
            direct.count() == 2 && state.fdb.iter().all(|e| !e.dev.starts_with("flannel"))
        });
    }
    drop(daemons);
    // Direct routing is turned off: what it left on the uplink goes.
    network.put("/coreos.com/network/config", DUAL);
    let daemons: Vec<_> = network.nodes.iter().map(network::Node::start).collect();
    for node in &network.nodes {
        eventually_on(node, "tunnel routes instead", |state| {
            let ours: Vec<_> = state.routes.iter().filter(|r| overlay_route(r)).collect();
            ours.len() == 2 && ours.iter().all(|r| r.onlink)
        });
    }
    drop(daemons);
    let state = network.nodes[0].kernel_state();
    assert!(
        state.routes.iter().any(|r| r.dest.prefix() == 0),
        "a route with our tag that leads elsewhere stays"
    );
}

#[test]
fn pods_are_tracked_while_something_on_the_node_needs_it_and_only_then() {
    let network = Network::of(1, CONFIG);
    let node = &network.nodes[0];
    let daemon = node.start();
    daemon.wait_ready();
    let ours = || {
        let id = TableId { family: Family::Inet, name: "weft-flannel".into() };
        let found = node
            .ns
            .run(|| netstate::Kernel::open().unwrap().nft().unwrap().fingerprint(&id).unwrap())
            .unwrap();
        found.unwrap().0
    };
    let untracked = |lines: &[String]| lines.iter().any(|line| line.starts_with("prerouting type"));
    assert!(untracked(&ours()));
    let foreign = Table {
        id: TableId { family: Family::Ip, name: "kube-proxy".into() },
        chains: vec![Chain {
            name: "postrouting".into(),
            hook: Hook { kind: ChainKind::Nat, point: HookPoint::Postrouting, priority: 100 },
            rules: vec![Rule::all().marked(0x4000).masquerade()],
        }],
    };
    node.apply(Op::ReplaceTable(foreign.clone()));
    eventually("tracked for kube-proxy's sake", || (!untracked(&ours())).then_some(()));
    node.apply(Op::DeleteTable(foreign.id));
    eventually("untracked again", || untracked(&ours()).then_some(()));
    daemon.stop().unwrap();
}

#[test]
fn an_interface_that_does_not_lead_to_the_first_peer_is_chosen_again() {
    let network = Network::of(2, CONFIG);
    let node = &network.nodes[0];
    // As in a NAT lab: a second interface has the default route, and the state is on loopback.
    let other = NewLink { up: true, ..NewLink::of("nat0", NewLinkKind::Bridge(netstate::Bridge::default())) };
    node.apply(Op::AddLink(other));
    node.apply(Op::AddAddress(Address {
        broadcast: true,
        ..Address::of("nat0", "10.9.9.15/24".parse().unwrap())
    }));
    node.apply(Op::ReplaceRoute(
        Route::of("0.0.0.0/0".parse().unwrap(), "nat0").via("10.9.9.1".parse().unwrap()),
    ));
    let daemon =
        node.start_with(Options { endpoints: vec!["127.0.0.1".parse().unwrap()], ..node.options.clone() });
    daemon.wait_ready();
    assert!(network.leases()[0].1.contains("10.9.9.15"), "nothing better is known yet");
    let peer = network.nodes[1].start();
    eventually("the first peer shows the way", || {
        network.leases().iter().any(|(_, value, _)| value.contains("\"10.0.2.15\"")).then_some(())
    });
    eventually("and the device follows", || {
        node.has_peer(
            &network
                .leases()
                .iter()
                .find(|(_, v, _)| v.contains("10.0.2.16"))
                .map(|(k, ..)| k.replace('-', "/"))?,
        )
        .then_some(())
    });
    drop((daemon, peer));
}
