//! Leases: keys and values below `<prefix>/subnets/`, exactly flannel's.
//!
//! ```text
//! 10.244.33.0-24                      {"PublicIP":"192.168.90.13","PublicIPv6":null,"BackendType":"vxlan",
//! 10.244.33.0-24&fd00:10:244:33::-64   "BackendData":{"VNI":1,"VtepMAC":"1a:6a:3f:7a:7d:c5"}, …}
//! ```
//!
//! Ours bear one more field, `WeftNode`: who made the lease. flannel's decoder passes it over.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnetwork::{Ipv4Network, Ipv6Network};
use netstate::Mac;
use serde::{Deserialize, Serialize};

/// The subnets of one node: IPv4, IPv6 or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subnets {
    /// IPv4.
    pub v4: Option<Ipv4Network>,
    /// IPv6.
    pub v6: Option<Ipv6Network>,
}

/// A lease as read from the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What is leased.
    pub subnets: Subnets,
    /// To whom.
    pub value: LeaseValue,
    /// The etcd lease it hangs on; 0 is a reservation.
    pub etcd_lease: i64,
    /// The revision that made the key: the older of two that quarrel is right.
    pub created: i64,
}

/// A lease's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LeaseValue {
    /// The node's underlay address; 0.0.0.0 without IPv4.
    #[serde(rename = "PublicIP", default = "no_address")]
    pub public_ip: Ipv4Addr,
    /// The node's IPv6 underlay address.
    #[serde(rename = "PublicIPv6", default)]
    pub public_ipv6: Option<Ipv6Addr>,
    /// `vxlan`.
    #[serde(default)]
    pub backend_type: String,
    /// The IPv4 tunnel end point.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_data: Option<BackendData>,
    /// The IPv6 tunnel end point.
    #[serde(rename = "BackendV6Data", default, skip_serializing_if = "Option::is_none")]
    pub backend_v6_data: Option<BackendData>,
    /// The node that made this lease; absent on flanneld's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weft_node: Option<String>,
}

/// A tunnel end point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendData {
    /// VXLAN network identifier.
    #[serde(rename = "VNI", default)]
    pub vni: u32,
    /// The VXLAN device's MAC.
    #[serde(rename = "VtepMAC")]
    pub vtep_mac: String,
}

fn no_address() -> Ipv4Addr {
    Ipv4Addr::UNSPECIFIED
}

impl BackendData {
    /// The MAC, if it is one.
    pub fn mac(&self) -> Option<Mac> {
        self.vtep_mac.parse().ok()
    }
}

impl Lease {
    /// Reads a key (its last part) and its value; the error says what is wrong.
    pub fn parse(key: &str, value: &[u8], etcd_lease: i64, created: i64) -> Result<Self, String> {
        let subnets = Subnets::parse(key).ok_or_else(|| format!("`{key}` is no subnet"))?;
        let value =
            serde_json::from_slice(value).map_err(|e| format!("its value is not flannel's JSON: {e}"))?;
        Ok(Self { subnets, value, etcd_lease, created })
    }
}

impl LeaseValue {
    /// The JSON that is stored.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and addresses always serialize")
    }

    /// The address that names the node: IPv4 where it has one.
    pub fn public_address(&self) -> String {
        match self.public_ipv6 {
            Some(v6) if self.public_ip.is_unspecified() => v6.to_string(),
            _ => self.public_ip.to_string(),
        }
    }

    /// Whether the other value is of the same node, as flannel judges it.
    pub fn same_node(&self, other: &Self) -> bool {
        if self.public_ip.is_unspecified() {
            other.public_ip.is_unspecified()
                && self.public_ipv6.is_some()
                && self.public_ipv6 == other.public_ipv6
        } else {
            self.public_ip == other.public_ip
        }
    }
}

impl Subnets {
    /// flannel's key: dots and colons stay, the slash becomes a dash.
    pub fn key(&self) -> String {
        let v4 = self
            .v4
            .map_or_else(|| "0.0.0.0-0".to_owned(), |net| format!("{}-{}", net.network(), net.prefix()));
        match self.v6 {
            Some(v6) => format!("{v4}&{}-{}", v6.network(), v6.prefix()),
            None => v4,
        }
    }

    /// Reads a key; `None` where it is not flannel's form.
    pub fn parse(key: &str) -> Option<Self> {
        let (first, second) = key.split_once('&').map_or((key, None), |(a, b)| (a, Some(b)));
        let (ip, prefix) = split(first)?;
        let v4 = Ipv4Network::new(ip.parse().ok()?, prefix).ok()?;
        let v6 = match second {
            None => None,
            Some(text) => {
                let (ip, prefix) = split(text)?;
                Some(Ipv6Network::new(ip.parse().ok()?, prefix).ok()?)
            }
        };
        let v4 = (v4.prefix() > 0).then_some(v4);
        let whole = v4.is_none_or(|net| net.ip() == net.network())
            && v6.is_none_or(|net| net.ip() == net.network() && net.prefix() > 0);
        (whole && (v4.is_some() || v6.is_some())).then_some(Self { v4, v6 })
    }

    /// Whether any address is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let v4 =
            self.v4.zip(other.v4).is_some_and(|(a, b)| a.contains(b.network()) || b.contains(a.network()));
        let v6 =
            self.v6.zip(other.v6).is_some_and(|(a, b)| a.contains(b.network()) || b.contains(a.network()));
        v4 || v6
    }
}

fn split(text: &str) -> Option<(&str, u8)> {
    let (ip, prefix) = text.split_once('-')?;
    let plain = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
    Some((ip, prefix.parse().ok().filter(|_| plain)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_flannels_to_the_letter() {
        let subnets = Subnets::parse("10.244.33.0-24").unwrap();
        assert_eq!(subnets.key(), "10.244.33.0-24");
        let dual = Subnets::parse("10.244.40.0-24&2001:db8:42:c::-64").unwrap();
        assert_eq!(dual.key(), "10.244.40.0-24&2001:db8:42:c::-64");
        let text = r#"{"PublicIP":"192.168.90.13","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"1a:6a:3f:7a:7d:c5"}}"#;
        let lease = Lease::parse("10.244.33.0-24", text.as_bytes(), 7, 9).unwrap();
        assert_eq!(lease.value.to_json(), text);
        assert_eq!(lease.value.backend_data.unwrap().mac(), Some("1a:6a:3f:7a:7d:c5".parse().unwrap()));
    }

    #[test]
    fn what_is_not_flannels_is_refused() {
        for key in [
            "",
            "x",
            "10.244.33.0",
            "10.244.33.0-",
            "10.244.33.0-33",
            "10.244.33.1-24",
            "10.244.33.0-24&",
            "10.244.33.0-+4",
            "0.0.0.0-0",
        ] {
            assert_eq!(Subnets::parse(key), None, "{key}");
        }
        assert!(Lease::parse("10.244.33.0-24", b"not json", 0, 0).is_err());
    }

    proptest::proptest! {
        #[test]
        fn what_we_write_we_read(a: u8, b: u8, v6 in proptest::option::of(0u16..)) {
            let v6 = v6.map(|n| format!("fd00:10:244:{n:x}::/64").parse().unwrap());
            let subnets = Subnets { v4: Some(format!("10.{a}.{b}.0/24").parse().unwrap()), v6 };
            proptest::prop_assert_eq!(Subnets::parse(&subnets.key()), Some(subnets));
        }

        #[test]
        fn any_bytes_are_read_or_refused(key in ".{0,60}", value: Vec<u8>) {
            let _ = Lease::parse(&key, &value, 0, 0);
        }
    }
}
