//! The chain in one process, with portmap and firewall behind the bridge.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;
mod ports;

use common::{Whose, add, check, del};
use ports::{Member, Site, ask, nft};
use serde_json::{Value, json};

const OURS: Whose = Whose::Ours;

fn chain(site: &Site, host_port: u16) -> Value {
    let dir = |name: &str| site.node.dir.path().join(name);
    site.node.config(
        OURS,
        json!({"cniVersion": "1.1.0", "isDefaultGateway": true, "hairpinMode": true,
            "portmap": {"dataDir": dir("portmap")},
            "firewall": {"dataDir": dir("firewall"), "ingressPolicy": "same-bridge"},
            "runtimeConfig": {"portMappings": [{"hostPort": host_port, "containerPort": 80, "protocol": "tcp"}]}}),
    )
}

#[test]
fn one_call_attaches_guards_and_maps_and_one_undoes_it() {
    let site = Site::new(OURS);
    let config = chain(&site, 8080);
    let pod = common::Pod::new();
    let result = add(OURS, &config, "web", &pod).unwrap();
    let web = Member { pod, id: "web".into(), result };
    web.serve(80);
    check(OURS, &config, "web", &web.pod, &web.result).unwrap();
    assert_eq!(ask(&site.client, "tcp", "192.0.2.1:8080", true).unwrap(), "web 192.0.2.2");
    let text = nft("list ruleset");
    assert!(text.contains("testnet/web/eth0") && text.contains("bridge cni0"), "{text}");

    // The port is taken: the whole attachment is undone.
    let rival = common::Pod::new();
    let error = add(OURS, &config, "rival", &rival).unwrap_err();
    assert!(error["code"] == 102 && error["msg"].as_str().unwrap().contains("testnet/web/eth0"), "{error}");
    assert!(rival.link("eth0").is_none() && !nft("list ruleset").contains("rival"));
    assert_eq!(site.node.reserved("testnet"), ["10.99.0.2"]);

    // A runtime that lost what it gave.
    let mut forgetful = config.clone();
    forgetful.as_object_mut().unwrap().remove("runtimeConfig");
    del(OURS, &forgetful, "web", &web.pod.path()).unwrap();
    assert!(!nft("list ruleset").contains("weft-cni"), "{}", nft("list ruleset"));
    assert_eq!(site.records("portmap").len() + site.records("firewall").len(), 0);
}

#[test]
fn a_taken_port_leaves_a_flushed_table_whole() {
    let site = Site::new(OURS);
    let (web, rival) = (site.member("web"), site.member("rival"));
    let block = chain(&site, 8080);
    let mapping = json!({"portMappings": block["runtimeConfig"]["portMappings"]});
    let config = site.config("portmap", json!({"runtimeConfig": mapping}));
    site.call("portmap", "ADD", &web, &config).unwrap();
    nft("flush ruleset");
    assert_eq!(site.call("portmap", "ADD", &rival, &config).unwrap_err()["code"], 102);
    site.call("portmap", "CHECK", &web, &config).unwrap();
    assert_eq!(site.records("portmap"), ["testnet:web:eth0.json"]);
}
