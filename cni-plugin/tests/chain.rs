//! Chained with the reference portmap and bandwidth plugins, by our caller, as a runtime does it.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;

use cni_plugin::caller::{Attachment, Caller};
use cni_plugin::types::Attachment as Key;
use common::{Node, Pod, REFERENCE, Whose, reference};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

/// A directory with a conflist, and a caller that finds our plugin and the reference ones.
fn caller(node: &Node, whose: Whose, version: &str, chained: &[Value]) -> Caller {
    let mut first = node.config(whose, json!({"isDefaultGateway": true, "hairpinMode": true}));
    first.as_object_mut().unwrap().retain(|key, _| !["cniVersion", "name"].contains(&key.as_str()));
    let mut plugins = vec![first];
    plugins.extend(chained.iter().cloned());
    let list = json!({"cniVersion": version, "name": "testnet", "plugins": plugins});
    let conf = node.dir.path().join("net.d");
    std::fs::create_dir_all(&conf).unwrap();
    std::fs::write(conf.join("10-test.conflist"), list.to_string()).unwrap();
    let ours = Whose::Ours.binary().parent().unwrap().to_path_buf();
    Caller::new(conf, [ours, REFERENCE.into()], node.dir.path().join("cache"))
}

fn attachment(id: &str, pod: &Pod) -> Attachment {
    let capabilities = json!({
        "portMappings": [{"hostPort": 18080, "containerPort": 80, "protocol": "tcp"}],
        "bandwidth": {"ingressRate": 8_000_000, "ingressBurst": 8_000_000, "egressRate": 8_000_000, "egressBurst": 8_000_000},
    });
    let capability_args = capabilities.as_object().unwrap().clone();
    Attachment {
        container_id: id.into(),
        netns: pod.path(),
        ifname: "eth0".into(),
        capability_args,
        ..Default::default()
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    String::from_utf8(output.unwrap_or_else(|e| panic!("{program}: {e}")).stdout).unwrap()
}

#[test]
fn portmap_leads_a_host_port_to_the_pod() {
    reference("portmap");
    for whose in Whose::BOTH {
        let (node, pod) = (Node::new(), Pod::new());
        let portmap = json!({"type": "portmap", "capabilities": {"portMappings": true}, "snat": true});
        let caller = caller(&node, whose, "1.0.0", &[portmap]);
        let network = caller.default_network().unwrap();
        let result = caller.add(&network, &attachment("c1", &pod)).unwrap();
        assert_eq!(result.ips[0].address.to_string(), "10.99.0.2/24");
        // No CHECK here: portmap 1.1.1 looks for IPv6 chains that its own ADD doesn't make for IPv4 pods.

        let listener = pod.netns.run(|| TcpListener::bind("10.99.0.2:80").unwrap()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| listener.accept().unwrap().0.write_all(b"hello").unwrap());
            let node_address = "10.99.0.1:18080".parse().unwrap();
            let mut stream = TcpStream::connect_timeout(&node_address, Duration::from_secs(3)).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello", "{whose:?}");
        });
        caller.del(&network, &attachment("c1", &pod)).unwrap();
        assert!(!said("iptables-save", &["-t", "nat"]).contains("18080"), "{whose:?}");
        assert!(node.veths().is_empty() && node.reserved("testnet").is_empty());
        assert!(caller.cache().attachments().unwrap().is_empty());
    }
}

#[test]
fn bandwidth_shapes_the_pods_link() {
    reference("bandwidth");
    for whose in Whose::BOTH {
        let (node, pod) = (Node::new(), Pod::new());
        let bandwidth = json!({"type": "bandwidth", "capabilities": {"bandwidth": true}});
        let caller = caller(&node, whose, "1.0.0", &[bandwidth]);
        let network = caller.default_network().unwrap();
        let result = caller.add(&network, &attachment("c1", &pod)).unwrap();
        let veth = &result.interfaces[1].name;
        assert!(said("tc", &["qdisc", "show", "dev", veth]).contains("tbf"), "{whose:?}");
        caller.check(&network, &attachment("c1", &pod)).unwrap();
        caller.del(&network, &attachment("c1", &pod)).unwrap();
        let left: Vec<String> =
            node.kernel().route.links().unwrap().into_iter().map(|l| l.name.to_string()).collect();
        assert_eq!(left, ["lo", "cni0"], "{whose:?}");
    }
}

