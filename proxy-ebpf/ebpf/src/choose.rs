//! Endpoints of a service: one of a block, one that is still in it, one that a client keeps.
//!
//! A block is sorted by address and port, so that "is it still one of them" is a binary search and needs no map of
//! its own.

use aya_ebpf::helpers::bpf_ktime_get_coarse_ns;
use weft_proxy_abi::{Address, Affinity, AffinityKey, Block, Endpoint, SERVICE_AFFINITY, Service};

use crate::maps::{AFFINITY, ENDPOINTS};

/// Steps of a binary search over the largest block: 2^16 endpoints.
const STEPS: u32 = 17;

/// Seconds since boot. The clock of the last timer tick is exact enough for them, and costs a fifth.
#[inline(always)]
pub fn now() -> u32 {
    // SAFETY: the helper has no preconditions.
    (unsafe { bpf_ktime_get_coarse_ns() } / 1_000_000_000) as u32
}

/// The endpoint at a position of a block.
#[inline(always)]
pub fn at(block: &Block, position: u32) -> Option<&'static Endpoint> {
    ENDPOINTS.get(block.base.wrapping_add(position))
}

/// The endpoint of a block with this address and port.
#[inline(always)]
pub fn find(block: &Block, address: &Address, port_be: u16) -> Option<&'static Endpoint> {
    let wanted = order(address, port_be);
    let (mut low, mut high) = (0, block.count);
    for _ in 0..STEPS {
        if low >= high {
            return None;
        }
        let middle = (low + high) / 2;
        let endpoint = at(block, middle)?;
        let here = order(&endpoint.address, endpoint.port_be);
        if here == wanted {
            return Some(endpoint);
        }
        if here < wanted {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    None
}

/// What blocks are sorted by.
#[inline(always)]
fn order(address: &Address, port_be: u16) -> (u64, u64, u16) {
    let (high, low) = address.split_at(8);
    let word = |bytes: &[u8]| {
        u64::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
    };
    (word(high), word(low), u16::from_be(port_be))
}

/// The endpoint that a client keeps, while it is one of the block's and the time-out has not passed.
#[inline(always)]
pub fn kept(service: &Service, block: &Block, key: &AffinityKey, now: u32) -> Option<&'static Endpoint> {
    if service.flags & SERVICE_AFFINITY == 0 {
        return None;
    }
    // SAFETY: the value is read before any entry of the map is written by this program.
    let kept = unsafe { AFFINITY.get(key) }?;
    if now.wrapping_sub(kept.seen) > service.affinity_seconds {
        return None;
    }
    find(block, &kept.address, kept.port_be)
}

/// Notes that a client has an endpoint, from now on for the time-out.
#[inline(always)]
pub fn keep(service: &Service, key: &AffinityKey, endpoint: &Endpoint, now: u32) {
    if service.flags & SERVICE_AFFINITY != 0 {
        let kept = Affinity { address: endpoint.address, port_be: endpoint.port_be, zero: 0, seen: now };
        // An LRU map takes a new entry for an old one; should it not, the client may get another endpoint.
        let _ = AFFINITY.insert(key, &kept, 0);
    }
}
