//! Lays the lab's network: bridges, cables, addresses, routes and masquerading, in namespaces of its own.
//!
//! Everything goes through `netstate`; nothing is made in the machine's own namespace. See `topology` for the
//! picture. Scales with the number of nodes: a handful of messages each.

use crate::error::{At, LabError, Result};
use crate::state::Home;
use crate::topology::{Cable, End, OUTSIDE, Place, Role, Topology};
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use netstate::nft::{Chain, ChainKind, Family, Hook, HookPoint, Rule, Table, TableId};
use netstate::{
    Address, Bridge, Kernel, LinkChange, NetNs, NetNsTarget, NewLink, NewLinkKind, Op, Route, VethPeer,
    sysctl,
};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

/// The nftables priority of source address translation.
const SRCNAT: i32 = 100;
/// For all gateways together.
const OUTSIDE_WITHIN: Duration = Duration::from_secs(10);
/// RTPROT_BOOT: what `ip route add` writes.
const BOOT: u8 = 3;

/// Makes the whole network between places that are pinned.
pub fn lay(home: &Home, topology: &Topology) -> Result<()> {
    for place in &topology.places {
        in_place(home, &place.name, || prepare(place))?;
    }
    for cable in &topology.cables {
        lay_cable(home, cable)?;
    }
    for place in &topology.places {
        in_place(home, &place.name, || Kernel::open()?.apply_all(&routes(place)))?;
    }
    Ok(())
}

/// Runs something in a place's network namespace.
pub fn in_place<T: Send>(
    home: &Home,
    place: &str,
    work: impl FnOnce() -> netstate::Result<T> + Send,
) -> Result<T> {
    let namespace = NetNs::open(&home.place(place)?.net()).at(place)?;
    namespace.run(work).and_then(|done| done).at(place)
}

/// What a place needs before its cables: its bridge, forwarding, masquerading.
fn prepare(place: &Place) -> netstate::Result<()> {
    // Bridged frames of the lab's own switches are none of netfilter's business: not the lab's cost is measured.
    for key in ["iptables", "ip6tables", "arptables"] {
        if place.role != Role::Node
            && sysctl::read_if_there(&format!("net/bridge/bridge-nf-call-{key}"))?.is_some()
        {
            sysctl::write(&format!("net/bridge/bridge-nf-call-{key}"), "0")?;
        }
    }
    // The lab gives out its addresses, no two alike. While a router's link-local address is checked, it does not ask
    // for the neighbours of what it forwards: the first packets of a lab would wait two seconds.
    sysctl::write("net/ipv6/conf/default/accept_dad", "0")?;
    let mut ops = Vec::new();
    if place.role == Role::Gateway {
        sysctl::write("net/ipv4/ip_forward", "1")?;
        sysctl::write("net/ipv6/conf/all/forwarding", "1")?;
    }
    if let Some((name, addresses)) = &place.bridge {
        let mut bridge = NewLink::of(*name, NewLinkKind::Bridge(Bridge::default()));
        bridge.up = true;
        ops.push(Op::AddLink(bridge));
        ops.extend(addresses.iter().map(|net| Op::AddAddress(Address::of(*name, *net))));
    }
    if let Some(dev) = place.masquerade {
        ops.push(Op::ReplaceTable(masquerade(dev)));
    }
    Kernel::open()?.apply_all(&ops)
}

fn masquerade(dev: &str) -> Table {
    let hook = Hook { kind: ChainKind::Nat, point: HookPoint::Postrouting, priority: SRCNAT };
    let chain = Chain { name: "postrouting".into(), hook, rules: vec![Rule::all().out_by(dev).masquerade()] };
    Table { id: TableId { family: Family::Inet, name: "weft-lab".into() }, chains: vec![chain] }
}

fn lay_cable(home: &Home, cable: &Cable) -> Result<()> {
    let far = NetNs::open(&home.place(&cable.b.place)?.net()).at(&cable.b.place)?;
    let peer = VethPeer {
        name: cable.b.dev.as_str().into(),
        mac: None,
        mtu: None,
        netns: Some(NetNsTarget::Fd(far.as_fd().as_raw_fd())),
        // The kernel refuses to bring up a veth whose other end does not exist yet.
    };
    let mut near = NewLink::of(cable.a.dev.as_str(), NewLinkKind::Veth(peer));
    near.up = true;
    near.master = cable.a.master.map(Into::into);
    let mut ops = vec![Op::AddLink(near)];
    ops.extend(addresses(&cable.a));
    in_place(home, &cable.a.place, move || Kernel::open()?.apply_all(&ops))?;
    let mut up = LinkChange::of(cable.b.dev.as_str());
    up.up = Some(true);
    up.master = cable.b.master.map(|master| Some(master.into()));
    let mut ops = vec![Op::ChangeLink(up)];
    ops.extend(addresses(&cable.b));
    in_place(home, &cable.b.place, move || Kernel::open()?.apply_all(&ops))
}

