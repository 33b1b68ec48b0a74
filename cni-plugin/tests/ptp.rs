//! The ptp plugin in real network namespaces: the same assertions for the reference and for ours.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;

use common::{Call, Node, Pod, Whose};
use netstate::{LinkChange, Op, sysctl};
use serde_json::{Value, json};
use std::process::Command;

fn config(node: &Node, keys: Value) -> Value {
    let mut config = json!({"cniVersion": "1.0.0", "name": "testnet", "type": "ptp", "mtu": 1400, "ipam": {
        "type": "host-local", "dataDir": node.data_dir(), "ranges": [[{"subnet": "10.99.0.0/24"}], [{"subnet": "fd99::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}});
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn call(whose: Whose, command: &str, id: &str, pod: &Pod, config: &Value) -> Result<Value, Value> {
    Call::new(whose, command, id, &pod.path()).of(whose, "ptp").run(config)
}

fn shown(pod: &Pod, arguments: &[&str]) -> Vec<String> {
    let output = pod.netns.run(|| Command::new("ip").args(arguments).output()).unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<String> =
        text.lines().map(|line| line.replace(" proto 87", "").trim().to_string()).collect();
    lines.sort();
    lines
}

#[test]
fn a_container_is_routed_by_its_own_link() {
    for whose in Whose::BOTH {
        let (node, pod, other) = (Node::new(), Pod::new(), Pod::new());
        let config = config(&node, json!({}));
        let result = call(whose, "ADD", "c1", &pod, &config).unwrap();
        assert_eq!(result["interfaces"].as_array().unwrap().len(), 2, "{whose:?}");
        assert_eq!(
            result["ips"][0],
            json!({"address": "10.99.0.2/24", "gateway": "10.99.0.1", "interface": 1})
        );
        assert_eq!(pod.link("eth0").unwrap().mtu, 1400);
        let wanted = [
            "10.99.0.0/24 via 10.99.0.1 dev eth0 src 10.99.0.2",
            "10.99.0.1 dev eth0 scope link src 10.99.0.2",
            "default via 10.99.0.1 dev eth0",
        ];
        assert_eq!(shown(&pod, &["-4", "route"]), wanted, "{whose:?}");
        let routes = shown(&pod, &["-6", "route"]);
        let by_gateway = |line: &String| line.starts_with("fd99::/64 via fd99::1 dev eth0");
        assert!(routes.iter().any(by_gateway), "{whose:?}: {routes:?}");

        let veth = &node.veths()[0];
        let nets: Vec<String> = node.addresses(&veth.name).iter().map(|a| a.net.to_string()).collect();
        assert!(nets.contains(&"10.99.0.1/32".into()) && nets.contains(&"fd99::1/128".into()), "{nets:?}");
        assert_eq!(sysctl::read("net/ipv4/ip_forward").unwrap(), "1");

        call(whose, "ADD", "c2", &other, &config).unwrap();
        assert!(pod.pings("10.99.0.3"), "{whose:?}: no way between containers");
        // The reference's IPv6 addresses are tested for duplicates first.
        assert!(whose == Whose::Reference || pod.pings("fd99::3"), "no way between containers");
        call(whose, "DEL", "c1", &pod, &config).unwrap();
        call(whose, "DEL", "c2", &other, &config).unwrap();
        assert!(node.veths().is_empty() && node.reserved("testnet").is_empty(), "{whose:?}");
    }
}

#[test]
fn check_finds_what_was_changed_on_either_side() {
    let (node, pod) = (Node::new(), Pod::new());
    let mut config = config(&node, json!({}));
    config["prevResult"] = call(Whose::Ours, "ADD", "c1", &pod, &config).unwrap();
    let check = || call(Whose::Ours, "CHECK", "c1", &pod, &config);
    check().unwrap();
    call(Whose::Reference, "CHECK", "c1", &pod, &config).unwrap();
    let veth = node.veths()[0].name.clone();
    let mut host = node.kernel();
    let links = host.route.links().unwrap();
    let to_pod = host
        .route
        .routes(&links)
        .unwrap()
        .into_iter()
        .find(|r| r.dest.to_string() == "10.99.0.2/32")
        .unwrap();
    host.apply_all(&[Op::DeleteRoute(to_pod.clone())]).unwrap();
    assert_eq!(check().unwrap_err()["code"], 103);
    host.apply_all(&[Op::ReplaceRoute(to_pod)]).unwrap();
    check().unwrap();
    let change = |up| Op::ChangeLink(LinkChange { up: Some(up), ..LinkChange::of(veth.clone()) });
    host.apply_all(&[change(false)]).unwrap();
    assert!(check().unwrap_err()["msg"].as_str().unwrap().contains("down"));
}

#[test]
fn containers_reach_the_outside_masqueraded() {
    for whose in Whose::BOTH {
        let (node, pod, outside) = (Node::new(), Pod::new(), Pod::new());
        let mut host = node.kernel();
        // A network beside the node, which knows nothing of containers.
        let target = netstate::NetNsTarget::Fd(std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(
            &outside.netns,
        )));
        let peer = netstate::VethPeer { name: "out0".into(), mac: None, mtu: None, netns: Some(target) };
        let link =
            netstate::NewLink { up: true, ..netstate::NewLink::of("up0", netstate::NewLinkKind::Veth(peer)) };
        let address = |dev: &str, net: &str| Op::AddAddress(netstate::Address::of(dev, net.parse().unwrap()));
        host.apply_all(&[Op::AddLink(link), address("up0", "192.0.2.1/24")]).unwrap();
        let up = Op::ChangeLink(LinkChange { up: Some(true), ..LinkChange::of("out0") });
        outside.kernel().apply_all(&[up, address("out0", "192.0.2.9/24")]).unwrap();

        let config = config(&node, json!({"ipMasq": true}));
        call(whose, "ADD", "c1", &pod, &config).unwrap();
        assert!(pod.pings("192.0.2.9"), "{whose:?}: no answer, so no masquerading");
        call(whose, "DEL", "c1", &pod, &config).unwrap();
    }
}

#[test]
fn what_cannot_be_routed_is_refused_and_leaves_nothing() {
    let (node, pod) = (Node::new(), Pod::new());
    let without = json!({"cniVersion": "1.0.0", "name": "testnet", "type": "ptp"});
    let error = call(Whose::Ours, "ADD", "c1", &pod, &without).unwrap_err();
    assert!(error["code"] == 7 && error["msg"].as_str().unwrap().contains("ipam"), "{error}");
    assert!(node.veths().is_empty());
    let config = config(&node, json!({}));
    call(Whose::Ours, "ADD", "c1", &pod, &config).unwrap();
    let error = call(Whose::Ours, "ADD", "c1", &pod, &config).unwrap_err();
    assert_eq!(error["code"], 102, "{error}");
    assert!(pod.pings("10.99.0.1"), "the first attachment is whole");
}
