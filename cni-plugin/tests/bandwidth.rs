//! `bandwidth`, with the same assertions against the reference plugin and ours.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;
mod named;

use common::{Call, Node, Pod, Whose};
use named::shaped::{PLUGIN, both_ways, config, ifbs, setup};
use named::{HOST_END, call, output, previous};
use serde_json::json;
use std::net::UdpSocket;

/// Of network "shape" and container "c1": see `the_result_tells_of_the_ifb`.
const MAX_BURST: u64 = u32::MAX as u64;

/// Nothing shapes any more, and nothing is recorded.
fn assert_clean(node: &Node, when: &str) {
    assert!(ifbs(node).is_empty(), "{when}: {:?}", ifbs(node));
    let qdiscs = output("tc", "qdisc show");
    assert!(
        !qdiscs.contains("tbf") && !qdiscs.contains("htb") && !qdiscs.contains("ingress"),
        "{when}: {qdiscs}"
    );
    let records = node.dir.path().join("records/shape");
    let left = std::fs::read_dir(records).map(|dir| dir.count()).unwrap_or(0);
    assert_eq!(left, 0, "{when}: a record is left");
}

#[test]
fn both_make_the_same_qdiscs() {
    let limits = [
        (8_000u64, 80_000),
        (1_000_000, 1_000_000),
        (1_000_000, MAX_BURST),
        (5_000_000, MAX_BURST),
        (123_456_789, 98_765_432),
        (10_000_000_000, MAX_BURST),
        (40_000_000_000, 8_000_000_000),
        (100_000_000_000, MAX_BURST),
    ];
    for (rate, burst) in limits {
        let shown = Whose::BOTH.map(|whose| {
            let (node, pod) = setup();
            let keys = json!({"ingressRate": rate, "ingressBurst": burst, "egressRate": rate / 2, "egressBurst": burst});
            call(whose, PLUGIN, "ADD", &config(&node, keys), &pod).unwrap();
            // The count of users of a qdisc is the kernel's.
            let shown = output("tc", "qdisc show");
            let lines = shown.lines().map(|line| line.split(" refcnt ").map(str::to_owned).collect::<Vec<_>>());
            let mut lines: Vec<_> = lines
                .map(|parts| match &parts[..] {
                    [what, numbers] => format!("{what} {}", numbers.split_once(' ').unwrap().1),
                    _ => parts.concat(),
                })
                .collect();
            lines.sort();
            lines
        });
        assert_eq!(shown[0], shown[1], "rate {rate} burst {burst}");
        assert!(shown[1].len() >= 3, "{shown:?}");
    }
}

#[test]
fn the_result_tells_of_the_ifb() {
    for whose in Whose::BOTH {
        let (node, pod) = setup();
        let result = call(whose, PLUGIN, "ADD", &config(&node, both_ways()), &pod).unwrap();
        let interfaces = result["interfaces"].as_array().unwrap();
        assert_eq!(interfaces[..2], previous(&pod)["interfaces"].as_array().unwrap()[..]);
        let ifb = node.link(interfaces[2]["name"].as_str().unwrap()).unwrap();
        assert_eq!(interfaces[2]["mac"].as_str().unwrap(), ifb.mac.unwrap().to_string());
        assert_eq!(interfaces.len(), 3);
        assert!(ifb.up && ifb.name.len() == 15);
        assert_eq!(result["ips"], previous(&pod)["ips"]);
        if whose == Whose::Ours {
            assert_eq!(ifb.alias.as_deref(), Some("weft:cni:shape/c1/eth0"));
        }
    }
}

#[test]
fn one_direction_needs_no_more() {
    for whose in Whose::BOTH {
        let (node, pod) = setup();
        let keys = json!({"ingressRate": 8000, "ingressBurst": 80_000});
        let result = call(whose, PLUGIN, "ADD", &config(&node, keys), &pod).unwrap();
        assert_eq!(result["interfaces"].as_array().unwrap().len(), 2);
        assert!(ifbs(&node).is_empty());
        assert!(output("tc", "qdisc show dev vethpod").contains("qdisc tbf 1: root"));
    }
}

#[test]
fn the_runtimes_limits_count_where_the_file_has_none() {
    for whose in Whose::BOTH {
        let (node, pod) = setup();
        let keys = json!({"runtimeConfig": {"bandwidth": both_ways()}});
        call(whose, PLUGIN, "ADD", &config(&node, keys), &pod).unwrap();
        assert_eq!(ifbs(&node).len(), 1);
        let (node, pod) = setup();
        let keys = json!({"ingressRate": 0, "runtimeConfig": {"bandwidth": both_ways()}});
        let result = call(whose, PLUGIN, "ADD", &config(&node, keys), &pod).unwrap();
        assert_eq!(result, previous(&pod));
        assert!(ifbs(&node).is_empty());
    }
}

