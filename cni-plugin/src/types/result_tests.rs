//! Results of every version read back what they print; forms recorded from the reference plugins.

use super::*;
use serde_json::json;

fn sample() -> CniResult {
    CniResult {
        interfaces: vec![
            Interface {
                name: "cni0".into(),
                mac: "02:00:00:00:00:01".into(),
                mtu: Some(1450),
                ..Default::default()
            },
            Interface { name: "eth0".into(), sandbox: "/run/netns/a".into(), ..Default::default() },
        ],
        ips: vec![
            IpConfig {
                interface: Some(1),
                address: "10.1.0.5/24".parse().unwrap(),
                gateway: "10.1.0.1".parse().ok(),
            },
            IpConfig { interface: Some(1), address: "fd00::5/64".parse().unwrap(), gateway: None },
        ],
        routes: vec![Route {
            mtu: Some(1400),
            ..Route::new("0.0.0.0/0".parse().unwrap(), "10.1.0.1".parse().ok())
        }],
        dns: Dns { nameservers: vec!["10.96.0.10".into()], ..Default::default() },
    }
}

#[test]
fn each_version_prints_what_it_has_words_for() {
    let newest = sample().to_value(SpecVersion::V110).unwrap();
    assert_eq!(newest["cniVersion"], "1.1.0");
    assert_eq!(newest["interfaces"][0]["mtu"], 1450);
    assert_eq!(newest["routes"][0]["mtu"], 1400);
    assert!(newest["ips"][0].get("version").is_none());

    let v100 = sample().to_value(SpecVersion::V100).unwrap();
    assert!(v100["interfaces"][0].get("mtu").is_none());
    assert!(v100["routes"][0].get("mtu").is_none());
    assert!(v100["ips"][0].get("version").is_none());

    for version in [SpecVersion::V030, SpecVersion::V031, SpecVersion::V040] {
        let value = sample().to_value(version).unwrap();
        assert_eq!(value["ips"][0]["version"], "4");
        assert_eq!(value["ips"][1]["version"], "6");
        assert_eq!(value["cniVersion"], version.as_str());
    }
    let v020 = sample().to_value(SpecVersion::V020).unwrap();
    assert_eq!(v020["ip4"]["ip"], "10.1.0.5/24");
    assert_eq!(v020["ip4"]["routes"], json!([{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]));
    assert_eq!(v020["ip6"]["ip"], "fd00::5/64");
}

#[test]
fn what_is_printed_is_read_again() {
    assert_eq!(CniResult::from_value(&sample().to_value(SpecVersion::V110).unwrap()).unwrap(), sample());
    let old = CniResult::from_value(&sample().to_value(SpecVersion::V031).unwrap()).unwrap();
    assert_eq!(old, sample().without_newer_fields());
    let oldest = CniResult::from_value(&sample().to_value(SpecVersion::V020).unwrap()).unwrap();
    assert_eq!(oldest.ips.len(), 2);
    assert_eq!(oldest.ips[0].address, sample().ips[0].address);
    assert_eq!(oldest.routes.len(), 1);
}

#[test]
fn nulls_of_go_are_empty_lists() {
    let value = json!({"cniVersion": "1.0.0", "interfaces": null, "ips": null, "routes": null, "dns": {}});
    assert_eq!(CniResult::from_value(&value).unwrap(), CniResult::default());
}

#[test]
fn a_second_address_of_a_family_does_not_fit_0_2() {
    let mut result = sample();
    result.ips.push(result.ips[0].clone());
    let error = result.to_value(SpecVersion::V020).unwrap_err().to_string();
    assert!(error.contains("0.2.0") && error.contains("more than one"), "{error}");
}

#[test]
fn a_wrong_result_is_an_error_that_names_its_version() {
    let error = CniResult::from_value(&json!({"cniVersion": "9.9.9"})).unwrap_err().to_string();
    assert!(error.contains("9.9.9"), "{error}");
    assert!(
        CniResult::from_value(&json!({"cniVersion": "1.0.0", "ips": [{"address": "nonsense"}]})).is_err()
    );
    assert!(CniResult::from_value(&json!([1, 2])).is_ok_and(|r| r.ips.is_empty()));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        if let Ok(value) = serde_json::from_str::<Value>(&text) {
            let _ = CniResult::from_value(&value);
        }
    }

    #[test]
    fn addresses_survive_every_version(v4: [u8; 4], v6: [u8; 16], len4 in 0u8..=32, len6 in 0u8..=128) {
        let ips = vec![
            IpConfig { interface: None, address: IpNetwork::new(v4.into(), len4).unwrap(), gateway: None },
            IpConfig { interface: None, address: IpNetwork::new(v6.into(), len6).unwrap(), gateway: None },
        ];
        let result = CniResult { ips, ..Default::default() };
        for version in SpecVersion::ALL {
            let back = CniResult::from_value(&result.to_value(version).unwrap()).unwrap();
            proptest::prop_assert_eq!(&back.ips, &result.ips);
        }
    }
}
