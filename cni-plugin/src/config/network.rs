//! The whole configuration of a call, ready to be acted on.

use super::{Ipam, Requests, case, invalid, keys};
use crate::types::{Attachment, CniError, CniResult, Dns, ErrorCode, SpecVersion, name_is_valid};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What standard input and CNI_ARGS say.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkConfig {
    /// The version in which to answer.
    pub version: SpecVersion,
    /// The network's name.
    pub name: String,
    /// The bridge.
    pub bridge: String,
    /// Whether the bridge bears the gateway's address; absent: yes for the node's subnet, else no.
    pub is_gateway: Option<bool>,
    /// Whether containers get a default route; absent: yes for the node's subnet, else no.
    pub is_default_gateway: Option<bool>,
    /// Whether a different address of the bridge is replaced instead of refused.
    pub force_address: bool,
    /// Whether traffic to outside of the network is masqueraded; absent: what the overlay doesn't do.
    pub ip_masq: Option<bool>,
    /// MTU of veth and bridge; absent: the subnet file's, else the kernel's default.
    pub mtu: Option<u32>,
    /// Whether a container reaches itself through the bridge.
    pub hairpin: bool,
    /// Whether containers are kept from reaching each other through the bridge.
    pub isolated: bool,
    /// Whether the bridge is promiscuous.
    pub promisc: bool,
    /// Whether IPv6 addresses are tested for duplicates.
    pub enable_dad: bool,
    /// Whether the container's link is left down, without addresses.
    pub disable_container_interface: bool,
    /// Where addresses come from.
    pub ipam: Ipam,
    /// What is asked of this attachment.
    pub requests: Requests,
    /// Name resolution that overrides the IPAM's.
    pub dns: Dns,
    /// Everything as it was written: a delegated IPAM plugin gets it.
    pub raw: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    #[serde(default)]
    bridge: Option<String>,
    is_gateway: Option<bool>,
    is_default_gateway: Option<bool>,
    force_address: Option<bool>,
    ip_masq: Option<bool>,
    mtu: Option<i64>,
    hairpin_mode: Option<bool>,
    port_isolation: Option<bool>,
    promisc_mode: Option<bool>,
    enabledad: Option<bool>,
    disable_container_interface: Option<bool>,
    dns: Option<Dns>,
}

/// The version of a configuration: read before anything else, because errors are written in it.
pub fn version_of(raw: &Map<String, Value>) -> Result<SpecVersion, CniError> {
    let text = match raw.get("cniVersion") {
        None | Some(Value::Null) => "",
        Some(Value::String(text)) => text,
        Some(other) => return Err(invalid("cniVersion", format!("{other} is not a string"))),
    };
    text.parse().map_err(|why: String| {
        CniError::new(
            ErrorCode::IncompatibleVersion,
            why,
            "set cniVersion to one of them in the network's file",
        )
    })
}

/// Standard input as an object, with its keys in our letters.
pub fn decode(input: &[u8]) -> Result<Map<String, Value>, CniError> {
    let mut raw = serde_json::from_slice(input).map_err(|e| {
        let msg = format!("the network configuration on standard input is not a JSON object: {e}");
        CniError::new(ErrorCode::Decode, msg, "look at the network's file under /etc/cni/net.d")
    })?;
    case::ours(&mut raw);
    Ok(raw)
}

impl NetworkConfig {
    /// Checks a decoded configuration and fills in defaults.
    pub fn read(raw: Map<String, Value>, cni_args: &str) -> Result<Self, CniError> {
        let version = version_of(&raw)?;
        let name = name_of(&raw)?;
        // Only the keys named above are decoded, so a foreign key of any type stays foreign.
        let keys =
            Keys::deserialize(&Value::Object(raw.clone())).map_err(|e| invalid("bridge plugin keys", e))?;
        let on = |flag: Option<bool>| flag.unwrap_or(false);
        let bridge = keys.bridge.filter(|b| !b.is_empty()).unwrap_or_else(|| "cni0".into());
        if !crate::caller::ifname_is_valid(&bridge) {
            return Err(invalid("bridge", format!("{bridge:?} is not a link's name (1 to 15 characters)")));
        }
        let requests = Requests::collect(&raw, cni_args)?;
        Ok(NetworkConfig {
            version,
            name,
            bridge,
            is_gateway: keys.is_gateway,
            is_default_gateway: keys.is_default_gateway,
            force_address: on(keys.force_address),
            ip_masq: keys.ip_masq,
            mtu: read_mtu(keys.mtu)?,
            hairpin: on(keys.hairpin_mode),
            isolated: on(keys.port_isolation),
            promisc: on(keys.promisc_mode),
            enable_dad: on(keys.enabledad),
            disable_container_interface: on(keys.disable_container_interface),
            ipam: Ipam::read(&raw, &requests.ip_ranges)?,
            dns: keys.dns.unwrap_or_default(),
            requests,
            raw,
        })
    }
}

impl NetworkConfig {
    /// Refuses what cannot be served. Not for DEL and GC: a network that was edited into something that
    /// is refused must still let its containers go.
    pub fn refuse_unserved(&self) -> Result<(), CniError> {
        keys::refuse_unserved(&self.raw)?;
        match self.hairpin && self.promisc {
            true => Err(invalid("promiscMode", "hairpinMode and promiscMode exclude each other: drop one")),
            false => Ok(()),
        }
    }
}

fn read_mtu(mtu: Option<i64>) -> Result<Option<u32>, CniError> {
    match mtu {
        None | Some(0) => Ok(None),
        Some(mtu @ 68..=65535) => Ok(Some(mtu as u32)),
        Some(mtu) => Err(invalid("mtu", format!("{mtu} is not between 68 and 65535"))),
    }
}

/// The network's name.
pub fn name_of(raw: &Map<String, Value>) -> Result<String, CniError> {
    let name = raw.get("name").and_then(Value::as_str).unwrap_or_default();
    match name_is_valid(name) {
        true => Ok(name.to_string()),
        false => Err(invalid("name", format!("{name:?} must be letters, digits, '.', '_' and '-'"))),
    }
}

/// `prevResult`.
pub fn previous_of(raw: &Map<String, Value>) -> Result<Option<CniResult>, CniError> {
    match raw.get("prevResult") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            // libcni hands it on in the configuration's version, and not every plugin repeats it inside.
            let mut value = value.clone();
            if let (Some(object), Some(version)) = (value.as_object_mut(), raw.get("cniVersion")) {
                object.entry("cniVersion").or_insert_with(|| version.clone());
            }
            CniResult::from_value(&value).map(Some).map_err(|e| {
                let msg = format!("prevResult: {e}");
                CniError::new(ErrorCode::Decode, msg, "look at the plugin before this one in the chain")
            })
        }
    }
}

/// `cni.dev/valid-attachments`, which GC gets; null is an empty list.
pub fn valid_of(raw: &Map<String, Value>) -> Result<Option<Vec<Attachment>>, CniError> {
    match raw.get("cni.dev/valid-attachments") {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(Vec::new())),
        Some(value) => Vec::<Attachment>::deserialize(value)
            .map(Some)
            .map_err(|e| invalid("cni.dev/valid-attachments", e)),
    }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
