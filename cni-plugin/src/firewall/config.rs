//! The plugin's keys.

use crate::claims;
use crate::config::{invalid, is_zero, unsupported};
use crate::types::{CniError, ErrorCode};
use netstate::sysctl;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;

/// `ingressPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Policy {
    /// Everybody may come.
    Open,
    /// From another bridge that has a policy nobody may come.
    SameBridge,
    /// Nor from the container's own.
    Isolated,
}

/// What is asked of a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub data_dir: PathBuf,
    pub policy: Policy,
}

impl Config {
    /// Reads and checks them.
    pub fn read(raw: &Map<String, Value>) -> Result<Self, CniError> {
        refuse_unserved(raw)?;
        let policy = match raw.get("ingressPolicy") {
            None | Some(Value::Null) => Policy::Open,
            Some(Value::String(text)) if text.is_empty() => Policy::Open,
            Some(value) => Policy::deserialize(value).map_err(|_| {
                let why = format!("{value} is none of open, same-bridge and isolated");
                invalid("ingressPolicy", why)
            })?,
        };
        Ok(Config { data_dir: data_dir_of(raw)?, policy })
    }
}

/// Where the records are; of DEL and GC, too.
pub(crate) fn data_dir_of(raw: &Map<String, Value>) -> Result<PathBuf, CniError> {
    claims::data_dir(raw, super::DATA_DIR)
}

fn refuse_unserved(raw: &Map<String, Value>) -> Result<(), CniError> {
    let refused = |key: &str, instead: &str| match raw.get(key).filter(|value| !is_zero(value)) {
        Some(value) => Err(unsupported(key, value, instead)),
        None => Ok(()),
    };
    refused("firewalldZone", "remove it, and bind the containers' network to the zone with firewall-cmd")?;
    refused(
        "iptablesAdminChainName",
        "remove it: overrides belong in a table of your own with a chain on forward of a lower priority",
    )?;
    match raw.get("backend") {
        Some(value) if value == "iptables" => Err(unsupported(
            "backend",
            value,
            "remove it or write \"nftables\": this plugin starts no iptables",
        )),
        Some(value) if value == "firewalld" => {
            let instead = "remove it, and bind the containers' network to a zone with firewall-cmd";
            Err(unsupported("backend", value, instead))
        }
        Some(value) if !is_zero(value) && value != "nftables" => {
            Err(invalid("backend", format!("{value} is none; write \"nftables\" or remove it")))
        }
        _ => Ok(()),
    }
}

impl Policy {
    /// What is bridged passes the forward hook only with br_netfilter: without it `isolated` would say more
    /// than it does.
    pub fn require_bridge_netfilter(self, for_status: bool) -> Result<(), CniError> {
        if self != Policy::Isolated {
            return Ok(());
        }
        for family in ["iptables", "ip6tables"] {
            let key = format!("net/bridge/bridge-nf-call-{family}");
            if !matches!(sysctl::read_if_there(&key), Ok(Some(value)) if value == "1") {
                let msg = format!(
                    "ingressPolicy isolated needs the sysctl {} to be 1: else bridged packets pass no rule",
                    key.replace('/', ".")
                );
                let code = if for_status { ErrorCode::NotAvailable } else { ErrorCode::Conflict };
                let details =
                    "load br_netfilter and set it, or use portIsolation of the bridge plugin instead";
                return Err(CniError::new(code, msg, details));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<Config, CniError> {
        Config::read(value.as_object().unwrap())
    }

    #[test]
    fn the_policies_are_read() {
        for (text, policy) in
            [("", Policy::Open), ("open", Policy::Open), ("same-bridge", Policy::SameBridge)]
        {
            assert_eq!(read(serde_json::json!({"ingressPolicy": text})).unwrap().policy, policy);
        }
        let config = read(serde_json::json!({"backend": "nftables", "firewalldZone": ""})).unwrap();
        assert_eq!(config.data_dir.to_str(), Some(super::super::DATA_DIR));
    }

    #[test]
    fn what_is_wrong_or_not_served_is_named() {
        for (value, code, part) in [
            (serde_json::json!({"backend": "iptables"}), 2, "iptables"),
            (serde_json::json!({"backend": "firewalld"}), 2, "firewalld"),
            (serde_json::json!({"backend": "pf"}), 7, "pf"),
            (serde_json::json!({"firewalldZone": "trusted"}), 2, "trusted"),
            (serde_json::json!({"iptablesAdminChainName": "ADMIN"}), 2, "ADMIN"),
            (serde_json::json!({"ingressPolicy": "closed"}), 7, "closed"),
            (serde_json::json!({"ingressPolicy": 3}), 7, "ingressPolicy"),
        ] {
            let error = read(value.clone()).unwrap_err();
            assert!(error.code == code && error.msg.contains(part), "{value}: {error}");
        }
    }
}
