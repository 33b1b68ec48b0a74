//! flannel's plugin: what it renders, keeps and delegates.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;

use common::{Call, Node, Pod, Whose, installed};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const OURS: Whose = Whose::Ours;

fn write_env(node: &Node, subnet: &str) {
    let text = format!(
        "FLANNEL_NETWORK=10.99.0.0/16\nFLANNEL_SUBNET={subnet}\nFLANNEL_IPV6_NETWORK=fd99::/48\n\
         FLANNEL_IPV6_SUBNET=fd99:0:0:3::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n"
    );
    std::fs::write(node.dir.path().join("subnet.env"), text).unwrap();
}

fn config(node: &Node, delegate: Value) -> Value {
    json!({"cniVersion": "1.1.0", "name": "cbr0", "type": "flannel", "delegate": delegate,
        "subnetFile": node.dir.path().join("subnet.env"), "dataDir": node.dir.path().join("flannel"),
        "ipam": {"dataDir": node.data_dir(), "routes": [{"dst": "10.200.0.0/16"}]}})
}

fn call(command: &str, id: &str, netns: &str, config: &Value) -> Result<Value, Value> {
    let mut call = Call::new(OURS, command, id, netns).of(OURS, "flannel");
    call.environment.push(("CNI_PATH", installed().display().to_string()));
    call.run(config)
}

fn scratch(node: &Node, id: &str) -> PathBuf {
    node.dir.path().join("flannel").join(id)
}

#[test]
fn the_delegate_gets_the_nodes_subnet_and_del_goes_by_what_was_kept() {
    let (node, pod) = (Node::new(), Pod::new());
    write_env(&node, "10.99.3.1/24");
    let config = config(&node, json!({"hairpinMode": true, "isDefaultGateway": true}));
    let result = call("ADD", "c1", &pod.path(), &config).unwrap();
    assert_eq!(result["ips"][0]["address"], "10.99.3.2/24");
    assert_eq!(result["ips"][1]["address"], "fd99:0:0:3::2/64");
    assert_eq!(pod.link("eth0").unwrap().mtu, 1450);
    let routes: Vec<String> = pod.routes().iter().map(|r| r.dest.to_string()).collect();
    for wanted in ["0.0.0.0/0", "::/0", "10.99.0.0/16", "fd99::/48", "10.200.0.0/16"] {
        assert!(routes.iter().any(|r| r == wanted), "{wanted}: {routes:?}");
    }
    assert_eq!(node.veths()[0].port.as_ref().unwrap().hairpin, Some(true));

    let file = scratch(&node, "c1");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    // As the original renders it: its own DEL would go by this file.
    assert_eq!(
        (&kept["type"], &kept["ipMasq"], &kept["isGateway"]),
        (&json!("bridge"), &json!(false), &json!(true))
    );
    assert_eq!(kept["ipam"]["ranges"][0], json!([{"subnet": "10.99.3.0/24"}]));
    let mut again = config.clone();
    again["prevResult"] = result;
    call("CHECK", "c1", &pod.path(), &again).unwrap();

    std::fs::remove_file(node.dir.path().join("subnet.env")).unwrap();
    call("DEL", "c1", &pod.path(), &config).unwrap();
    assert!(node.veths().is_empty() && node.reserved("cbr0").is_empty() && !file.exists());
    call("DEL", "c1", &pod.path(), &config).unwrap();
}

#[test]
fn del_finds_everything_without_the_kept_file() {
    let (node, pod) = (Node::new(), Pod::new());
    write_env(&node, "10.99.3.1/24");
    let config = config(&node, json!({}));
    call("ADD", "c1", &pod.path(), &config).unwrap();
    std::fs::remove_file(scratch(&node, "c1")).unwrap();
    std::fs::remove_file(node.dir.path().join("subnet.env")).unwrap();
    call("DEL", "c1", "", &config).unwrap();
    assert!(node.veths().is_empty() && node.reserved("cbr0").is_empty());
}

#[test]
fn the_reference_bridge_goes_on_from_what_was_kept() {
    let (node, pod) = (Node::new(), Pod::new());
    write_env(&node, "10.99.3.1/24");
    let mut config = config(&node, json!({}));
    config["cniVersion"] = "1.0.0".into();
    call("ADD", "c1", &pod.path(), &config).unwrap();
    let kept: Value = serde_json::from_slice(&std::fs::read(scratch(&node, "c1")).unwrap()).unwrap();
    Call::new(Whose::Reference, "DEL", "c1", &pod.path()).run(&kept).unwrap();
    assert!(node.veths().is_empty() && node.reserved("cbr0").is_empty());
}

