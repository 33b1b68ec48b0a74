//! Which interface carries the overlay, and the evidence for the choice. Pure but for the lookups
//! that the caller hands in.
//!
//! In NAT labs every node has the same first interface (10.0.2.15) and its default route there; the
//! network between the nodes is on the second. So the default route is the last thing asked: the
//! way to the state is a way that another node shares.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netstate::{DevName, Link, Route, State};

use crate::{Error, Options};

/// The interface that carries the overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// Its name.
    pub dev: DevName,
    /// Its index.
    pub index: u32,
    /// Bytes.
    pub mtu: u32,
    /// The outer source address, IPv4.
    pub v4: Option<Ipv4Addr>,
    /// The outer source address, IPv6.
    pub v6: Option<Ipv6Addr>,
    /// What is on this link, for direct routing.
    pub networks: Vec<IpNetwork>,
    /// Why this one.
    pub reason: String,
    /// Somebody named it, so that nothing we see later changes the choice.
    pub named: bool,
}

/// What the choice rests on.
pub struct Choice<'a> {
    /// Links and addresses.
    pub state: &'a State,
    /// The kernel's route to an address.
    pub route_to: &'a mut dyn FnMut(IpAddr) -> Option<Route>,
    /// A peer's underlay address, once one is known.
    pub peer: Option<IpAddr>,
    /// The families that the network has.
    pub families: (bool, bool),
}

/// Chooses the interface.
pub fn choose(options: &Options, choice: &mut Choice<'_>) -> Result<Uplink, Error> {
    if let Some(found) = named(options, choice)? {
        return Ok(found);
    }
    let peer = choice.peer.map(|ip| (ip, "it routes to the first peer"));
    let endpoints = options.endpoints.iter().map(|ip| (*ip, "it routes to the state at"));
    for (ip, why) in peer.into_iter().chain(endpoints) {
        if let Some(dev) = towards(ip, choice) {
            return complete(&dev, format!("{why} {ip}"), false, options, choice);
        }
    }
    let any = if choice.families.0 {
        IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1))
    } else {
        IpAddr::V6(Ipv6Addr::new(0x2606, 0x4700, 0, 0, 0, 0, 0, 0x1111))
    };
    let route = (choice.route_to)(any).and_then(|route| route.dev);
    let dev = route.ok_or_else(|| {
        Error::Uplink("there is no default route, and the state's address is this host's".into())
    })?;
    complete(&dev, "it has the default route".into(), false, options, choice)
}

/// By `--iface`, `--iface-regex` and `--iface-can-reach`, in flanneld's order.
fn named(options: &Options, choice: &mut Choice<'_>) -> Result<Option<Uplink>, Error> {
    let mut missing = Vec::new();
    for wanted in &options.iface {
        match by_name_or_address(wanted, choice.state) {
            Some(dev) => {
                return complete(&dev, format!("--iface {wanted} names it"), true, options, choice).map(Some);
            }
            None => missing.push(format!("--iface {wanted}")),
        }
    }
    for pattern in &options.iface_regex {
        let found = choice.state.links.iter().find(|link| {
            let addresses = choice.state.addresses.iter().filter(|a| a.dev == link.name);
            pattern.is_match(&link.name)
                || addresses.into_iter().any(|a| pattern.is_match(&a.net.ip().to_string()))
        });
        match found {
            Some(link) => {
                let dev = link.name.clone();
                return complete(&dev, format!("--iface-regex {pattern} fits it"), true, options, choice)
                    .map(Some);
            }
            None => missing.push(format!("--iface-regex {pattern}")),
        }
    }
    if let Some(ip) = options.iface_can_reach {
        let dev = (choice.route_to)(ip).and_then(|route| route.dev);
        let dev = dev.ok_or_else(|| Error::Uplink(format!("no route to --iface-can-reach {ip}")))?;
        return complete(&dev, format!("--iface-can-reach {ip}"), true, options, choice).map(Some);
    }
    if missing.is_empty() {
        return Ok(None);
    }
    let there: Vec<&str> = choice.state.links.iter().map(|link| &*link.name).collect();
    Err(Error::Uplink(format!("nothing fits {}; there are {}", missing.join(", "), there.join(", "))))
}

fn by_name_or_address(wanted: &str, state: &State) -> Option<DevName> {
    match wanted.parse::<IpAddr>() {
        Ok(ip) => state.addresses.iter().find(|a| a.net.ip() == ip).map(|a| a.dev.clone()),
        Err(_) => state.link(wanted).map(|link| link.name.clone()),
    }
}

/// The interface towards `ip`; where that is this host itself, the one that has the address, and
/// nothing for loopback addresses, which every host has.
fn towards(ip: IpAddr, choice: &mut Choice<'_>) -> Option<DevName> {
    if ip.is_loopback() {
        return None;
    }
    if let Some(own) = choice.state.addresses.iter().find(|a| a.net.ip() == ip) {
        let loopback = choice.state.link(&own.dev).is_some_and(|link| link.loopback);
        return (!loopback).then(|| own.dev.clone());
    }
    let dev = (choice.route_to)(ip)?.dev?;
    let loopback = choice.state.link(&dev).is_some_and(|link| link.loopback);
    (!loopback).then_some(dev)
}

