//! The bridge plugin in real network namespaces: the same assertions for the reference and for ours.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;

use common::{Call, Node, Pod, Whose, add, check, del};
use netstate::{LinkChange, LinkKind, Op, sysctl};
use serde_json::{Value, json};

fn dual_stack(node: &Node) -> Value {
    json!({"isDefaultGateway": true, "mtu": 1400, "hairpinMode": true, "ipam": {
        "type": "host-local", "dataDir": node.data_dir(), "ranges": [[{"subnet": "10.99.0.0/24"}], [{"subnet": "fd99::/64"}]],
        "routes": [{"dst": "10.200.0.0/16"}, {"dst": "fd20::/32", "gw": "fd99::9"}]}})
}

#[test]
fn add_wires_a_pod_in_both_families() {
    for whose in Whose::BOTH {
        let (node, pod) = (Node::new(), Pod::new());
        let config = node.config(whose, dual_stack(&node));
        let result = add(whose, &config, "c1", &pod).unwrap();

        let eth0 = pod.link("eth0").unwrap();
        assert!(eth0.up && eth0.carrier && eth0.kind == LinkKind::Veth, "{whose:?}");
        assert_eq!(eth0.mtu, 1400);
        let nets: Vec<String> = pod.addresses("eth0").iter().map(|a| a.net.to_string()).collect();
        assert_eq!(nets, ["10.99.0.2/24", "fd99::2/64"], "{whose:?}");
        let routes: Vec<String> =
            pod.routes().iter().map(|r| format!("{} {}", r.dest, r.via.unwrap())).collect();
        for wanted in ["0.0.0.0/0 10.99.0.1", "::/0 fd99::1", "10.200.0.0/16 10.99.0.1", "fd20::/32 fd99::9"]
        {
            assert!(routes.iter().any(|r| r == wanted), "{whose:?} {wanted}: {routes:?}");
        }

        let bridge = node.link("cni0").unwrap();
        assert!(bridge.up && matches!(bridge.kind, LinkKind::Bridge(_)));
        let nets: Vec<String> = node.addresses("cni0").iter().map(|a| a.net.to_string()).collect();
        assert!(nets.contains(&"10.99.0.1/24".into()) && nets.contains(&"fd99::1/64".into()), "{nets:?}");
        let veth = &node.veths()[0];
        assert_eq!((veth.master, veth.mtu, veth.up), (Some(bridge.index), 1400, true));
        assert_eq!(veth.port.as_ref().unwrap().hairpin, Some(true));
        assert_eq!(sysctl::read("net/ipv4/ip_forward").unwrap(), "1");
        assert_eq!(sysctl::read("net/ipv6/conf/all/forwarding").unwrap(), "1");

        let interfaces = result["interfaces"].as_array().unwrap();
        let names: Vec<&str> = interfaces.iter().map(|i| i["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["cni0", &*veth.name, "eth0"], "{whose:?}");
        assert_eq!(interfaces[0]["mac"], bridge.mac.unwrap().to_string());
        assert_eq!(interfaces[1]["mac"], veth.mac.unwrap().to_string());
        assert_eq!(interfaces[2]["mac"], eth0.mac.unwrap().to_string());
        assert_eq!(interfaces[2]["sandbox"], pod.path());
        assert_eq!(
            result["ips"][0],
            json!({"address": "10.99.0.2/24", "gateway": "10.99.0.1", "interface": 2})
        );
        assert_eq!(result["ips"][1]["address"], "fd99::2/64");
        assert_eq!(node.reserved("testnet"), ["10.99.0.2", "fd99::2"]);
        if whose == Whose::Ours {
            // The reference plugin's CHECK does not find its own routes without a next hop.
            check(whose, &config, "c1", &pod, &result).unwrap();
        }

        let other = Pod::new();
        add(whose, &config, "c2", &other).unwrap();
        assert!(pod.pings("10.99.0.3") && pod.pings("fd99::3"), "{whose:?}: no way between pods");
        assert!(pod.pings("10.99.0.1"), "{whose:?}: no way to the gateway");
        // The reference plugin's IPv6 gateway is tested for duplicates first: it answers a second later.
        assert!(whose == Whose::Reference || pod.pings("fd99::1"), "no way to the IPv6 gateway");
        del(whose, &config, "c1", &pod.path()).unwrap();
        del(whose, &config, "c2", &other.path()).unwrap();
    }
}

#[test]
fn del_removes_everything_and_never_fails_for_what_is_gone() {
    for whose in Whose::BOTH {
        let (node, pod) = (Node::new(), Pod::new());
        let config = node.config(whose, json!({"isGateway": true}));
        add(whose, &config, "c1", &pod).unwrap();
        del(whose, &config, "c1", &pod.path()).unwrap();
        assert!(pod.link("eth0").is_none() && node.veths().is_empty() && node.reserved("testnet").is_empty());
        del(whose, &config, "c1", &pod.path()).unwrap();
        del(whose, &config, "never-added", &pod.path()).unwrap();

        // By a link of its own: the number of a closed descriptor is soon another test's.
        let path = node.dir.path().join("netns");
        std::os::unix::fs::symlink(pod.path(), &path).unwrap();
        let path = path.to_str().unwrap();
        Call::new(whose, "ADD", "c2", path).run(&config).unwrap();
        std::fs::remove_file(path).unwrap();
        drop(pod);
        del(whose, &config, "c2", path).unwrap();
        assert!(node.reserved("testnet").is_empty(), "{whose:?}: a vanished namespace keeps its address");
        del(whose, &config, "c2", "").unwrap();
        del(whose, &config, "c2", "/nonexistent/netns").unwrap();
    }
}

#[test]
fn an_empty_netns_on_del_frees_the_address_and_the_link() {
    let (node, pod) = (Node::new(), Pod::new());
    let config = node.config(Whose::Ours, json!({}));
    add(Whose::Ours, &config, "c1", &pod).unwrap();
    del(Whose::Ours, &config, "c1", "").unwrap();
    assert!(node.veths().is_empty() && pod.link("eth0").is_none() && node.reserved("testnet").is_empty());
}

#[test]
fn every_version_of_the_result_is_spoken() {
    for whose in Whose::BOTH {
        let node = Node::new();
        let versions = ["0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
        let spoken = if whose == Whose::Ours { &versions[..] } else { &versions[..5] };
        for version in spoken {
            let pod = Pod::new();
            let config = node.config(whose, json!({"cniVersion": version, "isDefaultGateway": true}));
            let result = add(whose, &config, "c1", &pod).unwrap();
            assert_eq!(result["cniVersion"], *version);
            let address = match *version {
                "0.2.0" => &result["ip4"]["ip"],
                _ => &result["ips"][0]["address"],
            };
            assert!(address.as_str().unwrap().starts_with("10.99.0."), "{whose:?} {version}: {result}");
            assert_eq!(result["ips"][0]["version"] == "4", version.starts_with("0.3") || *version == "0.4.0");
            del(whose, &config, "c1", &pod.path()).unwrap();
        }
        let version = Call::new(whose, "VERSION", "", "").run(&json!({"cniVersion": "1.0.0"})).unwrap();
        assert!(version["supportedVersions"].as_array().unwrap().contains(&json!("0.3.1")));
        let error =
            add(whose, &node.config(whose, json!({"cniVersion": "7.0.0"})), "c1", &Pod::new()).unwrap_err();
        assert_eq!(error["code"], 1);
    }
}

#[test]
fn a_bridge_with_another_address_is_refused_or_corrected() {
    for whose in Whose::BOTH {
        let (node, pod) = (Node::new(), Pod::new());
        let earlier = node.config(whose, json!({"isGateway": true}));
        add(whose, &earlier, "c1", &pod).unwrap();
        let ipam = json!({"type": "host-local", "subnet": "10.98.0.0/24", "dataDir": node.data_dir()});
        let now = node.config(whose, json!({"name": "other", "isGateway": true, "ipam": ipam}));
        let second = Pod::new();
        let error = add(whose, &now, "c2", &second).unwrap_err();
        let message = error["msg"].as_str().unwrap();
        assert!(
            message.contains("already has an IP address different from 10.98.0.1/24"),
            "{whose:?}: {error}"
        );
        assert!(node.reserved("other").is_empty(), "{whose:?}: a failed ADD leaves an address");
        if whose == Whose::Ours {
            // The reference plugin leaves the link of a failed ADD.
            assert!(second.link("eth0").is_none() && node.veths().len() == 1);
            assert!(
                message.contains("10.99.0.1/24")
                    && error["details"].as_str().unwrap().contains("forceAddress")
            );
        }
        let mut forced = now.clone();
        forced["forceAddress"] = true.into();
        add(whose, &forced, "c3", &Pod::new()).unwrap();
        let nets: Vec<String> = node.addresses("cni0").iter().map(|a| a.net.to_string()).collect();
        assert_eq!(nets, ["10.98.0.1/24"], "{whose:?}");
    }
}

/// Found by damaged configurations: it was refused after the bridge had got its address.
#[test]
fn a_result_that_the_version_cannot_say_is_refused_before_anything_changes() {
    let (node, pod) = (Node::new(), Pod::new());
    let subnet = |text: &str| json!([{"subnet": text}]);
    let ipam = json!({"type": "host-local", "ranges": [subnet("10.98.0.0/24"), subnet("10.97.0.0/24")],
                      "dataDir": node.data_dir()});
    let config = node.config(Whose::Ours, json!({"cniVersion": "0.2.0", "isGateway": true, "ipam": ipam}));
    let error = add(Whose::Ours, &config, "c1", &pod).unwrap_err();
    assert!(error["msg"].as_str().unwrap().contains("more than one address"), "{error}");
    assert!(node.veths().is_empty() && node.reserved("testnet").is_empty(), "{error}");
    assert!(node.link("cni0").is_none(), "the bridge was made");
}

/// A node that got another subnet. The reference refuses in both cases.
#[test]
fn a_bridge_that_nobody_is_on_gets_the_new_subnets_address() {
    let node = Node::new();
    let at = |subnet: &str| {
        let ipam = json!({"type": "host-local", "subnet": subnet, "dataDir": node.data_dir()});
        node.config(Whose::Ours, json!({"isGateway": true, "ipam": ipam}))
    };
    let nets = || node.addresses("cni0").iter().map(|a| a.net.to_string()).collect::<Vec<_>>();
    let pod = Pod::new();
    add(Whose::Ours, &at("10.99.0.0/24"), "c1", &pod).unwrap();
    let error = add(Whose::Ours, &at("10.98.0.0/24"), "c2", &Pod::new()).unwrap_err();
    assert_eq!(error["code"], 102);
    let details = error["details"].as_str().unwrap();
    assert!(details.contains("container c1 (eth0)") && !details.contains("c2"), "{details}");
    assert_eq!(nets(), ["10.99.0.1/24"]);
    // A port and an address that the reference made are told as far as they are known.
    let veth = node.veths()[0].name.to_string();
    std::process::Command::new("ip").args(["link", "set", &veth, "alias", ""]).status().unwrap();
    let error = add(Whose::Ours, &at("10.98.0.0/24"), "c2", &Pod::new()).unwrap_err();
    let details = error["details"].as_str().unwrap();
    assert!(
        details.contains(&format!("port {veth}")) && details.contains("container c1 with 10.99.0.2"),
        "{details}"
    );
    del(Whose::Ours, &at("10.99.0.0/24"), "c1", &pod.path()).unwrap();
    // An ADD that fails behind the bridge leaves it as it was.
    let mut unreachable = at("10.98.0.0/24");
    unreachable["ipam"]["routes"] = json!([{"dst": "0.0.0.0/0", "gw": "10.1.1.1"}]);
    add(Whose::Ours, &unreachable, "c2", &Pod::new()).unwrap_err();
    assert_eq!(nets(), ["10.99.0.1/24"]);
    let next = Pod::new();
    add(Whose::Ours, &at("10.98.0.0/24"), "c3", &next).unwrap();
    assert_eq!(nets(), ["10.98.0.1/24"]);
    assert!(next.pings("10.98.0.1"));
}

/// A bridge of another name that has no alias of ours may be anybody's.
#[test]
fn somebody_elses_bridge_keeps_its_address() {
    let node = Node::new();
    let ip = |arguments: &str| {
        std::process::Command::new("ip").args(arguments.split(' ')).status().unwrap();
    };
    ip("link add br0 type bridge");
    ip("addr add 192.168.7.1/24 dev br0");
    let config = node.config(Whose::Ours, json!({"bridge": "br0", "isGateway": true}));
    let error = add(Whose::Ours, &config, "c1", &Pod::new()).unwrap_err();
    assert!(error["code"] == 102 && error["details"].as_str().unwrap().contains("not ours"), "{error}");
    assert_eq!(node.addresses("br0").len(), 1);
}

#[test]
fn layer_2_only_and_requested_values() {
    for whose in Whose::BOTH {
        let (node, pod) = (Node::new(), Pod::new());
        let config = node.config(whose, json!({"ipam": {}, "promiscMode": true}));
        let result = add(whose, &config, "c1", &pod).unwrap();
        assert!(pod.link("eth0").unwrap().up && pod.addresses("eth0").is_empty());
        assert!(result.get("ips").is_none_or(|ips| ips.as_array().is_none_or(Vec::is_empty)));
        assert!(node.link("cni0").unwrap().promiscuous);

        let pod = Pod::new();
        let runtime = json!({"mac": "02:00:00:00:00:77", "ips": ["10.99.0.77/24"]});
        let config = node.config(whose, json!({"runtimeConfig": runtime}));
        add(whose, &config, "c2", &pod).unwrap();
        assert_eq!(pod.link("eth0").unwrap().mac.unwrap().to_string(), "02:00:00:00:00:77", "{whose:?}");
        assert_eq!(pod.addresses("eth0")[0].net.to_string(), "10.99.0.77/24");

        let pod = Pod::new();
        let call = Call { binary: whose.binary(), ..Call::new(whose, "ADD", "c3", "") };
        let path = pod.path();
        let call =
            Call { netns: &path, ..call }.with("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=x;IP=10.99.0.78");
        call.run(&node.config(whose, json!({}))).unwrap();
        assert_eq!(pod.addresses("eth0")[0].net.to_string(), "10.99.0.78/24", "{whose:?}");
    }
}

/// Breaks an attachment.
type Break = fn(&Node, &Pod);

#[test]
fn check_finds_what_changed() {
    for whose in Whose::BOTH {
        let breaks: [(&str, Break); 4] = [
            ("the pod's link", |_, pod| pod.kernel().apply_all(&[Op::DeleteLink("eth0".into())]).unwrap()),
            ("an address", |_, pod| {
                let address = pod.addresses("eth0").remove(0);
                pod.kernel().apply_all(&[Op::DeleteAddress(address)]).unwrap();
            }),
            ("a route", |_, pod| {
                let route = pod.routes().remove(0);
                pod.kernel().apply_all(&[Op::DeleteRoute(route)]).unwrap();
            }),
            ("the bridge's port", |node, _| {
                let veth = node.veths().remove(0);
                let change = LinkChange { master: Some(None), ..LinkChange::of(veth.name) };
                node.kernel().apply_all(&[Op::ChangeLink(change)]).unwrap();
            }),
        ];
        for (what, break_it) in breaks {
            let (node, pod) = (Node::new(), Pod::new());
            let config = node.config(whose, json!({"isDefaultGateway": true}));
            let result = add(whose, &config, "c1", &pod).unwrap();
            check(whose, &config, "c1", &pod, &result).unwrap();
            break_it(&node, &pod);
            assert!(check(whose, &config, "c1", &pod, &result).is_err(), "{whose:?} misses {what}");
        }
        let (node, pod) = (Node::new(), Pod::new());
        let config = node.config(whose, json!({}));
        let result = add(whose, &config, "c1", &pod).unwrap();
        std::fs::remove_file(node.data_dir().join("testnet/10.99.0.2")).unwrap();
        assert!(check(whose, &config, "c1", &pod, &result).is_err(), "{whose:?} misses the reservation");
    }
}

#[test]
fn check_compares_mac_mtu_and_hairpin() {
    let changes: [(&str, LinkChange, bool); 3] = [
        (
            "MAC",
            LinkChange { mac: Some("02:00:00:00:00:01".parse().unwrap()), ..LinkChange::of("eth0") },
            true,
        ),
        ("MTU", LinkChange { mtu: Some(1300), ..LinkChange::of("eth0") }, true),
        ("hairpin", LinkChange::of(""), false),
    ];
    for (what, change, in_pod) in changes {
        let (node, pod) = (Node::new(), Pod::new());
        let config = node.config(Whose::Ours, json!({"cniVersion": "1.1.0", "hairpinMode": true}));
        let result = add(Whose::Ours, &config, "c1", &pod).unwrap();
        if in_pod {
            pod.kernel().apply_all(&[Op::ChangeLink(change)]).unwrap();
        } else {
            let port = netstate::BridgePort { hairpin: Some(false), isolated: None };
            let change = LinkChange { port: Some(port), ..LinkChange::of(node.veths()[0].name.clone()) };
            node.kernel().apply_all(&[Op::ChangeLink(change)]).unwrap();
        }
        let error = check(Whose::Ours, &config, "c1", &pod, &result).unwrap_err();
        assert!(error["code"] == 103 && error["msg"].as_str().unwrap().contains(what), "{what}: {error}");
    }
}

#[test]
fn the_hosts_own_namespace_is_never_touched() {
    let node = Node::new();
    let config = node.config(Whose::Ours, json!({}));
    let own =
        format!("/proc/{}/task/{}/ns/net", std::process::id(), rustix::thread::gettid().as_raw_nonzero());
    let error = Call::new(Whose::Ours, "ADD", "c1", &own).run(&config).unwrap_err();
    assert_eq!(error["code"], 4, "{error}");
    // An eth0 of the host must survive a DEL that names the host's namespace.
    let peer = netstate::VethPeer { name: "peer".into(), mac: None, mtu: None, netns: None };
    let link = netstate::NewLink::of("eth0", netstate::NewLinkKind::Veth(peer));
    node.kernel().apply_all(&[Op::AddLink(link)]).unwrap();
    del(Whose::Ours, &config, "c1", &own).unwrap();
    assert!(node.link("eth0").is_some());
}

#[test]
fn isolated_ports_and_a_disabled_interface() {
    let (node, a, b) = (Node::new(), Pod::new(), Pod::new());
    let config = node.config(Whose::Ours, json!({"isGateway": true, "portIsolation": true}));
    add(Whose::Ours, &config, "a", &a).unwrap();
    add(Whose::Ours, &config, "b", &b).unwrap();
    assert!(a.pings("10.99.0.1") && !a.run("ping", &["-c1", "-W1", "10.99.0.3"]));
    let pod = Pod::new();
    let config = node.config(Whose::Ours, json!({"disableContainerInterface": true}));
    add(Whose::Ours, &config, "c", &pod).unwrap();
    assert!(!pod.link("eth0").unwrap().up && pod.addresses("eth0").is_empty());
}

#[test]
fn a_delegated_ipam_plugin_is_asked() {
    let _ = common::reference("static");
    for whose in Whose::BOTH {
        let (node, pod) = (Node::new(), Pod::new());
        let ipam = json!({"type": "static", "addresses": [{"address": "10.97.0.5/24", "gateway": "10.97.0.1"}],
            "routes": [{"dst": "0.0.0.0/0"}]});
        let config = node.config(whose, json!({"isGateway": true, "ipam": ipam}));
        let result = add(whose, &config, "c1", &pod).unwrap();
        assert_eq!(result["ips"][0]["address"], "10.97.0.5/24");
        assert_eq!(pod.addresses("eth0")[0].net.to_string(), "10.97.0.5/24");
        assert_eq!(node.addresses("cni0")[0].net.to_string(), "10.97.0.1/24");
        check(whose, &config, "c1", &pod, &result).unwrap();
        del(whose, &config, "c1", &pod.path()).unwrap();
        let absent = node.config(whose, json!({"ipam": {"type": "no-such-ipam"}}));
        assert!(
            add(whose, &absent, "c2", &Pod::new()).unwrap_err()["msg"]
                .as_str()
                .unwrap()
                .contains("no-such-ipam")
        );
    }
}

#[test]
fn tested_ipv6_addresses_are_usable_when_add_returns() {
    for whose in Whose::BOTH {
        let (node, pod) = (Node::new(), Pod::new());
        let mut keys = dual_stack(&node);
        keys["enabledad"] = true.into();
        add(whose, &node.config(whose, keys), "c1", &pod).unwrap();
        let text =
            pod.netns.run(|| std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap()).unwrap();
        let line = text.lines().find(|l| l.starts_with("fd99") && l.ends_with("eth0")).unwrap();
        assert!(line.contains(" 00 80 "), "{whose:?} still tentative: {line}");
    }
}

#[test]
fn a_network_that_is_refused_still_lets_its_containers_go() {
    let (node, pod) = (Node::new(), Pod::new());
    let config = node.config(Whose::Ours, json!({}));
    add(Whose::Ours, &config, "c1", &pod).unwrap();
    let edited = node.config(Whose::Ours, json!({"vlan": 5, "hairpinMode": true, "promiscMode": true}));
    assert_eq!(add(Whose::Ours, &edited, "c2", &Pod::new()).unwrap_err()["code"], 2);
    del(Whose::Ours, &edited, "c1", &pod.path()).unwrap();
    assert!(node.veths().is_empty() && node.reserved("testnet").is_empty());
}
