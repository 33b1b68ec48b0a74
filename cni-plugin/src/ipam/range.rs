//! Ranges of addresses, and the order in which they are given.
//!
//! A range is a subnet with a first and a last address (both given out) and a gateway (never given
//! out); a set of ranges yields one address per container. Arithmetic is on 128 bits for both families.
//! Source: `plugins/ipam/host-local/backend/allocator/range.go`.

use ipnetwork::IpNetwork;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Consecutive addresses of one subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The subnet; its prefix length goes with each address.
    pub subnet: IpNetwork,
    /// The first address.
    pub start: IpAddr,
    /// The last address.
    pub end: IpAddr,
    /// The gateway.
    pub gateway: IpAddr,
}

/// Ranges of one family of which a container gets one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSet(Vec<Range>);

impl Range {
    /// Fills in what the configuration leaves out as the original does: gateway and first address are
    /// the subnet's first, the last address is the subnet's last (IPv4: before the broadcast address).
    pub fn new(
        subnet: IpNetwork,
        start: Option<IpAddr>,
        end: Option<IpAddr>,
        gateway: Option<IpAddr>,
    ) -> Result<Self, String> {
        let bits = if subnet.is_ipv4() { 32 } else { 128 };
        if subnet.prefix() > bits - 2 {
            return Err(format!("subnet {subnet} is too small: it must be at least a /{}", bits - 2));
        }
        if subnet.ip() != subnet.network() {
            let network = format!("{}/{}", subnet.network(), subnet.prefix());
            return Err(format!("subnet {subnet} has host bits set: write {network}"));
        }
        let first = next(subnet.network());
        let last = if subnet.is_ipv4() { previous(subnet.broadcast()) } else { subnet.broadcast() };
        let range = Range {
            subnet,
            start: start.unwrap_or(first),
            end: end.unwrap_or(last),
            gateway: gateway.unwrap_or(first),
        };
        let wrong = [("rangeStart", range.start), ("rangeEnd", range.end), ("gateway", range.gateway)];
        if let Some((key, ip)) = wrong.into_iter().find(|(_, ip)| !subnet.contains(*ip)) {
            return Err(format!("{key} {ip} is not in subnet {subnet}"));
        }
        if range.start > range.end {
            return Err(format!("rangeStart {} is after rangeEnd {}", range.start, range.end));
        }
        Ok(range)
    }

    /// Whether the address is given out by this range (a gateway inside counts).
    pub fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.start.is_ipv4() && self.start <= ip && ip <= self.end
    }

    fn overlaps(&self, other: &Range) -> bool {
        [other.start, other.end].iter().any(|ip| self.contains(*ip)) || other.contains(self.start)
    }
}

impl RangeSet {
    /// A set of at least one range, all of one family and disjoint.
    pub fn new(ranges: Vec<Range>) -> Result<Self, String> {
        let first = ranges.first().ok_or("a range set is empty: give it a subnet")?;
        if ranges.iter().any(|r| r.subnet.is_ipv4() != first.subnet.is_ipv4()) {
            return Err("a range set mixes IPv4 and IPv6: make it two sets".into());
        }
        let overlap =
            |(i, a): (usize, &Range)| ranges[i + 1..].iter().find(|b| a.overlaps(b)).map(|b| (*a, *b));
        match ranges.iter().enumerate().find_map(overlap) {
            Some((a, b)) => Err(format!("ranges {a} and {b} overlap")),
            None => Ok(RangeSet(ranges)),
        }
    }

    /// The ranges.
    pub fn ranges(&self) -> &[Range] {
        &self.0
    }

    /// Whether any range of the other set shares addresses with this one.
    pub fn overlaps(&self, other: &RangeSet) -> bool {
        self.0.iter().any(|a| other.0.iter().any(|b| a.overlaps(b)))
    }

    /// The range that gives out the address.
    pub fn range_of(&self, ip: IpAddr) -> Option<&Range> {
        self.0.iter().find(|r| r.contains(ip))
    }

    /// Every address once, beginning behind `last`, without gateways.
    pub fn after(&self, last: Option<IpAddr>) -> impl Iterator<Item = (IpAddr, &Range)> {
        let position = last.and_then(|ip| Some((self.0.iter().position(|r| r.contains(ip))?, ip)));
        let (first, rest, wrapped) = match position {
            None => (0, None, None),
            Some((at, ip)) => (at + 1, Some((at, to_bits(ip), to_bits(self.0[at].end))), Some((at, ip))),
        };
        let count = self.0.len();
        let behind = rest.into_iter().flat_map(|(at, from, to)| (from..to).map(move |bits| (at, bits + 1)));
        let others = (0..if wrapped.is_some() { count - 1 } else { count })
            .map(move |i| (first + i) % count)
            .flat_map(|at| (to_bits(self.0[at].start)..=to_bits(self.0[at].end)).map(move |bits| (at, bits)));
        let before = wrapped
            .into_iter()
            .flat_map(|(at, ip)| (to_bits(self.0[at].start)..=to_bits(ip)).map(move |bits| (at, bits)));
        let address = |(at, bits): (usize, u128)| (from_bits(bits, self.0[at].start.is_ipv4()), &self.0[at]);
        behind.chain(others).chain(before).map(address).filter(|(ip, range)| *ip != range.gateway)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(Range::to_string).collect();
        f.write_str(&texts.join(","))
    }
}

