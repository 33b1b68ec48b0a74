//! The delegate's configuration out of flannel's own and the overlay's file, as the original renders it.
//!
//! | key | value, where `delegate` has none |
//! | --- | --- |
//! | `name`, `cniVersion`, `runtimeConfig` | the network's |
//! | `type` | `bridge` |
//! | `isGateway` | `true`, for a bridge |
//! | `ipMasq` | not FLANNEL_IPMASQ |
//! | `mtu` | FLANNEL_MTU |
//! | `ipam` | `ipam`, of type host-local, with `ranges` of the subnets and `routes` to the networks |
//!
//! Source: `flannel.go` and `flannel_linux.go` of flannel-io/cni-plugin.

use crate::config::{SubnetEnv, invalid};
use crate::plugin::Call;
use crate::types::CniError;
use serde_json::{Map, Value, json};
use std::path::Path;

/// flannel's configuration.
pub(super) struct Conf {
    name: String,
    version: Option<Value>,
    runtime: Option<Value>,
    delegate: Map<String, Value>,
    ipam: Map<String, Value>,
}

impl Conf {
    /// Reads and checks it.
    pub fn read(call: &Call) -> Result<Self, CniError> {
        let object = |key: &str| match call.raw.get(key) {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(object)) => Ok(object.clone()),
            Some(_) => Err(invalid(key, "it is not an object")),
        };
        let delegate = object("delegate")?;
        for key in ["name", "ipam"] {
            if delegate.contains_key(key) {
                let why = format!("it has the key {key:?}, which flannel sets: write it outside of delegate");
                return Err(invalid("delegate", why));
            }
        }
        match delegate.get("type") {
            None => {}
            Some(Value::String(name)) if name.contains('/') || name.is_empty() => {
                return Err(invalid("delegate.type", format!("{name:?} must be a file name")));
            }
            Some(Value::String(name)) if ["flannel", "weft-cni"].contains(&name.as_str()) => {
                return Err(invalid("delegate.type", format!("{name:?} would call itself for ever")));
            }
            Some(Value::String(_)) => {}
            Some(other) => return Err(invalid("delegate.type", format!("{other} is not a name"))),
        }
        Ok(Conf {
            name: call.name.clone(),
            version: call.raw.get("cniVersion").cloned(),
            runtime: call.raw.get("runtimeConfig").filter(|value| !value.is_null()).cloned(),
            delegate,
            ipam: object("ipam")?,
        })
    }

    /// What the delegate gets for ADD.
    pub fn with_subnet(&self, env: &SubnetEnv) -> Result<Map<String, Value>, CniError> {
        let mut ipam = self.ipam();
        let range = |subnet: &ipnetwork::IpNetwork| json!([{ "subnet": format!("{}/{}", subnet.network(), subnet.prefix()) }]);
        ipam.insert("ranges".into(), env.subnets.iter().map(range).collect());
        let mut routes = match self.ipam.get("routes") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(routes)) => routes.clone(),
            Some(_) => return Err(invalid("ipam.routes", "it is not a list")),
        };
        routes.extend(env.networks.iter().map(|network| json!({ "dst": network.to_string() })));
        ipam.insert("routes".into(), routes.into());
        let mut rendered = self.shared(ipam);
        rendered.entry("ipMasq").or_insert((!env.ip_masq).into());
        if let Some(mtu) = env.mtu {
            rendered.entry("mtu").or_insert(mtu.into());
        }
        Ok(rendered)
    }

    /// What is enough for DEL and GC: the ranges matter to neither.
    pub fn without_subnet(&self, file: &Path) -> Result<Map<String, Value>, CniError> {
        let mut rendered = self.shared(self.ipam());
        rendered.insert("subnetFile".into(), file.to_string_lossy().into());
        Ok(rendered)
    }

    fn ipam(&self) -> Map<String, Value> {
        let mut ipam = self.ipam.clone();
        ipam.entry("type").or_insert("host-local".into());
        ipam
    }

    fn shared(&self, ipam: Map<String, Value>) -> Map<String, Value> {
        let mut rendered = self.delegate.clone();
        rendered.insert("name".into(), self.name.clone().into());
        let plugin = rendered.entry("type").or_insert("bridge".into());
        if plugin == "bridge" {
            rendered.entry("isGateway").or_insert(true.into());
        }
        if let Some(version) = &self.version {
            rendered.insert("cniVersion".into(), version.clone());
        }
        if let Some(runtime) = &self.runtime {
            rendered.insert("runtimeConfig".into(), runtime.clone());
        }
        rendered.insert("ipam".into(), ipam.into());
        rendered
    }
}