#[test]
fn each_sides_check_and_del_take_what_the_other_made() {
    for maker in Whose::BOTH {
        for user in Whose::BOTH {
            let (node, pod) = setup();
            let keys = json!({"ingressRate": 1_000_000, "ingressBurst": MAX_BURST,
                "egressRate": 4_000_000, "egressBurst": 400_000});
            let mut config = config(&node, keys);
            let result = call(maker, PLUGIN, "ADD", &config, &pod).unwrap();
            config["prevResult"] = result;
            call(user, PLUGIN, "CHECK", &config, &pod)
                .unwrap_or_else(|e| panic!("{maker:?} made it, {user:?} checks it: {e}"));
            config.as_object_mut().unwrap().remove("prevResult");
            for _ in 0..2 {
                call(user, PLUGIN, "DEL", &config, &pod).unwrap();
                assert!(ifbs(&node).is_empty(), "{maker:?} made it, {user:?} deleted it");
            }
            if (maker, user) == (Whose::Ours, Whose::Ours) {
                assert_clean(&node, "DEL");
            }
        }
    }
}

#[test]
fn del_needs_neither_namespace_nor_limits() {
    let (node, pod) = setup();
    call(Whose::Ours, PLUGIN, "ADD", &config(&node, both_ways()), &pod).unwrap();
    let binary = Whose::Ours.plugin(PLUGIN);
    let del = Call { binary, ..Call::new(Whose::Ours, "DEL", "c1", "") };
    del.run(&config(&node, json!({"ingressRate": 5}))).unwrap();
    assert_clean(&node, "DEL");
}

#[test]
fn check_finds_what_was_changed() {
    let changes = [
        "qdisc replace dev vethpod root handle 1: tbf rate 1mbit burst 10kb latency 25ms",
        "qdisc del dev IFB root",
    ];
    for whose in Whose::BOTH {
        for change in changes {
            let (node, pod) = setup();
            let mut config = config(&node, both_ways());
            config["prevResult"] = call(whose, PLUGIN, "ADD", &config, &pod).unwrap();
            let change = change.replace("IFB", &ifbs(&node)[0]);
            // The reference looks at what a bucket is, and takes none for right.
            let seen_by_all = change.contains("replace");
            assert_eq!(output("tc", &change), "");
            let checked = call(whose, PLUGIN, "CHECK", &config, &pod);
            assert!(checked.is_err() || (whose == Whose::Reference && !seen_by_all), "{whose:?} {change}");
        }
        let (node, pod) = setup();
        let mut config = config(&node, both_ways());
        config["prevResult"] = call(whose, PLUGIN, "ADD", &config, &pod).unwrap();
        output("ip", &format!("link del {}", ifbs(&node)[0]));
        call(whose, PLUGIN, "CHECK", &config, &pod).unwrap_err();
    }
    for change in
        ["filter del dev vethpod ingress", "qdisc del dev vethpod ingress", "qdisc del dev vethpod root"]
    {
        let (node, pod) = setup();
        let mut config = config(&node, both_ways());
        config["prevResult"] = call(Whose::Ours, PLUGIN, "ADD", &config, &pod).unwrap();
        assert_eq!(output("tc", change), "");
        let error = call(Whose::Ours, PLUGIN, "CHECK", &config, &pod).unwrap_err();
        assert_eq!(error["code"], 103, "{change}: {error}");
    }
}

#[test]
fn a_second_add_fails_and_leaves_the_first_alone() {
    for whose in Whose::BOTH {
        let (node, pod) = setup();
        let mut config = config(&node, both_ways());
        config["prevResult"] = call(whose, PLUGIN, "ADD", &config, &pod).unwrap();
        let before = output("tc", "qdisc show");
        let error = call(whose, PLUGIN, "ADD", &config, &pod).unwrap_err();
        assert!(whose == Whose::Reference || error["code"] == 102, "{error}");
        assert_eq!(output("tc", "qdisc show"), before);
        call(whose, PLUGIN, "CHECK", &config, &pod).unwrap();
        call(whose, PLUGIN, "DEL", &config, &pod).unwrap();
    }
}

#[test]
fn an_add_that_fails_undoes_what_it_made() {
    let (node, pod) = setup();
    // The host's end is shaped by something else: the last step fails.
    assert_eq!(
        output("tc", "qdisc add dev vethpod root handle 5: tbf rate 1mbit burst 10kb latency 25ms"),
        ""
    );
    let error = call(Whose::Ours, PLUGIN, "ADD", &config(&node, both_ways()), &pod).unwrap_err();
    assert_eq!(error["code"], 102, "{error}");
    let qdiscs = output("tc", "qdisc show");
    assert!(qdiscs.contains("tbf 5:") && !qdiscs.contains("ingress"), "{qdiscs}");
    assert!(ifbs(&node).is_empty());
    assert!(!node.dir.path().join("records/shape/c1_eth0.json").exists());
}

