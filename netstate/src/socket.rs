//! The rtnetlink socket: typed lists of what the kernel has.

use netlink_packet_core::{NLM_F_ACK, NLM_F_ECHO};
use netlink_packet_route::RouteNetlinkMessage as Rtnl;
use netlink_sys::protocols::NETLINK_ROUTE;

use crate::{
    Address, FdbEntry, Link, Neighbour, NetNs, Result, Route, Rule,
    channel::{Channel, Traffic},
    message, tc,
};

/// A `NETLINK_ROUTE` socket: lists of links, addresses, routes, rules, neighbours and FDB entries.
///
/// It belongs to the network namespace in which it was opened, whichever thread uses it later.
#[derive(Debug)]
pub struct RouteSocket {
    pub(crate) channel: Channel,
}

impl RouteSocket {
    /// Opens a socket in the calling thread's namespace.
    pub fn open() -> Result<Self> {
        Ok(Self { channel: Channel::open(NETLINK_ROUTE)? })
    }

    /// Opens a socket in `namespace`.
    pub fn open_in(namespace: &NetNs) -> Result<Self> {
        let _entered = namespace.enter()?;
        Self::open()
    }

    /// What this socket has done.
    pub fn traffic(&self) -> Traffic {
        self.channel.traffic
    }

    /// All links.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        self.channel.dump("links", message::get_links, message::link)
    }

    /// The link named `name`, if there is one.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>> {
        if name.is_empty() || name.len() > 15 {
            return Ok(None); // no device can have that name; the kernel would answer EINVAL
        }
        let found = self.channel.get("link", message::get_link(name), &[libc::ENODEV])?;
        Ok(found.and_then(message::link))
    }

    /// The link of that index, if there is one.
    pub fn link_at(&mut self, index: u32) -> Result<Option<Link>> {
        if index == 0 {
            return Ok(None); // the kernel would take it for a request without a device
        }
        let found = self.channel.get("link", message::get_link_at(index), &[libc::ENODEV])?;
        Ok(found.and_then(message::link))
    }

    /// The qdisc at a hook of `link`; `None` for the kernel's own that nobody set.
    pub fn qdisc_of(&mut self, link: &Link, hook: tc::Hook) -> Result<Option<tc::Qdisc>> {
        let request = Rtnl::GetQueueDiscipline(tc::wire::qdisc_at(link.index, hook));
        // Older kernels answer only to ECHO; of a built-in qdisc some send nothing but the acknowledgement.
        let flags = NLM_F_ECHO | NLM_F_ACK;
        let found = self.channel.get_with("qdisc", request, flags, &[libc::ENOENT, libc::ENODEV])?;
        let found = found.and_then(|m| tc::wire::read_qdisc(m, &link.name));
        // What the kernel put there by itself has no handle.
        Ok(found.filter(|qdisc| qdisc.handle.major != 0))
    }

    /// The htb classes of `link`.
    pub fn classes_of(&mut self, link: &Link) -> Result<Vec<tc::Class>> {
        let request = || tc::wire::get_classes(link.index);
        self.channel.dump("classes", request, |m| tc::wire::read_class(m, &link.name))
    }

    /// The u32 filters of a qdisc of `link`. `targets` names the devices that they may redirect to.
    pub fn filters_of(
        &mut self,
        link: &Link,
        parent: tc::Handle,
        targets: &[Link],
    ) -> Result<Vec<tc::Filter>> {
        let request = || tc::wire::get_filters(link.index, parent);
        self.channel.dump("filters", request, |m| tc::wire::read_filter(m, &link.name, targets))
    }

    /// Addresses of all devices, of both families. `links` names the devices.
    pub fn addresses(&mut self, links: &[Link]) -> Result<Vec<Address>> {
        self.channel.dump("addresses", message::get_addresses, |m| message::address(m, links))
    }

    /// Addresses of one device, of both families: the cost does not grow with the node's pods.
    pub fn addresses_of(&mut self, link: &Link) -> Result<Vec<Address>> {
        let links = std::slice::from_ref(link);
        let request = || message::get_addresses_of(link.index);
        self.channel.dump("addresses", request, |m| message::address(m, links))
    }

    /// Unicast routes of all tables, of both families, but for the kernel's local table.
    pub fn routes(&mut self, links: &[Link]) -> Result<Vec<Route>> {
        let mut found =
            self.channel.dump("IPv4 routes", || message::get_routes(false), |m| message::route(m, links))?;
        found.extend(self.channel.dump(
            "IPv6 routes",
            || message::get_routes(true),
            |m| message::route(m, links),
        )?);
        Ok(found)
    }

    /// The route that the kernel would take to `dest`.
    pub fn route_to(&mut self, dest: std::net::IpAddr, links: &[Link]) -> Result<Option<Route>> {
        let absent = [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL];
        let found = self.channel.get("route", message::get_route_to(dest), &absent)?;
        Ok(found.and_then(|m| message::resolved_route(m, links)))
    }

    /// Whether packets to `dest` end in this host; `false` also where there is no route.
    pub fn is_local(&mut self, dest: std::net::IpAddr) -> Result<bool> {
        Ok(self.chosen_way(dest)?.is_some_and(|(local, _)| local))
    }

    /// The device by which packets to `dest` leave. One route is asked for, and no list of links; the name by
    /// an ioctl, because rtnetlink's answer waits for whoever changes a link anywhere on the machine.
    pub fn device_to(&mut self, dest: std::net::IpAddr) -> Result<Option<crate::DevName>> {
        let Some((_, index)) = self.chosen_way(dest)? else { return Ok(None) };
        match self.channel.name_of_device(index) {
            Ok(name) => Ok(Some(name.as_str().into())),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(source) => Err(crate::Error::Socket { action: "ask for a device's name", source }),
        }
    }

    fn chosen_way(&mut self, dest: std::net::IpAddr) -> Result<Option<(bool, u32)>> {
        let absent = [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL];
        let found = self.channel.get("route", message::get_route_to(dest), &absent)?;
        Ok(found.and_then(message::chosen_way))
    }

    /// Policy routing rules of both families.
    pub fn rules(&mut self) -> Result<Vec<Rule>> {
        let mut found = self.channel.dump("IPv4 rules", || message::get_rules(false), message::rule)?;
        found.extend(self.channel.dump("IPv6 rules", || message::get_rules(true), message::rule)?);
        Ok(found)
    }

    /// Neighbours of all devices, of both families.
    pub fn neighbours(&mut self, links: &[Link]) -> Result<Vec<Neighbour>> {
        self.channel.dump("neighbours", message::get_neighbours, |m| message::neighbour(m, links))
    }

    /// Forwarding database entries of VXLAN devices and bridges.
    pub fn fdb(&mut self, links: &[Link]) -> Result<Vec<FdbEntry>> {
        self.channel.dump("FDB entries", message::get_fdb, |m| message::fdb(m, links))
    }
}
