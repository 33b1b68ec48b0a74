//! ADD: addressing, bridge, veth, pod; on failure all of it is undone backwards.

use super::addressing::{self, Addressing};
use super::links::LinkOwner;
use super::{Invocation, bridge, kernel_error, masquerade, pod, print_result, running};
use crate::config::NetworkConfig;
use crate::crash;
use crate::types::{CniError, CniResult, ErrorCode, Interface, IpConfig};
use netstate::{
    BridgePort, Kernel, Link, LinkChange, NetNs, NetNsTarget, NewLink, NewLinkKind, Op, VethPeer,
};
use serde_json::Value;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// Attaches a container and answers with its result.
pub(super) fn add(config: &NetworkConfig, invocation: &Invocation) -> Result<Value, CniError> {
    let netns = pod::open(&invocation.netns)?;
    let mut kernel = Kernel::open().map_err(kernel_error("the host's network namespace"))?;
    let addressing = addressing::obtain(config, invocation)?;
    crash::point("add: addresses are obtained");
    let mut veth = None;
    let attached = attach(&mut kernel, config, invocation, &netns, &addressing, &mut veth)
        .and_then(|result| print_result(&result, config.version));
    if attached.is_err() {
        if let Some(name) = veth {
            // The first error is the one to report; what cannot be undone here, DEL undoes.
            let _ = kernel.apply_all(&[Op::DeleteLink(name)]);
        }
        addressing::give_back(config, invocation, &addressing.taken);
    }
    attached
}

/// `made` is set as soon as there is a veth that a failure has to remove.
fn attach(
    kernel: &mut Kernel,
    config: &NetworkConfig,
    invocation: &Invocation,
    netns: &NetNs,
    addressing: &Addressing,
    made: &mut Option<netstate::DevName>,
) -> Result<CniResult, CniError> {
    let bridge = bridge::ensure(kernel, config, addressing.mtu)?;
    bridge::ensure_gateway(kernel, config, &bridge, addressing)?;
    let pair = Pair::new(config, invocation, addressing, netns)?;
    pair.make(kernel, config, invocation)?;
    *made = Some(pair.host.name.clone());
    crash::point("add: the veth pair is made");
    kernel.apply_all(&[pair.finish(config)]).map_err(kernel_error(format!("veth {}", pair.host.name)))?;
    crash::point("add: the veth has its alias and port attributes");
    if !config.disable_container_interface {
        pod::configure(netns, &invocation.ifname, config, addressing)?;
    }
    masquerade::ensure(kernel, config, &addressing.masquerade)?;
    let host = wait_until_running(kernel, &pair, config)?;
    Ok(pair.result(config, invocation, addressing, &bridge, &host))
}

/// The veth pair of an attachment.
struct Pair {
    host: NewLink,
    host_mac: netstate::Mac,
    pod_mac: netstate::Mac,
    alias: String,
}

impl Pair {
    fn new(
        config: &NetworkConfig,
        invocation: &Invocation,
        addressing: &Addressing,
        netns: &NetNs,
    ) -> Result<Self, CniError> {
        let owner = LinkOwner {
            network: &config.name,
            container_id: &invocation.container_id,
            ifname: &invocation.ifname,
        };
        // Chosen here and not by the kernel, so that neither end needs to be asked for it.
        let (host_mac, pod_mac) =
            (bridge::random_mac()?, config.requests.mac.map_or_else(bridge::random_mac, Ok)?);
        let peer = VethPeer {
            name: invocation.ifname.as_str().into(),
            mac: Some(pod_mac),
            mtu: addressing.mtu,
            netns: Some(NetNsTarget::Fd(netns.as_fd().as_raw_fd())),
        };
        let host = NewLink {
            mac: Some(host_mac),
            mtu: addressing.mtu,
            up: true,
            master: Some(config.bridge.as_str().into()),
            ..NewLink::of(owner.host_name(), NewLinkKind::Veth(peer))
        };
        Ok(Pair { host, host_mac, pod_mac, alias: owner.alias() })
    }

    fn make(
        &self,
        kernel: &mut Kernel,
        config: &NetworkConfig,
        invocation: &Invocation,
    ) -> Result<(), CniError> {
        kernel.apply_all(&[Op::AddLink(self.host.clone())]).map_err(|error| match error.errno() {
            Some(libc::EEXIST) => {
                let Invocation { container_id, ifname, .. } = invocation;
                let msg = format!(
                    "container {container_id} already has {ifname}, or is attached to {}",
                    config.name
                );
                CniError::new(ErrorCode::Conflict, msg, "call DEL for it first, or use another CNI_IFNAME")
            }
            _ => kernel_error(format!("veth of container {}", invocation.container_id))(error),
        })
    }

    /// What the kernel does not take while it makes a link.
    fn finish(&self, config: &NetworkConfig) -> Op {
        let port = BridgePort { hairpin: Some(config.hairpin), isolated: config.isolated.then_some(true) };
        Op::ChangeLink(LinkChange {
            alias: Some(self.alias.clone()),
            port: (config.hairpin || config.isolated).then_some(port),
            ..LinkChange::of(self.host.name.clone())
        })
    }

    fn result(
        &self,
        config: &NetworkConfig,
        invocation: &Invocation,
        addressing: &Addressing,
        bridge: &Link,
        host: &Link,
    ) -> CniResult {
        // Behind another plugin: its links, addresses and routes stay, ours are appended.
        let mut result = config.previous.clone().unwrap_or_default();
        let link = |name: &str, mac: netstate::Mac, mtu| Interface {
            name: name.to_string(),
            mac: mac.to_string(),
            mtu: Some(mtu),
            ..Interface::default()
        };
        let bridge_mac = bridge.mac.unwrap_or(self.host_mac);
        result.interfaces.push(link(&bridge.name, bridge_mac, bridge.mtu));
        result.interfaces.push(link(&self.host.name, self.host_mac, host.mtu));
        let container = link(&invocation.ifname, self.pod_mac, host.mtu);
        result.interfaces.push(Interface { sandbox: invocation.netns.clone(), ..container });
        let index = Some(result.interfaces.len() - 1);
        let ips = addressing.ips.iter().cloned();
        result.ips.extend(ips.map(|ip| IpConfig { interface: index, ..ip }));
        result.routes.extend(addressing.routes.iter().cloned());
        let dns = [&config.dns, &addressing.dns].into_iter().find(|dns| !dns.is_empty());
        result.dns = dns.cloned().unwrap_or(result.dns);
        result
    }
}

/// Waits until the host's end is running: the kernel notices a moment after the pod's end is up, and only
/// then the bridge forwards. As the reference plugin does, in finer steps.
fn wait_until_running(kernel: &mut Kernel, pair: &Pair, config: &NetworkConfig) -> Result<Link, CniError> {
    let name = &pair.host.name;
    let link = kernel.route.link(name).map_err(kernel_error(format!("veth {name}")))?;
    const STEPS: u32 = 14; // 0.1, 0.2, 0.4 … 820 ms: 1.6 seconds in all
    for step in 0..STEPS {
        let running = config.disable_container_interface || running::is_running(name)?;
        match &link {
            Some(link) if running => return Ok(link.clone()),
            Some(_) => std::thread::sleep(Duration::from_micros(100 << step)),
            None => break,
        }
    }
    let msg = format!("the bridge port {name} did not come up within a second, or was deleted meanwhile");
    let details = format!("look at `ip -d link show {name}` and at the bridge {}", config.bridge);
    Err(CniError::new(ErrorCode::Kernel, msg, details))
}
