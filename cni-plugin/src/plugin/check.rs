//! CHECK: compares everything that ADD made, as prevResult tells it, with the kernel and the store.
//!
//! The first difference is reported, with what it was and what it is. Nothing is changed.

use super::addressing::{Addressing, ipam_error};
use super::links::LinkOwner;
use super::{Command, Invocation, delegate, kernel_error, pod};
use crate::config::{Ipam, NetworkConfig};
use crate::ipam::{Key, Store};
use crate::types::{CniError, CniResult, ErrorCode, Interface};
use netstate::{Kernel, Link, LinkKind};

/// Succeeds if the attachment is as ADD left it.
pub(super) fn check(config: &NetworkConfig, invocation: &Invocation) -> Result<(), CniError> {
    let previous = config.previous.as_ref().ok_or_else(|| {
        let msg = "CHECK came without prevResult, which says what ADD made";
        CniError::new(
            ErrorCode::InvalidConfig,
            msg,
            "the container runtime must send the cached result of ADD",
        )
    })?;
    let netns = pod::open(&invocation.netns)?;
    check_reservation(config, invocation, previous)?;
    let mut host = Kernel::open().map_err(kernel_error("the host's network namespace"))?;
    let bridge = check_bridge(&mut host, config, previous)?;
    let mut inside = Kernel::open_in(&netns).map_err(kernel_error("the container"))?;
    let link = check_pod_link(&mut inside, config, invocation, previous)?;
    check_host_link(&mut host, config, invocation, previous, &bridge, &link)?;
    if config.disable_container_interface {
        return Ok(());
    }
    check_addresses(&mut inside, invocation, previous, &link)?;
    check_routes(&mut inside, invocation, previous, &link)
}

fn differs(object: impl std::fmt::Display, why: impl std::fmt::Display) -> CniError {
    let details = "something changed it since ADD; restarting the pod attaches it anew";
    CniError::new(ErrorCode::CheckFailed, format!("{object}: {why}"), details)
}

/// The interface that prevResult describes, if it does.
fn described<'a>(previous: &'a CniResult, name: &str, sandbox: &str) -> Option<&'a Interface> {
    previous.interfaces.iter().find(|i| i.name == name && i.sandbox == sandbox)
}

fn compare(link: &Link, expected: Option<&Interface>, place: &str) -> Result<(), CniError> {
    let Some(expected) = expected else { return Ok(()) };
    let object = format!("{} {place}", link.name);
    let mac = link.mac.map(|m| m.to_string()).unwrap_or_default();
    if !expected.mac.is_empty() && !expected.mac.eq_ignore_ascii_case(&mac) {
        return Err(differs(object, format!("its MAC is {mac}, ADD made {}", expected.mac)));
    }
    match expected.mtu {
        Some(mtu) if mtu != link.mtu => {
            Err(differs(object, format!("its MTU is {}, ADD made {mtu}", link.mtu)))
        }
        _ => Ok(()),
    }
}

fn check_bridge(kernel: &mut Kernel, config: &NetworkConfig, previous: &CniResult) -> Result<Link, CniError> {
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
    let expected = described(previous, name, "").map(|i| Interface { mtu: None, ..i.clone() });
    compare(&link, expected.as_ref(), "on the host")?;
    Ok(link)
}

fn check_pod_link(
    kernel: &mut Kernel,
    config: &NetworkConfig,
    invocation: &Invocation,
    previous: &CniResult,
) -> Result<Link, CniError> {
    let name = &invocation.ifname;
    let link = kernel.route.link(name).map_err(kernel_error(format!("{name} in the container")))?;
    let link = link.ok_or_else(|| differs(format!("{name} in the container"), "it does not exist"))?;
    if link.kind != LinkKind::Veth {
        return Err(differs(format!("{name} in the container"), "it is not a veth"));
    }
    if !link.up && !config.disable_container_interface {
        return Err(differs(format!("{name} in the container"), "it is down"));
    }
    let expected = described(previous, name, &invocation.netns);
    if expected.is_none() && !previous.interfaces.is_empty() {
        let why = format!("prevResult has no such interface in {}", invocation.netns);
        return Err(differs(name, why));
    }
    compare(&link, expected, "in the container")?;
    Ok(link)
}

