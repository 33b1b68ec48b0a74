//! The `bridge` plugin: containers as ports of a bridge.
//!
//! ```text
//!  ADD     addressing ► bridge ► veth ► container        in this order; undone backwards on failure
//!  DEL     veth ► addressing
//!  CHECK   compares what ADD made with the kernel and the store
//!  GC      veths and addresses of this network that no valid attachment has
//!  STATUS  whether an ADD would find an address
//!
//!  host namespace                                    container's namespace
//!    cni0 (bridge, gateway's address)
//!      └─ veth<hash>  alias weft:cni:<net>/<id>/<if>  ◄──►  eth0  address, routes
//! ```

mod add;
mod check;
mod device;
mod gateway;
mod status;

use crate::attach::attempt::attempt;
use crate::attach::{addressing, masquerade, stale, veth};
use crate::config::NetworkConfig;
use crate::plugin::{Call, Plugin};
use crate::types::{CniError, CniResult};
use serde_json::{Map, Value};

/// The plugin.
pub(crate) struct Bridge {
    /// Whether a configuration without `ipam` means the node's subnet. The reference plugin's means none at all.
    node_subnet: bool,
}

impl Bridge {
    /// As the reference plugin.
    pub const REFERENCE: Bridge = Bridge { node_subnet: false };
    /// As the first plugin of our own chain.
    pub const OWN: Bridge = Bridge { node_subnet: true };

    fn config(&self, call: &Call) -> Result<NetworkConfig, CniError> {
        let mut raw = call.raw.clone();
        if !self.node_subnet && raw.get("ipam").is_none_or(Value::is_null) {
            raw.insert("ipam".into(), Value::Object(Map::new()));
        }
        NetworkConfig::read(raw, &call.invocation.args)
    }

    /// Not for DEL and GC: a network that was edited into something that is refused must still let its
    /// containers go.
    fn served_config(&self, call: &Call) -> Result<NetworkConfig, CniError> {
        let config = self.config(call)?;
        config.refuse_unserved()?;
        Ok(config)
    }
}

impl Plugin for Bridge {
    fn add(&self, call: &Call) -> Result<CniResult, CniError> {
        attempt(&self.served_config(call)?, call, add::attach)
    }

    /// While its link is there the container may use its address: nobody else may get it.
    fn del(&self, call: &Call) -> Result<(), CniError> {
        let config = self.config(call)?;
        veth::delete(call)?;
        if config.ip_masq == Some(true) {
            masquerade::remove_references(&call.name, &call.invocation.container_id)?;
        }
        addressing::release(&config, call)
    }

    fn check(&self, call: &Call) -> Result<(), CniError> {
        check::check(&self.served_config(call)?, call)
    }

    fn gc(&self, call: &Call) -> Result<(), CniError> {
        stale::collect(&self.config(call)?, call)
    }

    fn status(&self, call: &Call) -> Result<(), CniError> {
        status::status(&self.served_config(call)?, call)
    }
}
