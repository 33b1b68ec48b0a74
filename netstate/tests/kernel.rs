//! Against the real kernel, each test in a network namespace of its own. They need root.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{net::IpAddr, sync::mpsc, time::Duration};

use netstate::{
    Address, Bridge, BridgePort, Desired, FdbEntry, Kernel, LinkChange, LinkKind, Mac, Monitor, Neighbour,
    NetNs, NetNsTarget, NewLink, NewLinkKind, Observe, Op, Route, Rule, Scope, Topic, VethPeer, Vxlan,
    nft::{Chain, ChainKind, Family, Hook, HookPoint, Rule as NftRule, Table, TableId},
    plan, sysctl,
};

fn in_namespace(test: impl FnOnce(&mut Kernel) + Send) {
    let ns = NetNs::anonymous().expect("run the tests as root: `cargo xtask test`");
    ns.run(|| test(&mut Kernel::open().unwrap())).unwrap();
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

const MAC: Mac = Mac([0x1a, 0x6a, 0x3f, 0x7a, 0x7d, 0xc5]);

fn everything() -> Observe {
    let tables = vec![TableId { family: Family::Inet, name: "weft-test".into() }];
    let sysctls = vec!["net/ipv4/ip_forward".into()];
    Observe { addresses: true, routes: true, rules: true, neighbours: true, fdb: true, tables, sysctls }
}

fn vxlan() -> NewLink {
    let parameters = Vxlan {
        vni: 1,
        port: 8472,
        local: Some(ip("192.168.90.11")),
        parent: None,
        learning: false,
        gbp: false,
    };
    NewLink {
        mac: Some(MAC),
        mtu: Some(1450),
        up: true,
        ..NewLink::of("flannel.1", NewLinkKind::Vxlan(parameters))
    }
}

fn table(port: u16) -> Table {
    let network = "10.244.0.0/16".parse().unwrap();
    let v6 = "fd00:10:244::/48".parse().unwrap();
    let chain = |name: &str, kind, point, priority, rules| Chain {
        name: name.into(),
        hook: Hook { kind, point, priority },
        rules,
    };
    Table {
        id: TableId { family: Family::Inet, name: "weft-test".into() },
        chains: vec![
            chain(
                "raw",
                ChainKind::Filter,
                HookPoint::Prerouting,
                -300,
                vec![
                    NftRule::all().from(network).to(network).notrack(),
                    NftRule::all().from(v6).to(v6).notrack(),
                    NftRule::all().udp_to(port).notrack(),
                ],
            ),
            chain(
                "forward",
                ChainKind::Filter,
                HookPoint::Forward,
                0,
                vec![NftRule::all().in_by("cni0").accept()],
            ),
            chain(
                "postrouting",
                ChainKind::Nat,
                HookPoint::Postrouting,
                100,
                vec![
                    NftRule::all().marked(0x4000).return_(),
                    NftRule::all()
                        .from(network)
                        .not_to("224.0.0.0/4".parse().unwrap())
                        .masquerade_fully_random(),
                ],
            ),
        ],
    }
}

/// A node's overlay with `peers` peers.
fn overlay(peers: u32) -> Desired {
    let dev: netstate::DevName = "flannel.1".into();
    let mut desired = Desired {
        links: vec![vxlan()],
        addresses: vec![Address::of(dev.clone(), "10.244.1.0/32".parse().unwrap())],
        tables: vec![table(8472)],
        sysctls: vec![("net/ipv4/ip_forward".into(), "1".into())],
        rules: vec![Rule::from_source(30_000, "10.244.1.0/24".parse().unwrap(), 100)],
        scope: Scope {
            devices: [dev.clone()].into(),
            rule_priorities: Some((30_000, 30_001)),
            ..Scope::default()
        },
        ..Desired::default()
    };
    for peer in 2..2 + peers {
        let [.., high, low] = peer.to_be_bytes();
        let gateway = IpAddr::from([10, 244, high.wrapping_add(low), 0].map(|b| b));
        let gateway = if peers > 200 { IpAddr::from([11, high, low, 0]) } else { gateway };
        let mac = Mac::local([2, 0, 0, 0, high, low]);
        desired.routes.push(
            Route::of(ipnetwork::IpNetwork::new(gateway, 24).unwrap(), dev.clone()).via(gateway).onlink(),
        );
        desired.neighbours.push(Neighbour { dev: dev.clone(), ip: gateway, mac: Some(mac), permanent: true });
        desired.fdb.push(FdbEntry {
            dev: dev.clone(),
            mac,
            dst: Some(IpAddr::from([192, 168, high, low])),
            permanent: true,
        });
    }
    desired
}

fn settle(kernel: &mut Kernel, desired: &Desired) {
    let ops = plan(desired, &kernel.observe(&everything()).unwrap());
    for (op, result) in ops.iter().zip(kernel.apply(&ops)) {
        result.unwrap_or_else(|e| panic!("{op}: {e}"));
    }
    let left = plan(desired, &kernel.observe(&everything()).unwrap());
    assert!(
        left.is_empty(),
        "a second look still finds: {}",
        left.iter().map(|o| format!("{o}\n")).collect::<String>()
    );
}

#[test]
fn an_overlay_is_made_and_a_second_look_finds_nothing_to_do() {
    in_namespace(|kernel| settle(kernel, &overlay(3)));
}

#[test]
fn every_deletion_by_hand_is_planned_back() {
    in_namespace(|kernel| {
        let desired = overlay(3);
        settle(kernel, &desired);
        let spoil = [
            Op::DeleteRoute(desired.routes[0].clone()),
            Op::DeleteNeighbour(desired.neighbours[1].clone()),
            Op::DeleteFdb(desired.fdb[2].clone()),
            Op::DeleteAddress(desired.addresses[0].clone()),
            Op::DeleteRule(desired.rules[0].clone()),
            Op::DeleteTable(desired.tables[0].id.clone()),
            Op::WriteSysctl { key: "net/ipv4/ip_forward".into(), value: "0".into() },
            Op::ChangeLink(LinkChange { up: Some(false), mtu: Some(1300), ..LinkChange::of("flannel.1") }),
            Op::DeleteLink("flannel.1".into()),
        ];
        for op in spoil {
            kernel.apply_all(std::slice::from_ref(&op)).unwrap();
            assert!(
                !plan(&desired, &kernel.observe(&everything()).unwrap()).is_empty(),
                "nothing planned after {op}"
            );
            settle(kernel, &desired);
        }
        assert_eq!(
            kernel.route.link("flannel.1").unwrap().unwrap().mac,
            Some(MAC),
            "the MAC outlives the device"
        );
    });
}

#[test]
fn stale_entries_go_and_strangers_stay() {
    in_namespace(|kernel| {
        settle(kernel, &overlay(3));
        let stranger = Route::of("172.16.0.0/16".parse().unwrap(), "lo");
        let stranger = Route { protocol: 4, ..stranger };
        kernel
            .apply_all(&[
                Op::ChangeLink(LinkChange { up: Some(true), ..LinkChange::of("lo") }),
                Op::ReplaceRoute(stranger.clone()),
            ])
            .unwrap();
        settle(kernel, &overlay(1));
        let state = kernel.observe(&everything()).unwrap();
        assert_eq!(state.fdb.iter().filter(|e| &*e.dev == "flannel.1").count(), 1);
        assert!(state.routes.iter().any(|r| r.dest == stranger.dest));
    });
}

#[test]
fn a_changed_vxlan_device_is_replaced_with_all_that_stood_on_it() {
    in_namespace(|kernel| {
        let mut desired = overlay(2);
        settle(kernel, &desired);
        if let NewLinkKind::Vxlan(vxlan) = &mut desired.links[0].kind {
            vxlan.local = Some(ip("192.168.90.12"));
        }
        settle(kernel, &desired);
    });
}

#[test]
fn a_table_that_somebody_edits_is_told_from_ours() {
    in_namespace(|kernel| {
        let nft = kernel.nft().unwrap();
        let table = table(8472);
        nft.replace(&table).unwrap();
        assert_eq!(nft.fingerprint(&table.id).unwrap(), Some(table.fingerprint()));
        let out =
            std::process::Command::new("nft").args(["-a", "list", "table", "inet", "weft-test"]).output();
        let text = String::from_utf8(out.expect("`cargo xtask setup` installs nft").stdout).unwrap();
        for part in [
            "ip saddr 10.244.0.0/16 ip daddr 10.244.0.0/16 notrack",
            "masquerade to :32768-65535 fully-random",
            "udp dport 8472",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        for edit in [
            "add rule inet weft-test forward drop",
            "flush chain inet weft-test raw",
            "add chain inet weft-test more",
        ] {
            let done = std::process::Command::new("nft").args(edit.split(' ')).status().unwrap();
            assert!(done.success(), "{edit}");
            assert_ne!(nft.fingerprint(&table.id).unwrap(), Some(table.fingerprint()), "{edit} is not seen");
            nft.replace(&table).unwrap();
        }
        nft.delete(&table.id).unwrap();
        nft.delete(&table.id).unwrap();
        assert_eq!(nft.fingerprint(&table.id).unwrap(), None);
    });
}

/// `nft list` shows the range of a rule that lacks the flag for it, and the kernel takes any port.
#[test]
fn masquerading_takes_ports_of_its_range_alone() {
    in_namespace(|kernel| {
        let network = "10.99.7.0/24".parse().unwrap();
        let up = LinkChange { up: Some(true), ..LinkChange::of("lo") };
        let address = Address::of("lo", "10.99.7.1/24".parse().unwrap());
        kernel.apply_all(&[Op::ChangeLink(up), Op::AddAddress(address)]).unwrap();
        let rules = vec![NftRule::all().from(network).masquerade_fully_random()];
        let hook = Hook { kind: ChainKind::Nat, point: HookPoint::Postrouting, priority: 100 };
        let nat = Chain { name: "postrouting".into(), hook, rules };
        let id = TableId { family: Family::Inet, name: "weft-test".into() };
        kernel.nft().unwrap().replace(&Table { id, chains: vec![nat] }).unwrap();
        let server = std::net::UdpSocket::bind("10.99.7.1:0").unwrap();
        server.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        for own in 2000..2064 {
            let client = std::net::UdpSocket::bind(("10.99.7.1", own)).unwrap();
            client.send_to(b"x", server.local_addr().unwrap()).unwrap();
            let (_, seen) = server.recv_from(&mut [0; 8]).unwrap();
            assert!(seen.port() >= 32768, "{own} became {seen}");
        }
    });
}

#[test]
fn a_veth_peer_is_made_straight_in_the_pods_namespace() {
    in_namespace(|kernel| {
        let pod = NetNs::anonymous().unwrap();
        let fd = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&pod));
        let peer = VethPeer {
            name: "eth0".into(),
            mac: Some(MAC),
            mtu: Some(1400),
            netns: Some(NetNsTarget::Fd(fd)),
        };
        let bridge = NewLink { up: true, ..NewLink::of("cni0", NewLinkKind::Bridge(Bridge::default())) };
        let veth = NewLink {
            master: Some("cni0".into()),
            mtu: Some(1400),
            up: true,
            alias: Some("weft:cni:x".into()),
            port: Some(BridgePort { hairpin: Some(true), isolated: None }),
            ..NewLink::of("veth0", NewLinkKind::Veth(peer))
        };
        kernel.apply_all(&[Op::AddLink(bridge), Op::AddLink(veth)]).unwrap();
        let host = kernel.route.link("veth0").unwrap().unwrap();
        assert_eq!(
            (host.kind.clone(), host.alias.as_deref(), host.mtu),
            (LinkKind::Veth, Some("weft:cni:x"), 1400)
        );
        assert_eq!(host.port.unwrap().hairpin, Some(true));
        let mut inside = Kernel::open_in(&pod).unwrap();
        let eth0 = inside.route.link("eth0").unwrap().unwrap();
        assert_eq!((eth0.mac, eth0.mtu, eth0.parent), (Some(MAC), 1400, Some(host.index)));
        inside
            .apply_all(&[
                Op::AddAddress(Address {
                    broadcast: true,
                    ..Address::of("eth0", "10.244.1.2/24".parse().unwrap())
                }),
                Op::AddAddress(Address::of("eth0", "fd00:10:244:1::2/64".parse().unwrap())),
                Op::ChangeLink(LinkChange { up: Some(true), ..LinkChange::of("eth0") }),
                Op::ReplaceRoute(Route::of("0.0.0.0/0".parse().unwrap(), "eth0").via(ip("10.244.1.1"))),
                Op::ReplaceRoute(Route::of("::/0".parse().unwrap(), "eth0").via(ip("fd00:10:244:1::1"))),
            ])
            .unwrap();
        let links = inside.route.links().unwrap();
        let route = inside.route.route_to(ip("8.8.8.8"), &links).unwrap().unwrap();
        assert_eq!((route.via, route.source), (Some(ip("10.244.1.1")), Some(ip("10.244.1.2"))));
    });
}

