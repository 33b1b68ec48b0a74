//! The container's side: its namespace, and the link, addresses and routes in it.
//!
//! Everything is one batch on a socket that was opened inside; the thread is inside only for that and
//! for sysctls, which the kernel resolves by the thread's namespace.

use super::addressing::{Addressing, gateway_of};
use super::{kernel_error, settle};
use crate::config::NetworkConfig;
use crate::crash;
use crate::types::{CniError, ErrorCode, IpConfig};
use ipnetwork::IpNetwork;
use netstate::{Address, Kernel, LinkChange, NetNs, Op, Route, RouteScope, sysctl};
use std::path::Path;

/// Opens the container's namespace for ADD and CHECK. The host's own is refused, as by the reference
/// plugins: `eth0` there is the node's.
pub(crate) fn open(path: &str) -> Result<NetNs, CniError> {
    let netns = NetNs::open(Path::new(path)).map_err(|e| {
        let msg = format!("CNI_NETNS cannot be used: {e}");
        CniError::new(
            ErrorCode::UnknownContainer,
            msg,
            "the container is gone, or its runtime named another path",
        )
    })?;
    match is_ours(&netns)? {
        true => {
            let msg = format!("CNI_NETNS {path} is this process's own network namespace");
            let details =
                "a container of the host's network needs no attachment: its runtime must not ask for one";
            Err(CniError::new(ErrorCode::InvalidEnvironment, msg, details))
        }
        false => Ok(netns),
    }
}

/// The container's namespace for DEL: `None` if there is nothing to do in it.
pub(crate) fn open_for_del(path: &str) -> Result<Option<NetNs>, CniError> {
    if path.is_empty() {
        return Ok(None);
    }
    // A file that is gone, or on which nothing is mounted any more: the namespace died with its links.
    let Ok(netns) = NetNs::open(Path::new(path)) else { return Ok(None) };
    Ok((!is_ours(&netns)?).then_some(netns))
}

fn is_ours(netns: &NetNs) -> Result<bool, CniError> {
    let inode = |ns: &NetNs| ns.inode().map_err(kernel_error("network namespace"));
    let ours = NetNs::current().map_err(kernel_error("network namespace"))?;
    Ok(inode(netns)? == inode(&ours)?)
}

/// How a container reaches its subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// On its link.
    Link,
    /// By its gateway, which alone is on the link.
    ByGateway,
}

/// Sets up the container's end: up, addresses, routes.
pub(crate) fn configure(
    netns: &NetNs,
    ifname: &str,
    config: &NetworkConfig,
    addressing: &Addressing,
    reach: Reach,
) -> Result<(), CniError> {
    let has_v6 = addressing.ips.iter().any(|ip| ip.address.is_ipv6());
    let mut kernel = {
        let _inside = netns.enter().map_err(kernel_error("network namespace of the container"))?;
        set_sysctls(ifname, has_v6, config.enable_dad)?;
        Kernel::open().map_err(kernel_error("network namespace of the container"))?
    };
    crash::point("pod: sysctls are set");
    kernel
        .apply_all(&operations(ifname, config, addressing, reach))
        .map_err(kernel_error(format!("{ifname} in the container")))?;
    crash::point("pod: addresses and routes are set");
    match has_v6 && config.enable_dad {
        true => settle::wait(netns, ifname),
        false => Ok(()),
    }
}

/// The batch, in an order in which each step finds what it needs.
fn operations(ifname: &str, config: &NetworkConfig, addressing: &Addressing, reach: Reach) -> Vec<Op> {
    let mut ops = vec![Op::ChangeLink(LinkChange { up: Some(true), ..LinkChange::of(ifname) })];
    let (nodad, no_prefix_route) = (!config.enable_dad, reach == Reach::ByGateway);
    for ip in &addressing.ips {
        let address = Address { nodad, broadcast: true, no_prefix_route, ..Address::of(ifname, ip.address) };
        ops.push(Op::AddAddress(address));
    }
    let mut routes: Vec<Route> = addressing.routes.iter().map(|r| route(r, ifname, addressing)).collect();
    if reach == Reach::ByGateway {
        routes.extend(addressing.ips.iter().flat_map(|ip| by_gateway(ip, ifname)));
    }
    // Routes that reach a gateway come before those that go by it.
    routes.sort_by_key(|r| r.via.is_some());
    ops.extend(routes.into_iter().map(Op::ReplaceRoute));
    ops
}

/// The route to an address's gateway, and the one to its subnet by that.
fn by_gateway(ip: &IpConfig, ifname: &str) -> Vec<Route> {
    let Some(gateway) = ip.gateway else { return Vec::new() };
    let source = Some(ip.address.ip());
    let to_gateway = Route { scope: RouteScope::Link, source, ..Route::of(IpNetwork::from(gateway), ifname) };
    let subnet = IpNetwork::new(ip.address.network(), ip.address.prefix()).unwrap_or(ip.address);
    let to_subnet = Route { source, ..Route::of(subnet, ifname).via(gateway) };
    vec![to_gateway, to_subnet]
}

/// A route of the result as the kernel has it.
pub(crate) fn route(route: &crate::types::Route, ifname: &str, addressing: &Addressing) -> Route {
    let mut kernel_route = Route::of(route.dst, ifname);
    kernel_route.via = gateway_of(route, &addressing.ips);
    kernel_route.mtu = route.mtu;
    kernel_route.metric = route.priority.unwrap_or(0);
    if let Some(table) = route.table {
        kernel_route.table = table;
    }
    // Numbers of rtnetlink(7): the configuration's `scope` is the kernel's.
    kernel_route.scope = match route.scope {
        Some(253) => RouteScope::Link,
        Some(254) => RouteScope::Host,
        _ => RouteScope::Global,
    };
    kernel_route
}

/// Kernel parameters of the container, each only where this kernel has it.
fn set_sysctls(ifname: &str, has_v6: bool, enable_dad: bool) -> Result<(), CniError> {
    // Neighbours learn at once that an address has moved to a new pod.
    let _ = sysctl::write(&format!("net/ipv4/conf/{ifname}/arp_notify"), "1");
    let dad = if enable_dad { "1" } else { "0" };
    if has_v6 {
        for dev in ["lo", ifname] {
            let key = format!("net/ipv6/conf/{dev}/disable_ipv6");
            sysctl::write(&key, "0").map_err(kernel_error("IPv6 in the container"))?;
        }
        if enable_dad {
            let _ = sysctl::write(&format!("net/ipv6/conf/{ifname}/enhanced_dad"), dad);
        }
        let _ = sysctl::write(&format!("net/ipv6/conf/{ifname}/accept_dad"), dad);
    }
    Ok(())
}
