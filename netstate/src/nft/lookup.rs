//! Rules that look a packet up in a set or a map: one rule for all containers.

use super::{Datatype, Expression, Rule};

/// A part of a packet, as a part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `iifname`.
    InputName,
    /// `oifname`.
    OutputName,
    /// `ip saddr`.
    Source4,
    /// `ip daddr`.
    Destination4,
    /// `ip6 saddr`.
    Source6,
    /// `ip6 daddr`.
    Destination6,
    /// `meta l4proto`.
    Protocol,
    /// `th dport`: of whatever transport protocol.
    DestinationPort,
}

impl Field {
    /// What a set of these has as a key.
    pub fn datatype(self) -> Datatype {
        match self {
            Self::InputName | Self::OutputName => Datatype::Name,
            Self::Source4 | Self::Destination4 => Datatype::Ip4,
            Self::Source6 | Self::Destination6 => Datatype::Ip6,
            Self::Protocol => Datatype::Protocol,
            Self::DestinationPort => Datatype::Port,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::InputName => "iifname",
            Self::OutputName => "oifname",
            Self::Source4 => "ip saddr",
            Self::Destination4 => "ip daddr",
            Self::Source6 => "ip6 saddr",
            Self::Destination6 => "ip6 daddr",
            Self::Protocol => "meta l4proto",
            Self::DestinationPort => "th dport",
        }
    }

    fn load(self) -> Expression {
        let network = |offset, length| Expression::LoadNetworkHeader { offset, length };
        match self {
            Self::InputName => Expression::LoadInputName,
            Self::OutputName => Expression::LoadOutputName,
            Self::Source4 => network(12, 4),
            Self::Destination4 => network(16, 4),
            Self::Source6 => network(8, 16),
            Self::Destination6 => network(24, 16),
            Self::Protocol => Expression::LoadTransportProtocol,
            Self::DestinationPort => Expression::LoadTransportHeader { offset: 2, length: 2 },
        }
    }

    /// The address family that the packet must have for the field to be there.
    fn family(self) -> Option<bool> {
        match self {
            Self::Source4 | Self::Destination4 => Some(false),
            Self::Source6 | Self::Destination6 => Some(true),
            _ => None,
        }
    }
}

/// Text and loads of a concatenation, into the registers from 0 on.
fn concatenation(fields: &[Field]) -> (String, Vec<Expression>) {
    let words: Vec<_> = fields.iter().map(|field| field.word()).collect();
    let mut register = 0;
    let loads = fields.iter().map(|field| {
        let into = Expression::Into { register, load: Box::new(field.load()) };
        register += field.datatype().registers();
        into
    });
    let loads = loads.collect();
    (words.join(" . "), loads)
}

impl Rule {
    /// A packet of this address family: in a table of family inet the other's header means something else.
    #[must_use]
    pub fn of_family(self, ipv6: bool) -> Self {
        let (word, number) = if ipv6 { ("ipv6", 10) } else { ("ipv4", 2) };
        let expressions =
            [Expression::LoadProtocolFamily, Expression::Compare { equal: true, value: vec![number] }];
        self.add(&format!("meta nfproto {word}"), expressions)
    }

    fn guarded(self, fields: &[Field]) -> Self {
        let family = fields.iter().find_map(|field| field.family());
        match family {
            Some(ipv6) if !self.expressions().contains(&Expression::LoadProtocolFamily) => {
                self.of_family(ipv6)
            }
            _ => self,
        }
    }

    /// What the packet has in these fields, together, is in the set.
    #[must_use]
    pub fn in_set(self, fields: &[Field], set: &str) -> Self {
        let (words, loads) = concatenation(fields);
        let lookup = Expression::Lookup { set: set.to_owned(), map: false };
        self.guarded(fields).add(&format!("{words} @{set}"), loads.into_iter().chain([lookup]))
    }

    /// Changes destination address and port to what the map has for these fields, and sets these bits of the
    /// packet's mark, so that a later hook knows who translated it; a packet that the map has nothing for goes
    /// on to the next rule as it is.
    #[must_use]
    pub fn dnat_by(self, ipv6: bool, fields: &[Field], map: &str, mark: u32) -> Self {
        /// Behind what any map leads to.
        const FREE_REGISTER: u32 = 8;
        let (words, loads) = concatenation(fields);
        let address = if ipv6 { Datatype::Ip6 } else { Datatype::Ip4 };
        let act = [
            Expression::Lookup { set: map.to_owned(), map: true },
            Expression::Into { register: FREE_REGISTER, load: Box::new(Expression::LoadMark) },
            Expression::SetBits { register: FREE_REGISTER, bits: mark },
            Expression::StoreMark { register: FREE_REGISTER },
            Expression::DestinationNat { ipv6, port_register: address.registers() },
        ];
        let word = if ipv6 { "ip6" } else { "ip" };
        let text = format!("meta mark set meta mark | {mark:#010x} dnat {word} to {words} map @{map}");
        self.of_family(ipv6).add(&text, loads.into_iter().chain(act))
    }

    /// The destination is an address of this host.
    #[must_use]
    pub fn to_this_host(self) -> Self {
        const RTN_LOCAL: u32 = 2;
        let value = RTN_LOCAL.to_ne_bytes().to_vec();
        let expressions = [Expression::LoadDestinationType, Expression::Compare { equal: true, value }];
        self.add("fib daddr type local", expressions)
    }

    /// The packet came from elsewhere, and the hook is not told by which device: it was bridged
    /// (br_netfilter), and leaves by the bridge that it came in by.
    #[must_use]
    pub fn bridged(self) -> Self {
        const RTN_LOCAL: u32 = 2;
        let value = RTN_LOCAL.to_ne_bytes().to_vec();
        self.add("iifname \"\"", [Expression::LoadInputName, Expression::name("")]).add(
            "fib saddr type != local",
            [Expression::LoadSourceType, Expression::Compare { equal: false, value }],
        )
    }

    /// The connection's destination was translated.
    #[must_use]
    pub fn destination_translated(self) -> Self {
        const IPS_DST_NAT: u32 = 1 << 5;
        let expressions = [
            Expression::LoadTrackingStatus,
            Expression::Mask { mask: IPS_DST_NAT.to_ne_bytes().to_vec() },
            Expression::Compare { equal: false, value: vec![0; 4] },
        ];
        self.add("ct status dnat", expressions)
    }

    /// Asks another chain of the table, and goes on here if that one comes to nothing.
    #[must_use]
    pub fn jump(self, chain: &str) -> Self {
        self.add(&format!("jump {chain}"), [Expression::Jump { chain: chain.to_owned() }])
    }
}
