//! The caller against plugins that are shell scripts: order, chaining, environment, cache, errors.

use super::*;
use crate::types::SpecVersion;
use std::os::unix::fs::PermissionsExt;

struct Place {
    dir: tempfile::TempDir,
    caller: Caller,
}

/// A plugin that logs its call and its input, then prints what the `$TYPE-$COMMAND` file holds.
const SCRIPT: &str = r#"#!/bin/sh
me=$(basename "$0"); here=$(dirname "$0")
echo "$me $CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS" >> "$here/log"
cat > "$here/$me-$CNI_COMMAND.input"
[ -f "$here/$me-$CNI_COMMAND.answer" ] && cat "$here/$me-$CNI_COMMAND.answer"
[ -f "$here/$me-$CNI_COMMAND.fails" ] && exit 1
exit 0
"#;

fn place(plugins: &[&str]) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    for plugin in plugins {
        let path = bin.join(plugin);
        std::fs::write(&path, SCRIPT).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let caller = Caller::new(dir.path().join("net.d"), [bin], dir.path().join("cache"));
    Place { dir, caller }
}

impl Place {
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join("bin").join(name), text).unwrap();
    }
    fn input(&self, name: &str) -> Value {
        let path = self.dir.path().join("bin").join(format!("{name}.input"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }
    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("bin/log")).unwrap_or_default()
    }
}

fn network(version: SpecVersion) -> NetworkList {
    let text = format!(
        r#"{{"cniVersion":"{version}","name":"net","plugins":[{{"type":"first"}},
            {{"type":"second","capabilities":{{"portMappings":true,"bandwidth":false}}}}]}}"#
    );
    NetworkList::from_text(&text).unwrap()
}

fn attachment() -> Attachment {
    Attachment {
        container_id: "c1".into(),
        netns: "/run/netns/x".into(),
        ifname: "eth0".into(),
        args: vec![("K8S_POD_NAME".into(), "web".into()), ("IgnoreUnknown".into(), "1".into())],
        capability_args: serde_json::from_str(r#"{"portMappings":[1],"bandwidth":{"x":1}}"#).unwrap(),
    }
}

const FIRST: &str = r#"{"cniVersion":"1.1.0","ips":[{"address":"10.1.0.2/24"}],"dns":{}}"#;
const SECOND: &str =
    r#"{"cniVersion":"1.1.0","ips":[{"address":"10.1.0.2/24","gateway":"10.1.0.1"}],"dns":{}}"#;

#[test]
fn add_chains_results_and_del_goes_backwards() {
    let place = place(&["first", "second"]);
    place.write("first-ADD.answer", FIRST);
    place.write("second-ADD.answer", SECOND);
    let network = network(SpecVersion::V110);
    let result = place.caller.add(&network, &attachment()).unwrap();
    assert_eq!(result.ips[0].gateway, "10.1.0.1".parse().ok());
    let input = place.input("second-ADD");
    assert_eq!(input["prevResult"], serde_json::from_str::<Value>(FIRST).unwrap());
    assert_eq!(input["runtimeConfig"], serde_json::json!({"portMappings": [1]}));
    assert_eq!((input["name"].as_str(), input["cniVersion"].as_str()), (Some("net"), Some("1.1.0")));
    assert!(place.input("first-ADD").get("prevResult").is_none());

    place.caller.check(&network, &attachment()).unwrap();
    assert_eq!(place.input("first-CHECK")["prevResult"], serde_json::from_str::<Value>(SECOND).unwrap());
    let cached = place.caller.cache().attachments().unwrap();
    assert_eq!((cached.len(), cached[0].network.as_str()), (1, "net"));
    assert_eq!(cached[0].attachment, attachment());
    assert_eq!(cached[0].config, network.text);

    place.caller.del(&network, &attachment()).unwrap();
    assert!(place.caller.cache().attachments().unwrap().is_empty());
    place.caller.del(&network, &attachment()).unwrap();
    let order: Vec<String> =
        place.log().lines().map(|l| l.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "first ADD",
        "second ADD",
        "first CHECK",
        "second CHECK",
        "second DEL",
        "first DEL",
        "second DEL",
        "first DEL",
    ];
    assert_eq!(order, expected);
    let line = place.log().lines().next().unwrap().to_string();
    assert_eq!(line, "first ADD c1 /run/netns/x eth0 K8S_POD_NAME=web;IgnoreUnknown=1");
}

#[test]
fn a_plugin_error_is_handed_on_whole() {
    let place = place(&["first", "second"]);
    place.write("first-ADD.answer", r#"{"cniVersion":"1.1.0","code":11,"msg":"not yet","details":"look"}"#);
    place.write("first-ADD.fails", "");
    let error = place.caller.add(&network(SpecVersion::V100), &attachment()).unwrap_err();
    assert_eq!(error.plugin_error().unwrap().code, 11);
    assert!(error.to_string().contains("not yet; look"), "{error}");
    assert!(!place.log().contains("second"));
}

#[test]
fn del_goes_on_past_a_failing_plugin_and_keeps_the_cache() {
    let place = place(&["first", "second"]);
    place.write("first-ADD.answer", FIRST);
    place.write("second-ADD.answer", SECOND);
    let network = network(SpecVersion::V110);
    place.caller.add(&network, &attachment()).unwrap();
    place.write("second-DEL.fails", "");
    assert!(place.caller.del(&network, &attachment()).is_err());
    assert!(place.log().contains("first DEL"));
    assert_eq!(place.caller.cache().attachments().unwrap().len(), 1);
}

#[test]
fn gc_deletes_what_is_cached_and_not_valid() {
    let place = place(&["first", "second"]);
    place.write("first-ADD.answer", FIRST);
    place.write("second-ADD.answer", SECOND);
    let network = network(SpecVersion::V110);
    for id in ["a", "b"] {
        place.caller.add(&network, &Attachment { container_id: id.into(), ..attachment() }).unwrap();
    }
    let valid = [Key { container_id: "b".into(), ifname: "eth0".into() }];
    place.caller.gc(&network, &valid).unwrap();
    assert!(place.log().contains("first DEL a") && !place.log().contains("first DEL b"));
    let sent = &place.input("first-GC")["cni.dev/valid-attachments"];
    assert_eq!(*sent, serde_json::json!([{"containerID": "b", "ifname": "eth0"}]));
    place.caller.status(&network).unwrap();
    assert!(place.log().contains("second STATUS"));
}

#[test]
fn older_versions_have_no_check_gc_and_status() {
    let place = place(&["first", "second"]);
    let network = network(SpecVersion::V031);
    assert!(place.caller.check(&network, &attachment()).unwrap_err().to_string().contains("0.3.1"));
    place.caller.gc(&network, &[]).unwrap();
    place.caller.status(&network).unwrap();
    assert_eq!(place.log(), "");
}

#[test]
fn what_cannot_run_is_named() {
    let place = place(&["first"]);
    place.write("first-ADD.answer", FIRST);
    let error = place.caller.add(&network(SpecVersion::V110), &attachment()).unwrap_err().to_string();
    assert!(error.contains("\"second\"") && error.contains("/bin"), "{error}");
    let wrong = Attachment { ifname: "a name".into(), ..attachment() };
    assert!(
        place.caller.add(&network(SpecVersion::V110), &wrong).unwrap_err().to_string().contains("a name")
    );
    let wrong = Attachment { container_id: "../x".into(), ..attachment() };
    assert!(place.caller.del(&network(SpecVersion::V110), &wrong).unwrap_err().to_string().contains("../x"));
    assert!(place.caller.default_network().unwrap_err().to_string().contains("net.d"));
}
