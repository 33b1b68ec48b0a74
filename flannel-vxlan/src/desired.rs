//! The kernel state that follows from configuration, lease, peers and uplink. Pure.
//!
//! ```text
//! flannel.1  vxlan id 1 local <uplink> dev eth0 dstport 8472 nolearning, mtu uplink − 50, <subnet>.0/32
//! per peer   <subnet> via <subnet>.0 dev flannel.1 onlink      the route
//!            <subnet>.0 lladdr <MAC> permanent                 the neighbour
//!            <MAC> dst <public IP> permanent                   the FDB entry
//! ```
//!
//! The same for IPv6 with `flannel-v6.<VNI>`, /128 and 70 bytes of overhead.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netstate::{
    Address, Desired, DevName, FdbEntry, Mac, Neighbour, NewLink, NewLinkKind, Route, Scope, State, Vxlan,
    owned_alias,
};

use crate::{Uplink, config::NetworkConfig, lease::Subnets, masquerade, peers::Peer};

/// Outer Ethernet, IPv4, UDP and VXLAN headers, bytes (RFC 7348).
const OVERHEAD_V4: u32 = 50;
/// The same with an outer IPv6 header.
const OVERHEAD_V6: u32 = 70;

/// All that the kernel state follows from.
#[derive(Debug, Clone)]
pub struct DesiredInput<'a> {
    /// The network.
    pub config: &'a NetworkConfig,
    /// Our subnets.
    pub subnets: Subnets,
    /// Our devices' MACs: IPv4, IPv6.
    pub macs: (Mac, Mac),
    /// What carries the overlay.
    pub uplink: &'a Uplink,
    /// The other nodes.
    pub peers: &'a [Peer],
    /// Masquerade what leaves the network.
    pub ip_masq: bool,
    /// Something on the node needs connection tracking.
    pub tracked: bool,
}

impl DesiredInput<'_> {
    /// The device for one family.
    pub fn dev(&self, ipv6: bool) -> DevName {
        device_name(self.config.backend.vni, ipv6)
    }

    /// Bytes that fit through the overlay, of the families that are on: the least.
    pub fn mtu(&self) -> u32 {
        let v4 = self.subnets.v4.map(|_| self.device_mtu(false));
        let v6 = self.subnets.v6.map(|_| self.device_mtu(true));
        v4.into_iter().chain(v6).min().unwrap_or(1500 - OVERHEAD_V6)
    }

    fn device_mtu(&self, ipv6: bool) -> u32 {
        let underlay = self.config.backend.mtu.unwrap_or(self.uplink.mtu);
        underlay.saturating_sub(if ipv6 { OVERHEAD_V6 } else { OVERHEAD_V4 })
    }
}

/// flannel's name for the device.
pub(crate) fn device_name(vni: u32, ipv6: bool) -> DevName {
    if ipv6 { format!("flannel-v6.{vni}").into() } else { format!("flannel.{vni}").into() }
}

/// What should be in the kernel.
pub fn desired(input: &DesiredInput<'_>) -> Desired {
    let mut desired = Desired {
        tables: vec![masquerade::table(input.config, &input.subnets, input.ip_masq, input.tracked)],
        scope: Scope { route_networks: networks(input.config), ..Scope::default() },
        ..Desired::default()
    };
    let v4 = input
        .subnets
        .v4
        .map(|net| (IpAddr::V4(net.network()), input.uplink.v4.map(IpAddr::V4), input.macs.0));
    let v6 = input
        .subnets
        .v6
        .map(|net| (IpAddr::V6(net.network()), input.uplink.v6.map(IpAddr::V6), input.macs.1));
    for (address, local, mac) in v4.into_iter().chain(v6) {
        add_device(&mut desired, input, address, local, mac);
    }
    for peer in input.peers {
        add_peer(&mut desired, input, peer);
    }
    desired
}

/// The pods' networks: direct routes into them are ours, on whichever interface.
fn networks(config: &NetworkConfig) -> Vec<IpNetwork> {
    let v4 = config.v4.as_ref().map(|pool| IpNetwork::V4(pool.network));
    let v6 = config.v6.as_ref().map(|pool| IpNetwork::V6(pool.network));
    v4.into_iter().chain(v6).collect()
}

fn add_device(
    desired: &mut Desired,
    input: &DesiredInput<'_>,
    address: IpAddr,
    local: Option<IpAddr>,
    mac: Mac,
) {
    let backend = &input.config.backend;
    let dev = input.dev(address.is_ipv6());
    let vxlan = Vxlan {
        vni: backend.vni,
        port: backend.port,
        local,
        parent: Some(input.uplink.index),
        learning: backend.learning,
        gbp: backend.gbp,
    };
    desired.links.push(NewLink {
        mac: Some(mac),
        mtu: Some(input.device_mtu(address.is_ipv6())),
        up: true,
        alias: Some(owned_alias("flannel", &dev)),
        ..NewLink::of(dev.clone(), NewLinkKind::Vxlan(vxlan))
    });
    desired.addresses.push(Address::of(dev.clone(), IpNetwork::from(address)));
    // A router advertisement from a pod's network must not steer this node.
    desired.sysctls.push((format!("net/ipv6/conf/{dev}/accept_ra"), "0".into()));
    desired.scope.devices.insert(dev);
}

