//! Between our values and `netlink-packet-route`'s messages: lists in.
//!
//! Each function reads one kind of message, and answers `None` for what is not of that kind or not
//! ours to see (multipath routes, other families). Encoding of changes is in `op.rs`.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage as Rtnl,
    address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope},
    link::{
        InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoVxlan, LinkAttribute,
        LinkExtentMask, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    },
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteScope as Scope, RouteType,
    },
    rule::{RuleAttribute, RuleMessage},
};

use crate::{
    Address, Bridge, BridgePort, DevName, FdbEntry, Link, LinkKind, Mac, Neighbour, Route, RouteScope, Rule,
    Vxlan,
};

pub(crate) fn family(ipv6: bool) -> AddressFamily {
    if ipv6 { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

pub(crate) fn get_links() -> Rtnl {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    Rtnl::GetLink(message)
}

pub(crate) fn get_link(name: &str) -> Rtnl {
    let Rtnl::GetLink(mut message) = get_links() else { unreachable!("get_links makes a GetLink") };
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    Rtnl::GetLink(message)
}

/// Of a route that the kernel chose: whether it ends in this host, and the number of its device.
pub(crate) fn chosen_way(message: Rtnl) -> Option<(bool, u32)> {
    let Rtnl::NewRoute(message) = message else { return None };
    let index = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    Some((message.header.kind == RouteType::Local, index?))
}

pub(crate) fn get_addresses() -> Rtnl {
    Rtnl::GetAddress(AddressMessage::default())
}

/// Of one device: with strict checking (`NETLINK_GET_STRICT_CHK`) the kernel itself leaves the others out.
pub(crate) fn get_addresses_of(index: u32) -> Rtnl {
    let mut message = AddressMessage::default();
    message.header.index = index;
    Rtnl::GetAddress(message)
}

pub(crate) fn get_routes(ipv6: bool) -> Rtnl {
    let mut message = RouteMessage::default();
    message.header.address_family = family(ipv6);
    Rtnl::GetRoute(message)
}

pub(crate) fn get_route_to(dest: IpAddr) -> Rtnl {
    let mut message = RouteMessage::default();
    message.header.address_family = family(dest.is_ipv6());
    message.header.destination_prefix_length = if dest.is_ipv6() { 128 } else { 32 };
    message.attributes.push(RouteAttribute::Destination(route_address(dest)));
    Rtnl::GetRoute(message)
}

pub(crate) fn get_rules(ipv6: bool) -> Rtnl {
    let mut message = RuleMessage::default();
    message.header.family = family(ipv6);
    Rtnl::GetRule(message)
}

pub(crate) fn get_neighbours() -> Rtnl {
    Rtnl::GetNeighbour(NeighbourMessage::default())
}

pub(crate) fn get_fdb() -> Rtnl {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    Rtnl::GetNeighbour(message)
}

pub(crate) fn route_address(ip: IpAddr) -> RouteAddress {
    match ip {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    }
}

fn ip_of_route(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

fn name_of(links: &[Link], index: u32) -> Option<DevName> {
    // The kernel lists links by index, so the search can be binary.
    links.binary_search_by_key(&index, |l| l.index).ok().map(|at| links[at].name.clone())
}

pub(crate) fn link(message: Rtnl) -> Option<Link> {
    let (Rtnl::NewLink(message) | Rtnl::DelLink(message)) = message else { return None };
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        name: "".into(),
        mac: None,
        mtu: 0,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        loopback: message.header.link_layer_type == LinkLayerType::Loopback,
        master: None,
        alias: None,
        parent: None,
        parent_netnsid: None,
        promiscuous: flags.contains(LinkFlags::Promisc),
        port: None,
        kind: LinkKind::Plain,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name.into(),
            LinkAttribute::Address(bytes) => link.mac = Mac::from_slice(&bytes),
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(index) => link.master = Some(index),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::Link(index) => link.parent = Some(index),
            LinkAttribute::LinkNetNsId(id) => link.parent_netnsid = Some(id),
            LinkAttribute::LinkInfo(infos) => (link.kind, link.port) = link_kind(infos),
            _ => {}
        }
    }
    (!link.name.is_empty()).then_some(link)
}

fn link_kind(infos: Vec<LinkInfo>) -> (LinkKind, Option<BridgePort>) {
    let (mut kind, mut port) = (LinkKind::Plain, None);
    for info in infos {
        match info {
            LinkInfo::Kind(InfoKind::Veth) => kind = LinkKind::Veth,
            LinkInfo::Kind(InfoKind::Bridge) => kind = LinkKind::Bridge(Bridge::default()),
            LinkInfo::Kind(InfoKind::Vxlan) => kind = LinkKind::Vxlan(vxlan(&[])),
            LinkInfo::Kind(other) => kind = LinkKind::Other(other.to_string()),
            LinkInfo::Data(InfoData::Vxlan(data)) => kind = LinkKind::Vxlan(vxlan(&data)),
            LinkInfo::Data(InfoData::Bridge(data)) => kind = LinkKind::Bridge(bridge(&data)),
            LinkInfo::PortData(InfoPortData::BridgePort(data)) => port = Some(bridge_port(&data)),
            _ => {}
        }
    }
    (kind, port)
}

fn bridge(data: &[InfoBridge]) -> Bridge {
    let filtering =
        data.iter().find_map(|d| if let InfoBridge::VlanFiltering(on) = d { Some(*on) } else { None });
    Bridge { vlan_filtering: filtering }
}

fn bridge_port(data: &[InfoBridgePort]) -> BridgePort {
    let mut port = BridgePort::default();
    for item in data {
        match item {
            InfoBridgePort::HairpinMode(on) => port.hairpin = Some(*on),
            InfoBridgePort::Isolated(on) => port.isolated = Some(*on),
            _ => {}
        }
    }
    port
}

fn vxlan(data: &[InfoVxlan]) -> Vxlan {
    let mut vxlan = Vxlan { vni: 0, port: 0, local: None, parent: None, learning: false, gbp: false };
    for item in data {
        match item {
            InfoVxlan::Id(vni) => vxlan.vni = *vni,
            InfoVxlan::Port(port) => vxlan.port = *port,
            InfoVxlan::Local(v4) => vxlan.local = Some(IpAddr::V4(*v4)),
            InfoVxlan::Local6(v6) => vxlan.local = Some(IpAddr::V6(*v6)),
            InfoVxlan::Link(index) => vxlan.parent = Some(*index),
            InfoVxlan::Learning(on) => vxlan.learning = *on,
            InfoVxlan::Gbp => vxlan.gbp = true,
            _ => {}
        }
    }
    vxlan
}

pub(crate) fn address(message: Rtnl, links: &[Link]) -> Option<Address> {
    let Rtnl::NewAddress(message) = message else { return None };
    let (mut local, mut broadcast) = (None, false);
    let mut flags = AddressFlags::empty();
    for attribute in &message.attributes {
        match attribute {
            // IFA_LOCAL is the address itself where there is a peer; IPv6 has only IFA_ADDRESS.
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => local = local.or(Some(*ip)),
            AddressAttribute::Broadcast(_) => broadcast = true,
            AddressAttribute::Flags(set) => flags = *set,
            _ => {}
        }
    }
    let net = IpNetwork::new(local?, message.header.prefix_len).ok()?;
    let link_scope = message.header.scope == AddressScope::Link;
    Some(Address {
        dev: name_of(links, message.header.index)?,
        net,
        nodad: flags.contains(AddressFlags::Nodad),
        broadcast,
        no_prefix_route: flags.contains(AddressFlags::Noprefixroute),
        link_scope,
    })
}

pub(crate) fn route(message: Rtnl, links: &[Link]) -> Option<Route> {
    const LOCAL_TABLE: u32 = 255;
    let route = resolved_route(message, links)?;
    (route.table != LOCAL_TABLE).then_some(route)
}

pub(crate) fn resolved_route(message: Rtnl, links: &[Link]) -> Option<Route> {
    let Rtnl::NewRoute(message) = message else { return None };
    let header = &message.header;
    if !matches!(header.kind, RouteType::Unicast | RouteType::Local)
        || header.flags.contains(RouteFlags::Cloned) && header.destination_prefix_length == 0
    {
        return None;
    }
    let ipv6 = header.address_family == AddressFamily::Inet6;
    let any: IpAddr = if ipv6 { IpAddr::from([0u16; 8]) } else { IpAddr::from([0u8; 4]) };
    let mut route = Route {
        dest: IpNetwork::new(any, header.destination_prefix_length).ok()?,
        via: None,
        dev: None,
        onlink: header.flags.contains(RouteFlags::Onlink),
        protocol: header.protocol.into(),
        table: header.table.into(),
        scope: match header.scope {
            Scope::Link => RouteScope::Link,
            Scope::Host => RouteScope::Host,
            _ => RouteScope::Global,
        },
        metric: 0,
        source: None,
        mtu: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(to) => {
                route.dest = IpNetwork::new(ip_of_route(to)?, header.destination_prefix_length).ok()?;
            }
            RouteAttribute::Gateway(ip) => route.via = ip_of_route(ip),
            RouteAttribute::Oif(index) => route.dev = name_of(links, *index),
            RouteAttribute::Table(table) => route.table = *table,
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::PrefSource(ip) => route.source = ip_of_route(ip),
            RouteAttribute::Metrics(metrics) => {
                route.mtu = metrics
                    .iter()
                    .find_map(|m| if let RouteMetric::Mtu(mtu) = m { Some(*mtu) } else { None });
            }
            _ => {}
        }
    }
    Some(route)
}

