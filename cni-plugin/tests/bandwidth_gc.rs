//! `bandwidth` among others: GC, and in our own chain behind `tuning`.

#![allow(clippy::unwrap_used)] // a test says by its panic what is wrong

mod common;
mod named;

use common::{Node, Pod, Whose};
use named::shaped::{PLUGIN, both_ways, config, ifbs, setup};
use named::{call, gc, output, previous};
use serde_json::{Value, json};

#[test]
fn gc_removes_what_no_valid_attachment_has() {
    let (node, pod) = setup();
    let config = config(&node, both_ways());
    call(Whose::Ours, PLUGIN, "ADD", &config, &pod).unwrap();
    output("ip", "link add bwpffffffffffff type ifb");
    gc(PLUGIN, &config, &["c1", "c2"]).unwrap();
    assert_eq!(ifbs(&node).len(), 2);
    let mut other = config.clone();
    other["name"] = json!("another");
    gc(PLUGIN, &other, &[]).unwrap();
    assert_eq!(ifbs(&node).len(), 2, "another network's GC");
    gc(PLUGIN, &config, &["c2"]).unwrap();
    assert_eq!(ifbs(&node), ["bwpffffffffffff"], "one that nobody knows whose it is stays");
    output("ip", "link del bwpffffffffffff");
    assert!(!node.dir.path().join("records/shape/c1_eth0.json").exists());
    // By its alias alone, where the record is lost.
    call(Whose::Ours, PLUGIN, "ADD", &config, &pod).unwrap();
    std::fs::remove_dir_all(node.dir.path().join("records")).unwrap();
    gc(PLUGIN, &config, &[]).unwrap();
    assert!(ifbs(&node).is_empty());
    assert_eq!(call(Whose::Ours, PLUGIN, "GC", &config, &pod).unwrap_err()["code"], 1);
}

/// The reference's have a name and no more; libcni's results, in a mount namespace in which /var/lib is the test's,
/// still tell whose they were.
#[test]
fn gc_removes_the_references_where_the_results_tell_whose_they_are() {
    use cni_plugin::{
        caller::{Attachment, Cache},
        types::NetConfList,
    };
    let (node, pod) = setup();
    call(Whose::Reference, PLUGIN, "ADD", &config(&node, both_ways()), &pod).unwrap();
    let text = json!({"cniVersion": "1.1.0", "name": "shape", "plugins": [{"type": PLUGIN}]}).to_string();
    let attachment = Attachment {
        container_id: "c1".into(),
        netns: pod.path(),
        ifname: "eth0".into(),
        ..Attachment::default()
    };
    let var_lib = node.dir.path().join("lib");
    let cache = Cache::new(var_lib.join("cni"));
    cache.store(&NetConfList::from_text(&text).unwrap(), &attachment, &previous(&pod)).unwrap();
    let run = |valid: Value| {
        let mut config = config(&node, both_ways());
        config["cniVersion"] = json!("1.1.0");
        config["cni.dev/valid-attachments"] = valid;
        let input = node.dir.path().join("input");
        std::fs::write(&input, config.to_string()).unwrap();
        let file = Whose::Ours.plugin(PLUGIN);
        let script = format!("mount --bind {} /var/lib && exec {}", var_lib.display(), file.display());
        let mut command = std::process::Command::new("unshare");
        command.args(["-m", "sh", "-c", &script]).env("CNI_COMMAND", "GC").env("CNI_PATH", "/x");
        assert!(command.stdin(std::fs::File::open(input).unwrap()).status().unwrap().success());
    };
    run(json!([{"containerID": "c1", "ifname": "eth0"}]));
    assert_eq!(ifbs(&node).len(), 1);
    run(json!([]));
    assert!(ifbs(&node).is_empty());
}

#[test]
fn our_own_chain_tunes_and_limits_in_one_process() {
    let (node, pod) = (Node::new(), Pod::new());
    let dir = |name: &str| node.dir.path().join(name);
    let keys = json!({"cniVersion": "1.1.0", "isGateway": true, "runtimeConfig": {"bandwidth": both_ways()},
        "tuning": {"dataDir": dir("tuning"), "mtu": 1380, "mac": "02:00:00:00:00:05", "allmulti": true},
        "bandwidth": {"dataDir": dir("records")}});
    let config = node.config(Whose::Ours, keys);
    let result = common::add(Whose::Ours, &config, "c1", &pod).unwrap();
    let told: Vec<&Value> =
        result["interfaces"].as_array().unwrap().iter().filter(|i| i["name"] == "eth0").collect();
    assert_eq!((&told[0]["mac"], &told[0]["mtu"]), (&json!("02:00:00:00:00:05"), &json!(1380)));
    let link = pod.link("eth0").unwrap();
    assert!(link.mtu == 1380 && link.all_multicast);
    assert_eq!(ifbs(&node).len(), 1);
    common::check(Whose::Ours, &config, "c1", &pod, &result).unwrap();
    output("ip", &format!("link del {}", ifbs(&node)[0]));
    let error = common::check(Whose::Ours, &config, "c1", &pod, &result).unwrap_err();
    assert_eq!(error["code"], 103, "{error}");
    // A runtime may have lost what it gave at ADD.
    let mut bare = config.clone();
    bare.as_object_mut().unwrap().remove("runtimeConfig");
    common::del(Whose::Ours, &bare, "c1", &pod.path()).unwrap();
    assert!(pod.link("eth0").is_none() && node.reserved("testnet").is_empty());
    assert!(
        !dir("tuning").join("c1_eth0.json").exists() && !dir("records").join("testnet/c1_eth0.json").exists()
    );
}
