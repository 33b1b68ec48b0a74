//! Capabilities about names: `dns` overrides the result's, `aliases` needs a name server that is not in here.

use crate::config::invalid;
use crate::plugin::Call;
use crate::types::{CniError, CniResult, ErrorCode};
use serde::Deserialize;
use serde_json::Value;

/// `runtimeConfig.dns`, in the form of CNI's conventions.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct RuntimeDns {
    servers: Vec<String>,
    searches: Vec<String>,
    options: Vec<String>,
}

/// Puts what the runtime says in the place of what the plugins said.
pub(super) fn override_dns(call: &Call, result: &mut CniResult) -> Result<(), CniError> {
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

/// Names for a container would have to be answered by somebody: none of the plugins in here does.
pub(super) fn refuse_aliases(call: &Call) -> Result<(), CniError> {
    match call.runtime("aliases").and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
        false => Ok(()),
        true => Err(CniError::new(
            ErrorCode::UnsupportedField,
            "runtimeConfig.aliases is set, and weft-cni runs no name server",
            "drop the capability \"aliases\" from its block and give it to a plugin that does, such as dnsname",
        )),
    }
}
