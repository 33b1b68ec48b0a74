//! The host's end: it bears the gateways, and the route to each of the container's addresses.

use crate::attach::attempt::Attempt;
use crate::attach::kernel_error;
use crate::crash;
use crate::types::{CniError, ErrorCode};
use ipnetwork::IpNetwork;
use netstate::{Address, DevName, LinkChange, Op, Route, RouteScope, sysctl};
use std::net::IpAddr;

/// Brings it up: before the container's end, as the other order leaves an IPv6 pair without carrier for over a second.
pub(super) fn bring_up(attempt: &mut Attempt) -> Result<(), CniError> {
    let Some(host) = attempt.made.as_ref().map(|pair| pair.host().clone()) else { return Ok(()) };
    // Its link-local address would be tested for a second, and without it the host asks for no neighbour. No IPv6: no
    // such key.
    let _ = sysctl::write(&format!("net/ipv6/conf/{host}/accept_dad"), "0");
    let up = Op::ChangeLink(LinkChange { up: Some(true), ..LinkChange::of(host.clone()) });
    attempt.kernel.apply_all(&[up]).map_err(kernel_error(format!("veth {host}")))
}

/// Gives it addresses and routes.
pub(super) fn configure(attempt: &mut Attempt) -> Result<(), CniError> {
    let Some(host) = attempt.made.as_ref().map(|pair| pair.host().clone()) else { return Ok(()) };
    let mut ops = Vec::new();
    for ip in &attempt.addressing.ips {
        let gateway = ip.gateway.ok_or_else(|| {
            let msg =
                format!("IPAM gave {} without a gateway, by which the container is to send", ip.address);
            CniError::new(ErrorCode::InvalidConfig, msg, "name a gateway in the ipam block")
        })?;
        let bears = Op::AddAddress(Address::of(host.clone(), IpNetwork::from(gateway)));
        // Two addresses of one subnet share a gateway.
        if !ops.contains(&bears) {
            ops.push(bears);
        }
        ops.push(Op::ReplaceRoute(route_to(ip.address.ip(), &host)));
    }
    attempt.kernel.apply_all(&ops).map_err(kernel_error(format!("veth {host}")))?;
    crash::point("add: the host's end has its addresses and routes");
    Ok(())
}

/// The host's route to an address of a container.
pub(super) fn route_to(ip: IpAddr, host: &DevName) -> Route {
    Route { scope: RouteScope::Link, ..Route::of(IpNetwork::from(ip), host.clone()) }
}
