//! `ipMasq`: containers reach the outside under the node's address, by nftables.
//!
//! One table per network and subnet, `inet weft-cni-<network>-<subnet>`, with one rule for all its
//! containers, so ADD usually only reads that it is there, DEL has nothing to do, and the number of
//! rules doesn't grow with pods (the reference plugin executes iptables several times for each).
//!
//! ```text
//! chain postrouting { type nat hook postrouting priority srcnat;
//!     ip saddr 10.1.0.0/24 ip daddr != 10.1.0.0/24 ip daddr != 224.0.0.0/4 masquerade }
//! ```

use super::kernel_error;
use crate::config::NetworkConfig;
use crate::crash;
use crate::iptables;
use crate::types::CniError;
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use netstate::Kernel;
use netstate::nft::{Chain, ChainKind, Family, Hook, HookPoint, Rule, Table, TableId};
use std::net::{Ipv4Addr, Ipv6Addr};

/// nft's name for this number is `srcnat`.
const SRCNAT: i32 = 100;

/// Makes the tables be there; one that is right is only read.
pub(crate) fn ensure(
    kernel: &mut Kernel,
    config: &NetworkConfig,
    subnets: &[IpNetwork],
) -> Result<(), CniError> {
    for subnet in subnets {
        let table = table(&config.name, *subnet);
        let failed = || kernel_error(format!("masquerading of {subnet}"));
        let nft = kernel.nft().map_err(failed())?;
        if nft.fingerprint(&table.id).map_err(failed())? != Some(table.fingerprint()) {
            nft.replace(&table).map_err(failed())?;
            crash::point("masquerade: the table is there");
        }
    }
    Ok(())
}

/// Removes the tables of a network that has no attachment left.
pub(crate) fn remove(kernel: &mut Kernel, network: &str, subnets: &[IpNetwork]) -> Result<(), CniError> {
    for subnet in subnets {
        let failed = || kernel_error(format!("masquerading of {subnet}"));
        let id = table(network, *subnet).id;
        kernel.nft().map_err(failed())?.delete(&id).map_err(failed())?;
    }
    Ok(())
}

/// Removes what a reference plugin made for a container's `ipMasq`, by iptables: a rule of POSTROUTING for each of its
/// addresses, and a chain.
pub(crate) fn remove_references(network: &str, container: &str) -> Result<(), CniError> {
    let mut kernel = Kernel::open().map_err(kernel_error("masquerading"))?;
    let nft = kernel.nft().map_err(kernel_error("masquerading"))?;
    let comment = iptables::comment("", network, container);
    for family in [Family::Ip, Family::Ip6] {
        let nat = TableId { family, name: "nat".into() };
        let changes = iptables::jumps(nft, &nat, "POSTROUTING", &comment, "CNI-")?;
        if !changes.is_empty() {
            iptables::remove(nft, &nat, &changes, container)?;
            crash::point("del: the reference plugin's masquerading is gone");
        }
    }
    Ok(())
}

fn table(network: &str, subnet: IpNetwork) -> Table {
    let place = format!("{}-{}", subnet.network(), subnet.prefix()).replace(':', "_");
    let rule = Rule::all().from(subnet).not_to(subnet).not_to(multicast(subnet)).masquerade();
    let hook = Hook { kind: ChainKind::Nat, point: HookPoint::Postrouting, priority: SRCNAT };
    Table {
        id: TableId { family: Family::Inet, name: format!("weft-cni-{network}-{place}") },
        chains: vec![Chain { name: "postrouting".into(), hook, rules: vec![rule] }],
    }
}

/// Groups are not addresses that a node could stand in for.
fn multicast(like: IpNetwork) -> IpNetwork {
    // Prefix lengths 4 and 8 are valid for their families, so the fallbacks are never taken.
    match like {
        IpNetwork::V4(_) => {
            let base = Ipv4Addr::new(224, 0, 0, 0);
            Ipv4Network::new(base, 4).unwrap_or_else(|_| base.into()).into()
        }
        IpNetwork::V6(_) => {
            let base = Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0);
            Ipv6Network::new(base, 8).unwrap_or_else(|_| base.into()).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_as_drawn() {
        let text = table("cbr0", "10.1.0.0/24".parse().unwrap()).to_string();
        assert!(text.contains("inet weft-cni-cbr0-10.1.0.0-24"), "{text}");
        assert!(
            text.contains("ip saddr 10.1.0.0/24 ip daddr != 10.1.0.0/24 ip daddr != 224.0.0.0/4 masquerade"),
            "{text}"
        );
        let text = table("cbr0", "fd00::/64".parse().unwrap()).to_string();
        assert!(text.contains("weft-cni-cbr0-fd00__-64") && text.contains("ip6 daddr != ff00::/8"), "{text}");
    }
}
