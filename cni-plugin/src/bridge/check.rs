//! CHECK: compares everything that ADD made, as prevResult tells it, with the kernel and the store.

use crate::attach::compare::{Recorded, as_made, differs};
use crate::attach::{kernel_error, pod};
use crate::config::NetworkConfig;
use crate::plugin::Call;
use crate::types::{CniError, Interface};
use netstate::{Kernel, Link, LinkKind};

/// Succeeds if the attachment is as ADD left it.
pub(super) fn check(config: &NetworkConfig, call: &Call) -> Result<(), CniError> {
    let recorded = Recorded::of(call)?;
    let netns = pod::open(&call.invocation.netns)?;
    recorded.reservation(config)?;
    let mut host = Kernel::open().map_err(kernel_error("the host's network namespace"))?;
    let bridge = check_bridge(&mut host, config, &recorded)?;
    let mut inside = Kernel::open_in(&netns).map_err(kernel_error("the container"))?;
    let link = recorded.pod_link(&mut inside, !config.disable_container_interface)?;
    check_port(config, &recorded.host_link(&mut host, &link)?, &bridge)?;
    if config.disable_container_interface {
        return Ok(());
    }
    recorded.addresses(&mut inside, &link)?;
    recorded.routes(&mut inside, &link)
}

fn check_bridge(kernel: &mut Kernel, config: &NetworkConfig, recorded: &Recorded) -> Result<Link, CniError> {
    let name = &config.bridge;
    let link = kernel.route.link(name).map_err(kernel_error(format!("bridge {name}")))?;
    let link = link.ok_or_else(|| differs(format!("bridge {name}"), "it does not exist"))?;
    if !matches!(link.kind, LinkKind::Bridge(_)) {
        return Err(differs(name, "it is not a bridge"));
    }
    if !link.up {
        return Err(differs(format!("bridge {name}"), "it is down"));
    }
    if config.promisc && !link.promiscuous {
        return Err(differs(format!("bridge {name}"), "it is not promiscuous"));
    }
    // A bridge's MTU follows its ports, so only the MAC is compared.
    let expected = recorded.interface(name, "").map(|i| Interface { mtu: None, ..i.clone() });
    as_made(&link, expected.as_ref(), "on the host")?;
    Ok(link)
}

fn check_port(config: &NetworkConfig, port: &Link, bridge: &Link) -> Result<(), CniError> {
    let object = format!("veth {}", port.name);
    if port.master != Some(bridge.index) {
        return Err(differs(object, format!("it is no port of the bridge {}", bridge.name)));
    }
    let hairpin = port.port.as_ref().and_then(|port| port.hairpin).unwrap_or(false);
    if hairpin != config.hairpin {
        return Err(differs(object, format!("hairpin mode is {hairpin}")));
    }
    Ok(())
}
