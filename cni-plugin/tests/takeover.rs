//! One store, two programs: ours goes on where the original stopped, and the original where ours did.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;

use common::{Call, Node, Pod, Whose, add, check, del};
use serde_json::json;

#[test]
fn ours_continues_the_originals_node() {
    let node = Node::new();
    let keys = json!({"isDefaultGateway": true});
    let (theirs, ours) = (node.config(Whose::Reference, keys.clone()), node.config(Whose::Ours, keys));
    let pods: Vec<Pod> = (0..3).map(|_| Pod::new()).collect();
    let result = add(Whose::Reference, &theirs, "c0", &pods[0]).unwrap();
    add(Whose::Reference, &theirs, "c1", &pods[1]).unwrap();
    assert_eq!(node.reserved("testnet"), ["10.99.0.2", "10.99.0.3"]);

    let third = add(Whose::Ours, &ours, "c2", &pods[2]).unwrap();
    assert_eq!(third["ips"][0]["address"], "10.99.0.4/24", "the round goes on");
    assert!(pods[2].pings("10.99.0.2") && pods[0].pings("10.99.0.4"));
    check(Whose::Ours, &ours, "c0", &pods[0], &result).unwrap();
    del(Whose::Ours, &ours, "c0", &pods[0].path()).unwrap();
    assert!(pods[0].link("eth0").is_none(), "the original's pod is detached");
    // A namespace that is gone took the original's link with it; only the address is left to free.
    del(Whose::Ours, &ours, "c1", "").unwrap();
    assert_eq!(node.reserved("testnet"), ["10.99.0.4"]);
}

#[test]
fn the_original_continues_our_node() {
    let node = Node::new();
    let keys = json!({"isDefaultGateway": true});
    let (theirs, ours) = (node.config(Whose::Reference, keys.clone()), node.config(Whose::Ours, keys));
    let pods: Vec<Pod> = (0..3).map(|_| Pod::new()).collect();
    let result = add(Whose::Ours, &ours, "c0", &pods[0]).unwrap();
    add(Whose::Ours, &ours, "c1", &pods[1]).unwrap();

    let third = add(Whose::Reference, &theirs, "c2", &pods[2]).unwrap();
    assert_eq!(third["ips"][0]["address"], "10.99.0.4/24", "the round goes on");
    assert!(pods[2].pings("10.99.0.2") && pods[0].pings("10.99.0.4"));
    check(Whose::Reference, &theirs, "c0", &pods[0], &result).unwrap();
    del(Whose::Reference, &theirs, "c0", &pods[0].path()).unwrap();
    del(Whose::Reference, &theirs, "c1", &pods[1].path()).unwrap();
    assert!(pods[0].link("eth0").is_none() && pods[1].link("eth0").is_none());
    assert_eq!(node.reserved("testnet"), ["10.99.0.4"]);
    let index = node.data_dir().join("testnet/.weft-index");
    assert_eq!(
        std::fs::read_dir(index).unwrap().count(),
        0,
        "the original removed our entries with the files"
    );

    // And back again: what the original gave meanwhile is known to us.
    let again = Pod::new();
    let fourth = add(Whose::Ours, &ours, "c3", &again).unwrap();
    assert_eq!(fourth["ips"][0]["address"], "10.99.0.5/24");
    del(Whose::Ours, &ours, "c2", &pods[2].path()).unwrap();
    assert_eq!(node.reserved("testnet"), ["10.99.0.5"]);
}

#[test]
fn both_at_once_on_one_store_give_nothing_twice() {
    let node = Node::new();
    let configs = Whose::BOTH.map(|whose| node.config(whose, json!({"isGateway": true})));
    let pods: Vec<Pod> = (0..20).map(|_| Pod::new()).collect();
    let addresses: Vec<String> = std::thread::scope(|scope| {
        let (configs, pods, host) = (&configs, &pods, &node.host);
        let spawn = |at: usize| {
            scope.spawn(move || {
                let _inside = host.enter().unwrap();
                let whose = at % 2;
                let result = add(Whose::BOTH[whose], &configs[whose], &format!("c{at}"), &pods[at]).unwrap();
                result["ips"][0]["address"].as_str().unwrap().to_string()
            })
        };
        let threads: Vec<_> = (0..20).map(spawn).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let distinct: std::collections::BTreeSet<&String> = addresses.iter().collect();
    assert_eq!(distinct.len(), 20, "{addresses:?}");
    assert_eq!(node.reserved("testnet").len(), 20);
}

#[test]
fn gc_leaves_other_networks_and_other_programs_alone() {
    let node = Node::new();
    let keys = |name: &str| json!({"cniVersion": "1.1.0", "name": name});
    let [ours, other] = ["testnet", "other"].map(|name| node.config(Whose::Ours, keys(name)));
    let pods: Vec<Pod> = (0..3).map(|_| Pod::new()).collect();
    add(Whose::Ours, &ours, "a", &pods[0]).unwrap();
    add(Whose::Ours, &other, "b", &pods[1]).unwrap();
    let peer = netstate::VethPeer { name: "foreign1".into(), mac: None, mtu: None, netns: None };
    let foreign = netstate::NewLink::of("vethforeign0000", netstate::NewLinkKind::Veth(peer));
    node.kernel().apply_all(&[netstate::Op::AddLink(foreign)]).unwrap();
    let mut config = ours.clone();
    config["cni.dev/valid-attachments"] = json!([]);
    Call::new(Whose::Ours, "GC", "", "").run(&config).unwrap();
    assert!(pods[0].link("eth0").is_none() && pods[1].link("eth0").is_some());
    assert!(node.link("vethforeign0000").is_some());
    assert!(node.reserved("testnet").is_empty());
    assert_eq!(node.reserved("other").len(), 1);
    let error = Call::new(Whose::Ours, "GC", "", "").run(&ours).unwrap_err();
    assert_eq!(error["code"], 7, "without the list GC would remove everything: {error}");
}
