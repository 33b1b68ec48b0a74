//! `tuning`, with the same assertions against the reference plugin and ours.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;
mod named;

use common::{Call, Node, Pod, Whose};
use named::{call, gc, previous, wire};
use netstate::{Link, sysctl};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

const PLUGIN: &str = "tuning";
const MAC: &str = "02:11:22:33:44:55";
const ARP_FILTER: &str = "net/ipv4/conf/eth0/arp_filter";

fn config(node: &Node, keys: Value) -> Value {
    let mut config =
        json!({"cniVersion": "1.0.0", "name": "tune", "type": PLUGIN, "dataDir": node.dir.path().join("t")});
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn all() -> Value {
    json!({"mac": MAC, "mtu": 1400, "promisc": true, "allmulti": true,
        "sysctl": {"net.ipv4.conf.eth0.arp_filter": "1", "net.core.somaxconn": "500"}})
}

fn setup() -> (Node, Pod) {
    let (node, pod) = (Node::new(), Pod::new());
    wire(&node, &pod);
    (node, pod)
}

fn eth0(pod: &Pod) -> Link {
    pod.link("eth0").unwrap()
}

fn read(pod: &Pod, key: &str) -> String {
    pod.netns.run(|| sysctl::read(key).unwrap()).unwrap()
}

fn backup(node: &Node) -> Option<String> {
    std::fs::read_to_string(node.dir.path().join("t/c1_eth0.json")).ok()
}

/// The link as the test made it, and nothing kept.
fn assert_undone(node: &Node, pod: &Pod, when: &str) {
    let link = eth0(pod);
    assert_eq!(link.mac.unwrap().to_string(), "0a:58:0a:09:00:02", "{when}");
    assert_eq!((link.mtu, link.promiscuous, link.all_multicast), (1500, false, false), "{when}");
    assert_eq!(backup(node), None, "{when}");
    let index = node.dir.path().join("t/.weft/tune");
    assert_eq!(std::fs::read_dir(index).map(|dir| dir.count()).unwrap_or(0), 0, "{when}: the index");
}

#[test]
fn everything_is_set_checked_and_undone() {
    for whose in Whose::BOTH {
        let (node, pod) = setup();
        let mut config = config(&node, all());
        let result = call(whose, PLUGIN, "ADD", &config, &pod).unwrap();
        let mut wanted = previous(&pod);
        wanted["interfaces"][1]["mac"] = json!(MAC);
        assert_eq!(result, wanted);
        let link = eth0(&pod);
        assert_eq!(link.mac.unwrap().to_string(), MAC);
        assert_eq!((link.mtu, link.promiscuous, link.all_multicast), (1400, true, true));
        assert_eq!(
            (read(&pod, ARP_FILTER).as_str(), read(&pod, "net/core/somaxconn").as_str()),
            ("1", "500")
        );
        config["prevResult"] = result;
        call(whose, PLUGIN, "CHECK", &config, &pod).unwrap();
        for _ in 0..2 {
            call(whose, PLUGIN, "DEL", &config, &pod).unwrap();
            assert_undone(&node, &pod, "DEL");
        }
    }
}

#[test]
fn the_backup_is_the_same_file() {
    for keys in
        [all(), json!({"mtu": 1300}), json!({"allmulti": false, "mac": MAC}), json!({"promisc": true})]
    {
        let texts = Whose::BOTH.map(|whose| {
            let (node, pod) = setup();
            call(whose, PLUGIN, "ADD", &config(&node, keys.clone()), &pod).unwrap();
            let path = node.dir.path().join("t/c1_eth0.json");
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
            backup(&node).unwrap()
        });
        assert_eq!(texts[0], texts[1], "{keys}");
    }
}

#[test]
fn each_side_checks_and_undoes_what_the_other_made() {
    for (maker, user) in [(Whose::Ours, Whose::Reference), (Whose::Reference, Whose::Ours)] {
        let (node, pod) = setup();
        let mut config = config(&node, all());
        config["prevResult"] = call(maker, PLUGIN, "ADD", &config, &pod).unwrap();
        call(user, PLUGIN, "CHECK", &config, &pod).unwrap();
        config.as_object_mut().unwrap().remove("prevResult");
        call(user, PLUGIN, "DEL", &config, &pod).unwrap();
        if user == Whose::Reference {
            gc(PLUGIN, &config, &[]).unwrap(); // what ours alone keeps
        }
        assert_undone(&node, &pod, &format!("{maker:?} made it, {user:?} undid it"));
    }
}

#[test]
fn macs_of_all_places_win_in_the_references_order() {
    let mac = |last: u8| format!("02:00:00:00:00:{last:02x}");
    for whose in Whose::BOTH {
        for places in 1..=4u8 {
            let (node, pod) = setup();
            let mut config = config(&node, json!({"mac": mac(1)}));
            let mut args = String::new();
            if places >= 2 {
                args = format!("IgnoreUnknown=1;K8S_POD_NAME=x;MAC={}", mac(2));
            }
            if places >= 3 {
                config["runtimeConfig"] = json!({"mac": mac(3)});
            }
            if places >= 4 {
                config["args"] = json!({"cni": {"mac": mac(4)}});
            }
            config["prevResult"] = previous(&pod);
            let path = pod.path();
            let add = Call { binary: whose.plugin(PLUGIN), ..Call::new(whose, "ADD", "c1", &path) };
            add.with("CNI_ARGS", args).run(&config).unwrap();
            assert_eq!(eth0(&pod).mac.unwrap().to_string(), mac(places), "{whose:?}");
        }
    }
}

#[test]
fn the_interfaces_name_is_filled_in() {
    for whose in Whose::BOTH {
        let (node, pod) = setup();
        let mut config = config(&node, json!({"sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"}}));
        config["prevResult"] = call(whose, PLUGIN, "ADD", &config, &pod).unwrap();
        assert_eq!(read(&pod, ARP_FILTER), "1");
        assert_eq!(backup(&node), None, "sysctls alone need none");
        if whose == Whose::Ours {
            call(whose, PLUGIN, "CHECK", &config, &pod).unwrap(); // the reference looks for "IFNAME"
        }
    }
}

