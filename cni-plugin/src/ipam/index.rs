//! Which container has which address, by names alone.
//!
//! `.weft-index/<hash of the key>-<address>` is a symbolic link to the address's file. Two directory
//! listings then answer what the original reads every file for: 250 containers cost two system calls
//! and not 750. An entry is only a hint: whoever acts on it reads the file first. It is made after the
//! address's file and removed before it, so a crash leaves a file without an entry, which the next
//! call reads and indexes; so are files that the original made.

use super::store::Key;
use super::{IpamError, Store};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::PathBuf;

pub(super) const INDEX_DIR: &str = ".weft-index";

/// The names in a store.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Addresses that have a file.
    pub taken: BTreeSet<IpAddr>,
    /// Hashes of keys by address; an address may have a stale one beside the true one.
    pub index: BTreeMap<IpAddr, BTreeSet<u64>>,
}

impl Names {
    /// Lists the store's directory and its index.
    pub fn read(store: &Store) -> Result<Self, IpamError> {
        let mut names = Names::default();
        store.list(&store.dir, |name| {
            names.taken.extend(name.to_str().and_then(|n| n.parse::<IpAddr>().ok()));
        })?;
        store.list(&store.dir.join(INDEX_DIR), |name| {
            if let Some((hash, ip)) = parse_entry(name) {
                names.index.entry(ip).or_default().insert(hash);
            }
        })?;
        Ok(names)
    }

    /// Addresses whose entry says that the key has them.
    pub fn hinted(&self, key: &Key) -> Vec<IpAddr> {
        let hash = key.hash();
        self.index.iter().filter(|(_, hashes)| hashes.contains(&hash)).map(|(ip, _)| *ip).collect()
    }

    /// Addresses with a file and without an entry.
    pub fn unindexed(&self) -> Vec<IpAddr> {
        self.taken.iter().filter(|ip| !self.index.contains_key(ip)).copied().collect()
    }
}

/// Adds an entry; one that exists already is as good.
pub(super) fn add(store: &Store, hash: u64, ip: IpAddr) -> Result<(), IpamError> {
    let path = entry_path(store, hash, ip);
    let link = || std::os::unix::fs::symlink(format!("../{ip}"), &path);
    let made = link().or_else(|error| match error.kind() {
        ErrorKind::AlreadyExists => Ok(()),
        ErrorKind::NotFound => std::fs::create_dir(store.dir.join(INDEX_DIR)).and_then(|()| link()),
        _ => Err(error),
    });
    made.map_err(|source| IpamError::Io { action: "index the address by", path: path.clone(), source })
}

/// Removes an entry, if it is there.
pub(super) fn remove(store: &Store, hash: u64, ip: IpAddr) -> Result<(), IpamError> {
    store.remove_file(&entry_path(store, hash, ip))
}

fn entry_path(store: &Store, hash: u64, ip: IpAddr) -> PathBuf {
    store.dir.join(INDEX_DIR).join(format!("{hash:016x}-{ip}"))
}

fn parse_entry(name: &OsStr) -> Option<(u64, IpAddr)> {
    let (hash, ip) = name.to_str()?.split_once('-')?;
    (hash.len() == 16).then_some(())?;
    Some((u64::from_str_radix(hash, 16).ok()?, ip.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_entries_of_our_form_are_read() {
        let parse = |text: &str| parse_entry(OsStr::new(text));
        assert_eq!(parse("00000000000000ff-10.0.0.1"), Some((255, "10.0.0.1".parse().unwrap())));
        assert_eq!(parse("00000000000000ff-fd00::1"), Some((255, "fd00::1".parse().unwrap())));
        for wrong in
            ["", "ff-10.0.0.1", "00000000000000ff-x", "00000000000000ff", "zz000000000000ff-10.0.0.1"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