/// The pod's link knows its peer's index: that link must be a port of our bridge.
fn check_host_link(
    kernel: &mut Kernel,
    config: &NetworkConfig,
    invocation: &Invocation,
    previous: &CniResult,
    bridge: &Link,
    pod: &Link,
) -> Result<(), CniError> {
    let owner = LinkOwner {
        network: &config.name,
        container_id: &invocation.container_id,
        ifname: &invocation.ifname,
    };
    // Ours has a name that can be computed; the reference plugin's is told by prevResult.
    let named = std::iter::once(owner.host_name());
    let told = previous.interfaces.iter().filter(|i| i.sandbox.is_empty() && i.name != config.bridge);
    for name in named.chain(told.map(|i| i.name.clone())) {
        let link = kernel.route.link(&name).map_err(kernel_error(format!("veth {name}")))?;
        let Some(link) = link.filter(|link| pod.parent == Some(link.index)) else { continue };
        if link.master != Some(bridge.index) {
            return Err(differs(
                format!("veth {name}"),
                format!("it is no port of the bridge {}", bridge.name),
            ));
        }
        if !link.up {
            return Err(differs(format!("veth {name}"), "it is down"));
        }
        let hairpin = link.port.as_ref().and_then(|port| port.hairpin).unwrap_or(false);
        if hairpin != config.hairpin {
            return Err(differs(format!("veth {name}"), format!("hairpin mode is {hairpin}")));
        }
        return compare(&link, described(previous, &name, ""), "on the host");
    }
    Err(differs(
        format!("{} in the container", invocation.ifname),
        "its other end is not on this host's bridge",
    ))
}

fn check_addresses(
    kernel: &mut Kernel,
    invocation: &Invocation,
    previous: &CniResult,
    link: &Link,
) -> Result<(), CniError> {
    let object = format!("{} in the container", invocation.ifname);
    let present = kernel.route.addresses_of(link).map_err(kernel_error(&object))?;
    for ip in ours(previous, invocation) {
        if !present.iter().any(|a| a.net == ip.address) {
            return Err(differs(object, format!("the address {} is gone", ip.address)));
        }
    }
    Ok(())
}

/// Addresses of prevResult that are on this attachment's interface, or that do not say on which.
fn ours<'a>(
    previous: &'a CniResult,
    invocation: &'a Invocation,
) -> impl Iterator<Item = &'a crate::types::IpConfig> {
    previous.ips.iter().filter(move |ip| match ip.interface.and_then(|at| previous.interfaces.get(at)) {
        Some(interface) => interface.name == invocation.ifname,
        None => true,
    })
}

fn check_routes(
    kernel: &mut Kernel,
    invocation: &Invocation,
    previous: &CniResult,
    link: &Link,
) -> Result<(), CniError> {
    let object = format!("{} in the container", invocation.ifname);
    let present = kernel.route.routes(std::slice::from_ref(link)).map_err(kernel_error(&object))?;
    let addressing =
        Addressing { ips: ours(previous, invocation).cloned().collect(), ..Addressing::default() };
    for route in &previous.routes {
        let wanted = pod::route(route, &invocation.ifname, &addressing);
        let matches =
            |r: &&netstate::Route| r.dest == wanted.dest && r.via == wanted.via && r.table == wanted.table;
        if !present.iter().any(|r| matches(&r)) {
            let via = wanted.via.map(|via| format!(" via {via}")).unwrap_or_default();
            return Err(differs(object, format!("the route to {}{via} is gone", wanted.dest)));
        }
    }
    Ok(())
}

fn check_reservation(
    config: &NetworkConfig,
    invocation: &Invocation,
    previous: &CniResult,
) -> Result<(), CniError> {
    let block = match &config.ipam {
        Ipam::None => return Ok(()),
        Ipam::Delegated(plugin) => {
            return delegate::run(plugin, Command::Check, config, invocation).map(|_| ());
        }
        Ipam::HostLocal(block) => block,
    };
    let key = Key::new(&invocation.container_id, &invocation.ifname);
    let store = Store::open_existing(&block.data_dir, &config.name).map_err(ipam_error)?;
    let reserved = store.map(|s| s.addresses_of(&key)).transpose().map_err(ipam_error)?.unwrap_or_default();
    match ours(previous, invocation).find(|ip| !reserved.contains(&ip.address.ip())) {
        None => Ok(()),
        Some(ip) => {
            let place = block.data_dir.join(&config.name);
            let why = format!("it is not reserved in {}", place.display());
            Err(differs(format!("address {} of container {}", ip.address, invocation.container_id), why))
        }
    }
}
