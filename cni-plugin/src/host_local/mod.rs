//! The `host-local` plugin: addresses out of ranges of this node, by itself. The attaching plugins in here use
//! the same store in their own process ([`crate::ipam`]); this is for those that are not in here.

use crate::attach::compare::differs;
use crate::attach::{addressing, availability};
use crate::config::{HostLocal as Block, Ipam, NetworkConfig, invalid};
use crate::ipam::Store;
use crate::plugin::{Call, Plugin};
use crate::types::{CniError, CniResult};
use serde_json::Value;

/// The plugin.
pub(crate) struct HostLocal;

/// The keys that are read: the calling plugin's own are none of this one's business.
const KEYS: [&str; 8] = [
    "cniVersion",
    "name",
    "ipam",
    "args",
    "runtimeConfig",
    "subnetFile",
    "prevResult",
    "cni.dev/valid-attachments",
];

fn config(call: &Call) -> Result<NetworkConfig, CniError> {
    let mut raw = call.raw.clone();
    raw.retain(|key, _| KEYS.contains(&key.as_str()));
    let Some(block) = raw.get_mut("ipam").and_then(Value::as_object_mut) else {
        return Err(invalid("ipam", "it is missing: host-local needs \"ranges\" or \"subnet\" in it"));
    };
    // Whoever calls it by another name means this one.
    block.insert("type".into(), "host-local".into());
    NetworkConfig::read(raw, &call.invocation.args)
}

fn block(config: &NetworkConfig) -> Result<&Block, CniError> {
    match &config.ipam {
        Ipam::HostLocal(block) => Ok(block),
        _ => Err(invalid("ipam.type", "it must be \"host-local\"")),
    }
}

impl Plugin for HostLocal {
    fn add(&self, call: &Call) -> Result<CniResult, CniError> {
        let given = addressing::obtain(&config(call)?, call)?;
        Ok(CniResult { ips: given.ips, routes: given.routes, dns: given.dns, ..CniResult::default() })
    }

    fn del(&self, call: &Call) -> Result<(), CniError> {
        addressing::release(&config(call)?, call)
    }

    /// As the original: the container has an address, whichever.
    fn check(&self, call: &Call) -> Result<(), CniError> {
        let config = config(call)?;
        let data_dir = &block(&config)?.data_dir;
        let store = Store::open_existing(data_dir, &config.name).map_err(addressing::ipam_error)?;
        let reserved = store.map(|store| store.addresses_of(&addressing::key_of(call))).transpose();
        match reserved.map_err(addressing::ipam_error)?.is_some_and(|addresses| !addresses.is_empty()) {
            true => Ok(()),
            false => {
                let place = data_dir.join(&config.name);
                let object = format!("container {}", call.invocation.container_id);
                Err(differs(object, format!("it has no address reserved in {}", place.display())))
            }
        }
    }

    fn gc(&self, call: &Call) -> Result<(), CniError> {
        let config = config(call)?;
        addressing::retain(&block(&config)?.data_dir, &config.name, &call.valid_attachments()?)
    }

    fn status(&self, call: &Call) -> Result<(), CniError> {
        availability::check(&config(call)?, call, false)
    }
}
