//! The firewall plugin: the reference and ours, side by side where the reference can.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;
mod ports;

use common::{Call, Pod, Whose};
use ports::{Member, Site, nft};
use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt;

fn config(site: &Site, keys: Value) -> Value {
    site.config("firewall", keys)
}

fn firewall(site: &Site, command: &str, member: &Member, config: &Value) -> Result<Value, Value> {
    site.call("firewall", command, member, config)
}

/// Two pods on cni0 and one on cni1.
fn three(site: &Site) -> [Member; 3] {
    let apart = json!({"bridge": "cni1", "name": "othernet",
        "ipam": {"type": "host-local", "dataDir": site.node.data_dir(), "subnet": "10.98.0.0/24",
            "routes": [{"dst": "0.0.0.0/0"}]}});
    [site.member("a"), site.member("b"), site.member_of("c", apart)]
}

fn pings(from: &Member, to: &Member) -> bool {
    let address = to.address(false);
    from.pod.run("ping", &["-c1", "-W1", &address])
}

#[test]
fn policies_keep_bridges_apart_as_the_references_do() {
    for (whose, policy, same, other) in [
        (Whose::Reference, "open", true, true),
        (Whose::Reference, "same-bridge", true, false),
        (Whose::Ours, "open", true, true),
        (Whose::Ours, "same-bridge", true, false),
        (Whose::Ours, "isolated", false, false),
    ] {
        let site = Site::new(whose);
        for family in ["iptables", "ip6tables"] {
            netstate::sysctl::write(&format!("net/bridge/bridge-nf-call-{family}"), "1").unwrap();
        }
        let [a, b, c] = three(&site);
        let config = config(&site, json!({"ingressPolicy": policy}));
        for member in [&a, &b, &c] {
            let result = firewall(&site, "ADD", member, &config).unwrap();
            assert_eq!(result["ips"], member.result["ips"]);
            firewall(&site, "CHECK", member, &config).unwrap();
        }
        assert_eq!(pings(&a, &b), same, "{whose:?} {policy}: on one bridge");
        assert_eq!(pings(&a, &c), other, "{whose:?} {policy}: between bridges");
        assert!(a.pod.run("ping", &["-c1", "-W1", "10.99.0.1"]), "{whose:?} {policy}: the node");
        for member in [&a, &b, &c] {
            firewall(&site, "DEL", member, &config).unwrap();
            firewall(&site, "DEL", member, &config).unwrap();
        }
        if whose == Whose::Ours {
            assert!(pings(&a, &c) && !nft("list ruleset").contains("weft-cni-firewall"));
        }
    }
}

#[test]
fn the_table_reads_as_documented_and_bridges_go_with_their_last_container() {
    let site = Site::new(Whose::Ours);
    let [a, b, c] = three(&site);
    let (open, same) = (config(&site, json!({})), config(&site, json!({"ingressPolicy": "same-bridge"})));
    firewall(&site, "ADD", &a, &same).unwrap();
    firewall(&site, "ADD", &b, &same).unwrap();
    firewall(&site, "ADD", &c, &open).unwrap();
    let text = nft("list table inet weft-cni-firewall");
    for part in [
        format!("{} comment \"testnet/a/eth0\"", a.address(false)),
        format!("{} comment \"testnet/b/eth0\"", b.address(true)),
        "\"cni0\" . \"cni0\" comment \"bridge cni0\"".into(),
        "iifname . oifname @together return".into(),
        "iifname @bridges oifname @bridges drop".into(),
        "ip daddr @pods4 accept".into(),
    ] {
        assert!(text.contains(&part), "{part} is not in:\n{text}");
    }
    firewall(&site, "DEL", &a, &open).unwrap();
    assert!(nft("list table inet weft-cni-firewall").contains("bridge cni0"));
    // Another policy for the same container leaves nothing of the one before.
    firewall(&site, "ADD", &b, &open).unwrap();
    let text = nft("list table inet weft-cni-firewall");
    assert!(!text.contains("bridge cni0") && text.contains("testnet/c/"), "{text}");
    // Nothing here makes the overlay track pods' connections.
    let tracked = netstate::nft::NftSocket::open().unwrap().tracked_tables("weft-flannel").unwrap();
    assert_eq!(tracked, Vec::<String>::new());
}

#[test]
fn isolated_is_refused_where_nothing_would_come_of_it() {
    let site = Site::new(Whose::Ours);
    netstate::sysctl::write("net/bridge/bridge-nf-call-iptables", "0").unwrap();
    let a = site.member("a");
    let isolated = config(&site, json!({"cniVersion": "1.1.0", "ingressPolicy": "isolated"}));
    let error = firewall(&site, "ADD", &a, &isolated).unwrap_err();
    assert!(
        error["code"] == 102 && error["msg"].as_str().unwrap().contains("bridge-nf-call-iptables"),
        "{error}"
    );
    assert_eq!(firewall(&site, "STATUS", &a, &isolated).unwrap_err()["code"], 50);
    assert_eq!(site.records("firewall"), Vec::<String>::new());
}

#[test]
fn status_names_a_chain_that_drops_all_the_same() {
    let site = Site::new(Whose::Ours);
    let a = site.member("a");
    let config = config(&site, json!({"cniVersion": "1.1.0"}));
    firewall(&site, "STATUS", &a, &config).unwrap();
    nft("add table ip filter");
    nft("add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }");
    let error = firewall(&site, "STATUS", &a, &config).unwrap_err();
    let text = error["msg"].as_str().unwrap();
    assert!(error["code"] == 50 && text.contains("FORWARD") && text.contains("ip filter"), "{error}");
}

