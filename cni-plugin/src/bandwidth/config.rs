//! The limits that are asked for: `bandwidth`'s keys, or `runtimeConfig.bandwidth` where none of them is set.
//!
//! Rates are bits per second, bursts are bits. Ingress is what the container receives.

use crate::config::{folder, invalid};
use crate::plugin::Call;
use crate::types::{CniError, ErrorCode, SpecVersion};
use ipnetwork::IpNetwork;
use serde_json::{Map, Value};
use std::path::PathBuf;

const RATES: [&str; 4] = ["ingressRate", "ingressBurst", "egressRate", "egressBurst"];
const UNSHAPED: &str = "unshapedSubnets";
const SHAPED: &str = "shapedSubnets";
/// Where our records are, unless `dataDir` says otherwise.
const DATA_DIR: &str = "/run/cni/bandwidth";

/// One direction's limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    /// Bits per second.
    pub rate: u64,
    /// Bits.
    pub burst: u64,
}

/// Which traffic is limited, by its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Subnets {
    All,
    Except(Vec<IpNetwork>),
    Only(Vec<IpNetwork>),
}

/// What is asked for one attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    /// What the container receives.
    pub ingress: Option<Limit>,
    /// What it sends.
    pub egress: Option<Limit>,
    pub subnets: Subnets,
}

impl Limits {
    /// The limits of a call; `None` where nothing is limited.
    pub fn read(call: &Call) -> Result<Option<Self>, CniError> {
        if call.version < SpecVersion::V030 {
            let msg =
                format!("bandwidth cannot be used with cniVersion {}: it has no interfaces", call.version);
            return Err(CniError::new(
                ErrorCode::IncompatibleVersion,
                msg,
                "set cniVersion to 0.3.0 or newer",
            ));
        }
        let set = |key: &&str| call.raw.get(*key).is_some_and(|value| !value.is_null());
        let own = RATES.iter().chain(&[UNSHAPED, SHAPED]).any(set);
        let (block, place) = match call.runtime("bandwidth") {
            _ if own => (&call.raw, ""),
            Some(Value::Object(block)) => (block, "runtimeConfig.bandwidth."),
            None => return Ok(None),
            Some(_) => return Err(invalid("runtimeConfig.bandwidth", "it is not an object")),
        };
        let limits = Limits {
            ingress: limit(block, place, "ingressRate", "ingressBurst")?,
            egress: limit(block, place, "egressRate", "egressBurst")?,
            subnets: subnets(block, place)?,
        };
        Ok((limits.ingress.is_some() || limits.egress.is_some()).then_some(limits))
    }
}

/// Where records are kept.
pub(super) fn data_dir(raw: &Map<String, Value>) -> Result<PathBuf, CniError> {
    folder(raw.get("dataDir").filter(|dir| *dir != ""), "dataDir", DATA_DIR)
}

fn number(block: &Map<String, Value>, place: &str, key: &str) -> Result<u64, CniError> {
    match block.get(key) {
        None | Some(Value::Null) => Ok(0),
        Some(value) => value.as_u64().ok_or_else(|| {
            let why = format!("{value} is not a whole number of bits that is 0 or more");
            invalid(&format!("{place}{key}"), why)
        }),
    }
}

/// The reference's rules: both or none; the bucket's bytes fit 32 bits.
fn limit(
    block: &Map<String, Value>,
    place: &str,
    rate: &str,
    burst: &str,
) -> Result<Option<Limit>, CniError> {
    let limit = Limit { rate: number(block, place, rate)?, burst: number(block, place, burst)? };
    let key = |key: &str| format!("{place}{key}");
    match (limit.rate, limit.burst) {
        (0, 0) => Ok(None),
        (0, _) => Err(invalid(&key(rate), format!("if {burst} is set, {rate} must also be set"))),
        (_, 0) => Err(invalid(&key(burst), format!("if {rate} is set, {burst} must also be set"))),
        (rate_bits, _) if rate_bits < 8 => Err(invalid(&key(rate), "it is less than a byte per second")),
        (_, bits) if bits / 8 >= u64::from(u32::MAX) => {
            Err(invalid(&key(burst), format!("{bits} bits are more than 4 GB, which no token bucket holds")))
        }
        (_, bits) if bits < 8 => Err(invalid(&key(burst), "it is less than a byte")),
        _ => Ok(Some(limit)),
    }
}

fn subnets(block: &Map<String, Value>, place: &str) -> Result<Subnets, CniError> {
    let list = |key: &str| -> Result<Vec<IpNetwork>, CniError> {
        let wrong = |why: String| invalid(&format!("{place}{key}"), why);
        match block.get(key) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => items.iter().map(|item| subnet(item).map_err(wrong)).collect(),
            Some(other) => Err(wrong(format!("{other} is not a list of subnets"))),
        }
    };
    match (list(UNSHAPED)?, list(SHAPED)?) {
        (except, only) if except.is_empty() && only.is_empty() => Ok(Subnets::All),
        (except, only) if only.is_empty() => Ok(Subnets::Except(except)),
        (except, only) if except.is_empty() => Ok(Subnets::Only(only)),
        _ => Err(invalid(&format!("{place}{SHAPED}"), format!("it excludes {UNSHAPED}: set one of them"))),
    }
}

/// A subnet must say its length, as Go's net.ParseCIDR has it; host bits are dropped, as there.
fn subnet(value: &Value) -> Result<IpNetwork, String> {
    let text = value.as_str().filter(|text| text.contains('/')).ok_or(format!("{value} is not a subnet"))?;
    let net: IpNetwork = text.parse().map_err(|e| format!("{value} is not a subnet: {e}"))?;
    IpNetwork::new(net.network(), net.prefix()).map_err(|e| format!("{value} is not a subnet: {e}"))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
