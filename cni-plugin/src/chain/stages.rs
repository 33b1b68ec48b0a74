//! Which plugins a call of the chain runs, and with which configuration each.

use crate::bridge::Bridge;
use crate::config::invalid;
use crate::plugin::{self, Call, Plugin};
use crate::types::{CniError, CniResult};
use serde_json::{Map, Value};

/// Behind the bridge: the block's key, which is the plugin's type, and the capability that also switches it on.
const BEHIND: [(&str, Option<&str>); 4] = [
    ("tuning", None),
    ("firewall", None),
    ("portmap", Some("portMappings")),
    ("bandwidth", Some("bandwidth")),
];

/// Keys of the whole call that each plugin gets.
const SHARED: [&str; 5] = ["cniVersion", "name", "args", "runtimeConfig", "cni.dev/valid-attachments"];

/// One plugin of the chain.
pub(super) struct Stage {
    plugin: &'static dyn Plugin,
    raw: Map<String, Value>,
}

impl Stage {
    fn call(&self, call: &Call, previous: Option<&CniResult>) -> Call {
        Call { raw: self.raw.clone(), previous: previous.cloned(), ..call.clone() }
    }

    pub fn add(&self, call: &Call, previous: Option<&CniResult>) -> Result<CniResult, CniError> {
        self.plugin.add(&self.call(call, previous))
    }

    pub fn del(&self, call: &Call) -> Result<(), CniError> {
        self.plugin.del(&self.call(call, call.previous.as_ref()))
    }

    pub fn check(&self, call: &Call, previous: &CniResult) -> Result<(), CniError> {
        self.plugin.check(&self.call(call, Some(previous)))
    }

    pub fn gc(&self, call: &Call) -> Result<(), CniError> {
        self.plugin.gc(&self.call(call, None))
    }

    pub fn status(&self, call: &Call) -> Result<(), CniError> {
        self.plugin.status(&self.call(call, None))
    }
}

/// The plugins that the configuration and the runtime ask for.
pub(super) fn wanted(call: &Call) -> Result<Vec<Stage>, CniError> {
    let asked = |(key, capability): &&(&str, Option<&str>)| {
        call.raw.get(*key).is_some_and(|block| !block.is_null())
            || capability.is_some_and(|capability| call.runtime(capability).is_some())
    };
    stages(call, BEHIND.iter().filter(asked), |key| {
        Err(invalid(key, "it is not an object: it holds that plugin's own keys"))
    })
}

/// Every plugin: what DEL and GC look for may have been made under another configuration, and a block that is wrong by
/// now must not keep a container.
pub(super) fn all(call: &Call) -> Result<Vec<Stage>, CniError> {
    stages(call, BEHIND.iter(), |_| Ok(Map::new()))
}

fn stages<'a>(
    call: &Call,
    behind: impl Iterator<Item = &'a (&'static str, Option<&'static str>)>,
    wrong: impl Fn(&str) -> Result<Map<String, Value>, CniError>,
) -> Result<Vec<Stage>, CniError> {
    let mut stages = vec![Stage { plugin: &Bridge::OWN, raw: call.raw.clone() }];
    for (key, _) in behind {
        let block = match call.raw.get(*key) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(block)) => block.clone(),
            Some(_) => wrong(key)?,
        };
        let plugin =
            plugin::of_type(key).ok_or_else(|| invalid(key, "no plugin of this name is in weft-cni"))?;
        stages.push(Stage { plugin, raw: raw_of(call, key, block) });
    }
    Ok(stages)
}

fn raw_of(call: &Call, key: &str, block: Map<String, Value>) -> Map<String, Value> {
    let mut raw = block;
    raw.insert("type".into(), key.into());
    for shared in SHARED {
        if let Some(value) = call.raw.get(shared) {
            raw.insert(shared.into(), value.clone());
        }
    }
    raw
}
