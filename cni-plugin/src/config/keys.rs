//! Keys that the reference plugins define and this one does not serve.
//!
//! Their zero values mean the same as their absence, so only others are refused. Sources: `NetConf` in
//! `plugins/main/bridge/bridge.go` up to release 1.9, `IPAMConfig` in host-local.

use crate::types::{CniError, ErrorCode};
use serde_json::{Map, Value};

/// Key and what to do instead.
const REFUSED: [(&str, &str); 3] = [
    (
        "macspoofchk",
        "remove it; a NetworkPolicy implementation or the reference bridge plugin can check source MACs",
    ),
    ("vlan", "remove it, or use the reference bridge plugin for this network: VLAN filtering is not served"),
    (
        "vlanTrunk",
        "remove it, or use the reference bridge plugin for this network: VLAN filtering is not served",
    ),
];

/// Refuses the first key that is set and not served.
pub(super) fn refuse_unserved(raw: &Map<String, Value>) -> Result<(), CniError> {
    for (key, instead) in REFUSED {
        if let Some(value) = raw.get(key).filter(|value| !is_zero(value)) {
            return Err(unsupported(key, value, instead));
        }
    }
    match raw.get("ipMasqBackend") {
        Some(value) if !is_zero(value) && value != "nftables" => {
            Err(unsupported("ipMasqBackend", value, "remove it or write \"nftables\""))
        }
        _ => Ok(()),
    }
}

/// Code 2 must name key and value (specification, section 5 "Error").
pub(crate) fn unsupported(key: &str, value: &Value, instead: &str) -> CniError {
    let msg = format!("unsupported key in the network configuration: {key:?}: {value}");
    CniError::new(ErrorCode::UnsupportedField, msg, instead)
}

/// Whether a value means the same as its absence.
pub(crate) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(text: &str) -> Result<(), CniError> {
        refuse_unserved(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn what_is_set_and_not_served_is_refused_with_key_and_value() {
        for (text, key, value) in [
            (r#"{"vlan":100}"#, "vlan", "100"),
            (r#"{"vlanTrunk":[{"id":5}]}"#, "vlanTrunk", "{\"id\":5}"),
            (r#"{"macspoofchk":true}"#, "macspoofchk", "true"),
            (r#"{"ipMasqBackend":"iptables"}"#, "ipMasqBackend", "iptables"),
        ] {
            let error = refuse(text).unwrap_err();
            assert_eq!(error.code, 2);
            assert!(error.msg.contains(key) && error.msg.contains(value), "{error}");
        }
    }

    #[test]
    fn zero_values_and_foreign_keys_are_left_alone() {
        refuse(r#"{"vlan":0,"vlanTrunk":[],"macspoofchk":false}"#).unwrap();
        refuse(r#"{"ipMasqBackend":"nftables","cni.dev/x":{},"args":{"cni":{}},"myKey":7}"#).unwrap();
    }
}
