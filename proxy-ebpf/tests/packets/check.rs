//! What a rewritten packet may differ in, for packets of any kind, right or damaged.
//!
//! For each checksum there is a residue: the one's complement sum over all that it covers and itself. It is "right"
//! for a right packet and something else for a damaged one, and rewriting must leave it as it was. Parsing here is
//! the test's own and shares nothing with the programs.

use super::build::{ETHERNET, TCP, UDP};

/// Which side of the tuple a hook writes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Source,
    Destination,
}

impl Side {
    fn other(self) -> Side {
        if self == Side::Source { Side::Destination } else { Side::Source }
    }
}

/// Where the fields of a packet are.
struct Layout {
    v6: bool,
    l3: usize,
    l4: usize,
    end: usize,
    protocol: u8,
    later_fragment: bool,
}

impl Layout {
    fn of(bytes: &[u8]) -> Layout {
        let v6 = bytes[12..14] == [0x86, 0xdd];
        let mut layout = Layout::at(bytes, ETHERNET, v6);
        let field = if v6 { 18 } else { 16 };
        let length = usize::from(word(bytes, field));
        layout.end = match length {
            0 => bytes.len(),
            _ => length + ETHERNET + if v6 { 40 } else { 0 },
        };
        assert!(layout.end <= bytes.len(), "a packet that is longer than its frame was rewritten");
        layout
    }

    fn at(bytes: &[u8], l3: usize, v6: bool) -> Layout {
        let mut layout = Layout { v6, l3, l4: l3, end: bytes.len(), protocol: 0, later_fragment: false };
        if !v6 {
            layout.l4 = l3 + usize::from(bytes[l3] & 15) * 4;
            layout.protocol = bytes[l3 + 9];
            layout.later_fragment = word(bytes, l3 + 6) & 0x1fff != 0;
            return layout;
        }
        let (mut next, mut at) = (bytes[l3 + 6], l3 + 40);
        while [0, 43, 44, 60].contains(&next) && !layout.later_fragment {
            let length = if next == 44 { 8 } else { (usize::from(bytes[at + 1]) + 1) * 8 };
            layout.later_fragment = next == 44 && word(bytes, at + 2) >> 3 != 0;
            next = bytes[at];
            at += length;
        }
        (layout.protocol, layout.l4) = (next, at);
        layout
    }

    fn address(&self, side: Side) -> std::ops::Range<usize> {
        let (at, length) = match (self.v6, side) {
            (false, Side::Source) => (12, 4),
            (false, Side::Destination) => (16, 4),
            (true, Side::Source) => (8, 16),
            (true, Side::Destination) => (24, 16),
        };
        self.l3 + at..self.l3 + at + length
    }

    fn port(&self, side: Side) -> std::ops::Range<usize> {
        let at = self.l4 + if side == Side::Source { 0 } else { 2 };
        at..at + 2
    }

    fn checksum(&self) -> std::ops::Range<usize> {
        let at = self.l4
            + match self.protocol {
                TCP => 16,
                UDP => 6,
                _ => 2,
            };
        at..at + 2
    }

    /// The residue of the IPv4 header's checksum.
    fn header_residue(&self, bytes: &[u8]) -> u16 {
        if self.v6 { 0 } else { residue(&[&bytes[self.l3..self.l4]]) }
    }

    /// The residue of the transport's checksum, as far as the data goes.
    fn residue(&self, bytes: &[u8]) -> u16 {
        let data = &bytes[self.l4..self.end];
        if self.protocol == 1 {
            return residue(&[data]);
        }
        residue(&[&bytes[self.address(Side::Source)], &bytes[self.address(Side::Destination)], data])
    }
}

/// Panics when `after` is not `before` with one side of its tuple written over, and nothing else.
#[track_caller]
pub fn rewritten(before: &[u8], after: &[u8], side: Side) {
    assert_eq!(before.len(), after.len());
    let layout = Layout::of(before);
    let mut may_change = vec![layout.address(side)];
    if !layout.v6 {
        may_change.push(layout.l3 + 10..layout.l3 + 12);
        assert_eq!(layout.header_residue(before), layout.header_residue(after), "header's checksum");
    }
    let icmp = layout.protocol == if layout.v6 { 58 } else { 1 };
    assert!(icmp || [TCP, UDP].contains(&layout.protocol), "protocol {}", layout.protocol);
    if !layout.later_fragment {
        if !(layout.protocol == UDP && word(before, layout.checksum().start) == 0) {
            may_change.push(layout.checksum());
            assert_eq!(layout.residue(before), layout.residue(after), "transport's checksum");
        }
        if !icmp {
            may_change.push(layout.port(side));
        }
    }
    if icmp {
        embedded(before, after, &layout, side.other(), &mut may_change);
    }
    for (at, (old, new)) in before.iter().zip(after).enumerate() {
        let allowed = old == new || may_change.iter().any(|range| range.contains(&at));
        assert!(allowed, "byte {at} became {new:02x} from {old:02x}");
    }
}

/// The packet inside an ICMP error, whose other side is written over.
fn embedded(
    before: &[u8],
    after: &[u8],
    outer: &Layout,
    side: Side,
    may_change: &mut Vec<std::ops::Range<usize>>,
) {
    let mut inner = Layout::at(before, outer.l4 + 8, outer.v6);
    inner.end = outer.end;
    assert!([TCP, UDP].contains(&inner.protocol) && !inner.later_fragment);
    may_change.extend([inner.address(side), inner.port(side)]);
    if !inner.v6 {
        may_change.push(inner.l3 + 10..inner.l3 + 12);
        assert_eq!(inner.header_residue(before), inner.header_residue(after), "embedded header's checksum");
    }
    let checksum = inner.checksum();
    let none = inner.protocol == UDP && checksum.end <= inner.end && word(before, checksum.start) == 0;
    if checksum.end <= inner.end && !none {
        may_change.push(checksum);
        assert_eq!(inner.residue(before), inner.residue(after), "embedded transport's checksum");
    }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// The sum of parts in one's complement, with one form of zero.
fn residue(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    (sum % 0xffff) as u16
}