#[test]
fn check_finds_what_was_changed() {
    let changes: [(&str, &[&str]); 5] = [
        ("ip", &["link", "set", "eth0", "address", "02:00:00:00:00:09"]),
        ("ip", &["link", "set", "eth0", "mtu", "1399"]),
        ("ip", &["link", "set", "eth0", "promisc", "off"]),
        ("ip", &["link", "set", "eth0", "allmulticast", "off"]),
        ("sysctl", &["-w", "net.core.somaxconn=77"]),
    ];
    for whose in Whose::BOTH {
        for (program, arguments) in changes {
            let (node, pod) = setup();
            let mut config = config(&node, all());
            config["prevResult"] = call(whose, PLUGIN, "ADD", &config, &pod).unwrap();
            assert!(pod.run(program, arguments));
            let error = call(whose, PLUGIN, "CHECK", &config, &pod).unwrap_err();
            assert!(whose == Whose::Reference || error["code"] == 103, "{arguments:?}: {error}");
        }
    }
}

#[test]
fn what_is_wrong_is_refused_by_both_and_changes_nothing() {
    let cases = [
        json!({"sysctl": {"kernel.shmmax": "1"}}),
        json!({"sysctl": {"net.ipv4.no_such_key": "1"}}),
        json!({"mac": "zz"}),
        json!({"mtu": "1400"}),
        json!({"promisc": 7}),
        json!({"sysctl": {"net.core.somaxconn": 5}}),
    ];
    for whose in Whose::BOTH {
        for keys in &cases {
            let (node, pod) = setup();
            call(whose, PLUGIN, "ADD", &config(&node, keys.clone()), &pod).unwrap_err();
            assert_eq!(eth0(&pod).mtu, 1500);
        }
        let (node, pod) = setup();
        let path = pod.path();
        let add = Call { binary: whose.plugin(PLUGIN), ..Call::new(whose, "ADD", "c1", &path) };
        add.run(&config(&node, json!({"mtu": 1400}))).unwrap_err(); // without prevResult
    }
}

#[test]
fn an_add_that_fails_undoes_what_it_set() {
    let (node, pod) = setup();
    let before = read(&pod, "net/core/somaxconn");
    // The kernel refuses the MTU after the sysctl is set.
    let keys = json!({"mtu": 100_000, "promisc": true, "sysctl": {"net.core.somaxconn": "77"}});
    let error = call(Whose::Ours, PLUGIN, "ADD", &config(&node, keys), &pod).unwrap_err();
    assert_eq!(error["code"], 100, "{error}");
    assert_eq!(read(&pod, "net/core/somaxconn"), before);
    assert_undone(&node, &pod, "the ADD failed");
    let keys = json!({"sysctl": {"net.core.somaxconn": "77", "net.no.such": "1"}});
    let error = call(Whose::Ours, PLUGIN, "ADD", &config(&node, keys), &pod).unwrap_err();
    assert!(error["msg"].as_str().unwrap().contains("net.no.such"), "{error}");
    assert_eq!(read(&pod, "net/core/somaxconn"), before);
}

#[test]
fn a_sysctl_that_can_only_be_written_is_written() {
    for whose in Whose::BOTH {
        let (node, pod) = setup();
        let keys = json!({"sysctl": {"net.ipv4.route.flush": "1"}});
        call(whose, PLUGIN, "ADD", &config(&node, keys), &pod).unwrap();
    }
}

#[test]
fn two_in_one_list_go_back_to_what_was_there_first() {
    let (node, pod) = setup();
    call(Whose::Ours, PLUGIN, "ADD", &config(&node, json!({"mtu": 1400})), &pod).unwrap();
    call(Whose::Ours, PLUGIN, "ADD", &config(&node, json!({"mtu": 1300, "mac": MAC})), &pod).unwrap();
    for _ in 0..2 {
        call(Whose::Ours, PLUGIN, "DEL", &config(&node, json!({})), &pod).unwrap();
    }
    assert_undone(&node, &pod, "both DELs");
}