#[test]
fn races_that_reach_the_goal_are_no_failures_and_others_name_the_object() {
    in_namespace(|kernel| {
        let up = Op::ChangeLink(LinkChange { up: Some(true), ..LinkChange::of("lo") });
        let address = Address::of("lo", "10.9.0.1/32".parse().unwrap());
        kernel.apply_all(&[up, Op::AddAddress(address.clone()), Op::AddAddress(address.clone())]).unwrap();
        kernel.apply_all(&[Op::DeleteAddress(address.clone()), Op::DeleteAddress(address.clone())]).unwrap();
        kernel
            .apply_all(&[
                Op::DeleteLink("nothere0".into()),
                Op::DeleteRoute(Route::of("10.8.0.0/16".parse().unwrap(), "lo")),
            ])
            .unwrap();
        let results = kernel.apply(&[
            Op::AddAddress(Address::of("nothere0", "10.9.0.1/32".parse().unwrap())),
            Op::ReplaceRoute(Route::of("10.8.0.0/16".parse().unwrap(), "lo").via(ip("192.0.2.1"))),
            Op::AddAddress(address),
        ]);
        let text = |at: usize| results[at].as_ref().unwrap_err().to_string();
        assert!(text(0).contains("nothere0"), "{}", text(0));
        assert!(text(1).contains("10.8.0.0/16"), "{}", text(1));
        assert!(results[2].is_ok(), "what follows a failure is still done");
    });
}

