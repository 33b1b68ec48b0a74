//! What a lab consists of, as plain values: places, the cables between them, and who has which address.
//!
//! ```text
//! one NAT network                                  --nat-clones
//!
//! outside 203.0.113.2                              outside 203.0.113.2
//!   │ wan0                                           │ wan0   │          │
//! gateway 203.0.113.1, masquerades                 nat-1 .101  nat-2 .102  nat-3 .103   masquerade
//!   │ nat0 10.0.2.1                                  │ 10.0.2.2 │ 10.0.2.2 │ 10.0.2.2
//!   ├───────────┬───────────┐                      eth0 10.0.2.15 on every node
//! eth0 .15    eth0 .24    eth0 .25                 eth1 192.168.56.15  .24  .25
//! k8s-node1   k8s-node2   k8s-node3                  └── hostonly0 192.168.56.1 (switch)
//! ```
//!
//! `--nat-clones` is what three VirtualBox machines with a NAT card and a host-only card have: the default
//! route leads out by an interface whose address is the same on all. Pure; scales with the number of nodes.

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The server outside of the NAT network, by family.
pub const OUTSIDE: [&str; 2] = ["203.0.113.2", "2001:db8:203::2"];
/// Pods get their addresses from here.
pub const POD_NETWORKS: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/48"];
/// As many nodes as the NAT network has room for.
pub const MOST_NODES: u8 = 64;

const NAT: [&str; 2] = ["10.0.2.", "fd00:10:0:2::"];
const CLONE: [&str; 2] = ["10.0.2.", "fd17:625c:f037:2::"];
const HOST_ONLY: [&str; 2] = ["192.168.56.", "fd00:192:168:56::"];
const WAN: [&str; 2] = ["203.0.113.", "2001:db8:203::"];
const LENGTHS: [u8; 2] = [24, 64];

/// What a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The internet.
    Outside,
    /// Masquerades a NAT network.
    Gateway,
    /// Carries the network between nodes whose first interface is a NAT of their own.
    Switch,
    /// A machine of the cluster.
    Node,
}

/// A namespace with its own view of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its host name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// A bridge that it holds, with the bridge's addresses.
    pub bridge: Option<(&'static str, Vec<IpNetwork>)>,
    /// Gateways of its default routes.
    pub default_via: Vec<IpAddr>,
    /// What leaves by this device is masqueraded.
    pub masquerade: Option<&'static str>,
    /// The addresses by which the other places know it; of a node, what its VXLAN packets come from.
    pub addresses: Vec<IpAddr>,
    /// What the outside sees when pods of this node speak to it.
    pub seen_outside: Vec<IpAddr>,
}

/// One end of a cable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Name of the place.
    pub place: String,
    /// Name of the device.
    pub dev: String,
    /// Addresses of the device.
    pub addresses: Vec<IpNetwork>,
    /// The bridge that it is a port of.
    pub master: Option<&'static str>,
}

/// A veth pair between two places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cable {
    /// One end.
    pub a: End,
    /// The other.
    pub b: End,
}

/// A whole lab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// In the order in which they are made.
    pub places: Vec<Place>,
    /// In the order in which they are laid.
    pub cables: Vec<Cable>,
}

impl Topology {
    /// A lab of so many nodes on one NAT network, or each behind a NAT of its own.
    pub fn of(nodes: u8, nat_clones: bool) -> Topology {
        let outside = place("outside", Role::Outside, Some(("wan0", nets(WAN, 2))), ips(WAN, 2));
        let mut lab = Topology { places: vec![outside], cables: Vec::new() };
        if nat_clones {
            lab.add_clones(nodes)
        } else {
            lab.add_one_network(nodes)
        }
        lab
    }

