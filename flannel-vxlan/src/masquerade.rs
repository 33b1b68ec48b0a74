//! The nftables table `weft-flannel`: pod traffic that leaves the network is masqueraded, what stays
//! in it passes no NAT rule, and no connection tracking while nothing on the node needs that.
//!
//! ```text
//! pod → pod       prerouting raw: notrack ──────────────────────────► untracked: no NAT chain is asked
//! outer UDP 8472  prerouting/output raw: notrack
//! pod → outside   postrouting nat: masquerade (first packet only)
//! ```
//!
//! A nat chain makes the kernel track every packet of the namespace; `notrack` takes pod-to-pod
//! traffic and its outer packets out again. Where another program translates or filters by
//! connection state (kube-proxy, portmap, a firewall), replies of its connections look like
//! pod-to-pod traffic, so that there everything stays tracked.
//!
//! The masquerade rules are flannel's (`pkg/trafficmngr/nftables`), in its order.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netstate::nft::{Chain, ChainKind, Family, Hook, HookPoint, Rule, Table, TableId};

use crate::{config::NetworkConfig, lease::Subnets};

/// The table's name.
pub(crate) const TABLE: &str = "weft-flannel";
/// What kube-proxy marks packets with that it masquerades itself.
const KUBE_PROXY_MASQUERADE_MARK: u32 = 0x4000;

/// Names the table.
pub(crate) fn table_id() -> TableId {
    TableId { family: Family::Inet, name: TABLE.to_owned() }
}

/// The table for this node.
pub(crate) fn table(config: &NetworkConfig, ours: &Subnets, ip_masq: bool, tracked: bool) -> Table {
    let mut families: Vec<(IpNetwork, IpNetwork, IpNetwork)> = Vec::new();
    let multicast = |text: &str| text.parse().expect("a constant network");
    if let (Some(pool), Some(subnet)) = (&config.v4, ours.v4) {
        families.push((pool.network.into(), subnet.into(), multicast("224.0.0.0/4")));
    }
    if let (Some(pool), Some(subnet)) = (&config.v6, ours.v6) {
        families.push((pool.network.into(), subnet.into(), multicast("ff00::/8")));
    }
    let mut chains = Vec::new();
    if !tracked {
        let pods =
            families.iter().map(|(network, ..)| Rule::all().from(*network).to(*network).notrack().accept());
        // `accept` ends this chain's look at the packet: notrack alone would ask the next rules too.
        let outer = Rule::all().udp_to(config.backend.port).notrack().accept();
        chains.push(chain(
            "prerouting",
            ChainKind::Filter,
            HookPoint::Prerouting,
            -300,
            pods.chain([outer.clone()]),
        ));
        chains.push(chain("output", ChainKind::Filter, HookPoint::Output, -300, [outer]));
    }
    let forward = families
        .iter()
        .flat_map(|(network, ..)| [Rule::all().from(*network).accept(), Rule::all().to(*network).accept()]);
    chains.push(chain("forward", ChainKind::Filter, HookPoint::Forward, 0, forward));
    if ip_masq {
        let first = Rule::all().marked(KUBE_PROXY_MASQUERADE_MARK).return_();
        let rules = families.iter().flat_map(|(network, subnet, multicast)| {
            [
                Rule::all().from(*subnet).to(*network).return_(),
                Rule::all().from(*network).to(*subnet).return_(),
                Rule::all().not_from(*subnet).to(*subnet).return_(),
                Rule::all().from(*network).not_to(*multicast).masquerade_fully_random(),
                Rule::all().not_from(*network).to(*network).masquerade_fully_random(),
            ]
        });
        chains.push(chain(
            "postrouting",
            ChainKind::Nat,
            HookPoint::Postrouting,
            100,
            std::iter::once(first).chain(rules),
        ));
    }
    Table { id: table_id(), chains }
}

/// Whether a UDP flow from one address to another, as it leaves, is one that the rules above masquerade. Connection
/// tracking has flows that began while they were missing as they were then, for as long as their clients go on sending.
pub(crate) fn is_masqueraded(config: &NetworkConfig, ours: &Subnets, from: IpAddr, to: IpAddr) -> bool {
    let within = |net: Option<IpNetwork>, ip| net.is_some_and(|net| net.contains(ip));
    let (network, subnet) = match from {
        IpAddr::V4(_) => (config.v4.as_ref().map(|pool| pool.network.into()), ours.v4.map(Into::into)),
        IpAddr::V6(_) => (config.v6.as_ref().map(|pool| pool.network.into()), ours.v6.map(Into::into)),
    };
    let to_pod = within(network, to);
    match within(network, from) {
        true => !to_pod && !to.is_multicast(),
        false => to_pod && !within(subnet, to),
    }
}

fn chain(
    name: &str,
    kind: ChainKind,
    point: HookPoint,
    priority: i32,
    rules: impl IntoIterator<Item = Rule>,
) -> Chain {
    Chain { name: name.to_owned(), hook: Hook { kind, point, priority }, rules: rules.into_iter().collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_rules_masquerade_is_told_by_addresses() {
        let config = NetworkConfig::parse(
            r#"{"Network":"10.244.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:10:244::/48","Backend":{"Type":"vxlan"}}"#,
        );
        let (config, ours) = (config.unwrap(), Subnets::parse("10.244.1.0-24&fd00:10:244:1::-64").unwrap());
        for (from, to, masqueraded) in [
            ("10.244.1.5", "192.0.2.1", true),
            ("10.244.1.5", "10.244.2.5", false),
            ("10.244.1.5", "10.244.1.6", false),
            ("10.244.1.5", "224.0.0.251", false),
            ("192.0.2.1", "10.244.1.5", false),
            ("192.0.2.1", "10.244.2.5", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("fd00:10:244:1::5", "2001:db8::1", true),
            ("fd00:10:244:1::5", "fd00:10:244:2::5", false),
        ] {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            assert_eq!(is_masqueraded(&config, &ours, from, to), masqueraded, "{from} to {to}");
        }
    }
}
