//! Which leases become peers, and why the others do not. Pure.
//!
//! One bad lease must not take another's routes (flanneld reads one malformed key as "no leases"),
//! and of two leases with one VTEP MAC only one can work: the older, until somebody acts.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use ipnetwork::IpNetwork;
use netstate::Mac;

use crate::lease::{BackendData, Lease, LeaseValue, Subnets};

/// All leases by key, as the state has them.
pub type Leases = BTreeMap<String, Lease>;

/// A node whose pods are reached through the overlay, in one address family.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Peer {
    /// Its pods.
    pub subnet: IpNetwork,
    /// Its address in the underlay.
    pub public_ip: IpAddr,
    /// Its VXLAN device's MAC.
    pub mac: Mac,
}

/// A lease that is not programmed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rejected {
    /// Its key.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// What is ours and must not be taken for a peer's.
#[derive(Debug, Clone)]
pub struct Ourselves {
    /// Our key.
    pub key: String,
    /// Our value.
    pub value: LeaseValue,
    /// Our subnets.
    pub subnets: Subnets,
    /// Network identifier.
    pub vni: u32,
}

/// The peers, in the order of their subnets, and the leases that cannot be peers.
pub fn peers(leases: &Leases, ours: &Ourselves) -> (Vec<Peer>, Vec<Rejected>) {
    let mut order: Vec<(&String, &Lease)> = leases
        .iter()
        .filter(|(key, lease)| **key != ours.key && !ours.value.same_node(&lease.value))
        .collect();
    order.sort_by_key(|(key, lease)| (lease.created, *key));
    let mut found = Peers {
        ours,
        owners: HashMap::new(),
        subnets: HashMap::new(),
        peers: Vec::new(),
        rejected: Vec::new(),
    };
    let own = [&ours.value.backend_data, &ours.value.backend_v6_data];
    for mac in own.into_iter().flatten().filter_map(BackendData::mac) {
        found.owners.insert(mac, (IpAddr::from([0, 0, 0, 0]), "this node"));
    }
    for (key, lease) in order {
        found.add(key, lease);
    }
    found.peers.sort();
    found.rejected.sort();
    (found.peers, found.rejected)
}

struct Peers<'a> {
    ours: &'a Ourselves,
    /// Which underlay address a MAC leads to, and whose it is.
    owners: HashMap<Mac, (IpAddr, &'a str)>,
    subnets: HashMap<IpNetwork, &'a str>,
    peers: Vec<Peer>,
    rejected: Vec<Rejected>,
}

impl<'a> Peers<'a> {
    fn add(&mut self, key: &'a str, lease: &'a Lease) {
        let value = &lease.value;
        if value.backend_type != "vxlan" {
            return self.reject(key, format!("its backend is `{}`, not vxlan", value.backend_type));
        }
        if lease.subnets.overlaps(&self.ours.subnets) {
            return self.reject(key, "it overlaps this node's subnet".to_owned());
        }
        if let (Some(net), true) = (lease.subnets.v4, self.ours.subnets.v4.is_some()) {
            let public = (!value.public_ip.is_unspecified()).then_some(IpAddr::V4(value.public_ip));
            self.add_family(key, IpNetwork::V4(net), public, value.backend_data.as_ref());
        }
        if let (Some(net), true) = (lease.subnets.v6, self.ours.subnets.v6.is_some()) {
            let public = value.public_ipv6.map(IpAddr::V6);
            self.add_family(key, IpNetwork::V6(net), public, value.backend_v6_data.as_ref());
        }
    }

    fn add_family(
        &mut self,
        key: &'a str,
        subnet: IpNetwork,
        public: Option<IpAddr>,
        data: Option<&BackendData>,
    ) {
        match self.check(subnet, public, data) {
            Ok(peer) => {
                self.owners.insert(peer.mac, (peer.public_ip, key));
                self.subnets.insert(subnet, key);
                self.peers.push(peer);
            }
            Err(reason) => self.reject(key, reason),
        }
    }

