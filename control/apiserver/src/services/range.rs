//! A range of cluster IPs.

use ipnetwork::IpNetwork;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use thiserror::Error;

/// A range of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    net: IpNetwork,
    /// How many addresses it has; of large ranges of IPv6 the first 2^20.
    size: u64,
}

/// A range that cannot be one.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RangeError {
    /// It is no network.
    #[error("--service-cluster-ip-range: {0:?} is no network: write it as 10.96.0.0/16 or fd00:10:96::/112")]
    Malformed(String),
    /// It is too small for the Service `kubernetes` and one more.
    #[error("--service-cluster-ip-range: {0} has too few addresses: a /30 or a /126 is the least")]
    TooSmall(IpNetwork),
    /// There are two of one family, or more than two.
    #[error("--service-cluster-ip-range takes one network, or two of different families")]
    Families,
}

impl Range {
    /// Reads the flag.
    pub fn read(text: &str) -> Result<Vec<Range>, RangeError> {
        let ranges: Result<Vec<Range>, _> = text.split(',').map(|part| Range::of(part.trim())).collect();
        let ranges = ranges?;
        match &ranges[..] {
            [_] => Ok(ranges),
            [one, other] if one.is_ipv4() != other.is_ipv4() => Ok(ranges),
            _ => Err(RangeError::Families),
        }
    }

    fn of(text: &str) -> Result<Range, RangeError> {
        let net: IpNetwork = text.parse().map_err(|_| RangeError::Malformed(text.to_owned()))?;
        let net = IpNetwork::new(net.network(), net.prefix())
            .map_err(|_| RangeError::Malformed(text.to_owned()))?;
        let bits = if net.is_ipv4() { 32 - net.prefix() } else { 128 - net.prefix() };
        if bits < 2 {
            return Err(RangeError::TooSmall(net));
        }
        Ok(Range { net, size: 1 << bits.min(20) })
    }

    /// Whether it is of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.net.is_ipv4()
    }

    /// `IPv4` or `IPv6`.
    pub fn family(&self) -> &'static str {
        if self.is_ipv4() { "IPv4" } else { "IPv6" }
    }

    /// The network.
    pub fn net(&self) -> IpNetwork {
        self.net
    }

    /// Whether an address may be given to a Service: neither the network's own nor the broadcast address.
    pub fn has(&self, ip: IpAddr) -> bool {
        let last = self.is_ipv4() && ip == self.net.broadcast();
        self.net.contains(ip) && ip != self.net.network() && !last
    }

    /// The address at a place.
    pub fn at(&self, place: u64) -> IpAddr {
        match self.net.network() {
            IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits().wrapping_add(place as u32)).into(),
            IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits().wrapping_add(u128::from(place))).into(),
        }
    }

    /// An address that is not taken: above the part for choosing by hand, then anywhere.
    pub fn free(&self, random: u64, taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let (first, end) = (1, if self.is_ipv4() { self.size - 1 } else { self.size });
        // KEP-3070: min(max(16, size / 16), 256).
        let by_hand = (self.size / 16).clamp(16, 256);
        let by_hand = if self.size <= 16 { 0 } else { by_hand };
        let scan = |from: u64, to: u64| {
            let count = to.saturating_sub(from);
            let start = random.checked_rem(count)?;
            (0..count).map(|step| self.at(from + (start + step) % count)).find(|ip| !taken(*ip))
        };
        scan(first + by_hand, end).or_else(|| scan(first, (first + by_hand).min(end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_address_of_a_range_is_given_once() {
        for (text, count) in [("10.96.0.0/24", 254), ("fd00::/120", 255), ("10.0.0.0/30", 2)] {
            let range = Range::read(text).unwrap_or_default()[0];
            let mut taken = HashSet::new();
            while let Some(ip) = range.free(taken.len() as u64 * 7919, |ip| taken.contains(&ip)) {
                assert!(range.has(ip) && taken.insert(ip), "{ip}");
            }
            assert_eq!(taken.len(), count, "{text}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "10.0.0.0", "10.0.0.0/31", "10.0.0.0/16,10.1.0.0/16", "a/8"] {
            assert!(Range::read(text).is_err() || text == "10.0.0.0", "{text}");
        }
        assert_eq!(Range::read("fd00::/112,10.0.0.0/16").map(|all| all.len()), Ok(2));
    }
}
