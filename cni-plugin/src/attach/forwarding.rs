//! Forwarding between the containers' links and the node's.

use super::kernel_error;
use crate::crash;
use crate::types::CniError;
use netstate::sysctl;
use std::net::IpAddr;

/// Switches it on for the families of these addresses; what is on is only read.
pub(crate) fn enable(addresses: impl Iterator<Item = IpAddr> + Clone) -> Result<(), CniError> {
    let keys = [
        (addresses.clone().any(|a| a.is_ipv4()), "net/ipv4/ip_forward"),
        (addresses.clone().any(|a| a.is_ipv6()), "net/ipv6/conf/all/forwarding"),
    ];
    for (_, key) in keys.iter().filter(|(wanted, _)| *wanted) {
        if sysctl::write(key, "1").map_err(kernel_error("forwarding"))? {
            crash::point("add: forwarding is on");
        }
    }
    Ok(())
}
