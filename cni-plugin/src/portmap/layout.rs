//! The table `inet weft-cni`: sets and rules that are the same however many containers there are.

use ipnetwork::{IpNetwork, Ipv4Network};
use netstate::nft::{ChainKind, Datatype, Family, Field, Hook, HookPoint, Layout, Rule, Set, TableId};
use std::net::Ipv4Addr;

/// nft's names for these numbers are `dstnat` and `srcnat`.
const DSTNAT: i32 = -100;
const SRCNAT: i32 = 100;

/// The bit of the packet's mark that says: translated here. A Service's backend may be a container with a
/// mapped port, and its clients are that Service's business. It is the reference's default, 13; Kubernetes
/// uses 14 and 15.
const MARK: u32 = 1 << DEFAULT_MARK_BIT;
/// The number of that bit.
pub(super) const DEFAULT_MARK_BIT: u32 = 13;

/// The whole table but for its elements.
pub(crate) fn layout() -> Layout {
    let hook = |point, priority| Some(Hook { kind: ChainKind::Nat, point, priority });
    let to_ports = || vec![Rule::all().to_this_host().jump("hostports")];
    Layout {
        table: TableId { family: Family::Inet, name: "weft-cni".into() },
        sets: [false, true].into_iter().flat_map(sets).collect(),
        chains: vec![
            ("hostports".into(), None, [false, true].into_iter().flat_map(translations).collect()),
            ("prerouting".into(), hook(HookPoint::Prerouting, DSTNAT), to_ports()),
            ("output".into(), hook(HookPoint::Output, DSTNAT), to_ports()),
            (
                "postrouting".into(),
                hook(HookPoint::Postrouting, SRCNAT),
                [false, true].into_iter().flat_map(masquerades).collect(),
            ),
        ],
    }
}

fn name(what: &str, ipv6: bool) -> String {
    format!("{what}{}", if ipv6 { 6 } else { 4 })
}

fn sets(ipv6: bool) -> Vec<Set> {
    use Datatype::{Ip4, Ip6, Name, Port, Protocol};
    let ip = if ipv6 { Ip6 } else { Ip4 };
    let set = |what: &str, key: &[Datatype]| Set::of(&name(what, ipv6), key);
    let map = |what: &str, key: &[Datatype]| Set::map(&name(what, ipv6), key, &[ip, Port]);
    let mut sets = vec![
        map("addresses", &[ip, Protocol, Port]),
        map("ports", &[Protocol, Port]),
        set("hairpin", &[Name, ip, Protocol, Port]),
        set("masquerade", &[ip, Protocol, Port]),
    ];
    if !ipv6 {
        sets.push(set("local", &[ip, Protocol, Port]));
    }
    sets
}

/// An address of the node is more than any address.
fn translations(ipv6: bool) -> Vec<Rule> {
    use Field::{DestinationPort, Protocol};
    let address = if ipv6 { Field::Destination6 } else { Field::Destination4 };
    vec![
        Rule::all().dnat_by(ipv6, &[address, Protocol, DestinationPort], &name("addresses", ipv6), MARK),
        Rule::all().dnat_by(ipv6, &[Protocol, DestinationPort], &name("ports", ipv6), MARK),
    ]
}

fn masquerades(ipv6: bool) -> Vec<Rule> {
    use Field::{DestinationPort, InputName, OutputName, Protocol};
    let address = if ipv6 { Field::Destination6 } else { Field::Destination4 };
    let container = [address, Protocol, DestinationPort];
    let translated = || Rule::all().marked(MARK).destination_translated();
    // A packet that is bridged after its translation has no input device here: see `Rule::bridged`.
    let back = |device| [device, address, Protocol, DestinationPort];
    let mut rules = vec![
        translated().in_set(&back(InputName), &name("hairpin", ipv6)).masquerade(),
        translated().bridged().in_set(&back(OutputName), &name("hairpin", ipv6)).masquerade(),
        translated().in_set(&container, &name("masquerade", ipv6)).masquerade(),
    ];
    if !ipv6 {
        rules.push(translated().from(loopback()).in_set(&container, "local4").masquerade());
    }
    rules
}

fn loopback() -> IpNetwork {
    // Prefix length 8 is valid, so the fallback is never taken.
    let base = Ipv4Addr::new(127, 0, 0, 0);
    Ipv4Network::new(base, 8).unwrap_or_else(|_| base.into()).into()
}
