//! Without an `ipam` block: the node's subnet as the overlay wrote it, and STATUS and errors before it has.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;

use common::{Call, Node, Pod, Whose, add, del};
use serde_json::{Value, json};

const OURS: Whose = Whose::Ours;

fn config(node: &Node) -> Value {
    let mut config =
        node.config(OURS, json!({"cniVersion": "1.1.0", "subnetFile": node.dir.path().join("subnet.env")}));
    config["ipam"] = json!({"type": "host-local", "dataDir": node.data_dir()});
    config
}

fn write_env(node: &Node, ip_masq: bool) {
    let text = format!(
        "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.83.1/24\nFLANNEL_IPV6_NETWORK=fd00:10:244::/48\n\
         FLANNEL_IPV6_SUBNET=fd00:10:244:53::1/64\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ={ip_masq}\n"
    );
    std::fs::write(node.dir.path().join("subnet.env"), text).unwrap();
}

#[test]
fn subnet_gateway_mtu_and_routes_come_from_the_file() {
    let (node, pod) = (Node::new(), Pod::new());
    write_env(&node, true);
    let result = add(OURS, &config(&node), "c1", &pod).unwrap();
    let nets: Vec<String> = pod.addresses("eth0").iter().map(|a| a.net.to_string()).collect();
    assert_eq!(nets, ["10.244.83.2/24", "fd00:10:244:53::2/64"]);
    assert_eq!((pod.link("eth0").unwrap().mtu, node.veths()[0].mtu), (1450, 1450));
    let routes: Vec<String> = pod.routes().iter().map(|r| r.dest.to_string()).collect();
    for wanted in ["0.0.0.0/0", "::/0", "10.244.0.0/16", "fd00:10:244::/48"] {
        assert!(routes.iter().any(|r| r == wanted), "{wanted}: {routes:?}");
    }
    let bridge: Vec<String> = node.addresses("cni0").iter().map(|a| a.net.to_string()).collect();
    assert!(bridge.contains(&"10.244.83.1/24".into()) && bridge.contains(&"fd00:10:244:53::1/64".into()));
    assert_eq!(result["interfaces"][2]["mtu"], 1450);
    assert!(pod.pings("10.244.83.1") && pod.pings("fd00:10:244:53::1"));
    common::check(OURS, &config(&node), "c1", &pod, &result).unwrap();

    // DEL must free the address although the overlay, and its file, are gone.
    std::fs::remove_file(node.dir.path().join("subnet.env")).unwrap();
    del(OURS, &config(&node), "c1", &pod.path()).unwrap();
    assert!(node.reserved("testnet").is_empty());
}

#[test]
fn before_the_overlay_is_ready_the_caller_is_told_to_try_again() {
    let (node, pod) = (Node::new(), Pod::new());
    let status = |node: &Node| Call::new(OURS, "STATUS", "", "").run(&config(node));
    let error = add(OURS, &config(&node), "c1", &pod).unwrap_err();
    assert_eq!(error["code"], 11);
    let text = format!("{} {}", error["msg"], error["details"]);
    assert!(text.contains("subnet.env") && text.contains("flannel") && text.contains("log"), "{text}");
    assert_eq!(status(&node).unwrap_err()["code"], 50);
    assert!(pod.link("eth0").is_none() && node.link("cni0").is_none(), "nothing was made");

    write_env(&node, true);
    status(&node).unwrap();
    add(OURS, &config(&node), "c1", &pod).unwrap();
    std::fs::remove_file(node.dir.path().join("subnet.env")).unwrap();
    assert_eq!(status(&node).unwrap_err()["code"], 51, "running pods may be cut off");
    std::fs::write(node.dir.path().join("subnet.env"), "FLANNEL_SUBNET=nonsense\n").unwrap();
    let error = status(&node).unwrap_err();
    assert!(error["code"] == 50 && error["msg"].as_str().unwrap().contains("nonsense"), "{error}");
}

#[test]
fn status_knows_a_full_range() {
    let node = Node::new();
    let ipam = json!({"type": "host-local", "dataDir": node.data_dir(), "subnet": "10.99.0.0/30"});
    let config = node.config(OURS, json!({"cniVersion": "1.1.0", "ipam": ipam}));
    Call::new(OURS, "STATUS", "", "").run(&config).unwrap();
    add(OURS, &config, "c1", &Pod::new()).unwrap();
    assert_eq!(Call::new(OURS, "STATUS", "", "").run(&config).unwrap_err()["code"], 50);
    let error = add(OURS, &config, "c2", &Pod::new()).unwrap_err();
    assert!(
        error["code"] == 101 && error["msg"].as_str().unwrap().contains("10.99.0.1-10.99.0.2"),
        "{error}"
    );
}

#[test]
fn the_plugin_masquerades_when_the_overlay_does_not() {
    for overlay_does in [true, false] {
        let (node, pod) = (Node::new(), Pod::new());
        write_env(&node, overlay_does);
        add(OURS, &config(&node), "c1", &pod).unwrap();
        let tables = std::process::Command::new("nft").args(["list", "tables"]).output();
        let tables = String::from_utf8(tables.expect("apt-get install nftables").stdout).unwrap();
        assert_eq!(tables.matches("weft-cni-testnet-").count(), if overlay_does { 0 } else { 2 }, "{tables}");
    }
}

#[test]
fn masqueraded_packets_bear_the_nodes_address() {
    // outside ── 192.0.2.2 ─ veth ─ 192.0.2.1 ── node ── cni0 ── pod; outside has no route back to pods.
    let (node, pod, outside) = (Node::new(), Pod::new(), Pod::new());
    let target =
        netstate::NetNsTarget::Fd(std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&outside.netns)));
    let peer = netstate::VethPeer { name: "up0".into(), mac: None, mtu: None, netns: Some(target) };
    let link =
        netstate::NewLink { up: true, ..netstate::NewLink::of("up0", netstate::NewLinkKind::Veth(peer)) };
    let address = |ip: &str| netstate::Op::AddAddress(netstate::Address::of("up0", ip.parse().unwrap()));
    node.kernel().apply_all(&[netstate::Op::AddLink(link), address("192.0.2.1/24")]).unwrap();
    let up = netstate::LinkChange { up: Some(true), ..netstate::LinkChange::of("up0") };
    outside.kernel().apply_all(&[netstate::Op::ChangeLink(up), address("192.0.2.2/24")]).unwrap();
    for masquerade in [false, true] {
        let id = format!("c{masquerade}");
        let keys = json!({"isDefaultGateway": true, "ipMasq": masquerade, "ipMasqBackend": "nftables"});
        let config = node.config(OURS, keys);
        add(OURS, &config, &id, &pod).unwrap();
        assert_eq!(pod.run("ping", &["-c1", "-W1", "192.0.2.2"]), masquerade);
        del(OURS, &config, &id, &pod.path()).unwrap();
    }
}

#[test]
fn what_is_not_served_is_refused_by_name() {
    let (node, pod) = (Node::new(), Pod::new());
    for (key, value) in
        [("vlan", json!(100)), ("macspoofchk", json!(true)), ("vlanTrunk", json!([{"id": 5}]))]
    {
        let error = add(OURS, &node.config(OURS, json!({key: value})), "c1", &pod).unwrap_err();
        assert!(error["code"] == 2 && error["msg"].as_str().unwrap().contains(key), "{error}");
    }
    add(OURS, &node.config(OURS, json!({"myOwnKey": [1], "cni.dev/x": {}, "vlan": 0})), "c1", &pod).unwrap();
}
