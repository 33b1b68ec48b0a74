//! The result of ADD in its newest form, and its conversion to and from every older version.
//!
//! | version | difference to 1.1.0 |
//! | --- | --- |
//! | 1.0.0 | interfaces have no mtu, socketPath, pciID; routes only dst and gw |
//! | 0.3.0 … 0.4.0 | as 1.0.0, and each address says `"version": "4"` or `"6"` |
//! | 0.1.0, 0.2.0 | `ip4` and `ip6` objects, no interfaces (`legacy`) |

use super::{SpecVersion, legacy};
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::IpAddr;

/// What an ADD made (specification 1.1.0, section 5 "Success").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CniResult {
    /// Links that were made, in the host and in the container.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub interfaces: Vec<Interface>,
    /// Addresses of the container.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub ips: Vec<IpConfig>,
    /// Routes of the container.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub routes: Vec<Route>,
    /// Name resolution of the container.
    #[serde(deserialize_with = "null_is_empty")]
    pub dns: Dns,
}

/// A link in a result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Interface {
    /// Its name in its namespace.
    pub name: String,
    /// Its hardware address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Its MTU (from 1.1.0 on).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The path of the container's namespace; empty for a link of the host.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
    /// The path of a vhost-user socket.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub socket_path: String,
    /// The PCI address of a device.
    #[serde(rename = "pciID", skip_serializing_if = "String::is_empty")]
    pub pci_id: String,
}

/// An address in a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpConfig {
    /// Which of `interfaces` bears it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<usize>,
    /// The address with its prefix length.
    pub address: IpNetwork,
    /// The gateway of its subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// A route in a result or in an `ipam` block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The destination.
    pub dst: IpNetwork,
    /// The next hop; absent: the gateway of the address of the same family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gw: Option<IpAddr>,
    /// Path MTU (from 1.1.0 on, like those below).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Advertised maximal segment size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
    /// Metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Routing table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// Scope (0 universe, 253 link).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u32>,
}

impl Route {
    /// A plain route.
    pub fn new(dst: IpNetwork, gw: Option<IpAddr>) -> Self {
        Route { dst, gw, mtu: None, advmss: None, priority: None, table: None, scope: None }
    }
}

/// Name resolution in a result or a configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Addresses of servers, in order.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Search list.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub search: Vec<String>,
    /// Options of resolv.conf.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Dns::default()
    }
}

/// Go prints an absent list as `null`: read it as empty.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Why a result could not be read or printed.
#[derive(Debug, thiserror::Error)]
pub enum ResultError {
    /// Not JSON of the shape that its version has.
    #[error("the result (cniVersion {version}) cannot be read: {source}; look at the plugin that printed it")]
    Shape {
        /// The version that the result claims.
        version: String,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A version that is not known.
    #[error("the result cannot be read: {0}")]
    Version(String),
    /// Something that the asked version cannot say.
    #[error("the result cannot be written as CNI {version}: {what}; use cniVersion 0.3.0 or newer")]
    Inexpressible {
        /// The version asked for.
        version: SpecVersion,
        /// What it has no place for.
        what: &'static str,
    },
}

impl CniResult {
    /// Reads a result of any version; the version is the result's own `cniVersion`.
    pub fn from_value(value: &Value) -> Result<Self, ResultError> {
        let version = value.get("cniVersion").and_then(Value::as_str).unwrap_or_default();
        let shape = |source| ResultError::Shape { version: version.to_string(), source };
        match version.parse::<SpecVersion>().map_err(ResultError::Version)? {
            SpecVersion::V010 | SpecVersion::V020 => legacy::read(value).map_err(shape),
            _ => CniResult::deserialize(value).map_err(shape),
        }
    }

    /// The result as the given version prints it, `cniVersion` included.
    pub fn to_value(&self, version: SpecVersion) -> Result<Value, ResultError> {
        let shape = |source| ResultError::Shape { version: version.to_string(), source };
        let mut value = match version {
            SpecVersion::V010 | SpecVersion::V020 => legacy::write(self, version)?,
            SpecVersion::V110 => serde_json::to_value(self).map_err(shape)?,
            _ => serde_json::to_value(self.without_newer_fields()).map_err(shape)?,
        };
        if (SpecVersion::V030..=SpecVersion::V040).contains(&version) {
            mark_families(&mut value, &self.ips);
        }
        value["cniVersion"] = version.as_str().into();
        Ok(value)
    }

    fn without_newer_fields(&self) -> CniResult {
        let mut result = self.clone();
        for interface in &mut result.interfaces {
            (interface.mtu, interface.socket_path, interface.pci_id) = (None, String::new(), String::new());
        }
        for route in &mut result.routes {
            *route = Route::new(route.dst, route.gw);
        }
        result
    }
}

fn mark_families(value: &mut Value, ips: &[IpConfig]) {
    let Some(list) = value.get_mut("ips").and_then(Value::as_array_mut) else { return };
    for (json, ip) in list.iter_mut().zip(ips) {
        json["version"] = if ip.address.is_ipv4() { "4" } else { "6" }.into();
    }
}

#[cfg(test)]
#[path = "result_tests.rs"]
mod tests;
