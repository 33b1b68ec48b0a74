//! How full the maps are, and what memory they take.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::error::EbpfError;
use super::options::EbpfOptions;
use super::pins::Pins;
use super::sys;
use super::writer::Writer;
use crate::backend::MapUsage;
use weft_proxy_abi as abi;

/// Maps that the programs fill, their keys' and values' sizes, and where in the value its expiry is, if it has one.
const LRU: [(&str, usize, usize, Option<usize>); 4] = [
    ("CONNECTIONS", size_of::<abi::ConnectionKey>(), size_of::<abi::Connection>(), Some(28)),
    ("AFFINITY", size_of::<abi::AffinityKey>(), size_of::<abi::Affinity>(), None),
    ("SOCKET_PEERS", size_of::<abi::SocketKey>(), size_of::<abi::SocketPeer>(), None),
    ("SOCKET_FLOWS", size_of::<abi::SocketKey>(), size_of::<abi::SocketPeer>(), None),
];

const _: () = assert!(std::mem::offset_of!(abi::Connection, expires) == 28);

/// All maps whose sizes flags set. Counting the ones that the programs fill takes some 0.2 ms per thousand entries.
pub fn usage(pins: &Pins, writer: &Writer, options: &EbpfOptions) -> Result<Vec<MapUsage>, EbpfError> {
    let written = writer.usage();
    let mut all = Vec::new();
    for size in options.map_sizes() {
        let counted = match written.iter().find(|(name, ..)| *name == size.name) {
            Some((_, used, capacity)) => Some((u64::from(*used), u64::from(*capacity))),
            None => live(pins, size.name)?.map(|live| (live, u64::from(size.entries))),
        };
        if let Some((used, capacity)) = counted {
            let evicts = LRU.iter().any(|(name, ..)| *name == size.name);
            all.push(MapUsage { name: size.name, flag: size.flag, used, capacity, evicts });
        }
    }
    Ok(all)
}

/// Entries of a map that are not expired.
fn live(pins: &Pins, name: &str) -> Result<Option<u64>, EbpfError> {
    let Some((_, key, value, expiry)) = LRU.iter().find(|(of, ..)| *of == name) else { return Ok(None) };
    let path = pins.map(name);
    let fail = |source| EbpfError::Pin { what: "count the entries of", path: path.clone(), source };
    let map = sys::get(&path).map_err(fail)?;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_sec as u32;
    let mut live = 0;
    sys::visit(&map, (*key, *value), |_, value| {
        let expires = expiry.and_then(|at| value.get(at..at + 4)?.try_into().ok()).map(u32::from_ne_bytes);
        live += u64::from(expires.is_none_or(|at| at > now));
    })
    .map_err(fail)?;
    Ok(Some(live))
}

/// Bytes of kernel memory of all pinned maps, as the kernel tells them in fdinfo.
pub fn memory(pins: &Pins) -> u64 {
    let entries = fs::read_dir(pins.maps()).into_iter().flatten().flatten();
    entries.filter_map(|entry| sys::get(&entry.path()).ok()).map(|map| memory_of(&map)).sum()
}

fn memory_of(map: &OwnedFd) -> u64 {
    let info =
        fs::read_to_string(format!("/proc/self/fdinfo/{}", map.as_fd().as_raw_fd())).unwrap_or_default();
    let bytes = info.lines().find_map(|line| line.strip_prefix("memlock:"));
    bytes.and_then(|bytes| bytes.trim().parse().ok()).unwrap_or(0)
}
