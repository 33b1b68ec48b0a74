//! The host's end: it bears the gateways, and the route to each of the container's addresses.

use crate::attach::attempt::Attempt;
use crate::attach::kernel_error;
use crate::crash;
use crate::types::{CniError, ErrorCode};
use ipnetwork::IpNetwork;
use netstate::{Address, DevName, Op, Route, RouteScope};
use std::net::IpAddr;

/// Sets addresses and routes.
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