fn addresses(end: &End) -> impl Iterator<Item = Op> + '_ {
    end.addresses.iter().map(|net| Op::AddAddress(Address::of(end.dev.as_str(), *net)))
}

/// The default routes; a node's way out is its eth0.
fn routes(place: &Place) -> Vec<Op> {
    let any = |gateway: std::net::IpAddr| -> Option<IpNetwork> {
        match gateway.is_ipv4() {
            true => Ipv4Network::new(Ipv4Addr::UNSPECIFIED, 0).ok().map(IpNetwork::V4),
            false => Ipv6Network::new(Ipv6Addr::UNSPECIFIED, 0).ok().map(IpNetwork::V6),
        }
    };
    let default = |gateway| {
        let net = any(gateway)?;
        // An administrator made it, not a component of Weft: those remove what bears their tag and is not theirs.
        Some(Op::ReplaceRoute(Route { protocol: BOOT, ..Route::of(net, "eth0").via(gateway) }))
    };
    place.default_via.iter().filter_map(|gateway| default(*gateway)).collect()
}

/// Waits until every gateway reaches the load server outside. A veth end whose number happens to be that of its
/// other end is told to its bridge only at the kernel's next round, up to a second later.
pub fn wait_for_outside(home: &Home, topology: &Topology) -> Result<()> {
    let outside = SocketAddr::new(parse_address("outside", OUTSIDE[0])?, crate::load::PORT);
    let start = Instant::now();
    for place in topology.places.iter().filter(|p| p.role == Role::Gateway) {
        let attempt = || Ok(TcpStream::connect_timeout(&outside, Duration::from_millis(100)).is_ok());
        while !in_place(home, &place.name, attempt)? {
            if start.elapsed() > OUTSIDE_WITHIN {
                let what = format!("an answer from outside to {}", place.name);
                return Err(LabError::Late { what, seconds: OUTSIDE_WITHIN.as_secs(), log: None });
            }
        }
    }
    Ok(())
}

/// Takes a node's uplink down or up.
pub fn set_uplink(home: &Home, node: &str, dev: &str, up: bool) -> Result<()> {
    let mut change = LinkChange::of(dev);
    change.up = Some(up);
    in_place(home, node, move || Kernel::open()?.apply_all(&[Op::ChangeLink(change)]))
}

/// Where a node has routes to.
pub fn destinations(home: &Home, node: &str) -> Result<Vec<IpNetwork>> {
    in_place(home, node, || {
        let mut socket = netstate::RouteSocket::open()?;
        let links = socket.links()?;
        Ok(socket.routes(&links)?.into_iter().map(|route| route.dest).collect())
    })
}

/// What a node's overlay has programmed, for `status`.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Overlay {
    /// The node's own pod subnets, as its routes over the overlay's devices leave them out.
    pub devices: Vec<String>,
    /// The subnets of its peers.
    pub peers: Vec<IpNetwork>,
}

/// Looks at a node's overlay devices and the routes over them.
pub fn overlay(home: &Home, node: &str) -> Result<Overlay> {
    in_place(home, node, || {
        let mut socket = netstate::RouteSocket::open()?;
        let links = socket.links()?;
        let ours = |name: &str| name.starts_with("flannel");
        let devices = links.iter().map(|l| l.name.to_string()).filter(|n| ours(n)).collect();
        let through = |r: &Route| r.via.is_some() && r.dev.as_ref().is_some_and(|d| ours(d.as_ref()));
        let mut peers: Vec<_> = socket.routes(&links)?.into_iter().filter(through).map(|r| r.dest).collect();
        peers.sort();
        Ok(Overlay { devices, peers })
    })
}

/// A flag's value that must be an address.
pub fn parse_address(flag: &'static str, text: &str) -> Result<std::net::IpAddr> {
    text.parse().map_err(|_| LabError::Flag { flag, why: format!("{text:?} is no IP address") })
}
