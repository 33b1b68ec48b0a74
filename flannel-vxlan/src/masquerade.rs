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

fn chain(
    name: &str,
    kind: ChainKind,
    point: HookPoint,
    priority: i32,
    rules: impl IntoIterator<Item = Rule>,
) -> Chain {
    Chain { name: name.to_owned(), hook: Hook { kind, point, priority }, rules: rules.into_iter().collect() }
}
