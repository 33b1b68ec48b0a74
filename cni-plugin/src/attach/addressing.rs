//! Which addresses, gateways and routes an attachment gets: the answer of IPAM, completed.
//!
//! From host-local's store in this process, from the node's subnet file, or from another plugin. What
//! is returned is the whole truth for ADD: every route has its next hop, so nothing below decides again.

use super::{delegate, resolv_conf};
use crate::config::{HostLocal, Ipam, NetworkConfig, SubnetEnv, SubnetEnvError};
use crate::ipam::{self, IpamError, Key, RangeSet, Store};
use crate::plugin::{Call, Command};
use crate::types::{Attachment, CniError, CniResult, Dns, ErrorCode, IpConfig, Route};
use ipnetwork::IpNetwork;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

/// What an attachment gets.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addressing {
    /// Addresses with gateways.
    pub ips: Vec<IpConfig>,
    /// Routes, with the gateway that each goes by.
    pub routes: Vec<Route>,
    /// From resolvConf or the IPAM plugin.
    pub dns: Dns,
    /// MTU of the link.
    pub mtu: Option<u32>,
    /// Addresses that the bridge is to bear.
    pub bridge_addresses: Vec<IpNetwork>,
    /// Subnets whose traffic to the outside is to be masqueraded.
    pub masquerade: Vec<IpNetwork>,
    /// What to give back if the ADD fails: addresses that this call took.
    pub taken: Vec<IpAddr>,
}

/// The ranges of an attachment, and what the subnet file adds.
pub(crate) struct Source {
    pub sets: Vec<RangeSet>,
    pub routes: Vec<Route>,
    /// The subnet file, if addresses come from it.
    pub env: Option<SubnetEnv>,
}

impl Source {
    /// The block's own ranges, or those of the subnet file.
    pub fn of(block: &HostLocal) -> Result<Self, SourceError> {
        let file = block.subnet_file.as_ref().filter(|_| block.sets.is_empty());
        let Some(file) = file else {
            return Ok(Source { sets: block.sets.clone(), routes: block.routes.clone(), env: None });
        };
        let env = SubnetEnv::read(file)?;
        let sets = env.range_sets().map_err(|why| SourceError::Range { path: file.clone(), why })?;
        let routes = block.routes.iter().cloned().chain(env.routes()).collect();
        Ok(Source { sets, routes, env: Some(env) })
    }

    /// The subnets of all ranges.
    pub fn subnets(&self) -> Vec<IpNetwork> {
        let mut subnets: Vec<IpNetwork> =
            self.sets.iter().flat_map(|set| set.ranges()).map(|range| range.subnet).collect();
        subnets.dedup();
        subnets
    }
}

/// Why there are no ranges.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// The file's content.
    #[error(transparent)]
    File(#[from] SubnetEnvError),
    /// Its subnet.
    #[error("{path} names a subnet that cannot be used: {why}")]
    Range { path: PathBuf, why: String },
}

/// What to look at when the overlay has not written its file.
pub(crate) fn overlay_hint() -> &'static str {
    "look at the overlay daemon of this node (`weft flannel` or flanneld): its log says whether it \
     reaches the state store and got a lease; the file appears with the lease"
}

/// Who a call's addresses are taken for.
pub(crate) fn key_of(call: &Call) -> Key {
    Key::new(&call.invocation.container_id, &call.invocation.ifname)
}

/// Takes addresses for an ADD.
pub(crate) fn obtain(config: &NetworkConfig, call: &Call) -> Result<Addressing, CniError> {
    match &config.ipam {
        Ipam::None => Ok(Addressing { mtu: config.mtu, ..Addressing::default() }),
        Ipam::HostLocal(block) => obtain_ourselves(config, call, block),
        Ipam::Delegated(plugin) => {
            let result = delegate::ipam(plugin, call)?.unwrap_or_default();
            let completed = complete_delegated(config, result, plugin);
            if completed.is_err() {
                // The first error is the one to report; the plugin's DEL is asked for by the caller too.
                let _ = delegate::ipam_as(plugin, Command::Del, call);
            }
            completed
        }
    }
}

fn obtain_ourselves(config: &NetworkConfig, call: &Call, block: &HostLocal) -> Result<Addressing, CniError> {
    let source = Source::of(block).map_err(|e| {
        CniError::new(ErrorCode::TryAgainLater, format!("no address to give yet: {e}"), overlay_hint())
    })?;
    let dns = block.resolv_conf.as_deref().map(resolv_conf::read).transpose()?.unwrap_or_default();
    let key = key_of(call);
    let mut store = Store::open(&block.data_dir, &config.name).map_err(ipam_error)?;
    let given = ipam::allocate(&mut store, &key, &source.sets, &config.requests.ips).map_err(ipam_error)?;
    drop(store);
    let node = source.env.as_ref();
    let is_default = config.is_default_gateway.unwrap_or(node.is_some());
    let mut addressing = Addressing {
        ips: given
            .iter()
            .map(|a| IpConfig { interface: None, address: a.address, gateway: Some(a.gateway) })
            .collect(),
        routes: source.routes.clone(),
        dns,
        mtu: config.mtu.or(node.and_then(|env| env.mtu)),
        taken: given.iter().filter(|a| a.new).map(|a| a.address.ip()).collect(),
        ..Addressing::default()
    };
    let is_gateway = is_default || config.is_gateway.unwrap_or(node.is_some());
    let masquerades = config.ip_masq.unwrap_or(node.is_some_and(|env| !env.ip_masq));
    complete(&mut addressing, is_gateway, is_default);
    if masquerades {
        addressing.masquerade = source.subnets();
    }
    Ok(addressing)
}

