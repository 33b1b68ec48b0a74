//! Ports of the node that lead to pods: the reference plugin and ours, side by side.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;
mod ports;

use common::{Call, Whose};
use ports::{Member, Site, ask, nft, question};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::time::Duration;

const WEB: u16 = 80;

fn mapping(host_port: u16, protocol: &str, host_ip: &str) -> Value {
    json!({"hostPort": host_port, "containerPort": WEB, "protocol": protocol, "hostIP": host_ip})
}

fn config(site: &Site, mappings: Value) -> Value {
    site.config("portmap", json!({"runtimeConfig": {"portMappings": mappings}}))
}

fn usual(site: &Site) -> Value {
    config(
        site,
        json!([
            mapping(8080, "tcp", ""),
            mapping(5353, "udp", ""),
            mapping(8081, "tcp", "192.0.2.1"),
            mapping(8082, "tcp", "0.0.0.0"),
            mapping(8083, "tcp", "::"),
            mapping(8084, "tcp", "127.0.0.1"),
            mapping(9999, "sctp", ""),
        ]),
    )
}

fn portmap(site: &Site, command: &str, member: &Member, config: &Value) -> Result<Value, Value> {
    site.call("portmap", command, member, config)
}

/// From where, by which protocol, to where; who is seen to ask, or nothing where nobody must answer.
fn questions() -> Vec<(&'static str, &'static str, &'static str, Option<String>)> {
    let node = |text: &str| Some(text.to_owned());
    let (gateway, gateway6) = (node("10.99.0.1"), node("fd99::1"));
    vec![
        ("client", "tcp", "192.0.2.1:8080", node("192.0.2.2")),
        ("client", "tcp", "[2001:db8::1]:8080", node("2001:db8::2")),
        ("client", "udp", "192.0.2.1:5353", node("192.0.2.2")),
        ("client", "udp", "[2001:db8::1]:5353", node("2001:db8::2")),
        ("client", "udp", "192.0.2.1:8080", None),
        ("node", "tcp", "192.0.2.1:8080", node("192.0.2.1")),
        ("node", "tcp", "127.0.0.1:8080", gateway.clone()),
        ("node", "udp", "127.0.0.1:5353", gateway.clone()),
        ("node", "tcp", "[2001:db8::1]:8080", None),
        // The pod itself, and one on its bridge, by every address of the node.
        ("web", "tcp", "192.0.2.1:8080", gateway.clone()),
        ("web", "tcp", "10.99.0.1:8080", gateway.clone()),
        ("web", "tcp", "[2001:db8::1]:8080", gateway6.clone()),
        ("other", "tcp", "192.0.2.1:8080", gateway.clone()),
        ("other", "udp", "10.99.0.1:5353", gateway),
        ("other", "tcp", "[fd99::1]:8080", gateway6),
        // Only one address of the node, or one family.
        ("client", "tcp", "192.0.2.1:8081", node("192.0.2.2")),
        ("client", "tcp", "[2001:db8::1]:8081", None),
        ("node", "tcp", "10.99.0.1:8081", None),
        ("client", "tcp", "192.0.2.1:8082", node("192.0.2.2")),
        ("client", "tcp", "[2001:db8::1]:8082", None),
        ("client", "tcp", "192.0.2.1:8083", None),
        ("client", "tcp", "[2001:db8::1]:8083", node("2001:db8::2")),
        ("node", "tcp", "127.0.0.1:8084", node("10.99.0.1")),
        ("node", "tcp", "192.0.2.1:8084", None),
        ("node", "tcp", "[::1]:8080", None),
    ]
}

