//! CHECK: compares everything that ADD made, as prevResult tells it, with the kernel and the store.

use super::host::route_to;
use crate::attach::compare::{Recorded, differs};
use crate::attach::{kernel_error, pod};
use crate::config::NetworkConfig;
use crate::plugin::Call;
use crate::types::CniError;
use netstate::{Kernel, Link};

/// Succeeds if the attachment is as ADD left it.
pub(super) fn check(config: &NetworkConfig, call: &Call) -> Result<(), CniError> {
    let recorded = Recorded::of(call)?;
    let netns = pod::open(&call.invocation.netns)?;
    recorded.reservation(config)?;
    let mut host = Kernel::open().map_err(kernel_error("the host's network namespace"))?;
    let mut inside = Kernel::open_in(&netns).map_err(kernel_error("the container"))?;
    let link = recorded.pod_link(&mut inside, true)?;
    let end = recorded.host_link(&mut host, &link)?;
    check_host_end(&mut host, &end, &recorded)?;
    recorded.addresses(&mut inside, &link)?;
    recorded.routes(&mut inside, &link)
}

fn check_host_end(kernel: &mut Kernel, end: &Link, recorded: &Recorded) -> Result<(), CniError> {
    let object = format!("veth {}", end.name);
    let addresses = kernel.route.addresses_of(end).map_err(kernel_error(&object))?;
    let routes = kernel.route.routes(std::slice::from_ref(end)).map_err(kernel_error(&object))?;
    for ip in recorded.ips() {
        if ip.gateway.is_some_and(|gateway| !addresses.iter().any(|a| a.net.ip() == gateway)) {
            return Err(differs(object, format!("the gateway of {} is gone", ip.address)));
        }
        let wanted = route_to(ip.address.ip(), &end.name);
        let is_it = |r: &netstate::Route| r.dest == wanted.dest && r.via.is_none() && r.table == wanted.table;
        if !routes.iter().any(is_it) {
            return Err(differs(object, format!("the route to {} is gone", wanted.dest)));
        }
    }
    Ok(())
}
