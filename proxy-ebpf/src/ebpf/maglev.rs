//! Maglev's table: an even spread of clients that hardly changes when an endpoint comes or goes.
//!
//! As in "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section 3.4: each endpoint has a
//! permutation of the slots, and they take turns at filling their next free one. Every node that knows the same
//! endpoints computes the same table. About `slots × (1 + ln slots / endpoints)` steps.

use std::net::IpAddr;

use crate::table::Endpoint;

/// The slots, each with a position in `endpoints`. Both may be empty; `slots` is a prime.
pub fn table(endpoints: &[Endpoint], slots: u32) -> Vec<u16> {
    const FREE: u16 = u16::MAX;
    let mut table = vec![FREE; slots as usize];
    if endpoints.is_empty() || slots < 2 {
        return vec![0; slots as usize];
    }
    let mut turns: Vec<(u32, u32)> = endpoints.iter().map(|endpoint| permutation(endpoint, slots)).collect();
    let mut filled = 0;
    loop {
        for (position, (next, skip)) in turns.iter_mut().enumerate() {
            while table[*next as usize] != FREE {
                *next = step(*next, *skip, slots);
            }
            table[*next as usize] = position as u16;
            filled += 1;
            if filled == slots {
                return table;
            }
            *next = step(*next, *skip, slots);
        }
    }
}

fn step(at: u32, skip: u32, slots: u32) -> u32 {
    let next = at + skip;
    if next >= slots { next - slots } else { next }
}

/// Where an endpoint begins, and its stride.
fn permutation(endpoint: &Endpoint, slots: u32) -> (u32, u32) {
    let address = match endpoint.address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let (high, low) = ((address >> 64) as u64, address as u64);
    let hash = mix(mix(high ^ 0x9e37_79b9_7f4a_7c15) ^ low ^ (u64::from(endpoint.port) << 48));
    let (offset, skip) = ((hash >> 32) as u32, hash as u32);
    (offset % slots, skip % (slots - 1) + 1)
}

/// The finalizer of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Whether a number is a prime, which every stride needs to reach every slot.
pub fn is_prime(number: u32) -> bool {
    number > 1 && (2..).take_while(|d| d * d <= number).all(|d| !number.is_multiple_of(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(count: u8) -> Vec<Endpoint> {
        (0..count).map(|i| Endpoint { address: [10, 244, 0, i].into(), port: 80, local: false }).collect()
    }

    #[test]
    fn every_endpoint_has_its_share() {
        for count in [1, 2, 3, 10, 100] {
            let table = table(&endpoints(count), 1021);
            let mut shares = vec![0_u32; usize::from(count)];
            table.iter().for_each(|position| shares[usize::from(*position)] += 1);
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            assert!(most - least <= 1, "{shares:?}: they take turns");
        }
    }

    #[test]
    fn one_endpoint_less_moves_hardly_any_other_slot() {
        let (all, fewer) = (endpoints(10), endpoints(9));
        let (before, after) = (table(&all, 1021), table(&fewer, 1021));
        let moved = before.iter().zip(&after).filter(|(b, a)| **b != 9 && b != a).count();
        assert!(moved < 1021 / 10, "{moved} of 1021 slots moved, that need not");
    }

    #[test]
    fn the_table_is_the_same_everywhere() {
        let local = endpoints(4).into_iter().map(|e| Endpoint { local: true, ..e }).collect::<Vec<_>>();
        assert_eq!(table(&endpoints(4), 251), table(&local, 251));
    }

    #[test]
    fn no_endpoint_is_no_panic() {
        assert_eq!(table(&[], 7), vec![0; 7]);
    }

    #[test]
    fn knows_primes() {
        assert!([2, 3, 251, 1021, 16381, 65521].into_iter().all(is_prime));
        assert!(![0, 1, 4, 1022, 65536].into_iter().any(is_prime));
    }
}
