//! Rules that reference plugins made by iptables-nft: a rule of a shared chain, with a comment that names the container,
//! jumps to a chain of the container's own.
//!
//! ```text
//! table ip|ip6 nat
//!   <shared>            … /* <comment> */ … jump <own>
//!   <own>               the container's
//! ```
//!
//! Removed as their own DEL would, so that a node changes over with its containers running. Shared chains stay, as
//! they do there. What iptables-legacy made is not visible over netlink.

use crate::plugin::kernel_error;
use crate::types::{CniError, ErrorCode};
use netstate::nft::{Change, NftSocket, TableId};
use std::collections::BTreeSet;

/// What the reference plugins write beside a rule; iptables takes 255 characters, and so they cut.
pub(crate) fn comment(kind: &str, network: &str, container: &str) -> String {
    let text = format!("{kind}name: \"{network}\" id: \"{container}\"");
    match text.len() {
        0..=255 => text,
        _ => format!("{}...", &text[..253]).chars().take(255).collect(),
    }
}

/// The changes that remove a container's rules of a shared chain, and the chains of its own that they jump to.
pub(crate) fn jumps(
    nft: &mut NftSocket,
    table: &TableId,
    shared: &str,
    comment: &str,
    own_prefix: &str,
) -> Result<Vec<Change>, CniError> {
    let failed = || kernel_error(format!("table {table}"));
    if !nft.has_chain(table, shared).map_err(failed())? {
        return Ok(Vec::new());
    }
    let rules = nft.rules(table, Some(shared)).map_err(failed())?;
    let own = rules.iter().filter(|rule| rule.comment == comment && rule.jump.starts_with(own_prefix));
    let chains: BTreeSet<&str> = own.map(|rule| rule.jump.as_str()).collect();
    let jumps = rules.iter().filter(|rule| chains.contains(rule.jump.as_str()));
    let mut changes: Vec<Change> = jumps.map(|rule| Change::DeleteRule(shared.into(), rule.handle)).collect();
    for chain in chains {
        changes.extend([Change::FlushChain(chain.into()), Change::DeleteChain(chain.into())]);
    }
    Ok(changes)
}

/// Makes the changes of a table, all or none.
pub(crate) fn remove(
    nft: &mut NftSocket,
    table: &TableId,
    changes: &[Change],
    container: &str,
) -> Result<(), CniError> {
    let rejected = nft.commit(table, changes).map_err(kernel_error(format!("table {table}")))?;
    match rejected.first() {
        None => Ok(()),
        Some(first) => {
            let error = std::io::Error::from_raw_os_error(first.errno);
            let msg = format!("the reference plugin's rules of {container} in table {table}: {error}");
            Err(CniError::new(ErrorCode::Kernel, msg, "call DEL again: something changed them meanwhile"))
        }
    }
}