#[test]
fn the_same_questions_are_answered_as_behind_the_reference() {
    for (whose, br_netfilter) in Whose::BOTH.into_iter().flat_map(|whose| [(whose, "1"), (whose, "0")]) {
        let site = Site::new(whose);
        for family in ["iptables", "ip6tables"] {
            netstate::sysctl::write(&format!("net/bridge/bridge-nf-call-{family}"), br_netfilter).unwrap();
        }
        let (web, other) = (site.member("web"), site.member("other"));
        web.serve(WEB);
        let config = usual(&site);
        let result = portmap(&site, "ADD", &web, &config).unwrap();
        assert_eq!(result["ips"], web.result["ips"], "the result is the one of before");
        if whose == Whose::Ours {
            // The reference (1.1.1) looks for the IPv4 rules among the IPv6 ones when a pod has both.
            portmap(&site, "CHECK", &web, &config).unwrap();
        }
        for (from, protocol, to, seen) in questions() {
            // A process of the node by IPv6: the node's own address is seen, whichever the kernel takes.
            if from == "node" && to.starts_with("[2001") {
                assert!(
                    ask(&site.node.host, protocol, to, true).is_some(),
                    "{whose:?}: {from} {protocol} {to}"
                );
                continue;
            }
            let namespace = match from {
                "client" => &site.client,
                "node" => &site.node.host,
                "web" => &web.pod.netns,
                _ => &other.pod.netns,
            };
            let answer = ask(namespace, protocol, to, seen.is_some());
            let expected = seen.map(|peer| format!("web {peer}"));
            assert_eq!(answer, expected, "{whose:?}, br_netfilter {br_netfilter}: {from} {protocol} {to}");
        }
        portmap(&site, "DEL", &web, &config).unwrap();
        portmap(&site, "DEL", &web, &config).unwrap();
        assert_eq!(ask(&site.client, "tcp", "192.0.2.1:8080", false), None, "{whose:?}");
        assert_eq!(ask(&site.client, "tcp", "[2001:db8::1]:8080", false), None, "{whose:?}");
    }
}

#[test]
fn the_table_reads_as_documented_and_goes_with_the_last_port() {
    let site = Site::new(Whose::Ours);
    let (web, other) = (site.member("web"), site.member("other"));
    portmap(&site, "ADD", &web, &usual(&site)).unwrap();
    portmap(&site, "ADD", &other, &config(&site, json!([mapping(9090, "tcp", "")]))).unwrap();
    let text = nft("list table inet weft-cni");
    let (v4, v6) = (web.address(false), web.address(true));
    for part in [
        format!("tcp . 8080 comment \"testnet/web/eth0\" : {v4} . 80"),
        format!("udp . 5353 comment \"testnet/web/eth0\" : {v6} . 80"),
        format!("sctp . 9999 comment \"testnet/web/eth0\" : {v4} . 80"),
        format!("192.0.2.1 . tcp . 8081 comment \"testnet/web/eth0\" : {v4} . 80"),
        format!("\"cni0\" . {v6} . tcp . 80 comment \"testnet/web/eth0\""),
        "tcp . 9090 comment \"testnet/other/eth0\"".into(),
        "fib daddr type local jump hostports".into(),
        "meta mark set meta mark | 0x00002000 dnat ip to meta l4proto . th dport map @ports4".into(),
    ] {
        assert!(text.contains(&part), "{part} is not in:\n{text}");
    }
    assert_eq!(site.records("portmap"), ["testnet:other:eth0.json", "testnet:web:eth0.json"]);
    portmap(&site, "DEL", &web, &json_without_runtime(&site)).unwrap();
    let text = nft("list table inet weft-cni");
    assert!(!text.contains("testnet/web") && text.contains("testnet/other"), "{text}");
    portmap(&site, "DEL", &other, &json_without_runtime(&site)).unwrap();
    assert!(!nft("list ruleset").contains("table inet weft-cni "), "{}", nft("list ruleset"));
    assert_eq!(site.records("portmap"), Vec::<String>::new());
}

/// What a runtime sends that has lost what it gave.
fn json_without_runtime(site: &Site) -> Value {
    site.config("portmap", json!({"prevResult": null}))
}

