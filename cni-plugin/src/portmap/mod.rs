//! The `portmap` plugin: ports of the node lead to ports of a container, by nftables.
//!
//! ```text
//! table inet weft-cni {
//!   map addresses4 { ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }    hostIP, port ► pod
//!   map ports4     { inet_proto . inet_service : ipv4_addr . inet_service }                port ► pod
//!   set hairpin4   { ifname . ipv4_addr . inet_proto . inet_service }     by which device a pod is reached
//!   set local4, masquerade4                                               (and all but local for IPv6)
//!   prerouting, output   fib daddr type local ► hostports ► mark, dnat by the maps
//!   postrouting          marked, ct status dnat, and …
//!                          came in by the device that leads to the pod, hairpin:  masquerade
//!                          was bridged to it (br_netfilter), hairpin:             masquerade
//!                          from 127.0.0.0/8, local:                               masquerade
//!                          masqAll, masquerade:                                   masquerade
//! }
//! ```
//!
//! What comes from outside keeps its source. What would otherwise be answered past this node gets the
//! node's: a client on the pod's own bridge, the pod itself, and a process of the node that asked at
//! 127.0.0.1 (for which `route_localnet` is set on the device, as the reference does).
//!
//! The reference adds some five rules per port, which packets pass one by one; here a packet costs two
//! lookups however many ports are mapped, and an ADD costs its own elements. See [`crate::claims`] for who
//! owns what, and for how a flushed table heals.

mod address;
mod attach;
mod config;
mod foreign;
mod layout;
mod mapping;
mod ports;
mod stale;

use crate::claims::{self, Owner, Records, kernel_error};
use crate::plugin::{Call, Plugin};
use crate::types::{CniError, CniResult, ErrorCode};
use config::Config;
use netstate::nft::{Change, NftSocket, TableId};
use ports::Ports;
use std::path::Path;

/// Where the records are, without `dataDir`.
pub const DATA_DIR: &str = "/var/lib/cni/weft/portmap";

/// The plugin.
pub(crate) struct Portmap;

fn nft() -> Result<NftSocket, CniError> {
    NftSocket::open().map_err(kernel_error("the host's network namespace"))
}

impl Plugin for Portmap {
    fn add(&self, call: &Call) -> Result<CniResult, CniError> {
        let config = Config::read(call)?;
        let previous = call.required_previous()?;
        let pod = address::of_container(previous, &call.invocation.ifname);
        let mappings = mapping::resolve(&config.mappings, &pod);
        match mappings.is_empty() {
            true => attach::detach(&config.data_dir, &Owner::of(call)).map(|_| ())?,
            false => attach::attach(call, &config, mappings)?,
        }
        Ok(previous.clone())
    }

    fn del(&self, call: &Call) -> Result<(), CniError> {
        let owner = Owner::of(call);
        match attach::detach(&config::data_dir_of(&call.raw)?, &owner)? {
            true => Ok(()),
            false => foreign::remove(&mut nft()?, &owner),
        }
    }

    fn check(&self, call: &Call) -> Result<(), CniError> {
        let config = Config::read(call)?;
        let pod = address::of_container(call.required_previous()?, &call.invocation.ifname);
        let mappings = mapping::resolve(&config.mappings, &pod);
        attach::check(&config, &Owner::of(call), &mappings)
    }

    fn gc(&self, call: &Call) -> Result<(), CniError> {
        let valid = call.valid_attachments()?;
        let Some(records) = Records::open_existing(&config::data_dir_of(&call.raw)?)? else { return Ok(()) };
        let wanted = |owner: &Owner| owner.is_in(&valid);
        let (mut nft, layout) = (nft()?, layout::layout());
        let gone = claims::collect::<Ports>(&mut nft, &layout, &records, &call.name, wanted)?;
        let gone: Vec<_> = gone.iter().flat_map(|record| &record.claims.mappings).copied().collect();
        stale::forget(&gone, stale::When::Gone);
        claims::restore::<Ports>(&mut nft, &layout, &records).map(|_| ())
    }

    fn status(&self, call: &Call) -> Result<(), CniError> {
        Config::read(call)?;
        // A table that is there twice is what the transaction is made to fail by: nothing is changed.
        let mut layout = layout::layout();
        layout.table = TableId { name: "weft-cni-status".into(), ..layout.table };
        let mut changes = layout.changes();
        changes.push(Change::NewTable);
        let last = changes.len() - 1;
        let rejected = nft()?.commit(&layout.table, &changes).map_err(|error| unavailable(&error))?;
        match rejected.iter().find(|r| r.at != Some(last)) {
            None => Ok(()),
            Some(r) => {
                let error = std::io::Error::from_raw_os_error(r.errno);
                let step = r.at.map_or_else(String::new, |at| format!(" at {:?}", changes[at]));
                Err(unavailable(&format!("{error}{step} {}", r.said)))
            }
        }
    }
}

fn unavailable(why: &dyn std::fmt::Display) -> CniError {
    let details = "load the kernel's modules nf_nat, nft_chain_nat, nft_nat, nft_masq, nft_fib_inet and nft_ct, or use a \
                   kernel that has them";
    let msg = format!("ports cannot be mapped by nftables here: {why}");
    CniError::new(ErrorCode::NotAvailable, msg, details)
}

/// Puts back what the records of `dir` say and the kernel lacks: after `nft flush ruleset`, or when somebody
/// deleted the table. Answers what was missing, and changes nothing if that is nothing.
pub fn restore(dir: &Path) -> Result<Option<String>, CniError> {
    match Records::open_existing(dir)? {
        None => Ok(None),
        Some(records) => claims::restore::<Ports>(&mut nft()?, &layout::layout(), &records),
    }
}
