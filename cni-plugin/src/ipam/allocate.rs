//! One address per range set for a container, or none at all.
//!
//! Round robin behind the last address given, as the original: an address that was just freed is the
//! last to be used again. Asking twice for the same container and interface gives the same addresses.

use super::store::Key;
use super::{IpamError, RangeSet, Store};
use ipnetwork::IpNetwork;
use std::net::IpAddr;
use std::path::Path;

/// An address that a container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocation {
    /// The address with its subnet's prefix length.
    pub address: IpNetwork,
    /// The gateway of its range.
    pub gateway: IpAddr,
    /// Whether this call took it; a failing ADD gives back only what it took itself.
    pub new: bool,
}

/// Takes an address out of every range set; `requested` ones first, each where its range is.
pub fn allocate(
    store: &mut Store,
    key: &Key,
    sets: &[RangeSet],
    requested: &[IpAddr],
) -> Result<Vec<Allocation>, IpamError> {
    let unknown: Vec<IpAddr> = requested
        .iter()
        .filter(|ip| !sets.iter().any(|s| s.range_of(**ip).is_some_and(|r| r.gateway != **ip)))
        .copied()
        .collect();
    if !unknown.is_empty() {
        return Err(IpamError::NotInRange(unknown));
    }
    let mut allocations = Vec::with_capacity(sets.len());
    for (number, set) in sets.iter().enumerate() {
        let wanted = requested.iter().copied().find(|ip| set.range_of(*ip).is_some());
        match take_one(store, key, set, number, wanted) {
            Ok(allocation) => allocations.push(allocation),
            Err(error) => {
                let new = allocations.iter().filter(|a: &&Allocation| a.new);
                for allocation in new {
                    store.free(allocation.address.ip())?;
                }
                return Err(error);
            }
        }
    }
    Ok(allocations)
}

fn take_one(
    store: &mut Store,
    key: &Key,
    set: &RangeSet,
    number: usize,
    wanted: Option<IpAddr>,
) -> Result<Allocation, IpamError> {
    let held = store.addresses_of(key)?.into_iter().filter(|ip| wanted.is_none_or(|w| w == *ip));
    let held = held.filter_map(|ip| Some((ip, set.range_of(ip)?))).next();
    let (ip, range, new) = match (held, wanted) {
        (Some((ip, range)), _) => (ip, range, false),
        (None, Some(ip)) => {
            if !store.reserve(key, ip, number)? {
                let owner = store.owner(ip)?.map_or("nobody any more".into(), |k| k.container_id);
                return Err(IpamError::Taken { address: ip, owner: format!("container {owner}") });
            }
            // `allocate` has checked that a range of some set has it, and chosen this set by that.
            let range = set.range_of(ip).ok_or_else(|| IpamError::NotInRange(vec![ip]))?;
            (ip, range, true)
        }
        (None, None) => {
            let last = store.last_reserved(number)?;
            let mut free = None;
            for (ip, range) in set.after(last) {
                if store.reserve(key, ip, number)? {
                    free = Some((ip, range, true));
                    break;
                }
            }
            free.ok_or_else(|| IpamError::Exhausted {
                ranges: set.to_string(),
                number,
                taken: store.taken(),
                dir: store.dir().to_path_buf(),
            })?
        }
    };
    let address = IpNetwork::new(ip, range.subnet.prefix()).map_err(|_| IpamError::NotInRange(vec![ip]))?;
    Ok(Allocation { address, gateway: range.gateway, new })
}

/// Frees what a container has; a store that doesn't exist has nothing of it.
pub fn release(data_dir: &Path, network: &str, key: &Key) -> Result<Vec<IpAddr>, IpamError> {
    match Store::open_existing(data_dir, network)? {
        Some(mut store) => store.release(key),
        None => Ok(Vec::new()),
    }
}

#[cfg(test)]
#[path = "allocate_tests.rs"]
mod tests;
