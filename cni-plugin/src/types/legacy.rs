//! Results of CNI 0.1.0 and 0.2.0: at most one address per family, each with its own routes.
//!
//! ```text
//! {"cniVersion": "0.2.0",
//!  "ip4": {"ip": "10.1.0.5/24", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]},
//!  "ip6": {…}, "dns": {…}}
//! ```
//! Source: <https://github.com/containernetworking/cni/blob/spec-v0.2.0/SPEC.md#result>.

use super::{CniResult, Dns, IpConfig, ResultError, Route, SpecVersion};
use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::IpAddr;

#[derive(Serialize, Deserialize)]
struct Family {
    ip: IpNetwork,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    routes: Option<Vec<Route>>,
}

#[derive(Serialize, Deserialize)]
struct Legacy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ip4: Option<Family>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ip6: Option<Family>,
    #[serde(default)]
    dns: Dns,
}

/// Reads the old form.
pub(super) fn read(value: &Value) -> Result<CniResult, serde_json::Error> {
    if !value.is_object() {
        return Ok(CniResult::default());
    }
    let legacy = Legacy::deserialize(value)?;
    let mut result = CniResult { dns: legacy.dns, ..Default::default() };
    for family in [legacy.ip4, legacy.ip6].into_iter().flatten() {
        result.ips.push(IpConfig { interface: None, address: family.ip, gateway: family.gateway });
        result.routes.extend(family.routes.unwrap_or_default());
    }
    Ok(result)
}

/// Prints the old form, or says what has no place in it.
pub(super) fn write(result: &CniResult, version: SpecVersion) -> Result<Value, ResultError> {
    let family = |is_v4: bool| -> Result<Option<Family>, ResultError> {
        let mut ips = result.ips.iter().filter(|ip| ip.address.is_ipv4() == is_v4);
        let Some(ip) = ips.next() else { return Ok(None) };
        if ips.next().is_some() {
            let what = "there is more than one address of a family";
            return Err(ResultError::Inexpressible { version, what });
        }
        let routes = result.routes.iter().filter(|r| r.dst.is_ipv4() == is_v4);
        let routes: Vec<Route> = routes.map(|r| Route::new(r.dst, r.gw)).collect();
        let routes = (!routes.is_empty()).then_some(routes);
        Ok(Some(Family { ip: ip.address, gateway: ip.gateway, routes }))
    };
    let legacy = Legacy { ip4: family(true)?, ip6: family(false)?, dns: result.dns.clone() };
    serde_json::to_value(legacy).map_err(|source| ResultError::Shape { version: version.to_string(), source })
}
