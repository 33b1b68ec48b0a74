//! flannel's network configuration: the JSON at `<prefix>/config`.
//!
//! Source of the format and its defaults: flannel's `pkg/subnet/config.go`. Keys are matched
//! without case, as Go's decoder does.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::{Ipv4Network, Ipv6Network};
use serde_json::{Map, Value};

/// flannel's default UDP port (the kernel's, not the IANA's 4789).
const DEFAULT_PORT: u16 = 8472;

/// A network's configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// The IPv4 part.
    pub v4: Option<Pool<Ipv4Network>>,
    /// The IPv6 part.
    pub v6: Option<Pool<Ipv6Network>>,
    /// The backend.
    pub backend: Backend,
}

/// A network that is cut into one subnet per node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool<N> {
    /// All of it.
    pub network: N,
    /// Prefix length of a node's subnet.
    pub subnet_length: u8,
    /// The first subnet that is given out.
    pub min: N,
    /// The last one.
    pub max: N,
}

/// The VXLAN backend's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// VXLAN network identifier.
    pub vni: u32,
    /// UDP port.
    pub port: u16,
    /// The underlay's MTU in bytes where it is given.
    pub mtu: Option<u32>,
    /// Group based policy.
    pub gbp: bool,
    /// Learn addresses from traffic.
    pub learning: bool,
    /// Route straight to peers on the same link.
    pub direct_routing: bool,
}

type Checked<T> = Result<T, String>;

impl NetworkConfig {
    /// Reads and checks the JSON; the error says what is wrong with which key.
    pub fn parse(text: &str) -> Checked<Self> {
        let value: Value = serde_json::from_str(text).map_err(|e| format!("it is no JSON: {e}"))?;
        let Value::Object(map) = value else { return Err("it is no JSON object".into()) };
        let keys = Keys(&map);
        let v4 = if keys.flag("EnableIPv4")?.unwrap_or(true) && keys.text("Network")?.is_some() {
            Some(pool_v4(&keys)?)
        } else {
            None
        };
        let v6 = if keys.flag("EnableIPv6")?.unwrap_or(false) { Some(pool_v6(&keys)?) } else { None };
        if v4.is_none() && v6.is_none() {
            return Err("it names no network: set Network, or IPv6Network with EnableIPv6".into());
        }
        Ok(Self { v4, v6, backend: backend(&keys)? })
    }
}

/// An object whose keys are matched without case.
struct Keys<'a>(&'a Map<String, Value>);

impl Keys<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        let exact = self.0.get(name);
        let found = exact.or_else(|| {
            self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        });
        found.filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Checked<Option<&str>> {
        let wrong = || format!("{name} must be a string");
        self.get(name).map(|value| value.as_str().ok_or_else(wrong)).transpose()
    }

    fn flag(&self, name: &str) -> Checked<Option<bool>> {
        let wrong = || format!("{name} must be true or false");
        self.get(name).map(|value| value.as_bool().ok_or_else(wrong)).transpose()
    }

    fn number(&self, name: &str, max: u64) -> Checked<Option<u64>> {
        let wrong = || format!("{name} must be a number from 0 to {max}");
        self.get(name).map(|value| value.as_u64().filter(|n| *n <= max).ok_or_else(wrong)).transpose()
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str, what: &str) -> Checked<Option<T>> {
        let wrong = |text: &str| format!("{name} `{text}` is no {what}");
        self.text(name)?.map(|text| text.parse().map_err(|_| wrong(text))).transpose()
    }
}