#[test]
fn gc_and_status_reach_the_plugin_by_the_caller() {
    let (node, kept, lost) = (Node::new(), Pod::new(), Pod::new());
    let caller = caller(&node, Whose::Ours, "1.1.0", &[]);
    let network = caller.network("testnet").unwrap();
    caller.status(&network).unwrap();
    caller.add(&network, &attachment("kept", &kept)).unwrap();
    caller.add(&network, &attachment("lost", &lost)).unwrap();
    // The caller forgot it, as after the loss of its disk: only the plugin's own GC can find it.
    caller.cache().remove("testnet", &attachment("lost", &lost)).unwrap();
    caller.gc(&network, &[Key { container_id: "kept".into(), ifname: "eth0".into() }]).unwrap();
    assert!(kept.link("eth0").is_some() && lost.link("eth0").is_none());
    assert_eq!(node.reserved("testnet"), ["10.99.0.2"]);
    caller.check(&network, &attachment("kept", &kept)).unwrap();
    assert!(caller.version("weft-cni").unwrap().supported_versions.contains(&"1.1.0".to_string()));
}

#[test]
fn behind_another_plugin_its_result_is_kept() {
    let (node, pod) = (Node::new(), Pod::new());
    let config = node.config(
        Whose::Ours,
        json!({"prevResult": {"cniVersion": "1.0.0",
        "interfaces": [{"name": "first0", "sandbox": pod.path()}],
        "ips": [{"address": "192.0.2.7/24", "interface": 0}], "dns": {"nameservers": ["192.0.2.53"]}}}),
    );
    let result = common::add(Whose::Ours, &config, "c1", &pod).unwrap();
    assert_eq!(result["interfaces"][0]["name"], "first0");
    assert_eq!(result["ips"][0], json!({"address": "192.0.2.7/24", "interface": 0}));
    assert_eq!(
        (&result["ips"][1]["interface"], &result["interfaces"][3]["name"]),
        (&json!(3), &json!("eth0"))
    );
    assert_eq!(result["dns"]["nameservers"][0], "192.0.2.53");
    common::check(Whose::Ours, &config, "c1", &pod, &result).unwrap();
}

#[test]
fn names_that_the_runtime_gives_are_for_a_name_server_to_read() {
    let (node, pod) = (Node::new(), Pod::new());
    let folder = node.dir.path().join("names");
    let config = |aliases: Value| {
        let keys = json!({"cniVersion": "1.1.0", "namesDir": folder, "runtimeConfig": {
            "aliases": aliases, "dns": {"servers": ["192.0.2.53"], "searches": ["example"]}}});
        node.config(Whose::Ours, keys)
    };
    let names = config(json!(["web", "db.example"]));
    let result = common::add(Whose::Ours, &names, "c1", &pod).unwrap();
    assert_eq!(result["dns"], json!({"nameservers": ["192.0.2.53"], "search": ["example"]}));
    let file = folder.join("testnet/c1_eth0");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "10.99.0.2 web db.example\n");
    let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o644, "a name server is not root");
    common::check(Whose::Ours, &names, "c1", &pod, &result).unwrap();
    std::fs::write(&file, "10.99.0.2 other\n").unwrap();
    assert_eq!(common::check(Whose::Ours, &names, "c1", &pod, &result).unwrap_err()["code"], 103);
    common::del(Whose::Ours, &names, "c1", &pod.path()).unwrap();
    assert!(!file.exists());

    for wrong in [json!(["a b"]), json!(["x\n127.0.0.1 bank.example"]), json!([5]), json!("web")] {
        let error = common::add(Whose::Ours, &config(wrong.clone()), "c1", &pod).unwrap_err();
        assert!(error["code"] == 7 && error["msg"].as_str().unwrap().contains("aliases"), "{wrong}: {error}");
    }
    assert!(node.veths().is_empty() && node.reserved("testnet").is_empty());
}

#[test]
fn a_block_that_is_wrong_is_named_and_keeps_no_container() {
    let (node, pod) = (Node::new(), Pod::new());
    let good = node.config(Whose::Ours, json!({"cniVersion": "1.1.0"}));
    common::add(Whose::Ours, &good, "c1", &pod).unwrap();
    let wrong = node.config(Whose::Ours, json!({"cniVersion": "1.1.0", "firewall": 5}));
    let error = common::add(Whose::Ours, &wrong, "c2", &Pod::new()).unwrap_err();
    assert!(error["code"] == 7 && error["msg"].as_str().unwrap().contains("firewall"), "{error}");
    common::del(Whose::Ours, &wrong, "c1", &pod.path()).unwrap();
    assert!(node.veths().is_empty() && node.reserved("testnet").is_empty());
}