#[test]
fn the_queue_and_the_mtu_are_told_in_newer_versions() {
    let (node, pod) = setup();
    let mut config = config(&node, json!({"cniVersion": "1.1.0", "txQLen": 77, "mtu": 1400}));
    let result = call(Whose::Ours, PLUGIN, "ADD", &config, &pod).unwrap();
    assert_eq!(result["interfaces"][1]["mtu"], 1400);
    assert_eq!(eth0(&pod).txqlen, 77);
    assert!(backup(&node).unwrap().contains("\"txQLen\": 1000"));
    config["prevResult"] = result;
    call(Whose::Ours, PLUGIN, "CHECK", &config, &pod).unwrap();
    call(Whose::Ours, PLUGIN, "DEL", &config, &pod).unwrap();
    assert_eq!(eth0(&pod).txqlen, 1000);
}

#[test]
fn del_of_a_container_that_is_gone_forgets_its_backup() {
    let (node, pod) = setup();
    let config = config(&node, json!({"mtu": 1400}));
    call(Whose::Ours, PLUGIN, "ADD", &config, &pod).unwrap();
    for netns in ["/run/netns/no-such", ""] {
        let del = Call { binary: Whose::Ours.plugin(PLUGIN), ..Call::new(Whose::Ours, "DEL", "c1", netns) };
        del.run(&config).unwrap();
        assert_eq!(backup(&node), None);
    }
    // A file that is no backup does not hold DEL up.
    std::fs::write(node.dir.path().join("t/c1_eth0.json"), "{\"mtu\": \"x\"").unwrap();
    call(Whose::Ours, PLUGIN, "DEL", &config, &pod).unwrap();
    assert_eq!(backup(&node), None);
}

#[test]
fn gc_forgets_backups_of_its_network_only() {
    let (node, pod) = setup();
    let config = config(&node, json!({"mtu": 1400}));
    call(Whose::Ours, PLUGIN, "ADD", &config, &pod).unwrap();
    std::fs::write(node.dir.path().join("t/c9_eth0.json"), "{}").unwrap(); // the reference's, of some network
    let mut other = config.clone();
    other["name"] = json!("another");
    gc(PLUGIN, &other, &[]).unwrap();
    gc(PLUGIN, &config, &["c1"]).unwrap();
    assert!(backup(&node).is_some());
    gc(PLUGIN, &config, &["c2"]).unwrap();
    assert_eq!(backup(&node), None);
    assert!(node.dir.path().join("t/c9_eth0.json").exists());
}

/// In a mount namespace in which /etc is the test's. Release 1.1.1 of the reference knows no such list yet.
#[test]
fn the_administrators_list_holds() {
    let whose = Whose::Ours;
    let (node, pod) = setup();
    let list = node.dir.path().join("etc/cni/tuning");
    std::fs::create_dir_all(&list).unwrap();
    std::fs::write(list.join("allowlist.conf"), "^net.core.som[a-z]*$\n\n^net.ipv4.conf.IFNAME.\n").unwrap();
    let (binary, etc) = (whose.plugin(PLUGIN), node.dir.path().join("etc"));
    let script = format!("mount --bind {} /etc && exec {}", etc.display(), binary.display());
    let add = |key: &str| {
        let mut config = config(&node, json!({"sysctl": {key: "1"}}));
        config["prevResult"] = previous(&pod);
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script]);
        let environment =
            [("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "eth0"), ("CNI_PATH", "/x")];
        command.envs(environment).env("CNI_NETNS", pod.path());
        let input = node.dir.path().join("input");
        std::fs::write(&input, config.to_string()).unwrap();
        let output = command.stdin(std::fs::File::open(input).unwrap()).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (done, answer) = add("net.core.somaxconn");
    assert!(done, "{whose:?}: {answer}");
    assert!(add("net.ipv4.conf.IFNAME.arp_filter").0);
    let (done, answer) = add("net.ipv4.conf.all.arp_filter");
    assert!(!done && answer.contains("net.ipv4.conf.all.arp_filter is not allowed"), "{whose:?}: {answer}");
}

#[test]
fn status_says_what_an_add_would() {
    let (node, pod) = setup();
    let status = |keys: Value| call(Whose::Ours, PLUGIN, "STATUS", &config(&node, keys), &pod);
    status(json!({"cniVersion": "1.1.0", "mtu": 1400})).unwrap();
    assert_eq!(status(json!({"cniVersion": "1.1.0", "sysctl": {"kernel.x": "1"}})).unwrap_err()["code"], 7);
    assert_eq!(status(json!({"cniVersion": "1.1.0", "ethtool": {"tx": true}})).unwrap_err()["code"], 2);
}
