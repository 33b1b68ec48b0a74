//! A container's ports as they are recorded, and the elements that follow from them.

use super::mapping::Mapping;
use super::stale;
use crate::claims::{Body, Claim, Owner, Record};
use netstate::nft::{Element, Value};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::net::IpAddr;

/// What a record says beside whose it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ports {
    /// The ports.
    pub mappings: Vec<Mapping>,
    /// What would be answered past the node is masqueraded.
    pub snat: bool,
    /// Everything is.
    pub masq_all: bool,
    /// The device that leads to the container's IPv4 address, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device4: Option<String>,
    /// The same for IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device6: Option<String>,
}

/// Set names for an address family.
struct Names {
    addresses: &'static str,
    ports: &'static str,
    hairpin: &'static str,
    masquerade: &'static str,
}

const V4: Names =
    Names { addresses: "addresses4", ports: "ports4", hairpin: "hairpin4", masquerade: "masquerade4" };
const V6: Names =
    Names { addresses: "addresses6", ports: "ports6", hairpin: "hairpin6", masquerade: "masquerade6" };

impl Body for Ports {
    const EXCLUSIVE: bool = true;

    fn claims(&self, owner: &Owner) -> Vec<Claim> {
        let comment = owner.comment();
        let mut seen = HashSet::new();
        let mut claims = Vec::new();
        for (set, key, data) in self.mappings.iter().flat_map(|mapping| self.elements(mapping)) {
            if seen.insert((set, key.clone())) {
                let element = Element { key, data, comment: comment.clone() };
                claims.push(Claim { set, element, shared: false });
            }
        }
        claims
    }

    /// Who asked by UDP while the table was away got no answer, and would never get one from the socket that it asked by.
    fn restored(all: &[Record<Self>]) {
        let mappings: Vec<Mapping> = all.iter().flat_map(|record| &record.claims.mappings).copied().collect();
        stale::forget(&mappings, stale::When::New);
    }
}

impl Ports {
    fn elements(&self, mapping: &Mapping) -> Vec<(&'static str, Value, Value)> {
        let Mapping { protocol, host_ip, host_port, container_ip, container_port } = *mapping;
        let (names, device) = match container_ip {
            IpAddr::V4(_) => (V4, &self.device4),
            IpAddr::V6(_) => (V6, &self.device6),
        };
        let number = protocol.number();
        let (set, key) = match host_ip {
            Some(ip) => (names.addresses, Value::empty().address(ip)),
            None => (names.ports, Value::empty()),
        };
        let target = Value::empty().address(container_ip).port(container_port);
        let mut elements = vec![(set, key.protocol(number).port(host_port), target)];
        let at_container = |key: Value| key.address(container_ip).protocol(number).port(container_port);
        match (self.snat, self.masq_all) {
            (false, _) => {}
            (true, true) => {
                elements.push((names.masquerade, at_container(Value::empty()), Value::empty()));
            }
            (true, false) => {
                let hairpin = device.iter().map(|dev| at_container(Value::empty().name(dev)));
                elements.extend(hairpin.map(|key| (names.hairpin, key, Value::empty())));
                if container_ip.is_ipv4() {
                    elements.push(("local4", at_container(Value::empty()), Value::empty()));
                }
            }
        }
        elements
    }
}

#[cfg(test)]
#[path = "ports_tests.rs"]
mod tests;