#[test]
fn check_gc_and_restore_are_complete() {
    let site = Site::new(Whose::Ours);
    let [a, b, _] = three(&site);
    let same = config(&site, json!({"ingressPolicy": "same-bridge"}));
    for member in [&a, &b] {
        firewall(&site, "ADD", member, &same).unwrap();
    }
    assert_eq!(firewall(&site, "CHECK", &a, &config(&site, json!({}))).unwrap_err()["code"], 103);
    let dir = site.node.dir.path().join("firewall");
    for damage in [
        "flush ruleset",
        "flush set inet weft-cni-firewall pods4",
        "flush set inet weft-cni-firewall bridges",
    ] {
        nft(damage);
        assert_eq!(firewall(&site, "CHECK", &a, &same).unwrap_err()["code"], 103, "{damage}");
        assert!(cni_plugin::firewall::restore(&dir).unwrap().is_some(), "{damage}");
        firewall(&site, "CHECK", &a, &same).unwrap();
    }
    nft("add element inet weft-cni-firewall pods4 { 10.99.0.77 comment \"testnet/gone/eth0\" }");
    nft("add element inet weft-cni-firewall bridges { cni9 comment \"bridge cni9\" }");
    let valid = json!([{"containerID": "a", "ifname": "eth0"}]);
    let gc = config(&site, json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": valid}));
    firewall(&site, "GC", &a, &gc).unwrap();
    let text = nft("list table inet weft-cni-firewall");
    assert!(!text.contains("gone") && !text.contains("cni9") && !text.contains("testnet/b/"), "{text}");
    firewall(&site, "CHECK", &a, &same).unwrap();
    let none = config(&site, json!({"cniVersion": "1.1.0", "cni.dev/valid-attachments": []}));
    firewall(&site, "GC", &a, &none).unwrap();
    assert!(!nft("list ruleset").contains("weft-cni-firewall"));
}

#[test]
fn an_address_goes_to_the_last_who_claims_it() {
    let site = Site::new(Whose::Ours);
    let a = site.member("a");
    let again = Member { pod: Pod::new(), id: "again".into(), result: a.result.clone() };
    let open = config(&site, json!({}));
    firewall(&site, "ADD", &a, &open).unwrap();
    firewall(&site, "ADD", &again, &open).unwrap();
    firewall(&site, "DEL", &a, &open).unwrap();
    firewall(&site, "CHECK", &again, &open).unwrap();
}

#[test]
fn a_call_that_was_killed_at_any_step_is_cleaned() {
    let site = Site::new(Whose::Ours);
    let (kept, web) = (site.member("kept"), site.member("web"));
    let same = config(&site, json!({"ingressPolicy": "same-bridge"}));
    firewall(&site, "ADD", &kept, &same).unwrap();
    for command in ["ADD", "DEL"] {
        let mut steps = 0;
        loop {
            if command == "DEL" {
                firewall(&site, "ADD", &web, &same).unwrap();
            }
            let mut own = same.clone();
            own["prevResult"] = web.result.clone();
            let path = web.pod.path();
            let call =
                Call { binary: site.binary("firewall"), ..Call::new(Whose::Ours, command, "web", &path) };
            let output = call.with("WEFT_CNI_CRASH_AT", steps + 1).output(&own);
            if output.status.success() {
                break;
            }
            assert_eq!(output.status.signal(), Some(9), "{}", String::from_utf8_lossy(&output.stdout));
            steps += 1;
            firewall(&site, "DEL", &web, &config(&site, json!({}))).unwrap();
            assert!(!nft("list ruleset").contains("testnet/web/"), "{command} killed after step {steps}");
            assert_eq!(site.records("firewall"), ["testnet:kept:eth0.json"]);
            firewall(&site, "CHECK", &kept, &same).unwrap();
        }
        assert!(steps >= 2, "only {steps} crash points were passed by {command}");
        firewall(&site, "DEL", &web, &same).unwrap();
    }
}

#[test]
fn del_removes_the_references_rules_of_the_container_and_no_others() {
    let site = Site::new(Whose::Reference);
    let (a, b) = (site.member("a"), site.member("b"));
    let config = config(&site, json!({"backend": "iptables"}));
    firewall(&site, "ADD", &a, &config).unwrap();
    firewall(&site, "ADD", &b, &config).unwrap();
    let binary = ports::ours(&site.node, "firewall");
    let ours = |command: &str| {
        let mut own = json!({"cniVersion": "1.0.0", "name": "testnet", "type": "firewall",
            "dataDir": site.node.dir.path().join("firewall")});
        own["prevResult"] = a.result.clone();
        let path = a.pod.path();
        Call { binary: binary.clone(), ..Call::new(Whose::Ours, command, "a", &path) }.run(&own)
    };
    ours("CHECK").unwrap();
    ours("DEL").unwrap();
    let text = nft("list ruleset");
    for ipv6 in [false, true] {
        assert!(!text.contains(&a.address(ipv6)) && text.contains(&b.address(ipv6)), "{text}");
    }
    assert_eq!(ours("CHECK").unwrap_err()["code"], 103);
    firewall(&site, "CHECK", &b, &config).unwrap();
}