/// What one peer needs. `desired` of one peer alone is what a change of that peer is planned with.
fn add_peer(desired: &mut Desired, input: &DesiredInput<'_>, peer: &Peer) {
    let on_link = input.uplink.networks.iter().any(|net| net.contains(peer.public_ip));
    if input.config.backend.direct_routing && on_link {
        desired.routes.push(Route::of(peer.subnet, input.uplink.dev.clone()).via(peer.public_ip));
        return;
    }
    let dev = input.dev(peer.subnet.is_ipv6());
    let gateway = peer.subnet.network();
    desired.neighbours.push(Neighbour {
        dev: dev.clone(),
        ip: gateway,
        mac: Some(peer.mac),
        permanent: true,
    });
    let entry = FdbEntry { dev: dev.clone(), mac: peer.mac, dst: Some(peer.public_ip), permanent: true };
    if !desired.fdb.iter().rev().take(1).any(|last| *last == entry) {
        desired.fdb.push(entry);
    }
    desired.routes.push(Route::of(peer.subnet, dev).via(gateway).onlink());
}

/// The entries of some peers, as the kernel would show them: what a change is planned against.
pub(crate) fn entries(input: &DesiredInput<'_>, peers: &[Peer]) -> (Desired, State) {
    let mut desired = Desired {
        scope: self::desired(&DesiredInput { peers: &[], ..input.clone() }).scope,
        ..Desired::default()
    };
    for peer in peers {
        add_peer(&mut desired, input, peer);
    }
    let state = State {
        neighbours: desired.neighbours.clone(),
        fdb: desired.fdb.clone(),
        routes: desired.routes.clone(),
        ..State::default()
    };
    (desired, state)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(config: &str) -> (NetworkConfig, Uplink) {
        let uplink = Uplink {
            dev: "eth0".into(),
            index: 2,
            mtu: 1500,
            v4: Some([192, 168, 90, 11].into()),
            v6: Some("fd00::11".parse().unwrap()),
            networks: vec!["192.168.90.11/24".parse().unwrap()],
            reason: String::new(),
            named: false,
        };
        (NetworkConfig::parse(config).unwrap(), uplink)
    }

    fn peer(subnet: &str, ip: &str) -> Peer {
        Peer { subnet: subnet.parse().unwrap(), public_ip: ip.parse().unwrap(), mac: Mac([2, 0, 0, 0, 0, 9]) }
    }

    const DUAL: &str = r#"{"Network":"10.244.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:10:244::/48","Backend":{"Type":"vxlan","DirectRouting":DIRECT}}"#;

    fn input<'a>(config: &'a NetworkConfig, uplink: &'a Uplink, peers: &'a [Peer]) -> DesiredInput<'a> {
        let subnets = Subnets::parse("10.244.1.0-24&fd00:10:244:1::-64").unwrap();
        DesiredInput {
            config,
            subnets,
            macs: (Mac([2; 6]), Mac([4; 6])),
            uplink,
            peers,
            ip_masq: true,
            tracked: false,
        }
    }

    #[test]
    fn a_peer_is_a_route_a_neighbour_and_an_fdb_entry_as_flannels() {
        let (config, uplink) = fixture(&DUAL.replace("DIRECT", "false"));
        let peers = [peer("10.244.33.0/24", "192.168.90.13")];
        let desired = desired(&input(&config, &uplink, &peers));
        let text = netstate::plan(&desired, &State::default())
            .iter()
            .map(|op| format!("{op}\n"))
            .collect::<String>();
        for line in [
            "ip link add flannel.1 address 02:02:02:02:02:02 mtu 1450 type vxlan id 1 dstport 8472 local 192.168.90.11 nolearning up",
            "ip link add flannel-v6.1 address 04:04:04:04:04:04 mtu 1430 type vxlan id 1 dstport 8472 local fd00::11 nolearning up",
            "ip address add 10.244.1.0/32 dev flannel.1",
            "ip route replace 10.244.33.0/24 via 10.244.33.0 dev flannel.1 onlink proto 87",
            "ip neighbour replace 10.244.33.0 dev flannel.1 lladdr 02:00:00:00:00:09 nud permanent",
            "bridge fdb replace 02:00:00:00:00:09 dev flannel.1 self dst 192.168.90.13 permanent",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn fault_11_the_mtu_of_dual_stack_is_the_lesser() {
        let (config, uplink) = fixture(&DUAL.replace("DIRECT", "false"));
        assert_eq!(input(&config, &uplink, &[]).mtu(), 1430);
    }

    #[test]
    fn direct_routing_is_for_peers_on_the_link_only() {
        let (config, uplink) = fixture(&DUAL.replace("DIRECT", "true"));
        let peers = [peer("10.244.2.0/24", "192.168.90.12"), peer("10.244.3.0/24", "192.168.91.13")];
        let desired = desired(&input(&config, &uplink, &peers));
        assert_eq!(desired.routes[0].to_string(), "10.244.2.0/24 via 192.168.90.12 dev eth0 proto 87");
        assert_eq!((desired.fdb.len(), desired.neighbours.len(), desired.routes.len()), (1, 1, 2));
    }

    #[test]
    fn fault_7_a_peers_new_mac_takes_the_old_fdb_entry_away() {
        let (config, uplink) = fixture(&DUAL.replace("DIRECT", "false"));
        let old = [peer("10.244.2.0/24", "192.168.90.12")];
        let new = [Peer { mac: Mac([2, 0, 0, 0, 0, 7]), ..old[0].clone() }];
        let input = input(&config, &uplink, &[]);
        let ops = netstate::plan(&entries(&input, &new).0, &entries(&input, &old).1);
        let text: Vec<String> = ops.iter().map(ToString::to_string).collect();
        assert!(
            text.contains(
                &"bridge fdb delete 02:00:00:00:00:09 dev flannel.1 self dst 192.168.90.12 permanent"
                    .to_owned()
            ),
            "{text:?}"
        );
        assert_eq!(
            text.len(),
            3,
            "old FDB entry out, new neighbour and FDB entry in; the route stays: {text:?}"
        );
    }
}
