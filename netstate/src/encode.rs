//! An operation as an rtnetlink request.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage as Rtnl,
    address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope},
    link::{
        AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoBridge, InfoBridgePort, InfoData, InfoKind,
        InfoPortData, InfoPortKind, InfoVeth, InfoVxlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
    },
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
    route::{RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteScope as Scope, RouteType},
    rule::{RuleAction, RuleAttribute, RuleMessage},
};

use crate::{
    Address, BridgePort, FdbEntry, LinkChange, Neighbour, NetNsTarget, NewLink, NewLinkKind, Op, Route,
    RouteScope, Rule, Vxlan,
    channel::Request,
    message::{family, route_address},
    tc::wire,
};

impl Op {
    /// A second request for the same operation, to be sent once the first has succeeded: on a link
    /// of that name that somebody else made, it would put our tag on what is not ours.
    pub(crate) fn follow_up(&self) -> Option<Request> {
        let Self::AddLink(link) = self else { return None };
        finished_link(link).map(|message| Request::of(Rtnl::NewLink(message), 0))
    }

    /// The rtnetlink request; `None` for operations that go another way. `index` holds the indexes
    /// of [`Self::devices`].
    pub(crate) fn request(&self, index: [u32; 2]) -> Option<Request> {
        let create = NLM_F_CREATE | NLM_F_EXCL;
        let replace = NLM_F_CREATE | NLM_F_REPLACE;
        Some(match self {
            Self::AddLink(link) => Request::of(Rtnl::NewLink(new_link(link, index[0])), create),
            Self::ChangeLink(change) => Request::of(Rtnl::NewLink(changed_link(change, index)), 0),
            Self::DeleteLink(_) => {
                let mut message = LinkMessage::default();
                message.header.index = index[0];
                Request::of(Rtnl::DelLink(message), 0)
            }
            Self::AddAddress(a) => Request::of(Rtnl::NewAddress(address(a, index[0])), create),
            Self::DeleteAddress(a) => Request::of(Rtnl::DelAddress(address(a, index[0])), 0),
            Self::ReplaceRoute(r) => Request::of(Rtnl::NewRoute(route(r, index[0])), replace),
            Self::DeleteRoute(r) => Request::of(Rtnl::DelRoute(route(r, index[0])), 0),
            Self::AddRule(r) => Request::of(Rtnl::NewRule(rule(r)), create),
            Self::DeleteRule(r) => Request::of(Rtnl::DelRule(rule(r)), 0),
            Self::ReplaceNeighbour(n) => Request::of(Rtnl::NewNeighbour(neighbour(n, index[0])), replace),
            Self::DeleteNeighbour(n) => Request::of(Rtnl::DelNeighbour(neighbour(n, index[0])), 0),
            Self::ReplaceFdb(e) => Request::of(Rtnl::NewNeighbour(fdb(e, index[0])), replace),
            Self::DeleteFdb(e) => Request::of(Rtnl::DelNeighbour(fdb(e, index[0])), 0),
            Self::AddQdisc(q) => Request::of(Rtnl::NewQueueDiscipline(wire::qdisc(q, index[0])), create),
            Self::DeleteQdisc { hook, .. } => {
                Request::of(Rtnl::DelQueueDiscipline(wire::qdisc_at(index[0], *hook)), 0)
            }
            Self::AddClass(c) => Request::of(Rtnl::NewTrafficClass(wire::class(c, index[0])), create),
            Self::AddFilter(f) => Request::of(Rtnl::NewTrafficFilter(wire::filter(f, index)), create),
            Self::WriteSysctl { .. } | Self::ReplaceTable(_) | Self::DeleteTable(_) => return None,
        })
    }
}

/// What the kernel does not take when it makes a link: alias and port attributes.
fn finished_link(link: &NewLink) -> Option<LinkMessage> {
    if link.alias.is_none() && link.port.is_none() {
        return None;
    }
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(link.name.to_string()));
    message.attributes.extend(link.alias.clone().map(LinkAttribute::IfAlias));
    message.attributes.extend(link.port.map(port_info));
    Some(message)
}

fn port_info(port: BridgePort) -> LinkAttribute {
    LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(port_data(port))),
    ])
}

fn netns_attribute(target: NetNsTarget) -> LinkAttribute {
    match target {
        NetNsTarget::Fd(fd) => LinkAttribute::NetNsFd(fd),
        NetNsTarget::Pid(pid) => LinkAttribute::NetNsPid(pid),
    }
}

