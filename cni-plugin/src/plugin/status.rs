//! STATUS: whether an ADD would be served now, and if not, what to look at.

use super::addressing::{Source, SourceError, ipam_error, overlay_hint};
use super::{Command, Invocation, delegate, kernel_error};
use crate::config::{HostLocal, Ipam, NetworkConfig, SubnetEnvError};
use crate::ipam::Store;
use crate::types::{CniError, ErrorCode};
use netstate::{Kernel, LinkKind};

/// Succeeds if an ADD would find a bridge to use and an address to give.
pub(super) fn status(config: &NetworkConfig, invocation: &Invocation) -> Result<(), CniError> {
    let mut kernel = Kernel::open().map_err(kernel_error("the host's network namespace"))?;
    let bridge = kernel.route.link(&config.bridge).map_err(kernel_error(&config.bridge))?;
    if bridge.as_ref().is_some_and(|link| !matches!(link.kind, LinkKind::Bridge(_))) {
        let msg = format!("the link {} exists and is not a bridge", config.bridge);
        return Err(CniError::new(
            ErrorCode::NotAvailable,
            msg,
            "set \"bridge\" to another name or delete the link",
        ));
    }
    match &config.ipam {
        Ipam::None => Ok(()),
        Ipam::Delegated(plugin) => delegate::run(plugin, Command::Status, config, invocation).map(|_| ()),
        Ipam::HostLocal(block) => has_address(config, block, bridge.is_some()),
    }
}

/// With a bridge from before, containers may be running whose way to other nodes went with the file.
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