#[test]
fn what_is_wrong_is_refused_by_both() {
    for whose in Whose::BOTH {
        let (node, pod) = setup();
        for (keys, part) in [
            (json!({"ingressRate": 5}), "must also be set"),
            (json!({"egressBurst": 5}), "must also be set"),
            (json!({"ingressRate": 8, "ingressBurst": 8 * MAX_BURST}), "4"),
        ] {
            let error = call(whose, PLUGIN, "ADD", &config(&node, keys), &pod).unwrap_err();
            assert!(error["msg"].as_str().unwrap().contains(part), "{error}");
        }
        let mut old = config(&node, both_ways());
        old["cniVersion"] = json!("0.2.0");
        old["prevResult"] = json!({"cniVersion": "0.2.0"});
        assert_eq!(call(whose, PLUGIN, "ADD", &old, &pod).unwrap_err()["code"], 1);
        let mut untold = config(&node, both_ways());
        untold["prevResult"] = previous(&pod);
        untold["prevResult"]["interfaces"] = json!([{"name": "eth0", "sandbox": pod.path()}]);
        call(whose, PLUGIN, "ADD", &untold, &pod).unwrap_err();
        assert!(ifbs(&node).is_empty());
        // A container without a veth.
        let bare = Pod::new();
        call(whose, PLUGIN, "ADD", &config(&node, both_ways()), &bare).unwrap_err();
    }
}

#[test]
fn subnets_are_limited_or_left_out_by_class() {
    for (key, default, chosen) in [("unshapedSubnets", "0x30", ":1 "), ("shapedSubnets", "0x1", ":30 ")] {
        let (node, pod) = setup();
        let mut keys = both_ways();
        keys[key] = json!(["10.0.0.0/8", "fd00::/64"]);
        let mut config = config(&node, keys);
        config["prevResult"] = call(Whose::Ours, PLUGIN, "ADD", &config, &pod).unwrap();
        for dev in [HOST_END.to_string(), ifbs(&node)[0].clone()] {
            let qdisc = output("tc", &format!("qdisc show dev {dev} root"));
            assert!(qdisc.contains("htb 1:") && qdisc.contains(&format!("default {default}")), "{qdisc}");
            let classes = output("tc", &format!("class show dev {dev}"));
            assert!(classes.contains("1:30") && classes.contains("1:1 "), "{classes}");
            let filters = output("tc", &format!("filter show dev {dev} parent 1:"));
            assert!(filters.contains("match 0a000000/ff000000 at 16"), "{filters}");
            assert!(filters.contains(&format!("flowid 1{chosen}")), "{filters}");
        }
        call(Whose::Ours, PLUGIN, "CHECK", &config, &pod).unwrap();
        output("tc", "filter del dev vethpod parent 1: prio 16");
        let error = call(Whose::Ours, PLUGIN, "CHECK", &config, &pod).unwrap_err();
        assert!(error["msg"].as_str().unwrap().contains("10.0.0.0/8"), "{error}");
        call(Whose::Ours, PLUGIN, "DEL", &config, &pod).unwrap();
        assert_clean(&node, key);
    }
}

/// The first number behind a word of tc's text.
fn counter(text: &str, word: &str) -> u64 {
    let rest = text.split(word).nth(1).unwrap_or_else(|| panic!("{word}: {text}"));
    rest.trim_start().split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn what_exceeds_the_limit_does_not_pass() {
    for whose in Whose::BOTH {
        let (node, pod) = setup();
        // A bucket of 20 kB, a queue of 20 kB and 25 ms: of 300 kB sent at once, most must wait or be dropped.
        let keys = json!({"ingressRate": 80_000, "ingressBurst": 160_000, "egressRate": 80_000, "egressBurst": 160_000});
        call(whose, PLUGIN, "ADD", &config(&node, keys), &pod).unwrap();
        let ifb = ifbs(&node)[0].clone();
        let flood = |to: &str| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            // A full queue may say so.
            (0..300).for_each(|_| drop(socket.send_to(&[0; 1000], to)));
        };
        flood("10.9.0.2:9");
        pod.netns.run(|| flood("10.9.0.1:9")).unwrap();
        for dev in [HOST_END, &ifb] {
            let shown = output("tc", &format!("-s qdisc show dev {dev} root"));
            assert!(counter(&shown, "Sent") > 1000, "{whose:?} {dev}: {shown}");
            assert!(counter(&shown, "dropped") > 100, "{whose:?} {dev}: {shown}");
        }
    }
}

#[test]
fn status_tries_it_in_a_namespace_of_its_own() {
    let (node, pod) = setup();
    let mut config = config(&node, json!({"cniVersion": "1.1.0", "ingressRate": 8, "ingressBurst": 8}));
    call(Whose::Ours, PLUGIN, "STATUS", &config, &pod).unwrap();
    config["shapedSubnets"] = json!(["10.0.0.0/8"]);
    call(Whose::Ours, PLUGIN, "STATUS", &config, &pod).unwrap();
    assert!(ifbs(&node).is_empty());
    config["ingressRate"] = json!(0);
    assert_eq!(call(Whose::Ours, PLUGIN, "STATUS", &config, &pod).unwrap_err()["code"], 7);
}