fn to_bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn from_bits(bits: u128, is_v4: bool) -> IpAddr {
    match is_v4 {
        true => Ipv4Addr::from(bits as u32).into(),
        false => Ipv6Addr::from(bits).into(),
    }
}

/// The address behind this one, round the end of its family.
pub(crate) fn next(ip: IpAddr) -> IpAddr {
    from_bits(to_bits(ip).wrapping_add(1), ip.is_ipv4())
}

fn previous(ip: IpAddr) -> IpAddr {
    from_bits(to_bits(ip).wrapping_sub(1), ip.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(subnet: &str, start: Option<&str>, end: Option<&str>) -> Range {
        let ip = |text: Option<&str>| text.map(|t| t.parse().unwrap());
        Range::new(subnet.parse().unwrap(), ip(start), ip(end), None).unwrap()
    }

    fn texts(set: &RangeSet, last: Option<&str>) -> Vec<String> {
        set.after(last.map(|l| l.parse().unwrap())).map(|(ip, _)| ip.to_string()).collect()
    }

    #[test]
    fn defaults_are_the_originals() {
        let v4 = range("10.1.0.0/24", None, None);
        assert_eq!(
            (v4.to_string(), v4.gateway.to_string()),
            ("10.1.0.1-10.1.0.254".into(), "10.1.0.1".into())
        );
        let v6 = range("fd00::/120", None, None);
        assert_eq!((v6.to_string(), v6.gateway.to_string()), ("fd00::1-fd00::ff".into(), "fd00::1".into()));
    }

    #[test]
    fn addresses_come_in_rounds_without_the_gateway() {
        let set = RangeSet::new(vec![range("10.1.0.0/29", None, None)]).unwrap();
        assert_eq!(texts(&set, None), ["10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6"]);
        assert_eq!(
            texts(&set, Some("10.1.0.4")),
            ["10.1.0.5", "10.1.0.6", "10.1.0.2", "10.1.0.3", "10.1.0.4"]
        );
        assert_eq!(texts(&set, Some("10.1.0.6"))[0], "10.1.0.2");
        assert_eq!(texts(&set, Some("192.0.2.1"))[0], "10.1.0.2");
    }

    #[test]
    fn several_ranges_follow_each_other() {
        let two = vec![
            range("10.1.0.0/24", Some("10.1.0.10"), Some("10.1.0.11")),
            range("10.2.0.0/24", Some("10.2.0.10"), Some("10.2.0.11")),
        ];
        let set = RangeSet::new(two).unwrap();
        assert_eq!(texts(&set, Some("10.1.0.11")), ["10.2.0.10", "10.2.0.11", "10.1.0.10", "10.1.0.11"]);
        assert_eq!(texts(&set, Some("10.2.0.10")), ["10.2.0.11", "10.1.0.10", "10.1.0.11", "10.2.0.10"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let new = |s: &str, a: Option<&str>| {
            Range::new(s.parse().unwrap(), a.map(|a| a.parse().unwrap()), None, None)
        };
        assert!(new("10.0.0.0/31", None).unwrap_err().contains("too small"));
        assert!(new("10.0.0.1/24", None).unwrap_err().contains("10.0.0.0/24"));
        assert!(new("10.0.0.0/24", Some("10.0.1.1")).unwrap_err().contains("rangeStart"));
        let a = range("10.0.0.0/24", None, None);
        assert!(RangeSet::new(vec![a, a]).unwrap_err().contains("overlap"));
        assert!(RangeSet::new(vec![a, range("fd00::/64", None, None)]).unwrap_err().contains("mixes"));
        assert!(RangeSet::new(vec![]).is_err());
    }

    #[test]
    fn the_last_address_of_all_does_not_overflow() {
        let last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let set =
            RangeSet::new(vec![range("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126", None, None)]).unwrap();
        assert_eq!(texts(&set, Some(last)).len(), 2);
        assert_eq!(texts(&set, None).last().unwrap(), last);
    }

    proptest::proptest! {
        #[test]
        fn each_address_comes_exactly_once(prefix in 24u8..=30, start in 1u32..3, last in 0u32..300) {
            let subnet = IpNetwork::new("10.9.0.0".parse().unwrap(), prefix).unwrap();
            let range = Range::new(subnet, Some(from_bits(0x0a09_0000 + u128::from(start), true)), None, None);
            let set = RangeSet::new(vec![range.unwrap()]).unwrap();
            let last = from_bits(0x0a09_0000 + u128::from(last), true);
            let mut all: Vec<IpAddr> = set.after(Some(last)).map(|(ip, _)| ip).collect();
            let count = all.len() as u32;
            all.sort();
            all.dedup();
            proptest::prop_assert_eq!(all.len() as u32, count);
            let gateway_inside = u32::from(start == 1);
            proptest::prop_assert_eq!(count, (1u32 << (32 - prefix)) - 1 - start - gateway_inside);
        }
    }
}