#[test]
fn a_port_of_a_living_container_is_refused_and_of_a_dead_one_taken_over() {
    let site = Site::new(Whose::Ours);
    let (first, second) = (site.member("first"), site.member("second"));
    let one = config(&site, json!([mapping(8080, "tcp", "")]));
    portmap(&site, "ADD", &first, &one).unwrap();
    let two = config(&site, json!([mapping(8079, "tcp", ""), mapping(8080, "tcp", "")]));
    let error = portmap(&site, "ADD", &second, &two).unwrap_err();
    assert_eq!(error["code"], 102, "{error}");
    let text = error["msg"].as_str().unwrap();
    assert!(text.contains("8080/tcp") && text.contains("testnet/first/eth0"), "{text}");
    assert!(!nft("list ruleset").contains("8079"), "all or nothing");
    assert_eq!(site.records("portmap"), ["testnet:first:eth0.json"]);
    portmap(&site, "DEL", &second, &two).unwrap();
    portmap(&site, "CHECK", &first, &one).unwrap();
    // Another address of the node is another port.
    let elsewhere = config(&site, json!([mapping(8080, "tcp", "192.0.2.1")]));
    portmap(&site, "ADD", &second, &elsewhere).unwrap();
    portmap(&site, "DEL", &second, &elsewhere).unwrap();

    let Member { pod, id, result } = first;
    drop(pod); // the namespace goes with its last descriptor
    second.serve(WEB);
    portmap(&site, "ADD", &second, &two).unwrap();
    assert_eq!(ask(&site.client, "tcp", "192.0.2.1:8080", true).unwrap(), "second 192.0.2.2");
    // What the dead one's late DEL finds is no longer its own.
    let late = Member { pod: common::Pod::new(), id, result };
    portmap(&site, "DEL", &late, &one).unwrap();
    portmap(&site, "CHECK", &second, &two).unwrap();
    assert_eq!(site.records("portmap"), ["testnet:second:eth0.json"]);
}

#[test]
fn an_add_again_replaces_what_was_asked_before() {
    let site = Site::new(Whose::Ours);
    let web = site.member("web");
    portmap(&site, "ADD", &web, &usual(&site)).unwrap();
    let less = config(&site, json!([{"hostPort": 8080, "containerPort": 81, "protocol": "tcp"}]));
    portmap(&site, "ADD", &web, &less).unwrap();
    portmap(&site, "CHECK", &web, &less).unwrap();
    assert_eq!(portmap(&site, "CHECK", &web, &usual(&site)).unwrap_err()["code"], 103);
    let text = nft("list table inet weft-cni");
    assert!(text.contains("tcp . 8080") && text.contains(". 81") && !text.contains("5353"), "{text}");
    portmap(&site, "ADD", &web, &config(&site, json!([mapping(0, "tcp", "")]))).unwrap();
    assert!(!nft("list ruleset").contains("weft-cni "));
}

/// What an ADD says to the kernel does not grow with what is there.
#[test]
fn an_add_costs_the_same_behind_250_others() {
    let site = Site::new(Whose::Ours);
    let web = site.member("web");
    let one = config(&site, json!([mapping(8080, "tcp", "")]));
    let cost = |times: usize| -> Vec<usize> {
        let counted = |command: &str| {
            let log = site.node.dir.path().join("strace");
            let path = web.pod.path();
            let mut with = one.clone();
            with["prevResult"] = web.result.clone();
            let script = "exec strace -f -qq -e trace=sendto,recvfrom,openat,newfstatat -o \"$0\" \"$1\"";
            let mut child = std::process::Command::new("sh");
            child.args(["-c", script]).arg(&log).arg(site.binary("portmap"));
            child.env("CNI_COMMAND", command).env("CNI_CONTAINERID", "web").env("CNI_NETNS", &path);
            child.env("CNI_IFNAME", "eth0").stdin(std::process::Stdio::piped());
            child.stdout(std::process::Stdio::null());
            let mut child = child.spawn().expect("strace is missing: apt-get install strace");
            std::io::Write::write_all(&mut child.stdin.take().unwrap(), with.to_string().as_bytes()).unwrap();
            assert!(child.wait().unwrap().success());
            std::fs::read_to_string(&log).unwrap().lines().count()
        };
        (0..times).flat_map(|_| [counted("ADD"), counted("DEL")]).collect()
    };
    let seed = site.member("seed");
    portmap(&site, "ADD", &seed, &config(&site, json!([mapping(7000, "udp", "")]))).unwrap();
    let few = cost(2);
    let many: Vec<Value> = (0..250).map(|n| mapping(10_000 + n, "tcp", "")).collect();
    portmap(&site, "ADD", &site.member("many"), &config(&site, many.into())).unwrap();
    assert_eq!(cost(2), few, "system calls of ADD and DEL with one port");
}

