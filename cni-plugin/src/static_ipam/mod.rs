//! The `static` plugin: addresses that the configuration, the caller or the runtime names. Nothing is reserved.
//!
//! | place | what it does |
//! | --- | --- |
//! | `ipam.addresses` | `address` with its prefix length, `gateway` |
//! | CNI_ARGS `IP=a/24,b/64;GATEWAY=c,d` | more of them; a gateway goes to the addresses whose subnet has it |
//! | `args.cni.ips`, then `runtimeConfig.ips` | take the place of all before |

use crate::attach::compare::differs;
use crate::config::{invalid, parse_cni_args};
use crate::plugin::{Call, Plugin};
use crate::types::{CniError, CniResult, Dns, ErrorCode, IpConfig, Route};
use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde_json::Value;
use std::net::IpAddr;

/// The plugin.
pub(crate) struct Static;

#[derive(Deserialize, Default)]
struct Block {
    #[serde(default)]
    addresses: Option<Vec<Address>>,
    #[serde(default)]
    routes: Option<Vec<Route>>,
    #[serde(default)]
    dns: Option<Dns>,
}

#[derive(Deserialize)]
struct Address {
    address: String,
    gateway: Option<IpAddr>,
}

/// What a call asks for.
fn wanted(call: &Call) -> Result<CniResult, CniError> {
    let block = call.raw.get("ipam").filter(|block| block.is_object());
    let block = block.ok_or_else(|| invalid("ipam", "it is missing: static needs \"addresses\" in it"))?;
    let block = Block::deserialize(block).map_err(|e| invalid("ipam", e))?;
    let mut ips = Vec::new();
    for Address { address, gateway } in block.addresses.unwrap_or_default() {
        ips.push(ip("ipam.addresses", &address, gateway)?);
    }
    add_cni_args(&mut ips, &call.invocation.args)?;
    let cni = call.raw.get("args").and_then(|args| args.get("cni"));
    for (place, list) in
        [("args.cni.ips", cni.and_then(|cni| cni.get("ips"))), ("runtimeConfig.ips", call.runtime("ips"))]
    {
        let list = list.and_then(Value::as_array).filter(|list| !list.is_empty());
        if let Some(list) = list {
            let texts = list.iter().map(|item| item.as_str().unwrap_or_default());
            ips = texts.map(|text| ip(place, text, None)).collect::<Result<_, _>>()?;
        }
    }
    let (routes, dns) = (block.routes.unwrap_or_default(), block.dns.unwrap_or_default());
    Ok(CniResult { ips, routes, dns, ..CniResult::default() })
}

fn ip(place: &str, text: &str, gateway: Option<IpAddr>) -> Result<IpConfig, CniError> {
    // Without a length `IpNetwork` takes the whole address for the network, which nobody means.
    let address = text.contains('/').then(|| text.parse::<IpNetwork>().ok()).flatten();
    let address = address
        .ok_or_else(|| invalid(place, format!("{text:?} is no address in CIDR notation, 10.1.0.5/24")))?;
    Ok(IpConfig { interface: None, address, gateway })
}

fn add_cni_args(ips: &mut Vec<IpConfig>, args: &str) -> Result<(), CniError> {
    let pairs = parse_cni_args(args)?;
    let values = |wanted: &'static str| {
        let of = move |(key, value): &(&'_ str, &'_ str)| (*key == wanted).then(|| value.to_string());
        let values: Vec<String> = pairs.iter().filter_map(of).collect();
        let items = values.iter().flat_map(|value| value.split(',')).map(|item| item.trim().to_string());
        items.filter(|item| !item.is_empty()).collect::<Vec<_>>()
    };
    let wrong = |key: &str, value: &str, why: &str| {
        let msg = format!("CNI_ARGS has {key}={value}: {why}");
        CniError::new(ErrorCode::InvalidEnvironment, msg, "correct it where the container is started")
    };
    for text in values("IP") {
        let not_cidr = |_| wrong("IP", &text, "it is no address in CIDR notation, 10.1.0.5/24");
        ips.push(ip("CNI_ARGS", &text, None).map_err(not_cidr)?);
    }
    for text in values("GATEWAY") {
        let gateway: IpAddr = text.parse().map_err(|_| wrong("GATEWAY", &text, "it is no address"))?;
        ips.iter_mut().filter(|ip| ip.address.contains(gateway)).for_each(|ip| ip.gateway = Some(gateway));
    }
    Ok(())
}

impl Plugin for Static {
    fn add(&self, call: &Call) -> Result<CniResult, CniError> {
        wanted(call)
    }

    fn del(&self, _: &Call) -> Result<(), CniError> {
        Ok(())
    }

    /// Each address that is asked for is one of those that ADD gave.
    fn check(&self, call: &Call) -> Result<(), CniError> {
        let previous = call.required_previous()?;
        let wanted = wanted(call)?;
        match wanted.ips.iter().find(|ip| !previous.ips.iter().any(|p| p.address == ip.address)) {
            None => Ok(()),
            Some(ip) => {
                let container = &call.invocation.container_id;
                Err(differs(format!("container {container}"), format!("ADD did not give it {}", ip.address)))
            }
        }
    }

    /// Nothing is reserved, so nothing can be left.
    fn gc(&self, call: &Call) -> Result<(), CniError> {
        call.valid_attachments().map(|_| ())
    }

    fn status(&self, call: &Call) -> Result<(), CniError> {
        wanted(call).map(|_| ())
    }
}
