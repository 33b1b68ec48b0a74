//! What is asked, for the addresses that the container has.

use super::config::{Protocol, Wanted};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// A port of the node that leads to a port of the container, in one address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Mapping {
    /// The protocol.
    pub protocol: Protocol,
    /// Of which address of the node; absent: of any.
    #[serde(rename = "hostIP", default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<IpAddr>,
    /// The node's port.
    pub host_port: u16,
    /// The container's address.
    #[serde(rename = "containerIP")]
    pub container_ip: IpAddr,
    /// The container's port.
    pub container_port: u16,
}

/// One mapping for each that is asked and each address that it applies to. An address of the node applies
/// to its own family; the unspecified address is any of its family.
pub(crate) fn resolve(wanted: &[Wanted], container: &[IpAddr]) -> Vec<Mapping> {
    let mut found: Vec<Mapping> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for ip in container {
        for want in wanted {
            if want.host_ip.is_some_and(|host| host.is_ipv4() != ip.is_ipv4()) {
                continue;
            }
            let mapping = Mapping {
                protocol: want.protocol,
                host_ip: want.host_ip.filter(|host| !host.is_unspecified()),
                host_port: want.host_port,
                container_ip: *ip,
                container_port: want.container_port,
            };
            if seen.insert(mapping) {
                found.push(mapping);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn want(host_ip: Option<&str>) -> Wanted {
        Wanted { protocol: Protocol::Tcp, host_ip: host_ip.map(ip), host_port: 8080, container_port: 80 }
    }

    #[test]
    fn an_address_of_the_node_is_of_its_family_only() {
        let pod = [ip("10.1.0.5"), ip("fd00::5")];
        let of = |host_ip| {
            let found = resolve(&[want(host_ip)], &pod);
            found.iter().map(|m| (m.host_ip, m.container_ip.is_ipv4())).collect::<Vec<_>>()
        };
        assert_eq!(of(None), [(None, true), (None, false)]);
        assert_eq!(of(Some("0.0.0.0")), [(None, true)]);
        assert_eq!(of(Some("::")), [(None, false)]);
        assert_eq!(of(Some("192.0.2.1")), [(Some(ip("192.0.2.1")), true)]);
        assert_eq!(of(Some("fd00::1")), [(Some(ip("fd00::1")), false)]);
        assert_eq!(resolve(&[want(None)], &[]), []);
    }

    #[test]
    fn what_is_asked_twice_is_there_once() {
        let twice = [want(None), want(Some("0.0.0.0")), want(None)];
        assert_eq!(resolve(&twice, &[ip("10.1.0.5")]).len(), 1);
    }
}
