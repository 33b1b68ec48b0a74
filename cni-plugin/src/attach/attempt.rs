//! ADD of an attaching plugin: addresses are taken, then the plugin attaches; on failure all of it is undone
//! backwards. And the result that it is told by.

use super::addressing::{self, Addressing};
use super::veth::Pair;
use super::{kernel_error, pod};
use crate::config::NetworkConfig;
use crate::crash;
use crate::plugin::{Call, print_result};
use crate::types::{CniError, CniResult, Interface, IpConfig};
use netstate::{BridgePort, Kernel, NetNs};

/// What an ADD works with.
pub(crate) struct Attempt<'a> {
    pub config: &'a NetworkConfig,
    pub call: &'a Call,
    /// The host's side.
    pub kernel: Kernel,
    pub netns: NetNs,
    pub addressing: Addressing,
    /// Set as soon as there is a pair that a failure has to remove.
    pub made: Option<Pair>,
}

impl Attempt<'_> {
    /// Makes the pair, with its host's end in a bridge or in none.
    pub fn make_pair(&mut self, bridge: Option<&str>) -> Result<(), CniError> {
        let mac = self.config.requests.mac;
        let pair = Pair::new(self.call, &self.netns, self.addressing.mtu, mac, bridge)?;
        pair.make(&mut self.kernel, self.call)?;
        self.made = Some(pair);
        crash::point("add: the veth pair is made");
        Ok(())
    }

    /// Takes the pair away again, if there is one.
    pub fn unmake(&mut self) {
        if let Some(pair) = self.made.take() {
            pair.unmake(&mut self.kernel);
        }
    }

    /// Gives the pair what the kernel does not take while it makes it.
    pub fn finish_pair(&mut self, port: Option<BridgePort>) -> Result<(), CniError> {
        let Some(pair) = &self.made else { return Ok(()) };
        pair.finish(&mut self.kernel, port)?;
        crash::point("add: the veth has its alias and port attributes");
        Ok(())
    }

    /// Both ends as a result tells them: the host's, the container's; waits until the host's is running.
    pub fn interfaces(&mut self, running: bool) -> Result<[Interface; 2], CniError> {
        let Some(pair) = &self.made else { return Ok(Default::default()) };
        let host =
            if running { pair.wait_until_running(&mut self.kernel)? } else { pair.link(&mut self.kernel)? };
        Ok(pair.interfaces(self.call, host.mtu))
    }

    /// The result. Behind another plugin: its links, addresses and routes stay, ours are appended; the last
    /// interface is the container's.
    pub fn result(&self, interfaces: impl IntoIterator<Item = Interface>) -> CniResult {
        let mut result = self.call.previous.clone().unwrap_or_default();
        result.interfaces.extend(interfaces);
        let container = result.interfaces.len().checked_sub(1);
        let ips = self.addressing.ips.iter().cloned();
        result.ips.extend(ips.map(|ip| IpConfig { interface: container, ..ip }));
        result.routes.extend(self.addressing.routes.iter().cloned());
        let dns = [&self.config.dns, &self.addressing.dns].into_iter().find(|dns| !dns.is_empty());
        result.dns = dns.cloned().unwrap_or(result.dns);
        result
    }
}

/// Takes addresses, lets the plugin attach, and undoes both if it fails.
pub(crate) fn attempt(
    config: &NetworkConfig,
    call: &Call,
    attach: impl FnOnce(&mut Attempt) -> Result<CniResult, CniError>,
) -> Result<CniResult, CniError> {
    let netns = pod::open(&call.invocation.netns)?;
    let kernel = Kernel::open().map_err(kernel_error("the host's network namespace"))?;
    let addressing = addressing::obtain(config, call)?;
    crash::point("add: addresses are obtained");
    let mut attempt = Attempt { config, call, kernel, netns, addressing, made: None };
    // What the asked version cannot say are addresses, which are known before anything of the node is changed.
    let sayable = print_result(&attempt.result([]), call.version);
    let attached = sayable.and_then(|_| attach(&mut attempt));
    if attached.is_err() {
        attempt.unmake();
        addressing::give_back(config, call, &attempt.addressing.taken);
    }
    attached
}
