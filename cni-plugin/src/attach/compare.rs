//! What CHECK compares for every attaching plugin: links, addresses, routes and reservations as prevResult tells
//! them, against what is there. The first difference is the error. Nothing is changed.

use super::addressing::{Addressing, ipam_error, key_of};
use super::links::LinkOwner;
use super::{delegate, kernel_error, pod};
use crate::config::{Ipam, NetworkConfig};
use crate::ipam::Store;
use crate::plugin::Call;
use crate::types::{CniError, CniResult, ErrorCode, Interface, IpConfig};
use netstate::{Kernel, Link, LinkKind};
use std::fmt::Display;

/// The error of a difference.
pub(crate) fn differs(object: impl Display, why: impl Display) -> CniError {
    let details = "something changed it since ADD; restarting the pod attaches it anew";
    CniError::new(ErrorCode::CheckFailed, format!("{object}: {why}"), details)
}

/// An attachment as prevResult tells it.
pub(crate) struct Recorded<'a> {
    call: &'a Call,
    result: &'a CniResult,
}

impl<'a> Recorded<'a> {
    /// What a CHECK was told.
    pub fn of(call: &'a Call) -> Result<Self, CniError> {
        Ok(Recorded { call, result: call.required_previous()? })
    }

    /// The interface of that name and place, if it is told of.
    pub fn interface(&self, name: &str, sandbox: &str) -> Option<&'a Interface> {
        self.result.interfaces.iter().find(|i| i.name == name && i.sandbox == sandbox)
    }

    fn in_container(&self) -> String {
        format!("{} in the container", self.call.invocation.ifname)
    }

    /// The container's link, compared.
    pub fn pod_link(&self, kernel: &mut Kernel, must_be_up: bool) -> Result<Link, CniError> {
        let invocation = &self.call.invocation;
        let (name, object) = (&invocation.ifname, self.in_container());
        let link = kernel.route.link(name).map_err(kernel_error(&object))?;
        let link = link.ok_or_else(|| differs(&object, "it does not exist"))?;
        if link.kind != LinkKind::Veth {
            return Err(differs(object, "it is not a veth"));
        }
        if !link.up && must_be_up {
            return Err(differs(object, "it is down"));
        }
        let expected = self.interface(name, &invocation.netns);
        if expected.is_none() && !self.result.interfaces.is_empty() {
            return Err(differs(name, format!("prevResult has no such interface in {}", invocation.netns)));
        }
        as_made(&link, expected, "in the container")?;
        Ok(link)
    }

    /// The host's end of the container's link, compared: its index is what that link knows of its peer. Ours has
    /// a name that can be computed; a reference plugin's is told by prevResult.
    pub fn host_link(&self, kernel: &mut Kernel, pod: &Link) -> Result<Link, CniError> {
        let named = std::iter::once(LinkOwner::of(self.call).host_name());
        let told = self.result.interfaces.iter().filter(|i| i.sandbox.is_empty());
        for name in named.chain(told.map(|i| i.name.clone())) {
            let link = kernel.route.link(&name).map_err(kernel_error(format!("veth {name}")))?;
            let Some(link) = link.filter(|link| pod.parent == Some(link.index)) else { continue };
            if !link.up {
                return Err(differs(format!("veth {name}"), "it is down"));
            }
            as_made(&link, self.interface(&name, ""), "on the host")?;
            return Ok(link);
        }
        Err(differs(self.in_container(), "its other end is not in this host's namespace"))
    }

    /// Addresses that are on this attachment's interface, or that do not say on which.
    pub fn ips(&self) -> impl Iterator<Item = &'a IpConfig> {
        let (interfaces, ifname) = (&self.result.interfaces, &self.call.invocation.ifname);
        self.result.ips.iter().filter(move |ip| match ip.interface.and_then(|at| interfaces.get(at)) {
            Some(interface) => interface.name == *ifname,
            None => true,
        })
    }

    /// The container's addresses, compared.
    pub fn addresses(&self, kernel: &mut Kernel, link: &Link) -> Result<(), CniError> {
        let present = kernel.route.addresses_of(link).map_err(kernel_error(self.in_container()))?;
        match self.ips().find(|ip| !present.iter().any(|a| a.net == ip.address)) {
            None => Ok(()),
            Some(ip) => Err(differs(self.in_container(), format!("the address {} is gone", ip.address))),
        }
    }

    /// The container's routes, compared.
    pub fn routes(&self, kernel: &mut Kernel, link: &Link) -> Result<(), CniError> {
        let routes = kernel.route.routes(std::slice::from_ref(link));
        let present = routes.map_err(kernel_error(self.in_container()))?;
        let addressing = Addressing { ips: self.ips().cloned().collect(), ..Addressing::default() };
        for route in &self.result.routes {
            let wanted = pod::route(route, &self.call.invocation.ifname, &addressing);
            let is_it =
                |r: &netstate::Route| r.dest == wanted.dest && r.via == wanted.via && r.table == wanted.table;
            if !present.iter().any(is_it) {
                let via = wanted.via.map(|via| format!(" via {via}")).unwrap_or_default();
                let why = format!("the route to {}{via} is gone", wanted.dest);
                return Err(differs(self.in_container(), why));
            }
        }
        Ok(())
    }

    /// The reservation of each address, compared; by IPAM's own CHECK where it is another plugin.
    pub fn reservation(&self, config: &NetworkConfig) -> Result<(), CniError> {
        let block = match &config.ipam {
            Ipam::None => return Ok(()),
            Ipam::Delegated(plugin) => return delegate::ipam(plugin, self.call).map(|_| ()),
            Ipam::HostLocal(block) => block,
        };
        let store = Store::open_existing(&block.data_dir, &config.name).map_err(ipam_error)?;
        let reserved = store.map(|s| s.addresses_of(&key_of(self.call))).transpose().map_err(ipam_error)?;
        let reserved = reserved.unwrap_or_default();
        match self.ips().find(|ip| !reserved.contains(&ip.address.ip())) {
            None => Ok(()),
            Some(ip) => {
                let container = &self.call.invocation.container_id;
                let place = block.data_dir.join(&config.name);
                let why = format!("it is not reserved in {}", place.display());
                Err(differs(format!("address {} of container {container}", ip.address), why))
            }
        }
    }
}

/// Compares a link's MAC and MTU with what prevResult has of them.
pub(crate) fn as_made(link: &Link, expected: Option<&Interface>, place: &str) -> Result<(), CniError> {
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