    fn check(
        &self,
        subnet: IpNetwork,
        public: Option<IpAddr>,
        data: Option<&BackendData>,
    ) -> Result<Peer, String> {
        let family = if subnet.is_ipv6() { "IPv6" } else { "IPv4" };
        let public_ip = public.ok_or_else(|| format!("it has no {family} public IP"))?;
        let own = [Some(IpAddr::V4(self.ours.value.public_ip)), self.ours.value.public_ipv6.map(IpAddr::V6)];
        if own.into_iter().flatten().chain([public_ip]).any(|ip| subnet.contains(ip)) {
            return Err("its subnet holds a node's public IP: its route would cut the underlay".to_owned());
        }
        let data = data.ok_or_else(|| format!("it has no {family} backend data"))?;
        if data.vni != self.ours.vni {
            return Err(format!("its VNI is {}, ours is {}", data.vni, self.ours.vni));
        }
        let mac = data.mac().ok_or_else(|| format!("its VtepMAC `{}` is no MAC address", data.vtep_mac))?;
        match self.owners.get(&mac) {
            Some((ip, owner)) if *ip != public_ip => Err(format!(
                "its VTEP MAC {mac} is already that of {owner}: one of the two machines is a copy of the other; give it a machine id of its own"
            )),
            _ => match self.subnets.get(&subnet) {
                Some(owner) => Err(format!("its subnet is already that of {owner}")),
                None => Ok(Peer { subnet, public_ip, mac }),
            },
        }
    }

    fn reject(&mut self, key: &str, reason: String) {
        self.rejected.push(Rejected { key: key.to_owned(), reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(key: &str, ip: &str, mac: &str, created: i64) -> (String, Lease) {
        let json = format!(
            r#"{{"PublicIP":"{ip}","PublicIPv6":null,"BackendType":"vxlan","BackendData":{{"VNI":1,"VtepMAC":"{mac}"}}}}"#
        );
        (key.to_owned(), Lease::parse(key, json.as_bytes(), 1, created).unwrap())
    }

    fn ours() -> Ourselves {
        let (key, lease) = lease("10.244.1.0-24", "192.0.2.1", "02:00:00:00:00:01", 1);
        Ourselves { key, value: lease.value, subnets: lease.subnets, vni: 1 }
    }

    #[test]
    fn of_two_leases_with_one_mac_the_older_is_programmed_and_the_other_named() {
        let leases = Leases::from([
            lease("10.244.2.0-24", "192.0.2.2", "02:00:00:00:00:09", 9),
            lease("10.244.3.0-24", "192.0.2.3", "02:00:00:00:00:09", 5),
            lease("10.244.4.0-24", "192.0.2.4", "02:00:00:00:00:01", 6),
            lease("10.244.1.0-24", "192.0.2.1", "02:00:00:00:00:01", 1),
        ]);
        let (peers, rejected) = peers(&leases, &ours());
        assert_eq!(peers.iter().map(|p| p.subnet.to_string()).collect::<Vec<_>>(), ["10.244.3.0/24"]);
        assert_eq!(rejected.len(), 2);
        assert!(rejected[0].reason.contains("10.244.3.0-24"), "{}", rejected[0].reason);
        assert!(rejected[1].reason.contains("this node"), "{}", rejected[1].reason);
    }

    #[test]
    fn a_subnet_of_the_underlay_is_not_routed_into_the_tunnel() {
        let leases = Leases::from([lease("192.0.2.0-24", "192.0.2.2", "02:00:00:00:00:02", 2)]);
        let (peers, rejected) = peers(&leases, &ours());
        assert!(peers.is_empty() && rejected[0].reason.contains("underlay"), "{rejected:?}");
    }

    #[test]
    fn a_bad_lease_takes_nothing_from_a_good_one() {
        let mut bad = lease("10.244.2.0-24", "192.0.2.2", "zz", 2);
        let other_backend = lease("10.244.5.0-24", "192.0.2.5", "02:00:00:00:00:05", 2);
        bad.1.value.weft_node = Some("x".into());
        let mut leases =
            Leases::from([bad, other_backend, lease("10.244.3.0-24", "192.0.2.3", "02:00:00:00:00:03", 3)]);
        leases.get_mut("10.244.5.0-24").unwrap().value.backend_type = "host-gw".into();
        let (peers, rejected) = peers(&leases, &ours());
        assert_eq!((peers.len(), rejected.len()), (1, 2));
    }
}