#[test]
fn a_flush_and_a_deleted_table_heal() {
    let site = Site::new(Whose::Ours);
    let (web, other) = (site.member("web"), site.member("other"));
    web.serve(WEB);
    let (first, second) = (usual(&site), config(&site, json!([mapping(9090, "tcp", "")])));
    portmap(&site, "ADD", &web, &first).unwrap();
    let dir = site.node.dir.path().join("portmap");
    assert_eq!(cni_plugin::portmap::restore(&dir).unwrap(), None, "nothing is missing");
    for damage in [
        "flush ruleset",
        "delete table inet weft-cni",
        "flush table inet weft-cni",
        "flush map inet weft-cni ports4",
        "flush chain inet weft-cni hostports",
        "delete element inet weft-cni hairpin4",
    ] {
        let element = format!("{damage} {{ \"cni0\" . {} . tcp . 80 }}", web.address(false));
        nft(if damage.starts_with("delete element") { &element } else { damage });
        let error = portmap(&site, "CHECK", &web, &first).unwrap_err();
        assert_eq!(error["code"], 103, "{damage}: {error}");
        let missing = cni_plugin::portmap::restore(&dir).unwrap();
        assert!(missing.is_some(), "{damage}");
        portmap(&site, "CHECK", &web, &first).unwrap_or_else(|e| panic!("{damage}: {e}"));
        assert_eq!(ask(&site.client, "tcp", "192.0.2.1:8080", true).unwrap(), "web 192.0.2.2", "{damage}");
    }
    // Without a daemon the next call does it.
    for damage in ["flush ruleset", "flush table inet weft-cni"] {
        nft(damage);
        portmap(&site, "ADD", &other, &second).unwrap();
        portmap(&site, "CHECK", &web, &first).unwrap_or_else(|e| panic!("{damage}: {e}"));
        nft(damage);
        portmap(&site, "DEL", &other, &second).unwrap();
        portmap(&site, "CHECK", &web, &first).unwrap_or_else(|e| panic!("{damage}: {e}"));
    }
}

#[test]
fn a_daemons_thread_heals_a_flush_within_a_second() {
    let site = Site::new(Whose::Ours);
    let web = site.member("web");
    portmap(&site, "ADD", &web, &usual(&site)).unwrap();
    let own = |name: &str| site.node.dir.path().join(name);
    let directories = cni_plugin::heal::Directories { portmap: own("portmap"), firewall: own("firewall") };
    let host = site.node.host.inode().unwrap();
    let (told, hear) = std::sync::mpsc::channel();
    let path = format!("/proc/{}/fd/{}", std::process::id(), ports::fd(&site.node.host));
    std::thread::spawn(move || {
        let netns = netstate::NetNs::open(std::path::Path::new(&path)).unwrap();
        assert_eq!(netns.inode().unwrap(), host);
        let _inside = netns.enter().unwrap();
        let _ = cni_plugin::heal::keep(&directories, |what| drop(told.send(what)));
    });
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..2 {
        nft("flush ruleset");
        let what = hear.recv_timeout(Duration::from_secs(1)).expect("nothing was restored").unwrap();
        assert!(what.contains("inet weft-cni"), "{what}");
        portmap(&site, "CHECK", &web, &usual(&site)).unwrap();
    }
    assert!(hear.recv_timeout(Duration::from_millis(600)).is_err(), "its own change is nothing to repair");
}