fn set_up(message: &mut LinkMessage, up: bool) {
    message.header.change_mask |= LinkFlags::Up;
    if up {
        message.header.flags |= LinkFlags::Up;
    }
}

fn new_link(link: &NewLink, master: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    if link.up {
        set_up(&mut message, true);
    }
    let attributes = &mut message.attributes;
    attributes.push(LinkAttribute::IfName(link.name.to_string()));
    attributes.extend(link.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    attributes.extend(link.mtu.map(LinkAttribute::Mtu));
    attributes.extend(link.txqlen.map(LinkAttribute::TxQueueLen));
    if link.master.is_some() {
        attributes.push(LinkAttribute::Controller(master));
    }
    attributes.push(LinkAttribute::LinkInfo(link_info(link)));
    message
}

fn link_info(link: &NewLink) -> Vec<LinkInfo> {
    match &link.kind {
        NewLinkKind::Veth(peer) => {
            let mut message = LinkMessage::default();
            let attributes = &mut message.attributes;
            attributes.push(LinkAttribute::IfName(peer.name.to_string()));
            attributes.extend(peer.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
            attributes.extend(peer.mtu.map(LinkAttribute::Mtu));
            attributes.extend(link.txqlen.map(LinkAttribute::TxQueueLen));
            attributes.extend(peer.netns.map(netns_attribute));
            vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(message)))]
        }
        NewLinkKind::Bridge(bridge) => {
            let mut info = vec![LinkInfo::Kind(InfoKind::Bridge)];
            if let Some(on) = bridge.vlan_filtering {
                info.push(LinkInfo::Data(InfoData::Bridge(vec![InfoBridge::VlanFiltering(on)])));
            }
            info
        }
        NewLinkKind::Ifb => vec![LinkInfo::Kind(InfoKind::Ifb)],
        NewLinkKind::Vxlan(vxlan) => {
            vec![LinkInfo::Kind(InfoKind::Vxlan), LinkInfo::Data(InfoData::Vxlan(vxlan_data(vxlan)))]
        }
    }
}

fn vxlan_data(vxlan: &Vxlan) -> Vec<InfoVxlan> {
    let mut data = vec![
        InfoVxlan::Id(vxlan.vni),
        InfoVxlan::Port(vxlan.port),
        InfoVxlan::Learning(vxlan.learning),
        InfoVxlan::UDPCsum(true),
    ];
    match vxlan.local {
        Some(IpAddr::V4(v4)) => data.push(InfoVxlan::Local(v4)),
        Some(IpAddr::V6(v6)) => data.push(InfoVxlan::Local6(v6)),
        None => {}
    }
    data.extend(vxlan.parent.map(InfoVxlan::Link));
    if vxlan.gbp {
        data.push(InfoVxlan::Gbp);
    }
    data
}

fn port_data(port: BridgePort) -> Vec<InfoBridgePort> {
    let mut data = Vec::new();
    data.extend(port.hairpin.map(InfoBridgePort::HairpinMode));
    data.extend(port.isolated.map(InfoBridgePort::Isolated));
    data
}

fn changed_link(change: &LinkChange, index: [u32; 2]) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index[0];
    if let Some(up) = change.up {
        set_up(&mut message, up);
    }
    if let Some(on) = change.promiscuous {
        message.header.change_mask |= LinkFlags::Promisc;
        message.header.flags.set(LinkFlags::Promisc, on);
    }
    if let Some(on) = change.all_multicast {
        message.header.change_mask |= LinkFlags::Allmulti;
        message.header.flags.set(LinkFlags::Allmulti, on);
    }
    let attributes = &mut message.attributes;
    attributes.extend(change.name.as_ref().map(|name| LinkAttribute::IfName(name.to_string())));
    attributes.extend(change.mtu.map(LinkAttribute::Mtu));
    attributes.extend(change.txqlen.map(LinkAttribute::TxQueueLen));
    attributes.extend(change.mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    attributes.extend(change.alias.clone().map(LinkAttribute::IfAlias));
    attributes.extend(change.netns.map(netns_attribute));
    if let Some(master) = &change.master {
        attributes.push(LinkAttribute::Controller(if master.is_some() { index[1] } else { 0 }));
    }
    attributes.extend(change.port.map(port_info));
    if change.no_link_local {
        let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]));
    }
    message
}

