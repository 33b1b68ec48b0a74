//! Named sets and maps, and their elements.
//!
//! ```text
//! map ports4 { type inet_proto . inet_service : ipv4_addr . inet_service }
//!   key   06 00 00 00 │ 1f 90 00 00          each part begins a 32-bit register and is padded with
//!   data  0a 01 00 05 │ 00 50 00 00          zeros to its end, in the set as in the registers
//! ```
//!
//! A lookup costs the same however many elements there are, and an element comes and goes without the
//! kernel touching the others: what belongs to a container is an element, what is common is a rule.

use std::net::IpAddr;

/// What one part of a key or of a map's data is: `nft`'s type, its number there, and its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Datatype {
    /// `ipv4_addr`.
    Ip4,
    /// `ipv6_addr`.
    Ip6,
    /// `inet_proto`.
    Protocol,
    /// `inet_service`.
    Port,
    /// `ifname`.
    Name,
}

impl Datatype {
    /// Number (src/datatype.h of nftables, `enum datatypes`) and length; for `nft list` only.
    fn number_and_length(self) -> (u32, usize) {
        match self {
            Self::Ip4 => (7, 4),
            Self::Ip6 => (8, 16),
            Self::Protocol => (12, 1),
            Self::Port => (13, 2),
            Self::Name => (41, 16),
        }
    }

    /// 32-bit registers that a value takes.
    pub(super) fn registers(self) -> u32 {
        self.number_and_length().1.div_ceil(4) as u32
    }
}

/// Type number and length of a concatenation: six bits for each part.
pub(super) fn concatenated(parts: &[Datatype]) -> (u32, u32) {
    if let [part] = parts {
        let (number, length) = part.number_and_length();
        return (number, length as u32);
    }
    parts.iter().fold((0, 0), |(number, length), part| {
        ((number << 6) | part.number_and_length().0, length + 4 * part.registers())
    })
}

/// A named set, or a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// What its keys are.
    pub key: Vec<Datatype>,
    /// What a map's keys lead to; empty for a set.
    pub data: Vec<Datatype>,
}

impl Set {
    /// A set.
    pub fn of(name: &str, key: &[Datatype]) -> Self {
        Self::map(name, key, &[])
    }

    /// A map.
    pub fn map(name: &str, key: &[Datatype], data: &[Datatype]) -> Self {
        Self { name: name.to_owned(), key: key.to_vec(), data: data.to_vec() }
    }
}

/// A key or data, put together part by part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub(super) Vec<u8>);

impl Value {
    /// Nothing yet.
    pub fn empty() -> Self {
        Self::default()
    }

    fn push(mut self, bytes: &[u8], length: usize) -> Self {
        // A lone part is not padded; as soon as there are two, each is.
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        let end = self.0.len() + length;
        self.0.extend_from_slice(bytes);
        self.0.resize(if end > 4 { end.next_multiple_of(4) } else { end }, 0);
        self
    }

    /// An address.
    #[must_use]
    pub fn address(self, ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => self.push(&ip.octets(), 4),
            IpAddr::V6(ip) => self.push(&ip.octets(), 16),
        }
    }

    /// A transport protocol's number.
    #[must_use]
    pub fn protocol(self, number: u8) -> Self {
        self.push(&[number], 1)
    }

    /// A port.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        self.push(&port.to_be_bytes(), 2)
    }

    /// A device's name, cut at what a device can have.
    #[must_use]
    pub fn name(self, dev: &str) -> Self {
        let bytes = dev.as_bytes();
        self.push(&bytes[..bytes.len().min(15)], 16)
    }
}

/// A member of a set, or a pair of a map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Element {
    /// What is looked up.
    pub key: Value,
    /// What a map leads to; empty in a set.
    pub data: Value,
    /// Whose it is, or why it is there: `nft list` shows it.
    pub comment: String,
}

/// User data of nftables is a list of type, length, value; the comment of an element and of a rule is
/// type 0, a C string.
pub(super) fn comment_data(comment: &str) -> Vec<u8> {
    let bytes = comment.as_bytes();
    let bytes = &bytes[..bytes.len().min(COMMENT_BYTES)];
    let mut data = vec![0, bytes.len() as u8 + 1];
    data.extend_from_slice(bytes);
    data.push(0);
    data
}

/// What fits in `NFT_USERDATA_MAXLEN` (256) with type, length and the final zero, as `nft` limits it too.
pub const COMMENT_BYTES: usize = 128;

/// The comment in user data; empty where there is none.
pub(super) fn comment_of(data: &[u8]) -> String {
    let mut rest = data;
    while let [kind, length, tail @ ..] = rest {
        let Some(value) = tail.get(..*length as usize) else { break };
        if *kind == 0 {
            return String::from_utf8_lossy(value).trim_end_matches('\0').to_owned();
        }
        rest = &tail[*length as usize..];
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_begin_registers() {
        let value = Value::empty().protocol(6).port(8080);
        assert_eq!(value.0, [6, 0, 0, 0, 0x1f, 0x90, 0, 0]);
        assert_eq!(Value::empty().address("10.1.0.5".parse().unwrap()).0, [10, 1, 0, 5]);
        assert_eq!(Value::empty().name("a-name-that-is-too-long").0.len(), 16);
        let long = Value::empty().address("fd00::1".parse().unwrap()).protocol(17).port(53);
        assert_eq!(long.0.len(), 24);
    }

    #[test]
    fn types_are_numbered_as_nft_does() {
        assert_eq!(concatenated(&[Datatype::Ip4]), (7, 4));
        assert_eq!(concatenated(&[Datatype::Protocol, Datatype::Port]), (12 << 6 | 13, 8));
        assert_eq!(concatenated(&[Datatype::Name, Datatype::Ip6]), (41 << 6 | 8, 32));
    }

    #[test]
    fn comments_are_read_out_of_any_user_data() {
        assert_eq!(comment_of(&comment_data("net/c1/eth0")), "net/c1/eth0");
        assert_eq!(comment_of(&[5, 1, 9, 0, 3, b'a', b'b', 0]), "ab");
        for torn in [&[][..], &[0], &[0, 9, b'a'], &[1, 0]] {
            assert_eq!(comment_of(torn), "");
        }
        assert_eq!(comment_data(&"x".repeat(400)).len(), COMMENT_BYTES + 3);
    }
}
