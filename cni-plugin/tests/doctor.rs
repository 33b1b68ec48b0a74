//! The doctor: each finding on a node that has it, and none on one that has not.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;
mod named;

use cni_plugin::caller::{Attachment, Cache};
use cni_plugin::doctor::{Places, Report, examine, fix};
use cni_plugin::types::NetConfList;
use common::{Node, Pod, Whose, reference};
use named::{call, output, wire};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A node on which nothing is wrong, and that booted a day ago.
fn healthy() -> (Node, Places) {
    let node = Node::new();
    let dir = |name: &str| {
        let path = node.dir.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    let places = Places {
        conf_dir: dir("net.d"),
        bin_dirs: vec![dir("bin")],
        cache_dir: dir("cni"),
        data_dir: dir("networks"),
        subnet_file: node.dir.path().join("subnet.env"),
        sandboxes: node.dir.path().join("sandboxes"),
        stat: node.dir.path().join("stat"),
        proxy: "127.0.0.1:10249".parse().unwrap(),
    };
    for name in ["weft-cni", "portmap"] {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_weft-cni"), places.bin_dirs[0].join(name)).unwrap();
    }
    network(&places, "10-weft.conflist", json!([{"type": "weft-cni"}, {"type": "portmap"}]));
    std::fs::write(&places.subnet_file, "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.2.1/24\n")
        .unwrap();
    let boot = SystemTime::now() - Duration::from_secs(86_400);
    let seconds = boot.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    std::fs::write(&places.stat, format!("cpu 1 2 3\nbtime {seconds}\nprocesses 9\n")).unwrap();
    output("ip", "link set lo up");
    output("sysctl", "-w net.ipv4.ip_forward=1");
    (node, places)
}

fn list(plugins: Value) -> String {
    json!({"cniVersion": "1.0.0", "name": "cbr0", "plugins": plugins}).to_string()
}

fn network(places: &Places, file: &str, plugins: Value) {
    std::fs::write(places.conf_dir.join(file), list(plugins)).unwrap();
}

fn reserve(places: &Places, ip: &str, id: &str, age: Duration) {
    let dir = places.data_dir.join("cbr0");
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join(ip);
    std::fs::write(&path, format!("{id}\r\neth0")).unwrap();
    let file = std::fs::File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

fn remember(places: &Places, id: &str, netns: &str) {
    let list = NetConfList::from_text(&list(json!([{"type": "weft-cni"}]))).unwrap();
    let attachment = Attachment {
        container_id: id.into(),
        netns: netns.into(),
        ifname: "eth0".into(),
        ..Attachment::default()
    };
    Cache::new(places.cache_dir.clone()).store(&list, &attachment, &json!({"cniVersion": "1.0.0"})).unwrap();
}

/// The one finding.
#[track_caller]
fn only(report: &Report, check: &str, parts: &[&str]) {
    let [finding] = &report.findings[..] else { panic!("not one finding: {report}") };
    assert_eq!(finding.check, check, "{report}");
    let text = format!("{}: {}\n{}", finding.object, finding.what, finding.next);
    parts.iter().for_each(|part| assert!(text.contains(part), "{part:?} is not in {text}"));
    assert!(report.to_string().contains("1 finding"));
}

const OLD: Duration = Duration::from_secs(7 * 86_400);
/// Older than an ADD lasts, and in this boot.
const RECENT: Duration = Duration::from_secs(400);

#[test]
fn a_healthy_node_has_nothing_and_is_told_what_it_uses() {
    let (_node, places) = healthy();
    let report = examine(&places);
    assert!(report.findings.is_empty(), "{report}");
    let text = report.to_string();
    for part in
        ["network cbr0", "10-weft.conflist", "weft-cni, portmap", "ours, a link to", "nothing is wrong"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["findings"], json!([]));
}

#[test]
fn files_that_are_passed_over_or_come_first_are_named() {
    let (_node, places) = healthy();
    let write = |name: &str, text: &str| std::fs::write(places.conf_dir.join(name), text).unwrap();
    write("05-broken.conflist", "{");
    only(&examine(&places), "networks", &["05-broken.conflist", "passed over", "EOF"]);
    write("05-broken.conflist", r#"{"name":"x","type":"bridge"}"#);
    only(&examine(&places), "networks", &["must have \"plugins\""]);
    std::fs::remove_file(places.conf_dir.join("05-broken.conflist")).unwrap();
    write("05-list.conf", &list(json!([{"type": "weft-cni"}])));
    only(&examine(&places), "networks", &["must be named .conflist"]);
    std::fs::remove_file(places.conf_dir.join("05-list.conf")).unwrap();
    write("20-other.conf", r#"{"name":"other","type":"ptp","cniVersion":"1.0.0"}"#);
    let report = examine(&places);
    assert!(
        report.findings.is_empty() && report.to_string().contains("10-weft.conflist is sorted before it")
    );
    // Ours behind somebody else's.
    let loopback = r#"{"name":"a","cniVersion":"1.0.0","plugins":[{"type":"portmap"}]}"#;
    write("00-first.conflist", loopback);
    only(&examine(&places), "networks", &["10-weft.conflist", "00-first.conflist", "sorted first"]);
    for entry in std::fs::read_dir(&places.conf_dir).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    only(&examine(&places), "networks", &["NotReady"]);
    std::fs::remove_dir(&places.conf_dir).unwrap();
    only(&examine(&places), "networks", &["cannot be listed"]);
}

#[test]
fn two_files_of_one_name_share_addresses() {
    let (_node, places) = healthy();
    network(&places, "20-copy.conflist", json!([{"type": "weft-cni"}]));
    only(&examine(&places), "networks", &["20-copy.conflist", "has the name"]);
}

#[test]
fn missing_and_foreign_binaries_are_told() {
    let (_node, places) = healthy();
    network(&places, "10-weft.conflist", json!([{"type": "weft-cni"}, {"type": "bandwidth"}]));
    only(&examine(&places), "binaries", &["plugin bandwidth", "ln -s weft-cni bandwidth"]);
    network(&places, "10-weft.conflist", json!([{"type": "cilium-cni"}]));
    only(&examine(&places), "binaries", &["cilium-cni", "install the plugin"]);
    // Ours needs no host-local beside it; the reference does.
    let bridge = json!([{"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}]);
    network(&places, "10-weft.conflist", bridge);
    let file = places.bin_dirs[0].join("bridge");
    std::fs::copy(env!("CARGO_BIN_EXE_weft-cni"), &file).unwrap();
    let report = examine(&places);
    assert!(report.findings.is_empty() && report.to_string().contains("bin/bridge: ours\n"), "{report}");
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(reference("bridge"), &file).unwrap();
    let report = examine(&places);
    assert!(report.to_string().contains("another program, /usr/lib/cni/bridge"), "{report}");
    only(&report, "binaries", &["plugin host-local"]);
    std::fs::write(places.bin_dirs[0].join("host-local"), "#!/bin/sh\n").unwrap();
    only(&examine(&places), "binaries", &["host-local", "cannot be executed", "chmod 755"]);
}

#[test]
fn reservations_of_containers_that_are_gone_are_found_and_freed() {
    let (_node, places) = healthy();
    let pod = Pod::new();
    remember(&places, "alive", &pod.path());
    reserve(&places, "10.244.2.2", "alive", RECENT);
    reserve(&places, "10.244.2.3", "young", Duration::ZERO);
    std::fs::create_dir_all(places.sandboxes.join("sandbox")).unwrap();
    reserve(&places, "10.244.2.4", "sandbox", OLD);
    assert!(examine(&places).findings.is_empty());
    remember(&places, "gone", "/run/netns/no-such-namespace");
    reserve(&places, "10.244.2.5", "gone", RECENT);
    let report = examine(&places);
    only(
        &report,
        "reservations",
        &["10.244.2.5", "6 minutes ago", "container gone (eth0)", "no-such-namespace"],
    );
    assert!(report.findings[0].fixable);
    assert_eq!(fix(&places, &report), ["freed 10.244.2.5 of network cbr0"]);
    let kept = |ip: &str| places.data_dir.join("cbr0").join(ip).exists();
    assert!(kept("10.244.2.2") && kept("10.244.2.4") && !kept("10.244.2.5"));
    // The store frees what an earlier boot left; this is what doctor sees before.
    reserve(&places, "10.244.2.6", "reboot", Duration::from_secs(2 * 86_400));
    let report = examine(&places);
    only(&report, "reservations", &["10.244.2.6", "2 days ago", "before the node booted"]);
    fix(&places, &report);
    assert!(!kept("10.244.2.6"));
}

#[test]
fn a_reservation_that_nobody_knows_of_is_told_and_not_freed() {
    let (_node, places) = healthy();
    reserve(&places, "10.244.2.7", "lost", RECENT);
    let report = examine(&places);
    only(&report, "reservations", &["10.244.2.7", "no runtime's results", "delete "]);
    assert!(!report.findings[0].fixable && fix(&places, &report).is_empty());
}

#[test]
fn links_whose_container_is_gone_are_found_and_deleted() {
    let (node, places) = healthy();
    let pod = Pod::new();
    wire(&node, &pod);
    output("ip", "link set vethpod alias weft:cni:cbr0/c1/eth0");
    remember(&places, "c1", &pod.path());
    assert!(examine(&places).findings.is_empty());
    remember(&places, "c1", "/run/netns/no-such-namespace");
    reserve(&places, "10.244.2.9", "c1", RECENT);
    let report = examine(&places);
    only(&report, "links", &["vethpod of container c1 (eth0), network cbr0", "no-such-namespace"]);
    // Its address is in use as long as the link is there.
    assert_eq!(fix(&places, &report), ["deleted the link vethpod", "freed 10.244.2.9 of network cbr0"]);
    assert!(examine(&places).findings.is_empty());
    assert!(node.link("vethpod").is_none() && pod.link("eth0").is_none());
    // A container's end that is in no container.
    output("ip", "link add stray type veth peer name strayed");
    output("ip", "link set stray alias weft:cni:cbr0/c2/eth0");
    let report = examine(&places);
    only(&report, "links", &["strayed, is in the host's namespace", "ip link delete stray"]);
    assert!(!report.findings[0].fixable);
    output("ip", "link set stray alias somebody-elses");
    // A container that nothing knows of, and one whose ADD may be under way.
    let lost = Pod::new();
    wire(&node, &lost);
    output("ip", "link set vethpod alias weft:cni:cbr0/c3/eth0");
    let report = examine(&places);
    only(&report, "links", &["c3", "no runtime's results"]);
    assert!(!report.findings[0].fixable);
    reserve(&places, "10.244.2.10", "c3", Duration::ZERO);
    assert!(examine(&places).findings.is_empty());
}

#[test]
fn an_ifb_that_nothing_is_redirected_to_is_found() {
    let (node, places) = healthy();
    let pod = Pod::new();
    wire(&node, &pod);
    remember(&places, "c1", &pod.path());
    let config = json!({"cniVersion": "1.0.0", "name": "cbr0", "type": "bandwidth", "dataDir": node.dir.path().join("r"),
        "egressRate": 8000, "egressBurst": 80_000});
    call(Whose::Ours, "bandwidth", "ADD", &config, &pod).unwrap();
    assert!(examine(&places).findings.is_empty());
    output("tc", "qdisc del dev vethpod ingress");
    let report = examine(&places);
    only(&report, "links", &["bwp", "c1", "is not limited"]);
    assert!(!report.findings[0].fixable, "its container lives");
    std::fs::remove_dir_all(places.cache_dir.join("results")).unwrap();
    let report = examine(&places);
    only(&report, "links", &["bwp", "nothing is redirected to it"]);
    assert!(fix(&places, &report)[0].starts_with("deleted the link bwp"));
    assert!(examine(&places).findings.is_empty());
}

#[test]
fn a_bridge_of_an_earlier_subnet_is_found_with_its_pods() {
    let (_node, places) = healthy();
    output("ip", "link add cni0 type bridge");
    output("ip", "addr add 10.244.2.1/24 dev cni0");
    assert!(examine(&places).findings.is_empty());
    output("ip", "addr add 10.244.1.1/24 dev cni0");
    let earlier = ["bridge cni0", "10.244.1.1/24", "10.244.2.1/24"];
    only(&examine(&places), "bridges", &[&earlier[..], &["the next ADD gives it"]].concat());
    output("ip", "link add vetha type veth peer name b");
    output("ip", "link set vetha master cni0");
    only(&examine(&places), "bridges", &[&earlier[..], &["delete these pods", "vetha"]].concat());
    let flannel = json!([{"type": "flannel", "delegate": {"bridge": "cni0"}}]);
    for name in ["flannel", "bridge"] {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_weft-cni"), places.bin_dirs[0].join(name)).unwrap();
    }
    network(&places, "10-weft.conflist", flannel);
    only(&examine(&places), "bridges", &earlier);
    std::fs::remove_file(&places.subnet_file).unwrap();
    only(&examine(&places), "bridges", &["subnet.env", "overlay's log"]);
    // Its own subnet: the overlay's file is not asked.
    let own = json!([{"type": "weft-cni", "ipam": {"type": "host-local", "subnet": "10.5.0.0/24"}}]);
    network(&places, "10-weft.conflist", own);
    assert!(examine(&places).findings.is_empty());
    network(&places, "10-weft.conflist", json!([{"type": "weft-cni", "bridge": "vetha"}]));
    std::fs::write(&places.subnet_file, "FLANNEL_SUBNET=10.244.2.1/24\n").unwrap();
    only(&examine(&places), "bridges", &["not a bridge"]);
}

#[test]
fn sysctls_that_are_off_are_found() {
    let (_node, places) = healthy();
    output("sysctl", "-w net.ipv4.ip_forward=0");
    only(&examine(&places), "sysctls", &["net.ipv4.ip_forward", "it is 0", "sysctl -w"]);
    output("sysctl", "-w net.ipv4.ip_forward=1");
    output("sysctl", "-w net.ipv6.conf.all.forwarding=0");
    assert!(examine(&places).findings.is_empty(), "no IPv6 subnet");
    let both = "FLANNEL_SUBNET=10.244.2.1/24\nFLANNEL_IPV6_SUBNET=fd00:10::1/64\n";
    std::fs::write(&places.subnet_file, both).unwrap();
    only(&examine(&places), "sysctls", &["net.ipv6.conf.all.forwarding"]);
}

#[test]
fn bridged_packets_matter_to_kube_proxy_with_iptables_only() {
    for (mode, matters) in [("iptables", true), ("ipvs", false), ("nftables", false)] {
        let (_node, places) = healthy();
        let shown = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables");
        if shown.exists() {
            output("sysctl", "-w net.bridge.bridge-nf-call-iptables=0");
        }
        let listener = TcpListener::bind(places.proxy).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let size = stream.read(&mut request).unwrap();
            assert!(request[..size].starts_with(b"GET /proxyMode "));
            stream
                .write_all(format!("HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\n{mode}").as_bytes())
                .unwrap();
        });
        let report = examine(&places);
        server.join().unwrap();
        match matters {
            true => only(&report, "sysctls", &["net.bridge.bridge-nf-call-iptables", "kube-proxy"]),
            false => assert!(report.findings.is_empty(), "{report}"),
        }
    }
}