pub(crate) fn rule(message: Rtnl) -> Option<Rule> {
    let Rtnl::NewRule(message) = message else { return None };
    let header = &message.header;
    let mut rule = Rule {
        priority: 0,
        ipv6: header.family == AddressFamily::Inet6,
        from: None,
        to: None,
        mark: None,
        table: header.table.into(),
        protocol: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Priority(priority) => rule.priority = *priority,
            RuleAttribute::Source(ip) => rule.from = IpNetwork::new(*ip, header.src_len).ok(),
            RuleAttribute::Destination(ip) => rule.to = IpNetwork::new(*ip, header.dst_len).ok(),
            RuleAttribute::Table(table) => rule.table = *table,
            RuleAttribute::FwMark(mark) => rule.mark = Some((*mark, rule.mark.map_or(u32::MAX, |m| m.1))),
            RuleAttribute::FwMask(mask) => rule.mark = Some((rule.mark.map_or(0, |m| m.0), *mask)),
            RuleAttribute::Protocol(protocol) => rule.protocol = (*protocol).into(),
            _ => {}
        }
    }
    Some(rule)
}

pub(crate) fn neighbour(message: Rtnl, links: &[Link]) -> Option<Neighbour> {
    let Rtnl::NewNeighbour(message) = message else { return None };
    let mut found = Neighbour {
        dev: name_of(links, message.header.ifindex)?,
        ip: IpAddr::from([0; 4]),
        mac: None,
        permanent: message.header.state == NeighbourState::Permanent,
    };
    let mut has_ip = false;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(to) => {
                found.ip = ip_of_neighbour(to)?;
                has_ip = true;
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => found.mac = Mac::from_slice(bytes),
            _ => {}
        }
    }
    // Multicast groups that the kernel lists as NOARP are not neighbours.
    (has_ip && message.header.state != NeighbourState::Noarp).then_some(found)
}

fn ip_of_neighbour(address: &NeighbourAddress) -> Option<IpAddr> {
    match address {
        NeighbourAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        NeighbourAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        // In FDB messages the family is AF_BRIDGE, so the codec leaves the bytes alone.
        NeighbourAddress::Other(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(bytes.as_slice()).ok().map(IpAddr::from),
            16 => <[u8; 16]>::try_from(bytes.as_slice()).ok().map(IpAddr::from),
            _ => None,
        },
        _ => None,
    }
}

pub(crate) fn fdb(message: Rtnl, links: &[Link]) -> Option<FdbEntry> {
    let Rtnl::NewNeighbour(message) = message else { return None };
    if !message.header.flags.contains(NeighbourFlags::Own) {
        return None; // what a bridge learned; the copy on the device itself is what we set
    }
    let mut mac = None;
    let mut dst = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok().map(Mac),
            NeighbourAttribute::Destination(to) => dst = ip_of_neighbour(to),
            _ => {}
        }
    }
    let permanent = message.header.state == NeighbourState::Permanent;
    Some(FdbEntry { dev: name_of(links, message.header.ifindex)?, mac: mac?, dst, permanent })
}
