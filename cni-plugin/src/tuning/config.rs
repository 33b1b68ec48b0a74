//! What `tuning` is asked to set: its keys, then CNI_ARGS, `runtimeConfig` and `args.cni`, later ones winning.

use crate::config::{folder, invalid, parse_cni_args};
use crate::plugin::Call;
use crate::types::{CniError, ErrorCode};
use netstate::Mac;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Where backups are, unless `dataDir` says otherwise.
const DATA_DIR: &str = "/run/cni/tuning";

/// What is to be set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Settings {
    /// Keys as they were written, with their values.
    pub sysctls: BTreeMap<String, String>,
    pub mac: Option<Mac>,
    pub mtu: Option<u32>,
    /// `false` is the same as nothing, as in the reference.
    pub promiscuous: bool,
    pub all_multicast: Option<bool>,
    pub txqlen: Option<u32>,
}

impl Settings {
    /// Reads them from all places.
    pub fn read(call: &Call) -> Result<Self, CniError> {
        refuse_unserved(&call.raw)?;
        let mut settings = Settings::default();
        settings.take(&call.raw, "")?;
        let arguments = parse_cni_args(&call.invocation.args)?;
        if let Some((_, text)) = arguments.iter().find(|(key, value)| *key == "MAC" && !value.is_empty()) {
            settings.mac = Some(parse_mac(text).map_err(|why| {
                let msg = format!("CNI_ARGS has MAC={text}: {why}");
                CniError::new(ErrorCode::InvalidEnvironment, msg, "correct it where the container is started")
            })?);
        }
        if let Some(mac) = call.runtime("mac") {
            settings.mac = mac_of(mac, "runtimeConfig.mac")?.or(settings.mac);
        }
        match call.raw.get("args").and_then(|args| args.get("cni")) {
            None | Some(Value::Null) => {}
            Some(Value::Object(block)) => settings.take(block, "args.cni.")?,
            Some(_) => return Err(invalid("args.cni", "it is not an object")),
        }
        Ok(settings)
    }

    /// Whether anything of the link is to be set.
    pub fn changes_link(&self) -> bool {
        *self != Settings { sysctls: self.sysctls.clone(), ..Settings::default() }
    }

    fn take(&mut self, block: &Map<String, Value>, place: &str) -> Result<(), CniError> {
        let given = |key: &str| block.get(key).filter(|value| !value.is_null());
        let named = |key: &str| format!("{place}{key}");
        if let Some(value) = given("sysctl") {
            let keys = value.as_object().ok_or_else(|| invalid(&named("sysctl"), "it is not an object"))?;
            for (key, value) in keys {
                let text = value.as_str().ok_or_else(|| {
                    invalid(&named("sysctl"), format!("{key}: {value} is not a string; write it in quotes"))
                })?;
                self.sysctls.insert(key.clone(), text.to_owned());
            }
        }
        if let Some(mac) = given("mac") {
            self.mac = mac_of(mac, &named("mac"))?;
        }
        if let Some(mtu) = given("mtu") {
            self.mtu = Some(whole(mtu, &named("mtu"))?).filter(|mtu| *mtu != 0);
        }
        if let Some(on) = given("promisc") {
            self.promiscuous = truth(on, &named("promisc"))?;
        }
        if let Some(on) = given("allmulti") {
            self.all_multicast = Some(truth(on, &named("allmulti"))?);
        }
        if let Some(packets) = given("txQLen") {
            self.txqlen = Some(whole(packets, &named("txQLen"))?);
        }
        Ok(())
    }
}

/// A key that is proposed for the reference plugin, and not in its releases.
fn refuse_unserved(raw: &Map<String, Value>) -> Result<(), CniError> {
    match raw.get("ethtool").filter(|value| !matches!(value, Value::Null)) {
        None => Ok(()),
        Some(value) => {
            let msg = format!("unsupported key in the network configuration: \"ethtool\": {value}");
            let details = "remove it; offloads of a veth do not leave the node";
            Err(CniError::new(ErrorCode::UnsupportedField, msg, details))
        }
    }
}

/// Where backups are kept: all that DEL and GC need of the configuration.
pub(super) fn data_dir(raw: &Map<String, Value>) -> Result<PathBuf, CniError> {
    folder(raw.get("dataDir").filter(|dir| *dir != ""), "dataDir", DATA_DIR)
}

fn truth(value: &Value, key: &str) -> Result<bool, CniError> {
    value.as_bool().ok_or_else(|| invalid(key, format!("{value} is neither true nor false")))
}

fn whole(value: &Value, key: &str) -> Result<u32, CniError> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number
        .filter(|number| i32::try_from(*number).is_ok())
        .ok_or_else(|| invalid(key, format!("{value} is not a whole number from 0 to {}", i32::MAX)))
}

/// An empty text is none.
fn mac_of(value: &Value, key: &str) -> Result<Option<Mac>, CniError> {
    match value.as_str() {
        Some("") => Ok(None),
        Some(text) => parse_mac(text).map(Some).map_err(|why| invalid(key, why)),
        None => Err(invalid(key, format!("{value} is not a string"))),
    }
}

/// The forms of Go's net.ParseMAC: `0a:58:…`, `0a-58-…`, `0a58.….…`.
pub(super) fn parse_mac(text: &str) -> Result<Mac, String> {
    let digits: String = text.chars().filter(|c| *c != '.').collect();
    let dotted = text.len() == 14 && digits.len() == 12 && text.split('.').all(|part| part.len() == 4);
    let spread: String = match dotted && digits.is_ascii() {
        true => digits.as_bytes().chunks(2).map(String::from_utf8_lossy).collect::<Vec<_>>().join(":"),
        false => text.to_owned(),
    };
    let mac: Mac =
        spread.parse().map_err(|_| format!("{text:?} is not a MAC address such as 0a:58:0a:f4:01:05"))?;
    match mac.0[0] & 1 {
        0 => Ok(mac),
        _ => Err(format!("{text:?} is a multicast address; a link needs a unicast one")),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
