//! The capability `dns`: what the runtime says of name resolution takes the place of what the plugins said.

use crate::config::invalid;
use crate::plugin::Call;
use crate::types::{CniError, CniResult};
use serde::Deserialize;

/// `runtimeConfig.dns`, in the form of CNI's conventions.
#[derive(Deserialize, Default)]
#[serde(default)]
struct RuntimeDns {
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

/// Puts what the runtime says in the place of what the plugins said.
pub(super) fn override_by_runtime(call: &Call, result: &mut CniResult) -> Result<(), CniError> {
    let Some(dns) = call.runtime("dns") else { return Ok(()) };
    let dns = RuntimeDns::deserialize(dns).map_err(|e| invalid("runtimeConfig.dns", e))?;
    for (to, from) in [
        (&mut result.dns.nameservers, dns.servers),
        (&mut result.dns.search, dns.searches),
        (&mut result.dns.options, dns.options),
    ] {
        if !from.is_empty() {
            *to = from;
        }
    }
    Ok(())
}
