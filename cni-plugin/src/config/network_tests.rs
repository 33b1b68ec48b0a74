//! Configurations as they are found in the field, and those that are refused.

use super::*;

fn read(text: &str) -> Result<NetworkConfig, CniError> {
    let raw = decode(text.as_bytes())?;
    previous_of(&raw)?;
    let config = NetworkConfig::read(raw, "")?;
    config.refuse_unserved().map(|()| config)
}

#[test]
fn the_reference_plugins_example_is_read() {
    let config = read(
        r#"{"cniVersion":"0.3.1","name":"mynet","type":"bridge","bridge":"mynet0","isDefaultGateway":true,
            "forceAddress":false,"ipMasq":true,"hairpinMode":true,"mtu":1400,"enabledad":true,
            "preserveDefaultVlan":false,"ipam":{"type":"host-local","subnet":"10.10.0.0/16"}}"#,
    )
    .unwrap();
    assert_eq!((config.bridge.as_str(), config.mtu, config.hairpin), ("mynet0", Some(1400), true));
    assert_eq!(
        (config.is_gateway, config.is_default_gateway, config.ip_masq),
        (None, Some(true), Some(true))
    );
    assert!(config.enable_dad && !config.force_address);
}

#[test]
fn the_shortest_configuration_takes_the_nodes_subnet() {
    let config = read(r#"{"cniVersion":"1.1.0","name":"cbr0","type":"weft-cni"}"#).unwrap();
    assert_eq!((config.bridge.as_str(), config.mtu), ("cni0", None));
    assert!(matches!(config.ipam, Ipam::HostLocal(block) if block.subnet_file.is_some()));
}

#[test]
fn a_previous_result_and_valid_attachments_are_read() {
    let json = r#"{"cniVersion":"1.1.0","prevResult":{"ips":[{"address":"10.1.0.5/24"}]},
        "cni.dev/valid-attachments":[{"containerID":"c","ifname":"eth0"}]}"#;
    let raw = decode(json.as_bytes()).unwrap();
    assert_eq!(previous_of(&raw).unwrap().unwrap().ips.len(), 1);
    assert_eq!(valid_of(&raw).unwrap().unwrap()[0].container_id, "c");
    assert_eq!((previous_of(&Map::new()).unwrap(), valid_of(&Map::new()).unwrap()), (None, None));
}

#[test]
fn what_is_wrong_has_its_code() {
    for (text, code, part) in [
        ("{", 6, "JSON"),
        ("[]", 6, "JSON"),
        (r#"{"cniVersion":"9.0.0","name":"a"}"#, 1, "9.0.0"),
        (r#"{"cniVersion":{"a":1},"name":"a"}"#, 7, "cniVersion"),
        (r#"{"cniVersion":"1.0.0"}"#, 7, "\"name\""),
        (r#"{"cniVersion":"1.0.0","name":"a","vlan":5}"#, 2, "vlan"),
        (r#"{"cniVersion":"1.0.0","name":"a","hairpinMode":true,"promiscMode":true}"#, 7, "promiscMode"),
        (r#"{"cniVersion":"1.0.0","name":"a","bridge":"a-name-of-sixteen"}"#, 7, "\"bridge\""),
        (r#"{"cniVersion":"1.0.0","name":"a","mtu":12}"#, 7, "12"),
        (r#"{"cniVersion":"1.0.0","name":"a","isGateway":"yes"}"#, 7, "yes"),
        (r#"{"cniVersion":"1.0.0","name":"a","prevResult":{"ips":[{"address":"x"}]}}"#, 6, "prevResult"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.code, code, "{text}: {error}");
        assert!(error.msg.contains(part), "{text}: {error}");
        assert!(!error.details.is_empty(), "{text}: no next action");
    }
}

proptest::proptest! {
    #[test]
    fn no_input_panics(bytes: Vec<u8>) {
        if let Ok(raw) = decode(&bytes) {
            let _ = (previous_of(&raw), valid_of(&raw));
            let _ = NetworkConfig::read(raw, "");
        }
    }

    #[test]
    fn no_value_of_a_known_key_panics(
        key in "(bridge|mtu|ipam|dns|vlan|prevResult|runtimeConfig|args|subnetFile|cni.dev/valid-attachments)",
        value in "(null|true|-1|99999999999|\"\"|\"x\"|\\[\\]|\\[1\\]|\\{\\}|\\{\"ips\":\\[3\\]\\}|\\{\"type\":5\\})",
    ) {
        let text = format!(r#"{{"cniVersion":"1.0.0","name":"a","{key}":{value}}}"#);
        let _ = read(&text);
    }
}
