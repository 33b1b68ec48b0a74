//! Mappings to elements.

use super::super::config::Protocol;
use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn owner() -> Owner {
    Owner { network: "net".into(), container: "c1".into(), ifname: "eth0".into() }
}

fn ports(snat: bool, masq_all: bool, mappings: &[(&str, Option<&str>)]) -> Ports {
    let mapping = |(pod, host): &(&str, Option<&str>)| Mapping {
        protocol: Protocol::Sctp,
        host_ip: host.map(ip),
        host_port: 8080,
        container_ip: ip(pod),
        container_port: 80,
    };
    let mappings = mappings.iter().map(mapping).collect();
    Ports { mappings, snat, masq_all, device4: Some("cni0".into()), device6: Some("cni0".into()) }
}

fn sets(ports: &Ports) -> Vec<&'static str> {
    ports.claims(&owner()).iter().map(|claim| claim.set).collect()
}

#[test]
fn each_mapping_is_its_elements() {
    assert_eq!(sets(&ports(false, false, &[("10.1.0.5", None)])), ["ports4"]);
    assert_eq!(sets(&ports(true, false, &[("10.1.0.5", None)])), ["ports4", "hairpin4", "local4"]);
    assert_eq!(sets(&ports(true, true, &[("10.1.0.5", None)])), ["ports4", "masquerade4"]);
    assert_eq!(sets(&ports(true, false, &[("fd00::5", Some("fd00::1"))])), ["addresses6", "hairpin6"]);
    let nowhere = Ports { device4: None, ..ports(true, false, &[("10.1.0.5", None)]) };
    assert_eq!(sets(&nowhere), ["ports4", "local4"]);
}

#[test]
fn what_two_mappings_share_is_claimed_once() {
    let two = ports(true, false, &[("10.1.0.5", Some("192.0.2.1")), ("10.1.0.5", Some("192.0.2.2"))]);
    assert_eq!(sets(&two), ["addresses4", "hairpin4", "local4", "addresses4"]);
}

#[test]
fn keys_and_comments_are_as_nft_shows_them() {
    let claims = ports(true, false, &[("10.1.0.5", None)]).claims(&owner());
    assert_eq!(claims[0].element.key, Value::empty().protocol(132).port(8080));
    assert_eq!(claims[0].element.data, Value::empty().address(ip("10.1.0.5")).port(80));
    assert!(claims.iter().all(|claim| claim.element.comment == "net/c1/eth0"));
}

proptest::proptest! {
    #[test]
    fn no_record_panics(text in "\\PC{0,200}") {
        let _ = crate::claims::parse::<Ports>(text.as_bytes());
    }

    #[test]
    fn a_torn_record_is_an_error(cut in 0usize..400) {
        let record = crate::claims::Record::new(owner(), "/ns", ports(true, false, &[("10.1.0.5", None)]));
        let text = serde_json::to_vec(&record).unwrap();
        let torn = &text[..cut.min(text.len())];
        proptest::prop_assert_eq!(crate::claims::parse::<Ports>(torn).is_ok(), torn.len() == text.len());
    }
}