#[test]
fn a_thousand_peers_take_a_few_sends() {
    in_namespace(|kernel| {
        let desired = overlay(1000);
        let before = kernel.route.traffic();
        settle(kernel, &desired);
        let after = kernel.route.traffic();
        assert!(after.requests - before.requests >= 3000);
        assert!(after.sends - before.sends < 60, "{} sends", after.sends - before.sends);
    });
}

#[test]
fn lists_are_whole_while_the_table_changes() {
    in_namespace(|kernel| {
        settle(kernel, &overlay(1000));
        let ns = NetNs::current().unwrap();
        let (stop, stopped) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut other = Kernel::open_in(&ns).unwrap();
                let route =
                    Route::of("12.0.0.0/24".parse().unwrap(), "flannel.1").via(ip("10.244.1.0")).onlink();
                while stopped.recv_timeout(Duration::from_micros(200)).is_err() {
                    let _ = other.apply(&[Op::ReplaceRoute(route.clone()), Op::DeleteRoute(route.clone())]);
                }
            });
            for _ in 0..20 {
                let links = kernel.route.links().unwrap();
                let routes = kernel.route.routes(&links).unwrap();
                let ours =
                    routes.iter().filter(|r| r.onlink && r.dest.ip().to_string().starts_with("11.")).count();
                assert_eq!(ours, 1000);
            }
            stop.send(()).unwrap();
        });
    });
}

