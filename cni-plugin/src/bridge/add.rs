//! ADD: addressing, bridge, veth, container.

use super::gateway::Replaced;
use super::{device, gateway};
use crate::attach::attempt::Attempt;
use crate::attach::masquerade;
use crate::attach::pod::{self, Reach};
use crate::types::{CniError, CniResult, Interface};
use netstate::BridgePort;

/// Attaches a container and answers with its result. A failure leaves the bridge with the addresses that it had.
pub(super) fn attach(attempt: &mut Attempt) -> Result<CniResult, CniError> {
    let mut replaced = Replaced::default();
    let attached = wire(attempt, &mut replaced);
    if attached.is_err() {
        // First the pair: with a container on it the bridge keeps what it has.
        attempt.unmake();
        replaced.give_back(&mut attempt.kernel, &attempt.config.bridge);
    }
    attached
}

fn wire(attempt: &mut Attempt, replaced: &mut Replaced) -> Result<CniResult, CniError> {
    let config = attempt.config;
    let bridge = device::ensure(&mut attempt.kernel, config, attempt.addressing.mtu)?;
    gateway::ensure(&mut attempt.kernel, config, &bridge, &attempt.addressing, replaced)?;
    attempt.make_pair(Some(&config.bridge))?;
    let port = BridgePort { hairpin: Some(config.hairpin), isolated: config.isolated.then_some(true) };
    attempt.finish_pair((config.hairpin || config.isolated).then_some(port))?;
    if !config.disable_container_interface {
        let ifname = &attempt.call.invocation.ifname;
        pod::configure(&attempt.netns, ifname, config, &attempt.addressing, Reach::Link)?;
    }
    masquerade::ensure(&mut attempt.kernel, config, &attempt.addressing.masquerade)?;
    let [host, container] = attempt.interfaces(!config.disable_container_interface)?;
    let mac = bridge.mac.map(|mac| mac.to_string()).unwrap_or_else(|| host.mac.clone());
    let bridge =
        Interface { name: bridge.name.to_string(), mac, mtu: Some(bridge.mtu), ..Interface::default() };
    Ok(attempt.result([bridge, host, container]))
}
