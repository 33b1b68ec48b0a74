//! Which subnet a node takes. Pure.
//!
//! As flannel: the lease of our public IP; else the one in an old `subnet.env`, if it is free and
//! still fits; else one by chance among the first hundred free ones, so that nodes which start
//! together seldom want the same.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, Ipv6Addr},
};

use ipnetwork::{Ipv4Network, Ipv6Network};

use crate::{
    config::{NetworkConfig, Pool},
    lease::Subnets,
};

/// How many free subnets the draw is among.
const DRAW_AMONG: usize = 100;

/// Whether the subnets are ones that this configuration gives out.
pub fn fits(config: &NetworkConfig, subnets: &Subnets) -> bool {
    let v4 = match (&config.v4, subnets.v4) {
        (Some(pool), Some(net)) => {
            net.prefix() == pool.subnet_length
                && (pool.min.network()..=pool.max.network()).contains(&net.network())
        }
        (None, None) => true,
        _ => false,
    };
    let v6 = match (&config.v6, subnets.v6) {
        (Some(pool), Some(net)) => {
            net.prefix() == pool.subnet_length
                && (pool.min.network()..=pool.max.network()).contains(&net.network())
        }
        (None, None) => true,
        _ => false,
    };
    v4 && v6
}

/// A free pair of subnets; `None` where all are taken. `draw(n)` answers a number below `n`.
pub fn pick(
    config: &NetworkConfig,
    taken: &[Subnets],
    mut draw: impl FnMut(usize) -> usize,
) -> Option<Subnets> {
    let v4 = match &config.v4 {
        None => None,
        Some(pool) => {
            let taken: Vec<_> = taken.iter().filter_map(|s| s.v4).collect();
            let free = free_v4(pool, &taken);
            Some(*free.get(draw(free.len().max(1)))?)
        }
    };
    let v6 = match &config.v6 {
        None => None,
        Some(pool) => {
            let taken: Vec<_> = taken.iter().filter_map(|s| s.v6).collect();
            let free = free_v6(pool, &taken);
            Some(*free.get(draw(free.len().max(1)))?)
        }
    };
    Some(Subnets { v4, v6 })
}

/// The networks' addresses as numbers, first and last.
type Span = (u128, u128);

/// Starts of the first free blocks from `first` to `last`. Taken networks of another length than the
/// pool's are rounded to the pool's blocks; each step is one look into a set.
fn free(size: u128, (first, last): Span, taken: impl Iterator<Item = Span>) -> Vec<u128> {
    /// A taken network that covers more blocks than this is cut: it cannot be one of this pool's.
    const BLOCKS_PER_NETWORK: usize = 1 << 16;
    let mut blocks = HashSet::new();
    for (first, last) in taken {
        blocks.extend((first / size..=last / size).take(BLOCKS_PER_NETWORK));
    }
    let free = (first / size..=last / size).filter(|block| !blocks.contains(block));
    free.take(DRAW_AMONG).map(|block| block * size).collect()
}

fn free_v4(pool: &Pool<Ipv4Network>, taken: &[Ipv4Network]) -> Vec<Ipv4Network> {
    let span = |first: Ipv4Addr, last: Ipv4Addr| (u128::from(u32::from(first)), u128::from(u32::from(last)));
    let taken = taken.iter().map(|net| span(net.network(), net.broadcast()));
    let starts = free(1 << (32 - pool.subnet_length), span(pool.min.network(), pool.max.network()), taken);
    let subnet =
        |start: u128| Ipv4Network::new(Ipv4Addr::from(u32::try_from(start).ok()?), pool.subnet_length).ok();
    starts.into_iter().filter_map(subnet).collect()
}

fn free_v6(pool: &Pool<Ipv6Network>, taken: &[Ipv6Network]) -> Vec<Ipv6Network> {
    let span = |first: Ipv6Addr, last: Ipv6Addr| (u128::from(first), u128::from(last));
    let taken = taken.iter().map(|net| span(net.network(), net.broadcast()));
    let starts = free(1 << (128 - pool.subnet_length), span(pool.min.network(), pool.max.network()), taken);
    let subnet = |start: u128| Ipv6Network::new(Ipv6Addr::from(start), pool.subnet_length).ok();
    starts.into_iter().filter_map(subnet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> NetworkConfig {
        NetworkConfig::parse(
            r#"{"Network":"10.244.0.0/20","EnableIPv6":true,"IPv6Network":"fd00:10:244::/48","Backend":{"Type":"vxlan"}}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_full_pool_gives_nothing() {
        let config = config();
        let mut taken = Vec::new();
        while let Some(next) = pick(&config, &taken, |_| 0) {
            assert!(fits(&config, &next));
            taken.push(next);
        }
        assert_eq!(taken.len(), 15, "16 blocks less the first");
    }

    proptest::proptest! {
        #[test]
        fn never_one_that_overlaps_a_taken_one(seed: Vec<u8>, wide in proptest::bool::ANY) {
            let config = config();
            let mut taken = Vec::new();
            if wide {
                taken.push(Subnets { v4: Some("10.244.4.0/22".parse().unwrap()), v6: None });
            }
            for step in seed {
                let Some(next) = pick(&config, &taken, |n| usize::from(step) % n) else { break };
                proptest::prop_assert!(fits(&config, &next));
                proptest::prop_assert!(taken.iter().all(|t| !t.overlaps(&next)));
                taken.push(next);
            }
        }
    }
}