    /// The nodes.
    pub fn nodes(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|p| p.role == Role::Node)
    }

    /// The place on the nodes' own network that is no node: it sees their packets before any NAT.
    pub fn neighbour(&self) -> Option<&Place> {
        let on_network = |role| self.places.iter().find(|p| p.role == role);
        on_network(Role::Switch).or_else(|| on_network(Role::Gateway))
    }

    fn add_one_network(&mut self, nodes: u8) {
        let mut gateway = place("gateway", Role::Gateway, Some(("nat0", nets(NAT, 1))), ips(NAT, 1));
        gateway.masquerade = Some("out0");
        self.places.push(gateway);
        self.cables.push(wan_cable("gateway", 1));
        for i in 1..=nodes {
            let name = node_name(i);
            let mut node = place(&name, Role::Node, None, ips(NAT, node_number(i)));
            node.default_via = ips(NAT, 1);
            node.seen_outside = ips(WAN, 1);
            self.places.push(node);
            self.cables.push(Cable {
                a: end("gateway", &name, Vec::new(), Some("nat0")),
                b: end(&name, "eth0", nets(NAT, node_number(i)), None),
            });
        }
    }

    fn add_clones(&mut self, nodes: u8) {
        let bridge = Some(("hostonly0", nets(HOST_ONLY, 1)));
        self.places.push(place("switch", Role::Switch, bridge, ips(HOST_ONLY, 1)));
        for i in 1..=nodes {
            let (name, nat) = (node_name(i), format!("nat-{i}"));
            let mut gateway = place(&nat, Role::Gateway, None, ips(CLONE, 2));
            gateway.masquerade = Some("out0");
            let mut node = place(&name, Role::Node, None, ips(HOST_ONLY, node_number(i)));
            node.default_via = ips(CLONE, 2);
            node.seen_outside = ips(WAN, 100 + i);
            self.places.extend([gateway, node]);
            self.cables.push(wan_cable(&nat, 100 + i));
            self.cables.push(Cable {
                a: end(&nat, "nat0", nets(CLONE, 2), None),
                b: end(&name, "eth0", nets(CLONE, 15), None),
            });
            self.cables.push(Cable {
                a: end("switch", &name, Vec::new(), Some("hostonly0")),
                b: end(&name, "eth1", nets(HOST_ONLY, node_number(i)), None),
            });
        }
    }
}

/// k8s-node1, k8s-node2, …
pub fn node_name(i: u8) -> String {
    format!("k8s-node{i}")
}

/// The last part of a node's address: 15, 24, 25, 26, …
fn node_number(i: u8) -> u8 {
    if i == 1 { 15 } else { 22 + i }
}

fn place(name: &str, role: Role, bridge: Option<(&'static str, Vec<IpNetwork>)>, at: Vec<IpAddr>) -> Place {
    Place {
        name: name.to_owned(),
        role,
        bridge,
        default_via: Vec::new(),
        masquerade: None,
        addresses: at,
        seen_outside: Vec::new(),
    }
}

fn end(place: &str, dev: &str, addresses: Vec<IpNetwork>, master: Option<&'static str>) -> End {
    End { place: place.to_owned(), dev: dev.to_owned(), addresses, master }
}

fn wan_cable(place: &str, number: u8) -> Cable {
    Cable {
        a: end(place, "out0", nets(WAN, number), None),
        b: end("outside", place, Vec::new(), Some("wan0")),
    }
}

/// The addresses of both families that end in the same digits; the prefixes above are all well-formed.
fn ips(prefixes: [&str; 2], number: u8) -> Vec<IpAddr> {
    prefixes.iter().filter_map(|prefix| format!("{prefix}{number}").parse().ok()).collect()
}

fn nets(prefixes: [&str; 2], number: u8) -> Vec<IpNetwork> {
    let addresses = ips(prefixes, number).into_iter().zip(LENGTHS);
    addresses.filter_map(|(ip, length)| IpNetwork::new(ip, length).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn three_nodes_have_the_addresses_of_the_notes() {
        let lab = Topology::of(3, false);
        let have: Vec<_> = lab.nodes().map(|n| (n.name.clone(), n.addresses[0].to_string())).collect();
        let want = [("k8s-node1", "10.0.2.15"), ("k8s-node2", "10.0.2.24"), ("k8s-node3", "10.0.2.25")];
        assert_eq!(have, want.map(|(n, a)| (n.to_owned(), a.to_owned())));
        assert!(lab.nodes().all(|n| n.addresses.len() == 2 && n.default_via.len() == 2));
        assert_eq!(lab.neighbour().unwrap().addresses[0].to_string(), "10.0.2.1");
    }

    #[test]
    fn clones_share_their_first_address_and_nothing_else() {
        let lab = Topology::of(3, true);
        let on = |dev: &str| -> Vec<_> {
            lab.cables.iter().filter(|c| c.b.dev == dev).map(|c| c.b.addresses[0].to_string()).collect()
        };
        assert_eq!(on("eth0"), ["10.0.2.15/24"; 3]);
        assert_eq!(on("eth1"), ["192.168.56.15/24", "192.168.56.24/24", "192.168.56.25/24"]);
        let seen: HashSet<_> = lab.nodes().map(|n| n.seen_outside[0]).collect();
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn every_cable_ends_in_a_place_and_every_name_is_short_enough() {
        for clones in [false, true] {
            let lab = Topology::of(MOST_NODES, clones);
            let names: HashSet<_> = lab.places.iter().map(|p| p.name.as_str()).collect();
            assert_eq!(names.len(), lab.places.len());
            for end in lab.cables.iter().flat_map(|c| [&c.a, &c.b]) {
                assert!(names.contains(end.place.as_str()) && end.dev.len() < 16, "{end:?}");
            }
            let own: HashSet<_> = lab.nodes().flat_map(|n| n.addresses.clone()).collect();
            assert_eq!(own.len(), 2 * usize::from(MOST_NODES));
        }
    }
}