#[test]
fn a_delegate_that_is_not_in_here_is_executed() {
    let (node, pod) = (Node::new(), Pod::new());
    // IPv4 alone: the original waits for IPv6 addresses to be tested.
    let text =
        "FLANNEL_NETWORK=10.99.0.0/16\nFLANNEL_SUBNET=10.99.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";
    std::fs::write(node.dir.path().join("subnet.env"), text).unwrap();
    // macvlan of the reference set, over a link of the host.
    let peer = netstate::VethPeer { name: "up1".into(), mac: None, mtu: None, netns: None };
    let link =
        netstate::NewLink { up: true, ..netstate::NewLink::of("up0", netstate::NewLinkKind::Veth(peer)) };
    node.kernel().apply_all(&[netstate::Op::AddLink(link)]).unwrap();
    let mut config = config(&node, json!({"type": "macvlan", "master": "up0"}));
    config["cniVersion"] = "1.0.0".into();
    let path = pod.path();
    let with_theirs = |command| {
        let mut call = Call::new(OURS, command, "c1", &path).of(OURS, "flannel");
        // Its host-local is ours: the original calls what is installed.
        let dirs = format!("{}:{}", installed().display(), common::REFERENCE);
        call.environment.push(("CNI_PATH", dirs));
        call.run(&config)
    };
    let result = with_theirs("ADD").unwrap();
    assert_eq!(result["ips"][0]["address"], "10.99.3.2/24");
    assert_eq!(pod.link("eth0").unwrap().kind, netstate::LinkKind::Other("macvlan".into()));
    with_theirs("DEL").unwrap();
    assert!(pod.link("eth0").is_none() && node.reserved("cbr0").is_empty());
}

#[test]
fn without_a_subnet_the_runtime_is_asked_to_try_again() {
    let (node, pod) = (Node::new(), Pod::new());
    let config = config(&node, json!({}));
    let error = call("ADD", "c1", &pod.path(), &config).unwrap_err();
    assert!(error["code"] == 11 && error["msg"].as_str().unwrap().contains("subnet.env"), "{error}");
    assert_eq!(call("STATUS", "", "", &config).unwrap_err()["code"], 50);
    assert!(!scratch(&node, "c1").exists());
}

#[test]
fn a_wrong_delegate_is_named() {
    let node = Node::new();
    write_env(&node, "10.99.3.1/24");
    for (delegate, part) in [
        (json!({"name": "x"}), "name"),
        (json!({"ipam": {}}), "ipam"),
        (json!({"type": 5}), "delegate.type"),
        (json!({"type": "../evil"}), "delegate.type"),
        (json!({"type": "flannel"}), "for ever"),
        (json!(5), "delegate"),
    ] {
        let error = call("ADD", "c1", &Pod::new().path(), &config(&node, delegate.clone())).unwrap_err();
        assert!(error["code"] == 7 && error["msg"].as_str().unwrap().contains(part), "{delegate}: {error}");
    }
    assert!(node.veths().is_empty() && node.reserved("cbr0").is_empty());
}

#[test]
fn gc_removes_what_is_kept_of_this_network_alone() {
    let (node, kept, lost) = (Node::new(), Pod::new(), Pod::new());
    write_env(&node, "10.99.3.1/24");
    let config = config(&node, json!({}));
    call("ADD", "kept", &kept.path(), &config).unwrap();
    call("ADD", "lost", &lost.path(), &config).unwrap();
    std::fs::write(scratch(&node, "foreign"), r#"{"name": "another", "type": "bridge"}"#).unwrap();
    let mut gc = config.clone();
    gc["cni.dev/valid-attachments"] = json!([{"containerID": "kept", "ifname": "eth0"}]);
    call("GC", "", "", &gc).unwrap();
    assert_eq!((node.veths().len(), node.reserved("cbr0").len()), (1, 2));
    assert!(scratch(&node, "kept").exists() && scratch(&node, "foreign").exists());
    assert!(!scratch(&node, "lost").exists());
    assert!(kept.pings("10.99.3.1"));
}