fn pool_v4(keys: &Keys<'_>) -> Checked<Pool<Ipv4Network>> {
    let network: Ipv4Network =
        keys.parsed("Network", "IPv4 network (such as 10.244.0.0/16)")?.ok_or("Network is missing")?;
    let network = Ipv4Network::new(network.network(), network.prefix()).map_err(|e| e.to_string())?;
    let default = if network.prefix() > 22 { network.prefix() + 2 } else { 24 };
    let length = keys.number("SubnetLen", 32)?.filter(|n| *n > 0).map_or(default, |n| n as u8);
    if length > 30 {
        return Err(format!("SubnetLen must be at most 30 so that a subnet holds pods; it is {length}"));
    }
    if length < network.prefix().saturating_add(2) {
        return Err(format!("SubnetLen {length} leaves fewer than 4 subnets in Network {network}"));
    }
    let size = 1u32 << (32 - length);
    let base = u32::from(network.network());
    let min =
        keys.parsed::<Ipv4Addr>("SubnetMin", "IPv4 address")?.map_or(base.saturating_add(size), u32::from);
    let last = u32::from(network.broadcast()) & !(size - 1);
    let max = keys.parsed::<Ipv4Addr>("SubnetMax", "IPv4 address")?.map_or(last, u32::from);
    let subnet = |name: &str, address: u32| {
        let ip = Ipv4Addr::from(address);
        if !network.contains(ip) {
            return Err(format!("{name} {ip} is not in Network {network}"));
        }
        if address & (size - 1) != 0 {
            return Err(format!("{name} {ip} is not on a boundary of /{length}"));
        }
        Ipv4Network::new(ip, length).map_err(|e| e.to_string())
    };
    let (min, max) = (subnet("SubnetMin", min)?, subnet("SubnetMax", max)?);
    ordered(min.network() <= max.network())?;
    Ok(Pool { network, subnet_length: length, min, max })
}

fn pool_v6(keys: &Keys<'_>) -> Checked<Pool<Ipv6Network>> {
    let network: Ipv6Network = keys
        .parsed("IPv6Network", "IPv6 network (such as fd00:10:244::/48)")?
        .ok_or("IPv6Network is missing although EnableIPv6 is true")?;
    let network = Ipv6Network::new(network.network(), network.prefix()).map_err(|e| e.to_string())?;
    let default = if network.prefix() > 62 { network.prefix().saturating_add(2) } else { 64 };
    let length = keys.number("IPv6SubnetLen", 128)?.filter(|n| *n > 0).map_or(default, |n| n as u8);
    if length > 126 {
        return Err(format!("IPv6SubnetLen must be at most 126; it is {length}"));
    }
    if length < network.prefix().saturating_add(2) {
        return Err(format!("IPv6SubnetLen {length} leaves fewer than 4 subnets in IPv6Network {network}"));
    }
    let size = 1u128 << (128 - length);
    let base = u128::from(network.network());
    let min = keys
        .parsed::<Ipv6Addr>("IPv6SubnetMin", "IPv6 address")?
        .map_or(base.saturating_add(size), u128::from);
    let last = u128::from(network.broadcast()) & !(size - 1);
    let max = keys.parsed::<Ipv6Addr>("IPv6SubnetMax", "IPv6 address")?.map_or(last, u128::from);
    let subnet = |name: &str, address: u128| {
        let ip = Ipv6Addr::from(address);
        if !network.contains(ip) {
            return Err(format!("{name} {ip} is not in IPv6Network {network}"));
        }
        if address & (size - 1) != 0 {
            return Err(format!("{name} {ip} is not on a boundary of /{length}"));
        }
        Ipv6Network::new(ip, length).map_err(|e| e.to_string())
    };
    let (min, max) = (subnet("IPv6SubnetMin", min)?, subnet("IPv6SubnetMax", max)?);
    ordered(min.network() <= max.network())?;
    Ok(Pool { network, subnet_length: length, min, max })
}

fn ordered(yes: bool) -> Checked<()> {
    if yes { Ok(()) } else { Err("the first subnet (Min) is behind the last one (Max)".into()) }
}

