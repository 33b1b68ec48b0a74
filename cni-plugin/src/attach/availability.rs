//! STATUS of addresses: whether an ADD would find one.

use super::addressing::{Source, SourceError, ipam_error, overlay_hint};
use super::delegate;
use crate::config::{HostLocal, Ipam, NetworkConfig, SubnetEnvError};
use crate::ipam::Store;
use crate::plugin::Call;
use crate::types::{CniError, ErrorCode};

/// Succeeds if an ADD would find an address. With `in_use` containers may be running whose way to other nodes
/// went with the subnet file.
pub(crate) fn check(config: &NetworkConfig, call: &Call, in_use: bool) -> Result<(), CniError> {
    match &config.ipam {
        Ipam::None => Ok(()),
        Ipam::Delegated(plugin) => delegate::ipam(plugin, call).map(|_| ()),
        Ipam::HostLocal(block) => has_address(config, block, in_use),
    }
}

fn has_address(config: &NetworkConfig, block: &HostLocal, in_use: bool) -> Result<(), CniError> {
    let source = Source::of(block).map_err(|error| {
        let gone = matches!(error, SourceError::File(SubnetEnvError::Missing(_)));
        let code = if gone && in_use { ErrorCode::NotAvailableLimited } else { ErrorCode::NotAvailable };
        CniError::new(code, format!("no address to give: {error}"), overlay_hint())
    })?;
    let store = Store::open_existing(&block.data_dir, &config.name).map_err(ipam_error)?;
    let Some(store) = store else { return Ok(()) };
    let taken = store.taken_addresses();
    match source.sets.iter().find(|set| set.after(None).all(|(ip, _)| taken.contains(&ip))) {
        None => Ok(()),
        Some(set) => {
            let msg = format!(
                "no free address in {set}: {} reservations in {}",
                taken.len(),
                store.dir().display()
            );
            Err(CniError::new(ErrorCode::NotAvailable, msg, "delete containers, call GC, or widen the range"))
        }
    }
}
