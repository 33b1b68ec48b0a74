//! What is asked of one attachment beside the network's configuration: a MAC address, addresses, ranges.
//!
//! Three places, later ones win for the MAC and add up for addresses, as in the reference plugins:
//! `CNI_ARGS` (`MAC=…;IP=…`), `args.cni` (`mac`, `ips`), `runtimeConfig` (`mac`, `ips`, `ipRanges`).
//! Other names in them belong to other programs (`K8S_POD_NAME`) and are left alone.

use super::invalid;
use crate::types::{CniError, ErrorCode};
use ipnetwork::IpNetwork;
use netstate::Mac;
use serde_json::{Map, Value};
use std::net::IpAddr;

/// What is asked of one attachment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Requests {
    /// The container's hardware address.
    pub mac: Option<Mac>,
    /// Addresses to give.
    pub ips: Vec<IpAddr>,
    /// Ranges to use before those of the configuration, in host-local's form.
    pub ip_ranges: Vec<Value>,
}

impl Requests {
    /// Collects them from a configuration and CNI_ARGS.
    pub fn collect(raw: &Map<String, Value>, cni_args: &str) -> Result<Self, CniError> {
        let mut requests = Requests::default();
        for (key, value) in parse_cni_args(cni_args)? {
            let wrong = |why: String| {
                let msg = format!("CNI_ARGS has {key}={value}, which is not an address: {why}");
                CniError::new(ErrorCode::InvalidEnvironment, msg, "correct it where the container is started")
            };
            match key {
                "MAC" if !value.is_empty() => requests.mac = Some(parse_mac(value).map_err(wrong)?),
                "IP" if !value.is_empty() => requests.ips.push(parse_ip(value).map_err(wrong)?),
                _ => {}
            }
        }
        let cni = raw.get("args").and_then(|args| args.get("cni"));
        requests.take(cni, "args.cni")?;
        requests.take(raw.get("runtimeConfig"), "runtimeConfig")?;
        Ok(requests)
    }

    fn take(&mut self, object: Option<&Value>, place: &str) -> Result<(), CniError> {
        let Some(object) = object else { return Ok(()) };
        if let Some(mac) = object.get("mac").and_then(Value::as_str).filter(|mac| !mac.is_empty()) {
            self.mac = Some(parse_mac(mac).map_err(|e| invalid(&format!("{place}.mac"), e))?);
        }
        for ip in object.get("ips").and_then(Value::as_array).into_iter().flatten() {
            let text = ip.as_str().unwrap_or_default();
            self.ips.push(parse_ip(text).map_err(|e| invalid(&format!("{place}.ips"), e))?);
        }
        if place == "runtimeConfig" {
            let ranges = object.get("ipRanges").and_then(Value::as_array);
            self.ip_ranges.extend(ranges.into_iter().flatten().cloned());
        }
        Ok(())
    }
}

/// Splits `K=V;K=V`.
pub fn parse_cni_args(text: &str) -> Result<Vec<(&str, &str)>, CniError> {
    let pairs = text.split(';').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            pair.split_once('=').ok_or_else(|| {
                let msg = format!("CNI_ARGS has {pair:?}, which is not KEY=VALUE");
                CniError::new(ErrorCode::InvalidEnvironment, msg, "correct it where the container is started")
            })
        })
        .collect()
}

fn parse_mac(text: &str) -> Result<Mac, String> {
    let mac: Mac =
        text.parse().map_err(|_| format!("{text:?} is not a MAC address such as 0a:58:0a:f4:01:05"))?;
    match mac.0[0] & 1 {
        0 => Ok(mac),
        _ => Err(format!("{text:?} is a multicast address; a link needs a unicast one")),
    }
}

/// An address, with or without a prefix length (which the range decides).
fn parse_ip(text: &str) -> Result<IpAddr, String> {
    let network: IpNetwork = text.parse().map_err(|_| format!("{text:?} is not an IP address"))?;
    Ok(network.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(json: &str, args: &str) -> Result<Requests, CniError> {
        Requests::collect(&serde_json::from_str(json).unwrap(), args)
    }

    #[test]
    fn later_places_win_for_the_mac_and_add_addresses() {
        let json = r#"{"args":{"cni":{"mac":"02:00:00:00:00:02","ips":["10.1.0.6"]},"other":{}},
            "runtimeConfig":{"mac":"02:00:00:00:00:03","ips":["10.1.0.7/24","fd00::7"],"portMappings":[]}}"#;
        let requests =
            collect(json, "IgnoreUnknown=1;K8S_POD_NAME=web;MAC=02:00:00:00:00:01;IP=10.1.0.5").unwrap();
        assert_eq!(requests.mac.unwrap().to_string(), "02:00:00:00:00:03");
        let ips: Vec<String> = requests.ips.iter().map(IpAddr::to_string).collect();
        assert_eq!(ips, ["10.1.0.5", "10.1.0.6", "10.1.0.7", "fd00::7"]);
        assert_eq!(collect("{}", "").unwrap(), Requests::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, args, code, part) in [
            ("{}", "MAC", 4, "MAC"),
            ("{}", "MAC=zz", 4, "zz"),
            ("{}", "IP=300.1.1.1", 4, "300.1.1.1"),
            (r#"{"runtimeConfig":{"mac":"01:00:00:00:00:01"}}"#, "", 7, "multicast"),
            (r#"{"args":{"cni":{"ips":["x"]}}}"#, "", 7, "args.cni.ips"),
        ] {
            let error = collect(json, args).unwrap_err();
            assert_eq!(error.code, code);
            assert!(error.msg.contains(part), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_arguments_panic(text in "\\PC{0,60}") {
            let _ = collect("{}", &text);
        }
    }
}
