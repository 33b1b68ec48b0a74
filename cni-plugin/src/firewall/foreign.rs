//! Rules that the reference plugin made by iptables-nft: found by a container's addresses, and removed as its
//! DEL would.
//!
//! ```text
//! table ip|ip6 filter
//!   CNI-FORWARD   ip daddr <address> ct state related,established … accept
//!                 ip saddr <address> … accept
//! ```
//!
//! The shared chains, and those of its ingress policies, stay, as they do there. What iptables-legacy made is
//! not visible by nftables.

use crate::claims::kernel_error;
use crate::crash;
use crate::types::{CniError, CniResult, ErrorCode};
use netstate::nft::{Change, Family, NftSocket, ObservedRule, TableId};
use std::net::IpAddr;

const CHAIN: &str = "CNI-FORWARD";

/// Whether every address of the result is accepted.
pub(super) fn accepts(nft: &mut NftSocket, result: &CniResult) -> Result<bool, CniError> {
    for ip in &result.ips {
        if rules_of(nft, ip.address.ip())?.1.len() < 2 {
            return Ok(false);
        }
    }
    Ok(!result.ips.is_empty())
}

/// Removes the rules of every address.
pub(super) fn remove(nft: &mut NftSocket, result: &CniResult) -> Result<(), CniError> {
    for ip in &result.ips {
        let (table, rules) = rules_of(nft, ip.address.ip())?;
        let delete = |rule: ObservedRule| Change::DeleteRule(CHAIN.into(), rule.handle);
        let changes: Vec<Change> = rules.into_iter().map(delete).collect();
        let rejected = nft.commit(&table, &changes).map_err(kernel_error(format!("table {table}")))?;
        if let Some(first) = rejected.first() {
            let error = std::io::Error::from_raw_os_error(first.errno);
            let msg =
                format!("the reference plugin's rules of {} in table {table}: {error}", ip.address.ip());
            return Err(CniError::new(
                ErrorCode::Kernel,
                msg,
                "call DEL again: something changed them meanwhile",
            ));
        }
        crash::point("firewall: rules of the reference plugin are gone");
    }
    Ok(())
}

fn rules_of(nft: &mut NftSocket, ip: IpAddr) -> Result<(TableId, Vec<ObservedRule>), CniError> {
    let family = if ip.is_ipv4() { Family::Ip } else { Family::Ip6 };
    let table = TableId { family, name: "filter".into() };
    let failed = || kernel_error(format!("table {table}"));
    if !nft.has_chain(&table, CHAIN).map_err(failed())? {
        return Ok((table, Vec::new()));
    }
    let mut rules = nft.rules(&table, Some(CHAIN)).map_err(failed())?;
    rules.retain(|rule| {
        let one = rule.source.is_some() != rule.destination.is_some();
        one && rule.accepts && (rule.source == Some(ip) || rule.destination == Some(ip))
    });
    Ok((table, rules))
}