fn complete_delegated(
    config: &NetworkConfig,
    result: CniResult,
    plugin: &str,
) -> Result<Addressing, CniError> {
    if result.ips.is_empty() {
        let msg = format!("the IPAM plugin {plugin:?} gave no address");
        return Err(CniError::new(
            ErrorCode::Delegate,
            msg,
            "look at its own configuration in the ipam block",
        ));
    }
    let mut addressing = Addressing {
        ips: result.ips,
        routes: result.routes,
        dns: result.dns,
        mtu: config.mtu,
        ..Addressing::default()
    };
    let is_default = config.is_default_gateway.unwrap_or(false);
    let is_gateway = is_default || config.is_gateway.unwrap_or(false);
    complete(&mut addressing, is_gateway, is_default);
    if config.ip_masq.unwrap_or(false) {
        let subnet = |ip: &IpConfig| IpNetwork::new(ip.address.network(), ip.address.prefix()).ok();
        addressing.masquerade = addressing.ips.iter().filter_map(subnet).collect();
    }
    Ok(addressing)
}

/// Gateways that are missing are the subnet's first address; a default route is added per family that
/// has none; routes without a next hop go by the gateway of their family.
fn complete(addressing: &mut Addressing, is_gateway: bool, is_default: bool) {
    for ip in &mut addressing.ips {
        if ip.gateway.is_none() && is_gateway {
            ip.gateway = Some(ipam_first(ip.address));
        }
        let Some(gateway) = ip.gateway else { continue };
        if is_gateway {
            addressing.bridge_addresses.extend(IpNetwork::new(gateway, ip.address.prefix()));
        }
        let everything = everything_like(gateway);
        // One without a next hop counts too: it goes by this gateway (see `gateway_of`).
        let found = addressing.routes.iter().any(|r| r.dst == everything);
        if is_default && !found {
            addressing.routes.push(Route::new(everything, Some(gateway)));
        }
    }
}

/// The gateway that a route without a next hop goes by: that of the first address of its family.
pub(crate) fn gateway_of(route: &Route, ips: &[IpConfig]) -> Option<IpAddr> {
    let same_family = |ip: &&IpConfig| ip.address.is_ipv4() == route.dst.is_ipv4();
    route.gw.or_else(|| ips.iter().filter(same_family).find_map(|ip| ip.gateway))
}

fn ipam_first(address: IpNetwork) -> IpAddr {
    crate::ipam::next(address.network())
}

fn everything_like(ip: IpAddr) -> IpNetwork {
    let any: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // A prefix length of 0 is valid for every address, so only the family of `any` decides.
    IpNetwork::new(any, 0).unwrap_or_else(|_| IpNetwork::from(any))
}

/// Gives back what a failed ADD took, and nothing else.
pub(crate) fn give_back(config: &NetworkConfig, call: &Call, taken: &[IpAddr]) {
    // The error that made the ADD fail is the one to report; what stays is freed by DEL or GC.
    let _ = match &config.ipam {
        Ipam::HostLocal(block) if !taken.is_empty() => {
            let key = key_of(call);
            free_taken(&block.data_dir, &config.name, &key, taken)
        }
        Ipam::Delegated(plugin) => delegate::ipam_as(plugin, Command::Del, call).map(|_| ()),
        _ => Ok(()),
    };
}

/// The lock was let go in between: an address may have been freed and given to another meanwhile.
fn free_taken(data_dir: &Path, network: &str, key: &Key, taken: &[IpAddr]) -> Result<(), CniError> {
    let mut store = Store::open(data_dir, network).map_err(ipam_error)?;
    let still_ours = store.addresses_of(key).map_err(ipam_error)?;
    let mut ours = taken.iter().filter(|ip| still_ours.contains(ip));
    ours.try_for_each(|ip| store.free(*ip)).map_err(ipam_error)
}

/// Frees what an attachment has.
pub(crate) fn release(config: &NetworkConfig, call: &Call) -> Result<(), CniError> {
    match &config.ipam {
        Ipam::None => Ok(()),
        Ipam::HostLocal(block) => {
            let key = key_of(call);
            ipam::release(&block.data_dir, &config.name, &key).map(|_| ()).map_err(ipam_error)
        }
        Ipam::Delegated(plugin) => delegate::ipam_as(plugin, Command::Del, call).map(|_| ()),
    }
}

/// Frees the addresses of a network that no valid attachment has. Very old files name no interface: then any of
/// the container's counts.
pub(crate) fn retain(data_dir: &Path, network: &str, valid: &[Attachment]) -> Result<(), CniError> {
    let is_valid = |key: &Key| {
        let same = |a: &Attachment| {
            a.container_id == key.container_id && (a.ifname == key.ifname || key.ifname.is_empty())
        };
        valid.iter().any(same)
    };
    match Store::open_existing(data_dir, network).map_err(ipam_error)? {
        Some(mut store) => store.retain(is_valid).map(|_| ()).map_err(ipam_error),
        None => Ok(()),
    }
}

/// An IPAM error with its code and what to do about it.
pub(crate) fn ipam_error(error: IpamError) -> CniError {
    let (code, details) = match &error {
        IpamError::Io { .. } => (ErrorCode::Io, "check the directory's owner, space and mount".to_string()),
        IpamError::Exhausted { dir, .. } => {
            let next = format!(
                "files in {} of containers that are gone can be removed (GC does); else widen the range",
                dir.display()
            );
            (ErrorCode::NoAddress, next)
        }
        IpamError::Taken { .. } => (ErrorCode::NoAddress, "ask for another address".to_string()),
        IpamError::NotInRange(_) => {
            (ErrorCode::InvalidConfig, "ask for an address of the ranges".to_string())
        }
    };
    CniError::new(code, error.to_string(), details)
}

#[cfg(test)]
#[path = "addressing_tests.rs"]
mod tests;
