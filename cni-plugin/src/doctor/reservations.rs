//! Addresses that are reserved for containers that are gone. Read without host-local's lock: nothing is changed.

use super::networks::Picked;
use super::owners::{Fate, Owners, age};
use super::report::Repair;
use super::{Places, Report};
use crate::ipam::{Key, Reservation, reservations};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

const CHECK: &str = "reservations";
/// An ADD may be under way that long, before anything else knows of its container.
const ADD_LASTS: Duration = Duration::from_secs(300);

pub(super) fn examine(places: &Places, picked: Option<&Picked>, owners: &Owners, report: &mut Report) {
    for (data_dir, network) in stores(places, picked) {
        examine_network(&data_dir, &network, owners, report);
    }
}

/// Network and container of those that took an address a moment ago.
pub(super) fn young(places: &Places, picked: Option<&Picked>) -> HashSet<(String, String)> {
    let mut young = HashSet::new();
    for (data_dir, network) in stores(places, picked) {
        let taken = reservations(&data_dir.join(&network)).into_iter();
        let recent = taken.filter(|r| r.made.elapsed().unwrap_or_default() < ADD_LASTS);
        young.extend(recent.map(|r| (network.clone(), r.key.container_id)));
    }
    young
}

/// Directory and network of each store.
fn stores(places: &Places, picked: Option<&Picked>) -> BTreeSet<(PathBuf, String)> {
    let mut dirs = BTreeSet::from([places.data_dir.clone()]);
    dirs.extend(picked.into_iter().flat_map(named_dirs));
    let mut stores = BTreeSet::new();
    for data_dir in dirs {
        let networks = std::fs::read_dir(&data_dir).into_iter().flatten();
        let names = networks.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        stores.extend(names.map(|network| (data_dir.clone(), network)));
    }
    stores
}

/// `ipam.dataDir` of the list's plugins.
fn named_dirs(picked: &Picked) -> Vec<PathBuf> {
    let dir = |raw: &serde_json::Map<String, serde_json::Value>| {
        Some(PathBuf::from(raw.get("ipam")?.get("dataDir")?.as_str().filter(|dir| dir.starts_with('/'))?))
    };
    picked.list.plugins.iter().filter_map(|plugin| dir(&plugin.raw)).collect()
}

fn examine_network(data_dir: &Path, network: &str, owners: &Owners, report: &mut Report) {
    let mut by_owner: BTreeMap<Key, Vec<Reservation>> = BTreeMap::new();
    for reservation in reservations(&data_dir.join(network)) {
        by_owner.entry(reservation.key.clone()).or_default().push(reservation);
    }
    for (key, taken) in by_owner {
        let Some(made) = taken.iter().map(|r| r.made).max() else { continue };
        let fate = match owners.fate(network, &key.container_id, &key.ifname) {
            Fate::Unknown if owners.before_boot(made) => {
                Fate::Gone("it was made before the node booted".into())
            }
            fate => fate,
        };
        if owners.has_link(network, &key.container_id, &key.ifname) {
            continue; // in use, whatever else is known; a stale link is a finding of its own
        }
        let ips: Vec<String> = taken.iter().map(|r| r.ip.to_string()).collect();
        let object = format!("{} of network {network}", ips.join(", "));
        let owner = format!("container {} ({})", key.container_id, key.ifname);
        let path = data_dir.join(network).join(&ips[0]);
        let (why, repair) = match fate {
            Fate::Alive => continue,
            Fate::Gone(why) => {
                let release =
                    Repair::Release { data_dir: data_dir.into(), network: network.into(), key: key.clone() };
                (why, Some(release))
            }
            Fate::Unknown => ("no runtime's results tell of it".into(), None),
        };
        let what = format!("reserved {} ago for {owner}, and {why}", age(made));
        let next = format!("if the container is gone, delete {} (one file per address)", path.display());
        report.find_repairable(CHECK, object, what, next, repair);
    }
}
