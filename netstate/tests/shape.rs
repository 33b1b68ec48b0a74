//! Traffic control against the real kernel, each test in a network namespace of its own. They need root.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use netstate::{
    Kernel, LinkChange, NetNs, NewLink, NewLinkKind, Op, VethPeer,
    tc::{Class, Filter, Handle, Hook, Match, Qdisc, QdiscKind, Tbf, Verdict},
};

fn in_namespace(test: impl FnOnce(&mut Kernel) + Send) {
    let ns = NetNs::anonymous().expect("run the tests as root: `cargo xtask test`");
    ns.run(|| test(&mut Kernel::open().unwrap())).unwrap();
}

fn ifb() -> Op {
    Op::AddLink(NewLink {
        mtu: Some(1400),
        up: true,
        alias: Some("weft:cni:a/b".into()),
        txqlen: Some(1000),
        ..NewLink::of("ifb9", NewLinkKind::Ifb)
    })
}

fn pair() -> Op {
    let peer = VethPeer { name: "b".into(), mac: None, mtu: None, netns: None };
    Op::AddLink(NewLink { up: true, ..NewLink::of("a", NewLinkKind::Veth(peer)) })
}

/// What tc(8) says, to hold our text and our reading against.
fn tc(arguments: &str) -> String {
    let output = std::process::Command::new("tc").args(arguments.split(' ')).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_token_bucket_is_made_and_read_back() {
    in_namespace(|kernel| {
        for rate in [125_000, 6_000_000_000] {
            let tbf = Tbf { rate, buffer: 1_000_000, limit: 50_000 };
            let made = Qdisc::root("ifb9", QdiscKind::Tbf(tbf));
            kernel.apply_all(&[ifb(), Op::AddQdisc(made.clone())]).unwrap();
            let link = kernel.route.link("ifb9").unwrap().unwrap();
            assert_eq!((link.mtu, link.txqlen, link.up), (1400, 1000, true));
            assert_eq!(link.alias.as_deref(), Some("weft:cni:a/b"));
            assert_eq!(kernel.route.qdisc_of(&link, Hook::Root).unwrap(), Some(made.clone()));
            let again = kernel.apply_all(&[Op::AddQdisc(made)]).unwrap_err();
            assert_eq!(again.errno(), Some(libc::EEXIST), "{again}");
            assert!(tc("qdisc show dev ifb9").contains("qdisc tbf 1: root"), "{}", tc("qdisc show"));
            let gone = Op::DeleteQdisc { dev: "ifb9".into(), hook: Hook::Root };
            kernel.apply_all(&[gone.clone(), gone]).unwrap();
            let ours = kernel.route.qdisc_of(&link, Hook::Root).unwrap();
            assert_eq!(ours, None);
            kernel.apply_all(&[Op::DeleteLink("ifb9".into())]).unwrap();
        }
    });
}

#[test]
fn what_comes_in_is_redirected() {
    in_namespace(|kernel| {
        let filter = Filter {
            dev: "a".into(),
            parent: Handle::INGRESS_QDISC,
            priority: 1,
            matches: Match::All,
            verdict: Verdict::Redirect("ifb9".into()),
        };
        let ops = [pair(), ifb(), Op::AddQdisc(Qdisc::ingress("a")), Op::AddFilter(filter.clone())];
        kernel.apply_all(&ops).unwrap();
        let (link, target) = (kernel.route.link("a").unwrap().unwrap(), kernel.route.link("ifb9").unwrap());
        let targets = [target.unwrap()];
        assert_eq!(kernel.route.qdisc_of(&link, Hook::Ingress).unwrap(), Some(Qdisc::ingress("a")));
        assert_eq!(kernel.route.qdisc_of(&link, Hook::Root).unwrap(), None, "the kernel's own");
        let filters = kernel.route.filters_of(&link, Handle::INGRESS_QDISC, &targets).unwrap();
        assert_eq!(filters, [filter]);
        let seen = tc("filter show dev a ingress");
        assert!(seen.contains("Egress Redirect to device ifb9) stolen"), "{seen}");
        assert_eq!(
            ops[3].to_string(),
            "tc filter add dev a parent ffff: prio 1 protocol all u32 match u32 0 0 \
             action mirred egress redirect dev ifb9"
        );
        let unnamed = kernel.route.filters_of(&link, Handle::INGRESS_QDISC, &[]).unwrap();
        let by_number = format!("if{}", targets[0].index);
        assert_eq!(unnamed[0].verdict, Verdict::Redirect(by_number.as_str().into()));
        kernel.apply_all(&[Op::DeleteQdisc { dev: "a".into(), hook: Hook::Ingress }]).unwrap();
        assert_eq!(kernel.route.qdisc_of(&link, Hook::Ingress).unwrap(), None);
        assert_eq!(kernel.route.link_at(link.index).unwrap().unwrap().name, link.name);
        assert_eq!(kernel.route.link_at(9999).unwrap(), None);
    });
}

#[test]
fn classes_and_their_filters_are_made_and_read_back() {
    in_namespace(|kernel| {
        let qdisc = Qdisc::root("a", QdiscKind::Htb { default: 48 });
        let class = |minor, rate: u64, buffer| Class {
            dev: "a".into(),
            handle: Handle::ROOT_QDISC.class(minor),
            rate,
            ceil: 2 * rate,
            buffer,
            cbuffer: buffer,
        };
        let classes = [class(48, 125_000, 156_250), class(1, 50_000_000_000, 1000)];
        let filter = |net: &str, priority| Filter {
            dev: "a".into(),
            parent: Handle::ROOT_QDISC,
            priority,
            matches: Match::To(net.parse().unwrap()),
            verdict: Verdict::Class(Handle::ROOT_QDISC.class(1)),
        };
        let filters = [filter("fd00::/70", 15), filter("10.0.0.0/9", 16)];
        let mut ops = vec![pair(), Op::AddQdisc(qdisc.clone())];
        ops.extend(classes.clone().map(Op::AddClass));
        ops.extend(filters.clone().map(Op::AddFilter));
        kernel.apply_all(&ops).unwrap();
        let link = kernel.route.link("a").unwrap().unwrap();
        assert_eq!(kernel.route.qdisc_of(&link, Hook::Root).unwrap(), Some(qdisc));
        let mut found = kernel.route.classes_of(&link).unwrap();
        found.sort_by_key(|class| std::cmp::Reverse(class.handle));
        assert_eq!(found, classes);
        assert_eq!(kernel.route.filters_of(&link, Handle::ROOT_QDISC, &[]).unwrap(), filters);
        let seen = tc("class show dev a");
        assert!(seen.contains("class htb 1:30 root") && seen.contains("rate 1Mbit ceil 2Mbit"), "{seen}");
    });
}

#[test]
fn the_flags_and_the_queue_of_a_link_are_changed() {
    in_namespace(|kernel| {
        let change = LinkChange {
            all_multicast: Some(true),
            promiscuous: Some(true),
            txqlen: Some(77),
            ..LinkChange::of("a")
        };
        assert_eq!(
            Op::ChangeLink(change.clone()).to_string(),
            "ip link set a promisc on allmulticast on txqueuelen 77"
        );
        kernel.apply_all(&[pair(), Op::ChangeLink(change.clone())]).unwrap();
        let link = kernel.route.link("a").unwrap().unwrap();
        assert!(link.all_multicast && link.promiscuous);
        assert_eq!(link.txqlen, 77);
        let off = LinkChange { all_multicast: Some(false), promiscuous: None, ..change };
        kernel.apply_all(&[Op::ChangeLink(off)]).unwrap();
        let link = kernel.route.link("a").unwrap().unwrap();
        assert!(!link.all_multicast && link.promiscuous);
    });
}
