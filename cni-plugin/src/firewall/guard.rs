//! What is recorded of a container, and the elements that follow from it.

use super::config::{Config, Policy};
use crate::claims::{Body, Claim, Owner};
use crate::types::{CniError, CniResult, ErrorCode};
use netstate::nft::{Element, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What a record says beside whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Guard {
    /// The container's addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Who may come.
    pub policy: Policy,
    /// The bridge, where the policy is about one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub bridge: String,
}

impl Guard {
    /// What a configuration asks for a result: all its addresses, and its first interface as the bridge, as
    /// the reference has it.
    pub fn of(config: &Config, previous: &CniResult) -> Result<Self, CniError> {
        config.policy.require_bridge_netfilter(false)?;
        let addresses = previous.ips.iter().map(|ip| ip.address.ip()).collect();
        let first = previous.interfaces.first().map(|interface| interface.name.clone()).unwrap_or_default();
        let bridge = match config.policy {
            Policy::Open => String::new(),
            _ if first.is_empty() => {
                let msg = "ingressPolicy is about a bridge, and prevResult names no interface";
                let details = "chain this plugin behind bridge, or remove ingressPolicy";
                return Err(CniError::new(ErrorCode::InvalidConfig, msg, details));
            }
            _ => first,
        };
        Ok(Guard { addresses, policy: config.policy, bridge })
    }
}

impl Body for Guard {
    const EXCLUSIVE: bool = false;

    fn claims(&self, owner: &Owner) -> Vec<Claim> {
        let comment = owner.comment();
        let address = |ip: &IpAddr| Claim {
            set: if ip.is_ipv4() { "pods4" } else { "pods6" },
            element: Element {
                key: Value::empty().address(*ip),
                data: Value::empty(),
                comment: comment.clone(),
            },
            shared: false,
        };
        let mut claims: Vec<Claim> = self.addresses.iter().map(address).collect();
        // No container's name: it is there for all of the bridge.
        let comment = format!("bridge {}", self.bridge);
        let shared = |set, key| Claim {
            set,
            element: Element { key, data: Value::empty(), comment: comment.clone() },
            shared: true,
        };
        let with_itself = || Value::empty().name(&self.bridge).name(&self.bridge);
        match self.policy {
            Policy::Open => {}
            Policy::SameBridge => claims.push(shared("together", with_itself())),
            Policy::Isolated => claims.push(shared("alone", with_itself())),
        }
        if self.policy != Policy::Open {
            claims.push(shared("bridges", Value::empty().name(&self.bridge)));
        }
        claims
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn guard(policy: Policy, interfaces: serde_json::Value) -> Result<Guard, CniError> {
        let result = json!({"cniVersion": "1.0.0", "interfaces": interfaces,
            "ips": [{"address": "10.1.0.5/24"}, {"address": "fd00::5/64"}, {"address": "10.1.0.5/24"}]});
        let config = Config { data_dir: "/d".into(), policy };
        Guard::of(&config, &CniResult::from_value(&result).unwrap())
    }

    #[test]
    fn addresses_and_bridges_are_elements() {
        let owner = Owner { network: "n".into(), container: "c".into(), ifname: "eth0".into() };
        let sets = |guard: Guard| -> Vec<_> {
            guard.claims(&owner).iter().map(|c| (c.set, c.shared, c.element.comment.clone())).collect()
        };
        let own = |set| (set, false, "n/c/eth0".to_owned());
        let bridge = |set| (set, true, "bridge cni0".to_owned());
        assert_eq!(sets(guard(Policy::Open, json!([])).unwrap()), [own("pods4"), own("pods6")]);
        let same = guard(Policy::SameBridge, json!([{"name": "cni0"}])).unwrap();
        assert_eq!(sets(same), [own("pods4"), own("pods6"), bridge("together"), bridge("bridges")]);
    }

    #[test]
    fn a_policy_without_a_bridge_is_refused() {
        let error = guard(Policy::SameBridge, json!([])).unwrap_err();
        assert!(error.code == 7 && error.msg.contains("bridge"), "{error}");
    }
}