fn address(address: &Address, index: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address.net.is_ipv6());
    message.header.prefix_len = address.net.prefix();
    message.header.index = index;
    if address.link_scope {
        message.header.scope = AddressScope::Link;
    }
    message.attributes.push(AddressAttribute::Local(address.net.ip()));
    message.attributes.push(AddressAttribute::Address(address.net.ip()));
    if let (true, ipnetwork::IpNetwork::V4(net)) = (address.broadcast, address.net) {
        message.attributes.push(AddressAttribute::Broadcast(net.broadcast()));
    }
    let mut flags = AddressFlags::empty();
    flags.set(AddressFlags::Nodad, address.nodad && address.net.is_ipv6());
    flags.set(AddressFlags::Noprefixroute, address.no_prefix_route);
    if !flags.is_empty() {
        message.attributes.push(AddressAttribute::Flags(flags));
    }
    message
}

fn route(route: &Route, index: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = family(route.dest.is_ipv6());
    header.destination_prefix_length = route.dest.prefix();
    header.protocol = route.protocol.into();
    header.kind = RouteType::Unicast;
    header.table = u8::try_from(route.table).unwrap_or(0);
    // IPv6 knows no scopes; an IPv4 route without gateway is on the link.
    header.scope = match route.scope {
        RouteScope::Global if route.via.is_none() && !route.dest.is_ipv6() => Scope::Link,
        RouteScope::Global => Scope::Universe,
        RouteScope::Link => Scope::Link,
        RouteScope::Host => Scope::Host,
    };
    if route.onlink {
        header.flags |= RouteFlags::Onlink;
    }
    let attributes = &mut message.attributes;
    if route.dest.prefix() > 0 {
        attributes.push(RouteAttribute::Destination(route_address(route.dest.network())));
    }
    if route.table > u32::from(u8::MAX) {
        attributes.push(RouteAttribute::Table(route.table));
    }
    if route.dev.is_some() {
        attributes.push(RouteAttribute::Oif(index));
    }
    attributes.extend(route.via.map(|ip| RouteAttribute::Gateway(route_address(ip))));
    attributes.extend(route.source.map(|ip| RouteAttribute::PrefSource(route_address(ip))));
    if route.metric != 0 {
        attributes.push(RouteAttribute::Priority(route.metric));
    }
    attributes.extend(route.mtu.map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)])));
    message
}

fn rule(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    let header = &mut message.header;
    header.family = family(rule.ipv6);
    header.action = RuleAction::ToTable;
    header.table = u8::try_from(rule.table).unwrap_or(0);
    header.src_len = rule.from.map_or(0, |net| net.prefix());
    header.dst_len = rule.to.map_or(0, |net| net.prefix());
    let attributes = &mut message.attributes;
    attributes.push(RuleAttribute::Priority(rule.priority));
    attributes.push(RuleAttribute::Table(rule.table));
    attributes.push(RuleAttribute::Protocol(rule.protocol.into()));
    attributes.extend(rule.from.map(|net| RuleAttribute::Source(net.ip())));
    attributes.extend(rule.to.map(|net| RuleAttribute::Destination(net.ip())));
    if let Some((mark, mask)) = rule.mark {
        attributes.push(RuleAttribute::FwMark(mark));
        attributes.push(RuleAttribute::FwMask(mask));
    }
    message
}

fn neighbour_address(ip: IpAddr) -> NeighbourAddress {
    match ip {
        IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
        IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
    }
}

fn neighbour(neighbour: &Neighbour, index: u32) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(neighbour.ip.is_ipv6());
    message.header.ifindex = index;
    message.header.state =
        if neighbour.permanent { NeighbourState::Permanent } else { NeighbourState::Reachable };
    message.header.kind = RouteType::Unicast;
    message.attributes.push(NeighbourAttribute::Destination(neighbour_address(neighbour.ip)));
    message.attributes.extend(neighbour.mac.map(|mac| NeighbourAttribute::LinkLayerAddress(mac.0.to_vec())));
    message
}

fn fdb(entry: &FdbEntry, index: u32) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = index;
    message.header.flags = NeighbourFlags::Own;
    message.header.state =
        if entry.permanent { NeighbourState::Permanent } else { NeighbourState::Reachable };
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(entry.mac.0.to_vec()));
    message.attributes.extend(entry.dst.map(|ip| NeighbourAttribute::Destination(neighbour_address(ip))));
    message
}
