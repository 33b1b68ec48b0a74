//! Port mappings as runtimes send them, and those that are refused.

use super::*;
use crate::plugin::{Command, Invocation};
use serde_json::json;

fn read(keys: Value) -> Result<Config, CniError> {
    let raw = keys.as_object().unwrap().clone();
    let invocation =
        Invocation::read(|name| (name == "CNI_COMMAND").then(|| Command::Status.to_string())).unwrap();
    let call = Call {
        invocation,
        version: crate::types::SpecVersion::NEWEST,
        name: "net".into(),
        raw,
        previous: None,
    };
    Config::read(&call)
}

#[test]
fn a_kubelets_mappings_are_read() {
    let config = read(json!({"snat": false, "backend": "nftables", "markMasqBit": null, "conditionsV4": [],
        "runtimeConfig": {"portMappings": [
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": ""},
            {"hostPort": 53, "containerPort": 5353, "protocol": "UDP", "hostIP": "::ffff:192.0.2.1"},
            {"hostPort": 0, "containerPort": 81, "protocol": "tcp"},
            {"hostPort": 9, "containerPort": 9}]}}))
    .unwrap();
    assert_eq!((config.snat, config.masq_all, config.mappings.len()), (false, false, 3));
    let dns = config.mappings[1];
    assert_eq!((dns.protocol, dns.host_ip), (Protocol::Udp, "192.0.2.1".parse().ok()));
    assert_eq!(config.mappings[2].protocol, Protocol::Tcp);
    read(json!({"markMasqBit": 13})).unwrap();
    assert_eq!(read(json!({})).unwrap().data_dir.to_str(), Some(super::super::DATA_DIR));
}

#[test]
fn what_is_wrong_or_not_served_is_named() {
    let mapping = |entry: Value| json!({"runtimeConfig": {"portMappings": [entry]}});
    for (keys, code, part) in [
        (json!({"backend": "iptables"}), 2, "iptables"),
        (json!({"backend": "ipfw"}), 7, "ipfw"),
        (json!({"markMasqBit": 0}), 2, "markMasqBit"),
        (json!({"externalSetMarkChain": "KUBE-MARK-MASQ"}), 2, "KUBE-MARK-MASQ"),
        (json!({"conditionsV4": ["-s", "10.0.0.0/8"]}), 2, "conditionsV4"),
        (json!({"snat": "yes"}), 7, "yes"),
        (json!({"dataDir": "relative"}), 7, "relative"),
        (json!({"runtimeConfig": {"portMappings": {}}}), 7, "list"),
        (mapping(json!({"hostPort": -1, "containerPort": 80})), 7, "portMappings[0]"),
        (mapping(json!({"hostPort": 70000, "containerPort": 80})), 7, "70000"),
        (mapping(json!({"hostPort": 80, "containerPort": 0})), 7, "containerPort 0"),
        (mapping(json!({"hostPort": 80, "containerPort": 80, "protocol": "icmp"})), 7, "icmp"),
        (mapping(json!({"hostPort": 80, "containerPort": 80, "hostIP": "node"})), 7, "node"),
        (mapping(json!(7)), 7, "portMappings[0]"),
    ] {
        let error = read(keys.clone()).unwrap_err();
        assert_eq!(error.code, code, "{keys}: {error}");
        assert!(error.msg.contains(part) && !error.details.is_empty(), "{keys}: {error}");
    }
}

fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u16>().prop_map(Value::from),
        "[a-z0-9.:]{0,12}".prop_map(Value::from),
    ];
    let keys = prop_oneof![
        Just("hostPort".to_owned()),
        Just("containerPort".to_owned()),
        Just("protocol".to_owned()),
        Just("hostIP".to_owned()),
        "[a-zA-Z]{0,6}"
    ];
    leaf.prop_recursive(3, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(keys.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn no_mappings_panic(list in any_json()) {
        match read_mappings(&list) {
            Ok(found) => for want in found {
                proptest::prop_assert!(want.host_port > 0 && want.container_port > 0);
            },
            Err(error) => proptest::prop_assert_eq!(error.code, 7),
        }
    }
}
