//! STATUS: whether an ADD would be served now, and if not, what to look at.

use crate::attach::{availability, kernel_error};
use crate::config::NetworkConfig;
use crate::plugin::Call;
use crate::types::{CniError, ErrorCode};
use netstate::{Kernel, LinkKind};

/// Succeeds if an ADD would find a bridge to use and an address to give.
pub(super) fn status(config: &NetworkConfig, call: &Call) -> Result<(), CniError> {
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
    availability::check(config, call, bridge.is_some())
}
