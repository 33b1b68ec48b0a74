//! The hash of a flow, by which an endpoint is chosen: the same in the kernel, in the daemon, and on every node.
//!
//! Nothing that only one node knows goes into it (such as a service's number), so that any node, and a daemon that
//! was started again, chooses the same endpoint for a flow. The mixing steps are those of MurmurHash3's 64-bit
//! finalizer: 64-bit multiplications and shifts, which are single instructions in eBPF.

use crate::Address;

/// The hash of a flow of a client to a service's frontend.
///
/// `service_port_be` keeps two services apart for one client; `protocol` keeps apart TCP and UDP.
#[inline(always)]
pub fn flow(client: &Address, client_port_be: u16, service_port_be: u16, protocol: u8) -> u64 {
    let (high, low) = words(client);
    let rest = (u64::from(u16::from_be(client_port_be)) << 32)
        | (u64::from(u16::from_be(service_port_be)) << 8)
        | u64::from(protocol);
    mix(mix(mix(high) ^ low) ^ rest)
}

/// The hash of a client for a service with affinity: by its address alone.
#[inline(always)]
pub fn client(client: &Address) -> u64 {
    flow(client, 0, 0, 0)
}

/// Slot of a hash in a table of so many slots; `slots` is not 0.
#[inline(always)]
pub fn slot(hash: u64, slots: u32) -> u32 {
    // The upper half of a product instead of a remainder: a multiplication instead of a division.
    (((hash >> 32) * slots as u64) >> 32) as u32
}

/// An address as two numbers.
#[inline(always)]
fn words(address: &Address) -> (u64, u64) {
    let a = address;
    (
        u64::from_be_bytes([a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]]),
        u64::from_be_bytes([a[8], a[9], a[10], a[11], a[12], a[13], a[14], a[15]]),
    )
}

/// A bijection in which every bit of the input reaches every bit of the output.
#[inline(always)]
fn mix(mut word: u64) -> u64 {
    word ^= 0x9e37_79b9_7f4a_7c15;
    word ^= word >> 33;
    word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^= word >> 33;
    word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u16) -> Address {
        let [high, low] = last.to_be_bytes();
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, high, low]
    }

    #[test]
    fn neighbouring_ports_and_addresses_spread_evenly() {
        const SLOTS: u32 = 10;
        let mut hits = [0_u32; SLOTS as usize];
        for n in 0..50_000_u16 {
            hits[slot(flow(&address(n), 0, 0, 6), SLOTS) as usize] += 1;
            hits[slot(flow(&address(1), n.to_be(), 80, 6), SLOTS) as usize] += 1;
        }
        for count in hits {
            assert!((9_500..10_500).contains(&count), "{hits:?}");
        }
    }

    #[test]
    fn every_part_of_a_flow_counts() {
        let one = flow(&address(1), 1, 2, 6);
        assert_ne!(one, flow(&address(2), 1, 2, 6));
        assert_ne!(one, flow(&address(1), 3, 2, 6));
        assert_ne!(one, flow(&address(1), 1, 3, 6));
        assert_ne!(one, flow(&address(1), 1, 2, 17));
        assert_ne!(client(&address(1)), client(&address(2)));
    }

    #[test]
    fn a_slot_is_within_the_table() {
        assert_eq!(slot(u64::MAX, 7), 6);
        assert_eq!(slot(0, 7), 0);
        assert_eq!(slot(u64::MAX, 1), 0);
    }
}
