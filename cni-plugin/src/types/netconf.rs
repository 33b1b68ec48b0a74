//! The part of a configuration that every plugin shares, and the list that chains plugins.
//!
//! A plugin's own keys stay in the raw object beside the typed part: a caller hands them on as they
//! were written (specification 1.1.0, section 1).

use super::SpecVersion;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// An attachment as GC names it: which container, which of its interfaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attachment {
    /// CNI_CONTAINERID of the ADD.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// CNI_IFNAME of the ADD.
    pub ifname: String,
}

/// One plugin's configuration: the shared keys, and everything as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct NetConf {
    /// The plugin to run: a file name in CNI_PATH.
    pub plugin_type: String,
    /// Which capabilities the plugin declares; only those are handed to it in `runtimeConfig`.
    pub capabilities: BTreeMap<String, bool>,
    /// `ipam.type`, if there is an `ipam` block that names one.
    pub ipam_type: Option<String>,
    /// The whole object.
    pub raw: Map<String, Value>,
}

/// A network: a name, a version and the plugins in the order of ADD.
#[derive(Debug, Clone, PartialEq)]
pub struct NetConfList {
    /// The network's name; with container and interface it is the key of an attachment.
    pub name: String,
    /// The version in which the plugins are called.
    pub version: SpecVersion,
    /// CHECK must not be called.
    pub disable_check: bool,
    /// GC must not be called.
    pub disable_gc: bool,
    /// At least one.
    pub plugins: Vec<NetConf>,
    /// The text that this was read from: libcni's cache keeps it.
    pub text: String,
}

impl NetConf {
    /// Reads one plugin's object.
    pub fn from_object(raw: Map<String, Value>) -> Result<Self, String> {
        let text = |key: &str| raw.get(key).and_then(Value::as_str).map(str::to_string);
        let plugin_type = text("type").filter(|t| !t.is_empty()).ok_or("\"type\" is missing")?;
        if plugin_type.contains('/') {
            return Err(format!("\"type\": {plugin_type:?} must be a file name, not a path"));
        }
        let capabilities = match raw.get("capabilities") {
            None | Some(Value::Null) => BTreeMap::new(),
            Some(value) => BTreeMap::deserialize(value).map_err(|e| format!("\"capabilities\": {e}"))?,
        };
        let ipam_type =
            raw.get("ipam").and_then(|i| i.get("type")).and_then(Value::as_str).map(str::to_string);
        Ok(NetConf { plugin_type, capabilities, ipam_type, raw })
    }
}

impl NetConfList {
    /// Reads a `.conflist`, or a `.conf` of a single plugin, which becomes a list of one.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let raw: Map<String, Value> = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let name = raw.get("name").and_then(Value::as_str).unwrap_or_default().to_string();
        if !name_is_valid(&name) {
            return Err(format!("\"name\": {name:?} must be letters, digits, '.', '_' and '-'"));
        }
        let flag = |key: &str| matches!(raw.get(key), Some(Value::Bool(true)));
        let (disable_check, disable_gc) = (flag("disableCheck"), flag("disableGC"));
        let version = list_version(&raw)?;
        let plugins = match raw.get("plugins") {
            None => vec![NetConf::from_object(raw)?],
            Some(Value::Array(items)) => items.iter().enumerate().map(read_item).collect::<Result<_, _>>()?,
            Some(_) => return Err("\"plugins\" must be a list".into()),
        };
        if plugins.is_empty() {
            return Err("\"plugins\" is empty: name at least one plugin".into());
        }
        Ok(NetConfList { name, version, disable_check, disable_gc, plugins, text: text.to_string() })
    }
}

/// `cniVersion`, or the newest that both sides know out of `cniVersions` (1.1.0).
fn list_version(raw: &Map<String, Value>) -> Result<SpecVersion, String> {
    let text = raw.get("cniVersion").and_then(Value::as_str).unwrap_or_default();
    let listed = raw.get("cniVersions").and_then(Value::as_array);
    let Some(listed) = listed else { return text.parse() };
    let texts = listed.iter().filter_map(Value::as_str).chain((!text.is_empty()).then_some(text));
    texts.filter_map(|v| v.parse().ok()).max().map_or_else(|| text.parse(), Ok)
}

fn read_item((number, item): (usize, &Value)) -> Result<NetConf, String> {
    let raw = item.as_object().ok_or_else(|| format!("plugin {number} is not an object"))?;
    NetConf::from_object(raw.clone()).map_err(|e| format!("plugin {number}: {e}"))
}

/// What the specification allows as a network's name and as a container's id:
/// a letter or digit, then letters, digits, '.', '_' and '-'.
pub fn name_is_valid(name: &str) -> bool {
    name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_and_a_single_plugin_are_read() {
        let list = NetConfList::from_text(
            r#"{"cniVersion":"1.0.0","name":"cbr0","disableCheck":true,"plugins":[
                {"type":"weft-cni","isDefaultGateway":true},
                {"type":"portmap","capabilities":{"portMappings":true}}]}"#,
        )
        .unwrap();
        assert_eq!((list.name.as_str(), list.version, list.disable_check), ("cbr0", SpecVersion::V100, true));
        assert_eq!(list.plugins[1].capabilities, BTreeMap::from([("portMappings".to_string(), true)]));

        let single = NetConfList::from_text(
            r#"{"cniVersion":"0.3.1","name":"a","type":"bridge","ipam":{"type":"host-local"}}"#,
        )
        .unwrap();
        assert_eq!(single.plugins.len(), 1);
        assert_eq!(single.plugins[0].ipam_type.as_deref(), Some("host-local"));
    }

    #[test]
    fn the_newest_common_version_of_several_is_taken() {
        let text = r#"{"cniVersion":"1.0.0","cniVersions":["0.4.0","1.1.0","7.0.0"],"name":"a","type":"b"}"#;
        assert_eq!(NetConfList::from_text(text).unwrap().version, SpecVersion::V110);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            (r#"{"name":"../x","type":"b"}"#, "../x"),
            (r#"{"name":"x"}"#, "\"type\""),
            (r#"{"name":"x","type":"../../bin/sh"}"#, "file name"),
            (r#"{"name":"x","plugins":[]}"#, "at least one"),
            (r#"{"name":"x","plugins":[3]}"#, "plugin 0"),
            (r#"{"name":"x","type":"b","cniVersion":"3.0.0"}"#, "3.0.0"),
        ] {
            let error = NetConfList::from_text(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