fn backend(keys: &Keys<'_>) -> Checked<Backend> {
    let empty = Map::new();
    let map = match keys.get("Backend") {
        Some(Value::Object(map)) => map,
        Some(_) => return Err("Backend must be an object".into()),
        None => &empty,
    };
    let keys = Keys(map);
    // flannel's default is udp, which we do not have: taking vxlan instead would split the network.
    let kind = keys.text("Type")?.unwrap_or("udp");
    if kind != "vxlan" {
        return Err(format!(
            "Backend Type is `{kind}`; weft speaks vxlan only: set {{\"Backend\":{{\"Type\":\"vxlan\"}}}}"
        ));
    }
    let vni = keys.number("VNI", 0xff_ffff)?.filter(|n| *n > 0).unwrap_or(1);
    let port =
        keys.number("Port", u64::from(u16::MAX))?.filter(|n| *n > 0).map_or(DEFAULT_PORT, |n| n as u16);
    let mtu = keys.number("MTU", 65_535)?.filter(|n| *n > 0);
    if mtu.is_some_and(|mtu| mtu < 598) {
        return Err("Backend MTU must leave 548 bytes for pods after 50 of VXLAN: at least 598".into());
    }
    Ok(Backend {
        vni: vni as u32,
        port,
        mtu: mtu.map(|n| n as u32),
        gbp: keys.flag("GBP")?.unwrap_or(false),
        learning: keys.flag("Learning")?.unwrap_or(false),
        direct_routing: keys.flag("DirectRouting")?.unwrap_or(false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> NetworkConfig {
        NetworkConfig::parse(text).unwrap()
    }

    #[test]
    fn defaults_are_flannels() {
        let config =
            parse(r#"{"Network":"10.244.0.0/16","EnableNFTables":false,"Backend":{"Type":"vxlan"}}"#);
        let v4 = config.v4.unwrap();
        assert_eq!(
            (v4.subnet_length, v4.min.to_string(), v4.max.to_string()),
            (24, "10.244.1.0/24".into(), "10.244.255.0/24".into())
        );
        let backend =
            Backend { vni: 1, port: 8472, mtu: None, gbp: false, learning: false, direct_routing: false };
        assert_eq!((config.v6, config.backend), (None, backend));
    }

    #[test]
    fn keys_are_matched_without_case_and_a_small_network_gets_small_subnets() {
        let config = parse(
            r#"{"network":"10.1.2.0/23","BACKEND":{"type":"vxlan","vni":7,"port":4789,"directrouting":true}}"#,
        );
        assert_eq!(config.v4.unwrap().subnet_length, 25);
        assert_eq!((config.backend.vni, config.backend.port, config.backend.direct_routing), (7, 4789, true));
    }

    #[test]
    fn dual_stack() {
        let config = parse(
            r#"{"Network":"10.244.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:10:244::/48","Backend":{"Type":"vxlan"}}"#,
        );
        let v6 = config.v6.unwrap();
        assert_eq!((v6.subnet_length, v6.min.to_string()), (64, "fd00:10:244:1::/64".into()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, says) in [
            ("[]", "no JSON object"),
            ("{", "no JSON"),
            (r#"{"Backend":{"Type":"vxlan"}}"#, "names no network"),
            (r#"{"Network":"10.244.0.0/16"}"#, "vxlan only"),
            (r#"{"Network":"10.244.0.0/33","Backend":{"Type":"vxlan"}}"#, "Network `10.244.0.0/33`"),
            (r#"{"Network":"10.244.0.0/16","SubnetLen":31,"Backend":{"Type":"vxlan"}}"#, "at most 30"),
            (r#"{"Network":"10.244.0.0/24","SubnetLen":24,"Backend":{"Type":"vxlan"}}"#, "fewer than 4"),
            (
                r#"{"Network":"10.244.0.0/16","SubnetMin":"10.245.0.0","Backend":{"Type":"vxlan"}}"#,
                "not in Network",
            ),
            (
                r#"{"Network":"10.244.0.0/16","SubnetMin":"10.244.1.1","Backend":{"Type":"vxlan"}}"#,
                "boundary",
            ),
            (
                r#"{"Network":"10.244.0.0/16","SubnetMin":"10.244.9.0","SubnetMax":"10.244.2.0","Backend":{"Type":"vxlan"}}"#,
                "behind",
            ),
            (r#"{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan","VNI":16777216}}"#, "VNI"),
            (
                r#"{"Network":"10.244.0.0/16","EnableIPv6":true,"Backend":{"Type":"vxlan"}}"#,
                "IPv6Network is missing",
            ),
        ] {
            let error = NetworkConfig::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = NetworkConfig::parse(&text);
        }

        #[test]
        fn any_numbers_are_read_or_refused(prefix in 0u8..40, length in 0u64..200, v6 in 0u8..140, v6length in 0u64..300) {
            let read = NetworkConfig::parse(&format!(
                r#"{{"Network":"10.0.0.0/{prefix}","SubnetLen":{length},"EnableIPv6":true,"IPv6Network":"fd00::/{v6}","IPv6SubnetLen":{v6length},"Backend":{{"Type":"vxlan"}}}}"#
            ));
            if let Ok(config) = read {
                let subnets = crate::subnet::pick(&config, &[], |n| n - 1).expect("an empty network has a free subnet");
                proptest::prop_assert!(crate::subnet::fits(&config, &subnets));
            }
        }
    }
}
