//! The `ptp` plugin: a container by a veth pair of its own, routed, without a bridge or a neighbour proxy.
//!
//! ```text
//!  host namespace                                        container's namespace
//!    veth<hash>  10.1.0.1/32  fd00::1/128        ◄──►  eth0  10.1.0.5/24, without the subnet's own route
//!    route 10.1.0.5/32 dev veth<hash>                  10.1.0.1 dev eth0 scope link src 10.1.0.5
//!                                                      10.1.0.0/24 via 10.1.0.1 src 10.1.0.5
//! ```
//!
//! All that a container sends goes by the host, to its neighbours of the subnet as well.

mod check;
mod host;

use crate::attach::attempt::{Attempt, attempt};
use crate::attach::pod::{self, Reach};
use crate::attach::{addressing, availability, forwarding, masquerade, stale, veth};
use crate::config::{Ipam, NetworkConfig, invalid};
use crate::plugin::{Call, Plugin};
use crate::types::{CniError, CniResult};

/// The plugin.
pub(crate) struct Ptp;

/// Keys of the bridge plugin that mean nothing here: whoever leaves them in gets what the original does.
const BRIDGE_KEYS: [&str; 13] = [
    "bridge",
    "isGateway",
    "isDefaultGateway",
    "forceAddress",
    "hairpinMode",
    "promiscMode",
    "portIsolation",
    "vlan",
    "vlanTrunk",
    "macspoofchk",
    "preserveDefaultVlan",
    "enabledad",
    "disableContainerInterface",
];

fn config(call: &Call) -> Result<NetworkConfig, CniError> {
    let mut raw = call.raw.clone();
    raw.retain(|key, _| !BRIDGE_KEYS.contains(&key.as_str()));
    if raw.get("ipam").is_none_or(|ipam| ipam.get("type").is_none()) {
        return Err(invalid("ipam", "it is missing: ptp routes to an address, which IPAM has to give"));
    }
    let mut config = NetworkConfig::read(raw, &call.invocation.args)?;
    // Every address needs its gateway, which the host's end bears.
    (config.is_gateway, config.is_default_gateway) = (Some(true), Some(false));
    Ok(config)
}

fn attach(attempt: &mut Attempt) -> Result<CniResult, CniError> {
    forwarding::enable(attempt.addressing.ips.iter().map(|ip| ip.address.ip()))?;
    attempt.make_pair(None)?;
    attempt.finish_pair(None)?;
    host::bring_up(attempt)?;
    let ifname = &attempt.call.invocation.ifname;
    pod::configure(&attempt.netns, ifname, attempt.config, &attempt.addressing, Reach::ByGateway)?;
    host::configure(attempt)?;
    masquerade::ensure(&mut attempt.kernel, attempt.config, &attempt.addressing.masquerade)?;
    let interfaces = attempt.interfaces(true)?;
    Ok(attempt.result(interfaces))
}

impl Plugin for Ptp {
    fn add(&self, call: &Call) -> Result<CniResult, CniError> {
        let config = config(call)?;
        config.refuse_unserved()?;
        attempt(&config, call, attach)
    }

    fn del(&self, call: &Call) -> Result<(), CniError> {
        let config = config(call)?;
        veth::delete(call)?;
        if config.ip_masq == Some(true) {
            masquerade::remove_references(&call.name, &call.invocation.container_id)?;
        }
        addressing::release(&config, call)
    }

    fn check(&self, call: &Call) -> Result<(), CniError> {
        check::check(&config(call)?, call)
    }

    fn gc(&self, call: &Call) -> Result<(), CniError> {
        stale::collect(&config(call)?, call)
    }

    fn status(&self, call: &Call) -> Result<(), CniError> {
        let config = config(call)?;
        config.refuse_unserved()?;
        match &config.ipam {
            Ipam::None => {
                Err(invalid("ipam", "it is empty: ptp routes to an address, which IPAM has to give"))
            }
            _ => availability::check(&config, call, false),
        }
    }
}