fn complete(
    dev: &DevName,
    reason: String,
    named: bool,
    options: &Options,
    choice: &Choice<'_>,
) -> Result<Uplink, Error> {
    let link: &Link = choice.state.link(dev).ok_or_else(|| Error::Uplink(format!("{dev} is gone")))?;
    let on_dev = || choice.state.addresses.iter().filter(|a| a.dev == *dev && !a.link_scope);
    let wanted: Option<IpAddr> = options.iface.iter().find_map(|text| text.parse().ok());
    let mut v4 = None;
    let mut v6 = None;
    for address in on_dev() {
        match address.net.ip() {
            IpAddr::V4(ip) if v4.is_none() || wanted == Some(IpAddr::V4(ip)) => v4 = Some(ip),
            IpAddr::V6(ip) if v6.is_none() || wanted == Some(IpAddr::V6(ip)) => v6 = Some(ip),
            _ => {}
        }
    }
    for (needed, has, family) in
        [(choice.families.0, v4.is_some(), "IPv4"), (choice.families.1, v6.is_some(), "IPv6")]
    {
        if needed && !has {
            return Err(Error::Uplink(format!(
                "{dev} ({reason}) has no {family} address, but the network has {family}"
            )));
        }
    }
    let networks = on_dev().map(|a| a.net).collect();
    Ok(Uplink { dev: dev.clone(), index: link.index, mtu: link.mtu, v4, v6, networks, reason, named })
}

/// The interface as `state` has it now; `None` where it is gone or lost an address that is in use.
pub(crate) fn refresh(uplink: &Uplink, state: &State) -> Option<Uplink> {
    let link = state.link(&uplink.dev)?;
    let networks: Vec<IpNetwork> =
        state.addresses.iter().filter(|a| a.dev == uplink.dev && !a.link_scope).map(|a| a.net).collect();
    let has = |ip: Option<IpAddr>| ip.is_none_or(|ip| networks.iter().any(|net| net.ip() == ip));
    let whole = has(uplink.v4.map(IpAddr::V4)) && has(uplink.v6.map(IpAddr::V6));
    whole.then(|| Uplink { index: link.index, mtu: link.mtu, networks, ..uplink.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use netstate::{Address, LinkKind};

    fn state() -> State {
        let link = |index, name: &str| Link {
            index,
            name: name.into(),
            mac: None,
            mtu: 1500,
            up: true,
            carrier: true,
            loopback: name == "lo",
            master: None,
            alias: None,
            parent: None,
            parent_netnsid: None,
            promiscuous: false,
            all_multicast: false,
            txqlen: 0,
            port: None,
            kind: LinkKind::Plain,
        };
        State {
            links: vec![link(1, "lo"), link(2, "eth0"), link(3, "eth1")],
            addresses: vec![
                Address::of("lo", "127.0.0.1/8".parse().unwrap()),
                Address::of("eth0", "10.0.2.15/24".parse().unwrap()),
                Address::of("eth1", "192.168.56.15/24".parse().unwrap()),
            ],
            ..State::default()
        }
    }

    fn options() -> Options {
        Options {
            etcd_prefix: String::new(),
            endpoints: vec![],
            iface: vec![],
            iface_regex: vec![],
            iface_can_reach: None,
            public_ip: None,
            public_ipv6: None,
            ip_masq: true,
            subnet_file: "/x".into(),
            renew_margin: std::time::Duration::ZERO,
            take_over: false,
            node_name: "n".into(),
            boot_id: "b".into(),
            machine_id: "m".into(),
        }
    }

    /// As in a NAT lab: the default route is by eth0, 192.168.56.0/24 by eth1.
    fn lab_route(ip: IpAddr) -> Option<Route> {
        let dev = if ip.to_string().starts_with("192.168.56.") { "eth1" } else { "eth0" };
        Some(Route::of(IpNetwork::from(ip), dev))
    }

    fn chosen(options: &Options, peer: Option<&str>) -> Result<Uplink, Error> {
        let peer = peer.map(|ip| ip.parse().unwrap());
        choose(
            options,
            &mut Choice { state: &state(), route_to: &mut lab_route, peer, families: (true, false) },
        )
    }

    #[test]
    fn without_flags_the_way_to_the_state_is_chosen_even_on_the_states_own_host() {
        for endpoint in ["192.168.56.24", "192.168.56.15"] {
            let options = Options { endpoints: vec![endpoint.parse().unwrap()], ..options() };
            assert_eq!(&*chosen(&options, None).unwrap().dev, "eth1", "{endpoint}");
        }
    }

    #[test]
    fn a_state_on_loopback_says_nothing_until_a_peer_is_known() {
        let options = Options { endpoints: vec!["127.0.0.1".parse().unwrap()], ..options() };
        assert_eq!(&*chosen(&options, None).unwrap().dev, "eth0");
        assert_eq!(&*chosen(&options, Some("192.168.56.24")).unwrap().dev, "eth1");
    }

    #[test]
    fn flags_are_asked_in_flannelds_order_and_name_what_is_missing() {
        let by = |change: &dyn Fn(&mut Options)| {
            let mut o = options();
            change(&mut o);
            chosen(&o, None)
        };
        assert_eq!(
            by(&|o| o.iface = vec!["nope".into(), "192.168.56.15".into()]).unwrap().v4,
            Some(Ipv4Addr::new(192, 168, 56, 15))
        );
        assert_eq!(
            &*by(&|o| o.iface_regex = vec![regex::Regex::new("^192\\.168").unwrap()]).unwrap().dev,
            "eth1"
        );
        assert_eq!(
            &*by(&|o| o.iface_can_reach = Some("192.168.56.77".parse().unwrap())).unwrap().dev,
            "eth1"
        );
        let error = by(&|o| o.iface = vec!["nope".into()]).unwrap_err().to_string();
        assert!(error.contains("nope") && error.contains("eth1") && error.contains("--iface"), "{error}");
    }
}
