//! The plugin's keys, and `runtimeConfig.portMappings`.

use super::layout::DEFAULT_MARK_BIT;
use crate::claims;
use crate::config::{invalid, is_zero, unsupported};
use crate::plugin::Call;
use crate::types::CniError;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::net::IpAddr;
use std::path::PathBuf;

/// No pod needs more; a list that is longer is a mistake, and would hold the lock for long.
const MOST_MAPPINGS: usize = 20_000;

/// Keys of the reference that belong to its iptables rules, and what to do instead.
const REFUSED: [(&str, &str); 3] = [
    ("externalSetMarkChain", "remove it: an iptables chain cannot be asked out of nftables"),
    ("conditionsV4", "remove it: iptables arguments mean nothing in nftables; filter in a table of your own"),
    ("conditionsV6", "remove it: iptables arguments mean nothing in nftables; filter in a table of your own"),
];

/// A transport protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// As IP headers have it.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "" | "tcp" => Some(Self::Tcp),
            "udp" => Some(Self::Udp),
            "sctp" => Some(Self::Sctp),
            _ => None,
        }
    }
}

/// One of `portMappings`, for whichever addresses the container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub protocol: Protocol,
    pub host_ip: Option<IpAddr>,
    pub host_port: u16,
    pub container_port: u16,
}

/// What is asked of a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub data_dir: PathBuf,
    pub snat: bool,
    pub masq_all: bool,
    pub mappings: Vec<Wanted>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    snat: Option<bool>,
    masq_all: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Entry {
    host_port: i64,
    container_port: i64,
    protocol: String,
    #[serde(rename = "hostIP")]
    host_ip: String,
}

impl Config {
    /// Reads and checks them.
    pub fn read(call: &Call) -> Result<Self, CniError> {
        refuse_unserved(&call.raw)?;
        let keys =
            Keys::deserialize(&Value::Object(call.raw.clone())).map_err(|e| invalid("portmap keys", e))?;
        let mappings = call.runtime("portMappings").map(read_mappings).transpose()?.unwrap_or_default();
        Ok(Config {
            data_dir: data_dir_of(&call.raw)?,
            snat: keys.snat.unwrap_or(true),
            masq_all: keys.masq_all.unwrap_or(false),
            mappings,
        })
    }
}

/// Where the records are; of DEL and GC, too.
pub(crate) fn data_dir_of(raw: &Map<String, Value>) -> Result<PathBuf, CniError> {
    claims::data_dir(raw, super::DATA_DIR)
}

fn refuse_unserved(raw: &Map<String, Value>) -> Result<(), CniError> {
    for (key, instead) in REFUSED {
        if let Some(value) = raw.get(key).filter(|value| !is_zero(value)) {
            return Err(unsupported(key, value, instead));
        }
    }
    match raw.get("markMasqBit") {
        None | Some(Value::Null) => {}
        Some(value) if value.as_u64() == Some(DEFAULT_MARK_BIT.into()) => {}
        Some(value) => {
            let instead =
                format!("remove it: the rules are the same for all networks, and use bit {DEFAULT_MARK_BIT}");
            return Err(unsupported("markMasqBit", value, &instead));
        }
    }
    match raw.get("backend") {
        Some(value) if value == "iptables" => {
            let instead = "remove it or write \"nftables\": this plugin starts no iptables";
            Err(unsupported("backend", value, instead))
        }
        Some(value) if !is_zero(value) && value != "nftables" => {
            Err(invalid("backend", format!("{value} is none; write \"nftables\" or remove it")))
        }
        _ => Ok(()),
    }
}

/// Reads the list; entries whose host port is 0 ask for nothing.
pub(crate) fn read_mappings(list: &Value) -> Result<Vec<Wanted>, CniError> {
    let key = "runtimeConfig.portMappings";
    let list = list.as_array().ok_or_else(|| invalid(key, "it is not a list"))?;
    if list.len() > MOST_MAPPINGS {
        return Err(invalid(key, format!("{} mappings are more than {MOST_MAPPINGS}", list.len())));
    }
    let mut found = Vec::with_capacity(list.len());
    for (number, entry) in list.iter().enumerate() {
        let wrong = |why: String| invalid(&format!("{key}[{number}]"), why);
        let entry = Entry::deserialize(entry).map_err(|e| wrong(e.to_string()))?;
        found.extend(entry.read().map_err(wrong)?);
    }
    Ok(found)
}

impl Entry {
    fn read(&self) -> Result<Option<Wanted>, String> {
        let port = |name: &str, value: i64| {
            let port = u16::try_from(value).ok().filter(|port| *port != 0);
            port.ok_or_else(|| format!("{name} {value} is not between 1 and 65535"))
        };
        if self.host_port == 0 {
            return Ok(None);
        }
        let protocol = Protocol::parse(&self.protocol)
            .ok_or_else(|| format!("protocol {:?} is none of tcp, udp, sctp", self.protocol))?;
        let host_ip = match self.host_ip.as_str() {
            "" => None,
            text => {
                let ip: IpAddr = text.parse().map_err(|_| format!("hostIP {text:?} is not an IP address"))?;
                Some(ip.to_canonical())
            }
        };
        let host_port = port("hostPort", self.host_port)?;
        let container_port = port("containerPort", self.container_port)?;
        Ok(Some(Wanted { protocol, host_ip, host_port, container_port }))
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