#[test]
fn a_monitor_that_nobody_reads_says_look_again() {
    in_namespace(|kernel| {
        let mut monitor =
            Monitor::open(&[Topic::Links, Topic::Addresses, Topic::Routes, Topic::Neighbours]).unwrap();
        let mut tables = Monitor::open(&[Topic::Tables]).unwrap();
        settle(kernel, &overlay(1));
        let events = monitor.drain().unwrap();
        for topic in [Topic::Links, Topic::Addresses, Topic::Routes, Topic::Neighbours] {
            assert!(events.iter().any(|e| e.topic == Some(topic)), "{topic:?}");
        }
        assert!(tables.drain().unwrap().iter().any(|e| e.topic == Some(Topic::Tables)));
        monitor.set_buffer(4096).unwrap();
        settle(kernel, &overlay(1000));
        assert!(monitor.drain().unwrap().iter().any(|e| e.topic.is_none()), "lost events must be told");
        assert!(Monitor::open(&[Topic::Tables, Topic::Links]).is_err());
    });
}

#[test]
fn a_pinned_namespace_outlives_its_file_descriptor() {
    let folder = std::env::temp_dir().join(format!("weft-pin-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("pod");
    let ns = NetNs::anonymous().expect("run the tests as root: `cargo xtask test`");
    let inode = ns.inode().unwrap();
    ns.pin(&path).unwrap();
    drop(ns);
    assert_eq!(NetNs::open(&path).unwrap().inode().unwrap(), inode);
    rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH).unwrap();
    let error = NetNs::open(&path).unwrap_err().to_string();
    assert!(error.contains("no namespace"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(sysctl::read("kernel/ostype").is_ok());
}

/// Signals that interrupt system calls (EINTR) neither lose an answer nor end a list early.
#[test]
fn signals_do_not_disturb() {
    extern "C" fn nothing(_: libc::c_int) {}
    in_namespace(|kernel| {
        settle(kernel, &overlay(300));
        // SAFETY: the handler does nothing, and SIGURG is ignored by default, so that no other test is touched.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize; // no SA_RESTART: calls are interrupted
            libc::sigaction(libc::SIGURG, &raw const action, std::ptr::null_mut());
        }
        // SAFETY: it only names the calling thread, which lives until the scope ends.
        let target = unsafe { libc::pthread_self() };
        let (stop, stopped) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                while stopped.recv_timeout(Duration::from_micros(50)).is_err() {
                    // SAFETY: the scope keeps the target alive until this thread has ended.
                    unsafe { libc::pthread_kill(target, libc::SIGURG) };
                }
            });
            for _ in 0..50 {
                let links = kernel.route.links().unwrap();
                let routes = kernel.route.routes(&links).unwrap();
                assert_eq!(routes.iter().filter(|r| r.onlink).count(), 300);
                settle(kernel, &overlay(300));
            }
            stop.send(()).unwrap();
        });
    });
}
