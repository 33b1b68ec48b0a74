//! Ports when calls are killed, when the reference plugin was there before, and beside the overlay.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;
mod ports;

use common::{Call, Whose};
use ports::{Member, Site, ask, nft};
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt;

fn config(site: &Site, host_port: u16) -> Value {
    let both = ["tcp", "udp"].map(|p| json!({"hostPort": host_port, "containerPort": 80, "protocol": p}));
    site.config("portmap", json!({"cniVersion": "1.1.0", "runtimeConfig": {"portMappings": both}}))
}

fn portmap(site: &Site, command: &str, member: &Member, config: &Value) -> Result<Value, Value> {
    site.call("portmap", command, member, config)
}

fn gc(site: &Site, member: &Member, valid: &[&str]) {
    let attachment = |id: &&str| json!({"containerID": id, "ifname": "eth0"});
    let valid: Vec<Value> = valid.iter().map(attachment).collect();
    let config = site.config("portmap", json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": valid}));
    portmap(site, "GC", member, &config).unwrap();
}

/// Kills a call after each of its steps until it lives; `then` looks at what is left.
fn at_each_step(site: &Site, command: &str, prepare: impl Fn(&Member), then: impl Fn(&Member, &str)) -> u32 {
    let web = site.member("web");
    let mut config = config(site, 8080);
    config["prevResult"] = web.result.clone();
    for step in 1.. {
        // Each time as if it were the first, so that the steps have their numbers.
        netstate::sysctl::write("net/ipv4/conf/cni0/route_localnet", "0").unwrap();
        prepare(&web);
        let (log, path) = (site.node.dir.path().join("steps"), web.pod.path());
        let _ = std::fs::remove_file(&log);
        let call = Call { binary: site.binary("portmap"), ..Call::new(Whose::Ours, command, "web", &path) };
        let call = call.with("WEFT_CNI_CRASH_AT", step).with("WEFT_CNI_CRASH_LOG", log.display());
        let output = call.output(&config);
        if output.status.success() {
            return step - 1;
        }
        let steps = std::fs::read_to_string(&log).unwrap();
        let when = format!("{command} killed after step {}", steps.lines().last().unwrap());
        assert_eq!(output.status.signal(), Some(9), "{when}: {}", String::from_utf8_lossy(&output.stdout));
        then(&web, &when);
    }
    unreachable!()
}

fn assert_clean(site: &Site, when: &str, others: &[&str]) {
    let text = nft("list ruleset");
    assert!(!text.contains("testnet/web/"), "{when}: {text}");
    assert_eq!(text.contains("table inet weft-cni "), !others.is_empty(), "{when}: {text}");
    let names: Vec<String> = others.iter().map(|id| format!("testnet:{id}:eth0.json")).collect();
    assert_eq!(site.records("portmap"), names, "{when}");
}

#[test]
fn del_cleans_an_add_that_was_killed_at_any_step() {
    let site = Site::new(Whose::Ours);
    let own = config(&site, 8080);
    let steps = at_each_step(
        &site,
        "ADD",
        |_| drop(std::fs::remove_dir_all(site.node.dir.path().join("portmap"))),
        |web, when| {
            portmap(&site, "DEL", web, &own).unwrap_or_else(|e| panic!("{when}: {e}"));
            assert_clean(&site, when, &[]);
        },
    );
    assert!(steps >= 4, "only {steps} crash points were passed");
}

#[test]
fn gc_cleans_an_add_that_was_killed_beside_a_living_container() {
    let site = Site::new(Whose::Ours);
    let kept = site.member("kept");
    portmap(&site, "ADD", &kept, &config(&site, 9090)).unwrap();
    at_each_step(
        &site,
        "ADD",
        |_| {},
        |web, when| {
            gc(&site, web, &["kept"]);
            assert_clean(&site, when, &["kept"]);
            portmap(&site, "CHECK", &kept, &config(&site, 9090)).unwrap_or_else(|e| panic!("{when}: {e}"));
        },
    );
}

#[test]
fn an_add_that_was_killed_with_anothers_port_takes_nothing_from_it() {
    let site = Site::new(Whose::Ours);
    let kept = site.member("kept");
    portmap(&site, "ADD", &kept, &config(&site, 8080)).unwrap();
    let web = site.member("rival");
    let mut same = config(&site, 8080);
    same["prevResult"] = web.result.clone();
    let path = web.pod.path();
    let call = Call { binary: site.binary("portmap"), ..Call::new(Whose::Ours, "ADD", "rival", &path) };
    let output = call.with("WEFT_CNI_CRASH_AT", 2).output(&same);
    assert_eq!(output.status.signal(), Some(9));
    assert_eq!(site.records("portmap").len(), 2, "the killed one's record is there");
    nft("flush ruleset");
    let dir = site.node.dir.path().join("portmap");
    assert!(cni_plugin::portmap::restore(&dir).unwrap().is_some());
    portmap(&site, "CHECK", &kept, &config(&site, 8080)).unwrap();
    portmap(&site, "DEL", &web, &same).unwrap();
    portmap(&site, "CHECK", &kept, &config(&site, 8080)).unwrap();
}

#[test]
fn a_second_del_finishes_one_that_was_killed() {
    let site = Site::new(Whose::Ours);
    let kept = site.member("kept");
    portmap(&site, "ADD", &kept, &config(&site, 9090)).unwrap();
    let own = config(&site, 8080);
    let steps = at_each_step(
        &site,
        "DEL",
        |web| drop(portmap(&site, "ADD", web, &own).unwrap()),
        |web, when| {
            portmap(&site, "DEL", web, &own).unwrap_or_else(|e| panic!("{when}: {e}"));
            assert_clean(&site, when, &["kept"]);
        },
    );
    assert!(steps >= 2, "only {steps} crash points were passed");
}

#[test]
fn after_a_reboot_nothing_of_before_counts() {
    let site = Site::new(Whose::Ours);
    let (web, other) = (site.member("web"), site.member("other"));
    portmap(&site, "ADD", &web, &config(&site, 8080)).unwrap();
    nft("flush ruleset");
    let boot = site.node.dir.path().join("boot");
    std::fs::write(&boot, "another\n").unwrap();
    let mut same = config(&site, 8080);
    same["prevResult"] = other.result.clone();
    let path = other.pod.path();
    let call = Call { binary: site.binary("portmap"), ..Call::new(Whose::Ours, "ADD", "other", &path) };
    call.with("WEFT_CNI_BOOT_ID_FILE", boot.display()).run(&same).unwrap();
    assert_eq!(site.records("portmap"), ["testnet:other:eth0.json"]);
    assert!(!nft("list ruleset").contains("testnet/web/"));
}

#[test]
fn a_damaged_record_harms_its_own_container_only() {
    let site = Site::new(Whose::Ours);
    let (web, other, third) = (site.member("web"), site.member("other"), site.member("third"));
    let dir = site.node.dir.path().join("portmap");
    let damage = || std::fs::write(dir.join("testnet:web:eth0.json"), "{\"version\": 1, \"mapp").unwrap();
    portmap(&site, "ADD", &web, &config(&site, 8080)).unwrap();
    portmap(&site, "ADD", &other, &config(&site, 9090)).unwrap();
    damage();
    let error = portmap(&site, "CHECK", &web, &config(&site, 8080)).unwrap_err();
    assert!(
        error["code"] == 6 && error["msg"].as_str().unwrap().contains("testnet:web:eth0.json"),
        "{error}"
    );
    portmap(&site, "ADD", &third, &config(&site, 9091)).unwrap();
    gc(&site, &other, &["web", "other", "third"]);
    assert!(nft("list ruleset").contains("testnet/web/"), "it is valid, whatever its record says");
    portmap(&site, "DEL", &web, &config(&site, 8080)).unwrap();
    assert!(!nft("list ruleset").contains("testnet/web/"));
    assert_eq!(site.records("portmap"), ["testnet:other:eth0.json", "testnet:third:eth0.json"]);

    portmap(&site, "ADD", &web, &config(&site, 8080)).unwrap();
    damage();
    nft("flush ruleset");
    assert!(cni_plugin::portmap::restore(&dir).unwrap().is_some());
    portmap(&site, "CHECK", &other, &config(&site, 9090)).unwrap();
    gc(&site, &other, &["other"]);
    assert_eq!(site.records("portmap"), ["testnet:other:eth0.json"]);
    portmap(&site, "CHECK", &other, &config(&site, 9090)).unwrap();
}

/// Rules in every chain of iptables-nft that the reference makes.
fn reference_chains() -> String {
    nft("list ruleset").lines().filter(|line| line.contains("CNI-DN-")).collect()
}

#[test]
fn del_removes_what_the_reference_plugin_mapped_and_nothing_else() {
    let site = Site::new(Whose::Reference);
    let (web, other) = (site.member("web"), site.member("other"));
    web.serve(80);
    let mut own = config(&site, 8080);
    own["cniVersion"] = "1.0.0".into();
    let mut another = config(&site, 9090);
    another["cniVersion"] = "1.0.0".into();
    portmap(&site, "ADD", &web, &own).unwrap();
    let expected = {
        portmap(&site, "ADD", &other, &another).unwrap();
        portmap(&site, "DEL", &other, &another).unwrap();
        portmap(&site, "ADD", &other, &another).unwrap();
        let before = nft("list ruleset");
        portmap(&site, "DEL", &web, &own).unwrap();
        let after = nft("list ruleset");
        portmap(&site, "ADD", &web, &own).unwrap();
        assert_ne!(before, after);
        after
    };
    assert!(ask(&site.client, "tcp", "192.0.2.1:8080", true).is_some());
    let ours = |command: &str, member: &Member, config: &Value| {
        let mut config = config.clone();
        config["prevResult"] = member.result.clone();
        let path = member.pod.path();
        let binary = ports::ours(&site.node, "portmap");
        Call { binary, ..Call::new(Whose::Ours, command, &member.id, &path) }.run(&config)
    };
    ours("CHECK", &web, &own).unwrap();
    ours("DEL", &web, &own).unwrap();
    let without_counters = |text: &str| {
        let words = text.split_whitespace().map(|w| if w.parse::<u64>().is_ok() { "n" } else { w });
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(without_counters(&nft("list ruleset")), without_counters(&expected), "as the reference's DEL");
    assert_eq!(ask(&site.client, "tcp", "192.0.2.1:8080", false), None);
    assert_eq!(ours("CHECK", &web, &own).unwrap_err()["code"], 103);
    ours("DEL", &other, &another).unwrap();
    assert_eq!(reference_chains(), "");
}

#[test]
fn del_removes_what_the_references_nftables_backend_mapped() {
    let site = Site::new(Whose::Ours);
    let web = site.member("web");
    for line in [
        "add table ip cni_hostport",
        "add chain ip cni_hostport hostports",
        "add chain ip cni_hostport masquerading",
        "add rule ip cni_hostport hostports tcp dport 8080 dnat to 10.99.0.2:80 comment \"web\"",
        "add rule ip cni_hostport hostports tcp dport 9090 dnat to 10.99.0.3:80 comment \"other\"",
        "add rule ip cni_hostport masquerading ip saddr 10.99.0.2 ip daddr 10.99.0.2 masquerade comment \"web\"",
    ] {
        nft(line);
    }
    portmap(&site, "CHECK", &web, &config(&site, 8080)).unwrap();
    portmap(&site, "DEL", &web, &config(&site, 8080)).unwrap();
    let text = nft("list ruleset");
    assert!(!text.contains("\"web\"") && text.contains("\"other\""), "{text}");
}

#[test]
fn the_overlay_sees_when_ports_need_connection_tracking() {
    let site = Site::new(Whose::Ours);
    let web = site.member("web");
    let tracked = || netstate::nft::NftSocket::open().unwrap().tracked_tables("weft-flannel").unwrap();
    assert_eq!(tracked(), Vec::<String>::new());
    portmap(&site, "ADD", &web, &config(&site, 8080)).unwrap();
    assert_eq!(tracked(), ["weft-cni"]);
    portmap(&site, "DEL", &web, &config(&site, 8080)).unwrap();
    assert_eq!(tracked(), Vec::<String>::new());
}

/// With the overlay's rules for a node that tracks pod traffic, and other pods of its network outside.
#[test]
fn ports_work_beside_the_overlays_masquerading() {
    let site = Site::new(Whose::Ours);
    let (web, other) = (site.member("web"), site.member("other"));
    web.serve(80);
    for line in [
        "add table inet weft-flannel",
        "add chain inet weft-flannel postrouting { type nat hook postrouting priority 100; }",
        "add rule inet weft-flannel postrouting ip saddr 10.99.0.0/24 ip daddr 10.96.0.0/11 return",
        "add rule inet weft-flannel postrouting ip saddr != 10.99.0.0/24 ip daddr 10.99.0.0/24 return",
        "add rule inet weft-flannel postrouting ip saddr 10.96.0.0/11 ip daddr != 224.0.0.0/4 masquerade",
    ] {
        nft(line);
    }
    portmap(&site, "ADD", &web, &config(&site, 8080)).unwrap();
    let answer = |from| ask(from, "tcp", "192.0.2.1:8080", true).unwrap();
    assert_eq!(answer(&site.client), "web 192.0.2.2", "a client on another node keeps its source");
    assert_eq!(answer(&other.pod.netns), "web 10.99.0.1");
    assert_eq!(answer(&web.pod.netns), "web 10.99.0.1");
    // As long as the overlay has not seen that ports are mapped, pods' packets to each other are untracked:
    // a client elsewhere is served all the same.
    for line in [
        "add chain inet weft-flannel prerouting { type filter hook prerouting priority -300; }",
        "add rule inet weft-flannel prerouting ip saddr 10.96.0.0/11 ip daddr 10.96.0.0/11 notrack accept",
    ] {
        nft(line);
    }
    assert_eq!(answer(&site.client), "web 192.0.2.2");
    assert_eq!(ask(&site.node.host, "tcp", "192.0.2.1:8080", true).unwrap(), "web 192.0.2.1");
    // An answer inside the pod network is not translated back; this is why the overlay tracks then.
    assert_eq!(ask(&other.pod.netns, "tcp", "192.0.2.1:8080", false), None);
    nft("delete chain inet weft-flannel prerouting");
    assert_eq!(answer(&other.pod.netns), "web 10.99.0.1");
}
