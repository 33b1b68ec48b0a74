//! Sets, maps and their elements against the real kernel, and what `nft` shows of them. They need root.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::net::{IpAddr, UdpSocket};

use netstate::{
    Conntrack, Kernel, LinkChange, NetNs, Op,
    nft::{
        ChainKind, Change, Datatype, Element, Family, Field, Hook, HookPoint, Layout, NftSocket, Rule, Set,
        TableId, Value,
    },
};

fn in_namespace(test: impl FnOnce(&mut NftSocket) + Send) {
    let ns = NetNs::anonymous().expect("run the tests as root: `cargo xtask test`");
    ns.run(|| test(&mut NftSocket::open().unwrap())).unwrap();
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn layout() -> Layout {
    use Datatype::{Ip4, Ip6, Name, Port, Protocol};
    let ports = [Field::Protocol, Field::DestinationPort];
    let hairpin = [Field::InputName, Field::Destination6, Field::Protocol, Field::DestinationPort];
    let nat = |point, priority| Some(Hook { kind: ChainKind::Nat, point, priority });
    let back = Rule::all().destination_translated().in_set(&hairpin, "hairpin6").masquerade();
    Layout {
        table: TableId { family: Family::Inet, name: "weft-test".into() },
        sets: vec![
            Set::map("ports4", &[Protocol, Port], &[Ip4, Port]),
            Set::map("ports6", &[Protocol, Port], &[Ip6, Port]),
            Set::of("hairpin6", &[Name, Ip6, Protocol, Port]),
            Set::of("bridges", &[Name]),
        ],
        chains: vec![
            (
                "hostports".into(),
                None,
                vec![
                    Rule::all().dnat_by(false, &ports, "ports4", 0x2000),
                    Rule::all().dnat_by(true, &ports, "ports6", 0x2000),
                ],
            ),
            (
                "output".into(),
                nat(HookPoint::Output, -100),
                vec![Rule::all().to_this_host().jump("hostports")],
            ),
            ("postrouting".into(), nat(HookPoint::Postrouting, 100), vec![back]),
        ],
    }
}

fn port(number: u16, to: &str, comment: &str) -> Element {
    Element {
        key: Value::empty().protocol(17).port(number),
        data: Value::empty().address(ip(to)).port(53),
        comment: comment.into(),
    }
}

fn nft(arguments: &str) -> String {
    let out = std::process::Command::new("nft").args(arguments.split(' ')).output();
    let out = out.expect("`cargo xtask setup` installs nft");
    assert!(out.status.success(), "nft {arguments}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn a_layout_is_what_nft_shows() {
    in_namespace(|socket| {
        let layout = layout();
        let mut changes = layout.changes();
        changes.push(Change::Add("ports4".into(), port(5353, "10.1.0.5", "net/c1/eth0")));
        changes.push(Change::Add("ports6".into(), port(5353, "fd00::5", "net/c1/eth0")));
        let hairpin = Value::empty().name("cni0").address(ip("fd00::5")).protocol(17).port(53);
        let hairpin = Element { key: hairpin, comment: "net/c1/eth0".into(), ..Element::default() };
        changes.push(Change::Add("hairpin6".into(), hairpin.clone()));
        assert_eq!(socket.commit(&layout.table, &changes).unwrap(), []);
        assert_eq!(socket.fingerprint(&layout.table).unwrap(), Some(layout.fingerprint()));
        let text = nft("list table inet weft-test");
        for part in [
            "type inet_proto . inet_service : ipv4_addr . inet_service",
            "elements = { udp . 5353 comment \"net/c1/eth0\" : 10.1.0.5 . 53 }",
            "elements = { udp . 5353 comment \"net/c1/eth0\" : fd00::5 . 53 }",
            "type ifname . ipv6_addr . inet_proto . inet_service",
            "elements = { \"cni0\" . fd00::5 . udp . 53 comment \"net/c1/eth0\" }",
            "meta nfproto ipv4 meta mark set meta mark | 0x00002000 dnat ip to meta l4proto . th dport map @ports4",
            "meta nfproto ipv6 meta mark set meta mark | 0x00002000 dnat ip6 to meta l4proto . th dport map @ports6",
            "fib daddr type local jump hostports",
            "ct status dnat meta nfproto ipv6 iifname . ip6 daddr . meta l4proto . th dport @hairpin6 masquerade",
        ] {
            let shown = text.replace("ct status dnat iifname", "ct status dnat meta nfproto ipv6 iifname");
            assert!(shown.contains(part), "{part} is not in:\n{text}");
        }
        assert_eq!(socket.elements(&layout.table, "hairpin6").unwrap(), Some(vec![hairpin]));
        nft("flush chain inet weft-test hostports");
        assert_ne!(socket.fingerprint(&layout.table).unwrap(), Some(layout.fingerprint()));
    });
}

#[test]
fn a_refused_transaction_names_each_reason_and_changes_nothing() {
    in_namespace(|socket| {
        let layout = layout();
        let id = &layout.table;
        let add = |element: Element| Change::Add("ports4".into(), element);
        let (first, other) = (port(1, "10.1.0.5", "a"), port(2, "10.1.0.6", "b"));
        let early = socket.commit(id, &[add(first.clone())]).unwrap();
        assert_eq!((early[0].at, early[0].errno), (Some(0), libc::ENOENT), "there is no table: {early:?}");
        assert_eq!(socket.elements(id, "ports4").unwrap(), None);

        assert_eq!(socket.commit(id, &layout.changes()).unwrap(), []);
        assert_eq!(socket.commit(id, &[add(first.clone())]).unwrap(), []);
        // One that is taken by another, one that is taken by itself, and one that is not there.
        let taken = Element { data: other.data.clone(), comment: "b".into(), ..first.clone() };
        let gone = Change::Remove("ports4".into(), Value::empty().protocol(6).port(9));
        let no = socket.commit(id, &[add(other.clone()), add(taken), gone, add(first.clone())]).unwrap();
        let reasons: Vec<_> = no.iter().map(|r| (r.at, r.errno)).collect();
        let expected = [(Some(1), libc::EEXIST), (Some(2), libc::ENOENT), (Some(3), libc::EEXIST)];
        assert_eq!(reasons, expected);
        assert_eq!(socket.element(id, "ports4", &other.key).unwrap(), None, "all or nothing");
        assert_eq!(socket.element(id, "ports4", &first.key).unwrap(), Some(first.clone()));

        // An element moves to another owner in one step.
        let moved = Element { comment: "b".into(), ..first.clone() };
        let change = [Change::Remove("ports4".into(), first.key.clone()), add(moved.clone())];
        assert_eq!(socket.commit(id, &change).unwrap(), []);
        assert_eq!(socket.elements(id, "ports4").unwrap(), Some(vec![moved]));
        assert_eq!(socket.commit(id, &[Change::DeleteTable]).unwrap(), []);
        assert_eq!(socket.element(id, "ports4", &first.key).unwrap(), None);
    });
}

#[test]
fn a_transaction_of_thousands_goes_in_one_piece() {
    in_namespace(|socket| {
        let layout = layout();
        socket.commit(&layout.table, &layout.changes()).unwrap();
        let many = (1..5000).map(|n| Change::Add("ports4".into(), port(n, "10.1.0.5", "net/c1/eth0")));
        let before = socket.traffic().sends;
        assert_eq!(socket.commit(&layout.table, &many.collect::<Vec<_>>()).unwrap(), []);
        assert_eq!(socket.traffic().sends - before, 1);
        assert_eq!(socket.elements(&layout.table, "ports4").unwrap().unwrap().len(), 4999);
    });
}

#[test]
fn foreign_rules_and_policies_are_seen() {
    in_namespace(|socket| {
        nft("add table ip nat");
        nft("add chain ip nat CNI-DN-1");
        nft("add chain ip nat top");
        nft("add rule ip nat top udp dport 53 jump CNI-DN-1 comment \"of c1\"");
        nft("add rule ip nat top ip saddr 10.1.0.5 accept");
        nft("add chain ip nat fw { type filter hook forward priority 0; policy drop; }");
        let table = TableId { family: Family::Ip, name: "nat".into() };
        assert!(socket.has_chain(&table, "CNI-DN-1").unwrap() && !socket.has_chain(&table, "x").unwrap());
        let rules = socket.rules(&table, Some("top")).unwrap();
        assert_eq!((rules[0].jump.as_str(), rules[0].comment.as_str()), ("CNI-DN-1", "of c1"));
        assert_eq!((rules[1].source, rules[1].accepts), (Some(ip("10.1.0.5")), true));
        let chain = || "CNI-DN-1".to_owned();
        let delete = [
            Change::DeleteRule("top".into(), rules[0].handle),
            Change::FlushChain(chain()),
            Change::DeleteChain(chain()),
        ];
        assert_eq!(socket.commit(&table, &delete).unwrap(), []);
        assert!(!socket.has_chain(&table, "CNI-DN-1").unwrap());
        let foreign = socket.foreign_chains("weft-").unwrap();
        let drops: Vec<_> = foreign.iter().filter(|c| c.drops).map(|c| (&*c.name, c.point)).collect();
        assert_eq!(drops, [("fw", Some(HookPoint::Forward))]);
        assert_eq!(socket.rules(&TableId { family: Family::Ip6, ..table }, None).unwrap(), []);
    });
}

#[test]
fn a_udp_flow_is_found_by_who_answers_it_and_deleted() {
    in_namespace(|socket| {
        let up = LinkChange { up: Some(true), ..LinkChange::of("lo") };
        let mut kernel = Kernel::open().unwrap();
        kernel.apply_all(&[Op::ChangeLink(up)]).unwrap();
        assert_eq!(kernel.route.device_to(ip("127.0.0.9")).unwrap().as_deref(), Some("lo"));
        assert!(kernel.route.is_local(ip("127.0.0.9")).unwrap());
        assert!(!kernel.route.is_local(ip("192.0.2.1")).unwrap());
        let layout = layout();
        socket.commit(&layout.table, &layout.changes()).unwrap();
        let to = UdpSocket::bind("127.0.0.3:53").unwrap();
        socket.commit(&layout.table, &[Change::Add("ports4".into(), port(5353, "127.0.0.3", "c1"))]).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"hello", "127.0.0.1:5353").unwrap();
        let mut bytes = [0; 8];
        assert_eq!(to.recv(&mut bytes).unwrap(), 5, "the map leads there");
        let mut conntrack = Conntrack::open().unwrap();
        let ours = |flow: &netstate::UdpFlow| flow.destination.port() == 5353;
        let flows = conntrack.udp_flows(ours).unwrap();
        assert_eq!(flows.len(), 1);
        assert_eq!(flows[0].answers.to_string(), "127.0.0.3:53");
        assert!(conntrack.delete(&flows[0]).unwrap());
        assert!(!conntrack.delete(&flows[0]).unwrap(), "it is gone");
        assert_eq!(conntrack.udp_flows(ours).unwrap(), []);
    });
}
