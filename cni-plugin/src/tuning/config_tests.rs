use super::*;
use crate::plugin::{Command, Invocation};
use crate::tuning::{backup::Backup, sysctls};
use crate::types::SpecVersion;
use proptest::prelude::*;
use serde_json::json;

fn read(keys: Value, args: &str) -> Result<Settings, CniError> {
    let raw: Map<String, Value> = keys.as_object().unwrap().clone();
    let invocation = Invocation {
        command: Command::Add,
        container_id: "c1".into(),
        netns: "/run/netns/none".into(),
        ifname: "eth0".into(),
        args: args.into(),
        path: Vec::new(),
    };
    Settings::read(&Call { invocation, version: SpecVersion::V110, name: "net".into(), raw, previous: None })
}

fn mac(last: u8) -> Option<Mac> {
    Some(Mac([2, 0, 0, 0, 0, last]))
}

#[test]
fn later_places_win() {
    let text = |last: u8| format!("02:00:00:00:00:{last:02x}");
    let mut keys = json!({"mac": text(1), "mtu": 1400, "sysctl": {"net.a": "1", "net.b": "1"}});
    assert_eq!(read(keys.clone(), "").unwrap().mac, mac(1));
    let args = format!("IgnoreUnknown=1;K8S_POD_NAME=x;MAC={}", text(2));
    assert_eq!(read(keys.clone(), &args).unwrap().mac, mac(2));
    keys["runtimeConfig"] = json!({"mac": text(3)});
    assert_eq!(read(keys.clone(), &args).unwrap().mac, mac(3));
    keys["args"] = json!({"cni": {"mac": text(4), "mtu": 1300, "promisc": true, "allmulti": false, "txQLen": 0,
        "sysctl": {"net.b": "2", "net.c": "3"}}});
    let found = read(keys, &args).unwrap();
    let sysctls = [("net.a", "1"), ("net.b", "2"), ("net.c", "3")];
    let sysctls = sysctls.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let wanted = Settings {
        sysctls,
        mac: mac(4),
        mtu: Some(1300),
        promiscuous: true,
        all_multicast: Some(false),
        txqlen: Some(0),
    };
    assert_eq!(found, wanted);
}

#[test]
fn nothing_is_nothing() {
    let none = json!({"mac": "", "mtu": 0, "promisc": false, "sysctl": null, "runtimeConfig": {"mac": ""}});
    assert_eq!(read(none, "").unwrap(), Settings::default());
    assert!(!read(json!({"sysctl": {"net.a": "1"}}), "").unwrap().changes_link());
    assert!(read(json!({"txQLen": 0}), "").unwrap().changes_link());
}

#[test]
fn what_is_wrong_is_named() {
    for (keys, args, code, part) in [
        (json!({"mac": "zz"}), "", 7, "\"mac\""),
        (json!({"mac": "01:00:00:00:00:01"}), "", 7, "multicast"),
        (json!({"mtu": -1}), "", 7, "mtu"),
        (json!({"mtu": "1400"}), "", 7, "mtu"),
        (json!({"txQLen": 3_000_000_000u64}), "", 7, "txQLen"),
        (json!({"sysctl": {"net.a": 1}}), "", 7, "quotes"),
        (json!({"sysctl": []}), "", 7, "sysctl"),
        (json!({"promisc": 1}), "", 7, "promisc"),
        (json!({"args": {"cni": {"allmulti": "yes"}}}), "", 7, "args.cni.allmulti"),
        (json!({"args": {"cni": []}}), "", 7, "args.cni"),
        (json!({"runtimeConfig": {"mac": 7}}), "", 7, "runtimeConfig.mac"),
        (json!({}), "MAC=zz", 4, "MAC=zz"),
        (json!({"ethtool": {"tx": false}}), "", 2, "ethtool"),
    ] {
        let error = read(keys.clone(), args).unwrap_err();
        assert!(error.code == code && error.msg.contains(part), "{keys}: {error}");
    }
}

#[test]
fn macs_are_read_in_gos_forms() {
    for text in ["02:00:00:00:00:0A", "02-00-00-00-00-0a", "0200.0000.000a"] {
        assert_eq!(parse_mac(text).unwrap(), Mac([2, 0, 0, 0, 0, 10]), "{text}");
    }
    for text in ["", "02:00", "0200.0000.000", "0200.00000.00a", "02.00.00.00.00.0a", "0200.0000.00ä"] {
        parse_mac(text).unwrap_err();
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        "[0-9a-f:.-]{0,18}".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-zA-Z./]{0,20}", inner, 0..3)
                .prop_map(|map| serde_json::to_value(map).unwrap()),
        ]
    })
}

proptest! {
    #[test]
    fn no_configuration_panics(
        keys in proptest::collection::btree_map(
            proptest::sample::select(vec![
                "sysctl", "mac", "mtu", "promisc", "allmulti", "txQLen", "dataDir", "ethtool", "args", "runtimeConfig",
            ]),
            any_value(),
            0..8,
        ),
        args in "\\PC{0,30}",
    ) {
        let keys = serde_json::to_value(keys).unwrap();
        match read(keys, &args) {
            Ok(settings) => settings.sysctls.keys().for_each(|key| drop(sysctls::path_of(key, "eth0"))),
            Err(error) => prop_assert!([2, 4, 7].contains(&error.code)),
        }
    }

    #[test]
    fn no_backup_panics(text in "\\PC{0,120}", mac in "\\PC{0,20}", mtu in any::<i64>()) {
        let _ = Backup::parse(&text);
        let text = json!({"mac": mac, "mtu": mtu}).to_string();
        if let Some(backup) = Backup::parse(&text) {
            let _ = backup.changes("eth0");
        }
    }
}
