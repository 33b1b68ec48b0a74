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
use crate::types::{CniError, ErrorCode};
use netstate::nft::{Change, Family, NftSocket, TableId};
use std::collections::BTreeSet;

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
        let rejected = nft.commit(&table, &changes).map_err(kernel_error(format!("table {table}")))?;
        if let Some(first) = rejected.first() {
            let error = std::io::Error::from_raw_os_error(first.errno);
            let msg =
                format!("the reference plugin's rules of {} in table {table}: {error}", owner.container);
            return Err(CniError::new(
                ErrorCode::Kernel,
                msg,
                "call DEL again: something changed them meanwhile",
            ));
        }
        crash::point("portmap: rules of the reference plugin are gone");
    }
    Ok(())
}

fn find(nft: &mut NftSocket, owner: &Owner) -> Result<Vec<(TableId, Vec<Change>)>, CniError> {
    let mut found = Vec::new();
    for family in FAMILIES {
        let nat = TableId { family, name: "nat".into() };
        let changes = iptables(nft, &nat, owner)?;
        found.extend((!changes.is_empty()).then_some((nat, changes)));
        let own = TableId { family, name: "cni_hostport".into() };
        let changes = nftables(nft, &own, owner)?;
        found.extend((!changes.is_empty()).then_some((own, changes)));
    }
    Ok(found)
}

fn iptables(nft: &mut NftSocket, table: &TableId, owner: &Owner) -> Result<Vec<Change>, CniError> {
    let failed = || kernel_error(format!("table {table}"));
    if !nft.has_chain(table, TOP).map_err(failed())? {
        return Ok(Vec::new());
    }
    let rules = nft.rules(table, Some(TOP)).map_err(failed())?;
    let comment = comment(owner);
    let own = rules.iter().filter(|rule| rule.comment == comment && rule.jump.starts_with("CNI-DN-"));
    let chains: BTreeSet<&str> = own.map(|rule| rule.jump.as_str()).collect();
    let jumps = rules.iter().filter(|rule| chains.contains(rule.jump.as_str()));
    let mut changes: Vec<Change> = jumps.map(|rule| Change::DeleteRule(TOP.into(), rule.handle)).collect();
    for chain in chains {
        changes.extend([Change::FlushChain(chain.into()), Change::DeleteChain(chain.into())]);
    }
    Ok(changes)
}

/// iptables takes 255 characters, and so the reference cuts.
fn comment(owner: &Owner) -> String {
    let text = format!("dnat name: \"{}\" id: \"{}\"", owner.network, owner.container);
    match text.len() {
        0..=255 => text,
        _ => format!("{}...", &text[..253]).chars().take(255).collect(),
    }
}

fn nftables(nft: &mut NftSocket, table: &TableId, owner: &Owner) -> Result<Vec<Change>, CniError> {
    let rules = nft.rules(table, None).map_err(kernel_error(format!("table {table}")))?;
    let own = rules
        .into_iter()
        .filter(|rule| rule.comment == owner.container && CHAINS.contains(&rule.chain.as_str()));
    Ok(own.map(|rule| Change::DeleteRule(rule.chain, rule.handle)).collect())
}
