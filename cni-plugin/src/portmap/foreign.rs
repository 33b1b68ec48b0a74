//! Ports that the reference plugin mapped: found, and removed as its DEL would.
//!
//! ```text
//! iptables-nft    table ip|ip6 nat
//!                   CNI-HOSTPORT-DNAT  …/* dnat name: "<network>" id: "<container>" */ … jump CNI-DN-<hash>
//!                   CNI-DN-<hash>      the container's own chain
//! nftables        table ip|ip6 cni_hostport
//!                   hostports, hostip_hostports, masquerading    rules with the container's id as comment
//! ```
//!
//! So a node changes over with its pods running. The shared chains stay, as they do there. What
//! iptables-legacy made is not visible by nftables.

use crate::claims::{Owner, kernel_error};
use crate::crash;
use crate::iptables;
use crate::types::CniError;
use netstate::nft::{Change, Family, NftSocket, TableId};

const TOP: &str = "CNI-HOSTPORT-DNAT";
const FAMILIES: [Family; 2] = [Family::Ip, Family::Ip6];
const CHAINS: [&str; 3] = ["hostports", "hostip_hostports", "masquerading"];

/// Whether there are any of a container.
pub(super) fn has(nft: &mut NftSocket, owner: &Owner) -> Result<bool, CniError> {
    Ok(!find(nft, owner)?.is_empty())
}

/// Removes them.
pub(super) fn remove(nft: &mut NftSocket, owner: &Owner) -> Result<(), CniError> {
    for (table, changes) in find(nft, owner)? {
        iptables::remove(nft, &table, &changes, &owner.container)?;
        crash::point("portmap: rules of the reference plugin are gone");
    }
    Ok(())
}

fn find(nft: &mut NftSocket, owner: &Owner) -> Result<Vec<(TableId, Vec<Change>)>, CniError> {
    let mut found = Vec::new();
    for family in FAMILIES {
        let nat = TableId { family, name: "nat".into() };
        let comment = iptables::comment("dnat ", &owner.network, &owner.container);
        let changes = iptables::jumps(nft, &nat, TOP, &comment, "CNI-DN-")?;
        found.extend((!changes.is_empty()).then_some((nat, changes)));
        let own = TableId { family, name: "cni_hostport".into() };
        let changes = nftables(nft, &own, owner)?;
        found.extend((!changes.is_empty()).then_some((own, changes)));
    }
    Ok(found)
}

fn nftables(nft: &mut NftSocket, table: &TableId, owner: &Owner) -> Result<Vec<Change>, CniError> {
    let rules = nft.rules(table, None).map_err(kernel_error(format!("table {table}")))?;
    let own = rules
        .into_iter()
        .filter(|rule| rule.comment == owner.container && CHAINS.contains(&rule.chain.as_str()));
    Ok(own.map(|rule| Change::DeleteRule(rule.chain, rule.handle)).collect())
}