#[test]
fn udp_clients_of_the_old_container_are_not_kept() {
    let site = Site::new(Whose::Ours);
    let (old, new) = (site.member("old"), site.member("new"));
    old.serve(53);
    new.serve(53);
    let dns = config(&site, json!([{"hostPort": 53, "containerPort": 53, "protocol": "udp"}]));
    let client = site.client.run(|| UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    let to = "192.0.2.1:53".parse().unwrap();
    let patience = Duration::from_millis(1500);
    // Asked before anybody is there: a flow that ends at the node.
    let _ = question(&client, to, Duration::from_millis(50));
    portmap(&site, "ADD", &old, &dns).unwrap();
    assert_eq!(question(&client, to, patience).unwrap(), "old 192.0.2.2");
    // A question of a pod to the same port elsewhere is nobody's business here.
    let pod = old.pod.netns.run(|| UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
    let _ = question(&pod, "192.0.2.2:53".parse().unwrap(), Duration::from_millis(50));
    let elsewhere = || {
        let flows = netstate::Conntrack::open().unwrap().udp_flows(|f| f.destination.port() == 53);
        flows.unwrap().iter().filter(|f| f.destination.to_string() == "192.0.2.2:53").count()
    };
    assert_eq!(elsewhere(), 1);
    portmap(&site, "DEL", &old, &dns).unwrap();
    portmap(&site, "ADD", &new, &dns).unwrap();
    assert_eq!(question(&client, to, patience).unwrap(), "new 192.0.2.2");
    assert_eq!(elsewhere(), 1);
}

#[test]
fn gc_frees_what_no_valid_attachment_has() {
    let site = Site::new(Whose::Ours);
    let members = ["a", "b", "c"].map(|id| site.member(id));
    for (number, member) in members.iter().enumerate() {
        let mut config = config(&site, json!([mapping(8000 + number as u16, "tcp", "")]));
        if number == 2 {
            config["name"] = "another".into();
        }
        portmap(&site, "ADD", member, &config).unwrap();
    }
    let web = members[0].address(false);
    nft(&format!("add element inet weft-cni ports4 {{ tcp . 1 comment \"testnet/gone/eth0\" : {web} . 1 }}"));
    let mut gc = site.config("portmap", json!({"cniVersion": "1.1.0"}));
    assert_eq!(portmap(&site, "GC", &members[0], &gc).unwrap_err()["code"], 7, "without the list");
    gc["cni.dev/valid-attachments"] = json!([{"containerID": "a", "ifname": "eth0"}]);
    portmap(&site, "GC", &members[0], &gc).unwrap();
    let text = nft("list table inet weft-cni");
    assert!(text.contains("testnet/a/") && text.contains("another/c/"), "{text}");
    assert!(!text.contains("testnet/b/") && !text.contains("testnet/gone/"), "{text}");
    assert_eq!(site.records("portmap"), ["another:c:eth0.json", "testnet:a:eth0.json"]);
    gc["cni.dev/valid-attachments"] = json!([]);
    portmap(&site, "GC", &members[0], &gc).unwrap();
    gc["name"] = "another".into();
    portmap(&site, "GC", &members[0], &gc).unwrap();
    assert!(!nft("list ruleset").contains("weft-cni "));
}

#[test]
fn status_says_whether_ports_can_be_mapped_and_changes_nothing() {
    let site = Site::new(Whose::Ours);
    let web = site.member("web");
    let before = nft("list ruleset");
    portmap(&site, "STATUS", &web, &site.config("portmap", json!({"cniVersion": "1.1.0"}))).unwrap();
    assert_eq!(nft("list ruleset"), before);
    let other = site.config("portmap", json!({"cniVersion": "1.1.0", "backend": "iptables"}));
    assert_eq!(portmap(&site, "STATUS", &web, &other).unwrap_err()["code"], 2);
    // What is refused on ADD must still let its containers go.
    portmap(&site, "DEL", &web, &other).unwrap();
}

#[test]
fn many_adds_at_once_all_come_through() {
    let site = Site::new(Whose::Ours);
    let members: Vec<Member> = (0..12).map(|n| site.member(&format!("c{n}"))).collect();
    let configs: Vec<Value> = (0..12)
        .map(|n| config(&site, json!([mapping(8000 + n, "tcp", ""), mapping(8000 + n, "udp", "")])))
        .collect();
    let at_once = |command: &str| {
        let children: Vec<_> = members
            .iter()
            .zip(&configs)
            .map(|(member, config)| {
                let mut config = config.clone();
                config["prevResult"] = member.result.clone();
                let path = member.pod.path();
                let call = Call {
                    binary: site.binary("portmap"),
                    ..Call::new(Whose::Ours, command, &member.id, &path)
                };
                call.start(&config)
            })
            .collect();
        for child in children {
            let out = child.wait_with_output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
        }
    };
    at_once("ADD");
    for (member, config) in members.iter().zip(&configs) {
        portmap(&site, "CHECK", member, config).unwrap();
    }
    at_once("DEL");
    assert!(!nft("list ruleset").contains("weft-cni "));
    // All want the same port: one gets it, and the others learn who.
    let same = config(&site, json!([mapping(8080, "tcp", "")]));
    let winners = members.iter().filter(|member| portmap(&site, "ADD", member, &same).is_ok()).count();
    assert_eq!(winners, 1);
}

/// A Service's client is that Service's business, whatever ports its backend has mapped.
#[test]
fn what_others_translate_keeps_its_source() {
    for br_netfilter in ["1", "0"] {
        let site = Site::new(Whose::Ours);
        let (web, far) = (
            site.member("web"),
            site.member_of(
                "far",
                json!({"bridge": "cni1", "name": "othernet",
            "ipam": {"type": "host-local", "dataDir": site.node.data_dir(), "subnet": "10.98.0.0/24",
                "routes": [{"dst": "0.0.0.0/0"}]}}),
            ),
        );
        let near = site.member("near");
        web.serve(WEB);
        netstate::sysctl::write("net/bridge/bridge-nf-call-iptables", br_netfilter).unwrap();
        portmap(&site, "ADD", &web, &config(&site, json!([mapping(80, "tcp", "")]))).unwrap();
        nft("add table ip service");
        nft("add chain ip service prerouting { type nat hook prerouting priority -100; }");
        nft(&format!(
            "add rule ip service prerouting ip daddr 10.0.0.10 tcp dport 80 dnat to {}:80",
            web.address(false)
        ));
        let answer = |from: &Member| ask(&from.pod.netns, "tcp", "10.0.0.10:80", true);
        assert_eq!(answer(&far), Some(format!("web {}", far.address(false))));
        if br_netfilter == "1" {
            assert_eq!(answer(&near), Some(format!("web {}", near.address(false))));
        }
        let mapped = ask(&near.pod.netns, "tcp", "192.0.2.1:80", true);
        assert_eq!(mapped.unwrap(), "web 10.99.0.1", "br_netfilter {br_netfilter}");
    }
}

/// Behind ptp each pod has a device of its own: only the pod itself comes back by it.
#[test]
fn behind_ptp_only_the_pod_itself_is_masqueraded() {
    let site = Site::new(Whose::Ours);
    let (web, other) = (site.routed("web"), site.routed("other"));
    web.serve(WEB);
    portmap(&site, "ADD", &web, &config(&site, json!([mapping(8080, "tcp", "")]))).unwrap();
    assert_eq!(ask(&site.client, "tcp", "192.0.2.1:8080", true).unwrap(), "web 192.0.2.2");
    let seen = format!("web {}", other.address(false));
    assert_eq!(ask(&other.pod.netns, "tcp", "192.0.2.1:8080", true), Some(seen));
    let own = ask(&web.pod.netns, "tcp", "192.0.2.1:8080", true);
    assert!(own.is_some_and(|seen| seen != format!("web {}", web.address(false))));
    assert!(ask(&site.node.host, "tcp", "127.0.0.1:8080", true).is_some());
}
