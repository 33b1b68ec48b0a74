//! Expressions: what a rule is made of in the kernel.
//!
//! Most use one register (`NFT_REG_1`): load a value, mask it, compare it, act. A lookup takes the values
//! of a concatenation from 32-bit registers that follow each other (`NFT_REG32_00`, which is where
//! `NFT_REG_1` is, and on). The attribute numbers are those of
//! include/uapi/linux/netfilter/nf_tables.h. Numbers are big-endian, values as on the wire or in host
//! order where the kernel holds them so (marks).

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED, Nla as _};
use netlink_packet_netfilter::nftables::{ExpressionAttribute, Expressions, ListAttribute};

const NFT_REG_1: u32 = 1;
const NFT_REG_VERDICT: u32 = 0;
const NFT_REG32_00: u32 = 8;
const IFNAMSIZ: usize = 16;

/// One step of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// `meta nfproto`: IPv4 or IPv6.
    LoadProtocolFamily,
    /// `meta l4proto`.
    LoadTransportProtocol,
    /// `meta mark`, host byte order.
    LoadMark,
    /// `meta iifname`.
    LoadInputName,
    /// `meta oifname`.
    LoadOutputName,
    /// Bytes of the network header.
    LoadNetworkHeader {
        /// Where.
        offset: u32,
        /// How many.
        length: u32,
    },
    /// Bytes of the transport header.
    LoadTransportHeader {
        /// Where.
        offset: u32,
        /// How many.
        length: u32,
    },
    /// Keeps the bits of a mask.
    Mask {
        /// As long as what was loaded.
        mask: Vec<u8>,
    },
    /// Goes on where the loaded value equals (or does not).
    Compare {
        /// Equal, or not.
        equal: bool,
        /// What with.
        value: Vec<u8>,
    },
    /// Verdict accept.
    Accept,
    /// Verdict drop.
    Drop,
    /// Verdict return.
    Return,
    /// No connection tracking.
    NoTrack,
    /// Source address of the outgoing device, the source port kept where it is free.
    Masquerade,
    /// Puts a port into the n-th register from the first one.
    LoadPort {
        /// 0 or 1.
        register: u32,
        /// The port.
        port: u16,
    },
    /// Source address of the outgoing device, and a source port by chance between those of the first two registers.
    MasqueradeToPorts,
    /// `fib daddr type`: what the routing table says the destination is to this host.
    LoadDestinationType,
    /// `fib saddr type`: the same of the source.
    LoadSourceType,
    /// `ct status`, host byte order.
    LoadTrackingStatus,
    /// A load, into the 32-bit register of this number instead.
    Into {
        /// Counted from 0.
        register: u32,
        /// One of the loads.
        load: Box<Expression>,
    },
    /// Goes on where the set has what is in the registers from 0 on.
    Lookup {
        /// The set of this table.
        set: String,
        /// It is a map, and what it leads to is put in the registers from 0 on.
        map: bool,
    },
    /// Destination address and port out of registers.
    DestinationNat {
        /// IPv6 instead of IPv4.
        ipv6: bool,
        /// Where the port is; the address is at 0.
        port_register: u32,
    },
    /// Sets bits of a value in the 32-bit register of this number.
    SetBits {
        /// Counted from 0.
        register: u32,
        /// Host byte order.
        bits: u32,
    },
    /// The packet's mark out of the 32-bit register of this number.
    StoreMark {
        /// Counted from 0.
        register: u32,
    },
    /// Asks another chain of the table.
    Jump {
        /// Its name.
        chain: String,
    },
}

impl Expression {
    /// Compares with a device name.
    pub(super) fn name(dev: &str) -> Self {
        let mut value = dev.as_bytes().to_vec();
        value.resize(IFNAMSIZ, 0);
        Self::Compare { equal: true, value }
    }

    /// The expression's name in the kernel and its attributes.
    fn encode(&self) -> (&'static str, Vec<DefaultNla>) {
        const META_MARK: u32 = 3; // enum nft_meta_keys
        const META_IIFNAME: u32 = 6;
        const META_OIFNAME: u32 = 7;
        const META_NFPROTO: u32 = 15;
        const META_L4PROTO: u32 = 16;
        const NF_DROP: u32 = 0;
        const NF_ACCEPT: u32 = 1;
        const NFT_RETURN: u32 = -5i32 as u32;
        const NFT_JUMP: u32 = -3i32 as u32;
        const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
        const NFTA_FIB_F_SADDR: u32 = 1;
        const NFTA_FIB_F_DADDR: u32 = 2;
        let address_type =
            |flag| ("fib", vec![number(1, NFT_REG_1), number(2, NFT_FIB_RESULT_ADDRTYPE), number(3, flag)]);
        const NFT_CT_STATUS: u32 = 2;
        match self {
            Self::LoadProtocolFamily => meta(META_NFPROTO),
            Self::LoadTransportProtocol => meta(META_L4PROTO),
            Self::LoadMark => meta(META_MARK),
            Self::LoadInputName => meta(META_IIFNAME),
            Self::LoadOutputName => meta(META_OIFNAME),
            Self::LoadNetworkHeader { offset, length } => payload(1, *offset, *length),
            Self::LoadTransportHeader { offset, length } => payload(2, *offset, *length),
            Self::Mask { mask } => {
                let zero = vec![0; mask.len()];
                let register = NFT_REG_1;
                (
                    "bitwise",
                    vec![
                        number(1, register),
                        number(2, register),
                        number(3, mask.len() as u32),
                        data(4, mask),
                        data(5, &zero),
                    ],
                )
            }
            Self::Compare { equal, value } => {
                ("cmp", vec![number(1, NFT_REG_1), number(2, u32::from(!equal)), data(3, value)])
            }
            Self::Accept => verdict(NF_ACCEPT),
            Self::Drop => verdict(NF_DROP),
            Self::Return => verdict(NFT_RETURN),
            Self::NoTrack => ("notrack", Vec::new()),
            Self::Masquerade => ("masq", Vec::new()),
            Self::LoadPort { register, port } => {
                ("immediate", vec![number(1, NFT_REG_1 + register), data(2, &port.to_be_bytes())])
            }
            Self::MasqueradeToPorts => {
                const NF_NAT_RANGE_PROTO_SPECIFIED: u32 = 1 << 1;
                const NF_NAT_RANGE_PROTO_RANDOM_FULLY: u32 = 1 << 4;
                // Without the first flag the kernel takes the registers, `nft list` shows them, and any port is chosen.
                let flags = NF_NAT_RANGE_PROTO_SPECIFIED | NF_NAT_RANGE_PROTO_RANDOM_FULLY;
                ("masq", vec![number(1, flags), number(2, NFT_REG_1), number(3, NFT_REG_1 + 1)])
            }
            Self::LoadDestinationType => address_type(NFTA_FIB_F_DADDR),
            Self::LoadSourceType => address_type(NFTA_FIB_F_SADDR),
            Self::LoadTrackingStatus => ("ct", vec![number(1, NFT_REG_1), number(2, NFT_CT_STATUS)]),
            Self::Into { register, load } => {
                // The destination register is attribute 1 of every load (NFTA_META_DREG, NFTA_CT_DREG, …).
                let (name, mut attributes) = load.encode();
                for attribute in attributes.iter_mut().filter(|a| a.kind() == 1) {
                    *attribute = number(1, NFT_REG32_00 + register);
                }
                (name, attributes)
            }
            Self::Lookup { set, map } => {
                let data = map.then(|| number(3, NFT_REG32_00));
                ("lookup", [text(1, set), number(2, NFT_REG32_00)].into_iter().chain(data).collect())
            }
            Self::DestinationNat { ipv6, port_register } => {
                const NFT_NAT_DNAT: u32 = 1;
                let family = if *ipv6 { 10 } else { 2 };
                (
                    "nat",
                    vec![
                        number(1, NFT_NAT_DNAT),
                        number(2, family),
                        number(3, NFT_REG32_00),
                        number(5, NFT_REG32_00 + port_register),
                    ],
                )
            }
            Self::SetBits { register, bits } => {
                let register = NFT_REG32_00 + register;
                (
                    "bitwise",
                    vec![
                        number(1, register),
                        number(2, register),
                        number(3, 4),
                        data(4, &(!bits).to_ne_bytes()),
                        data(5, &bits.to_ne_bytes()),
                    ],
                )
            }
            Self::StoreMark { register } => {
                ("meta", vec![number(2, META_MARK), number(3, NFT_REG32_00 + register)])
            }
            Self::Jump { chain } => {
                let inner = nested(2, &[number(1, NFT_JUMP), text(2, chain)]);
                ("immediate", vec![number(1, NFT_REG_VERDICT), nested(2, &[inner])])
            }
        }
    }

    /// As an element of `NFTA_RULE_EXPRESSIONS`, of bare attributes.
    pub(super) fn nla(&self) -> DefaultNla {
        let (name, attributes) = self.encode();
        nested(1, &[text(1, name), nested(2, &attributes)])
    }

    /// As an element of `NFTA_RULE_EXPRESSIONS`.
    pub(super) fn element(&self) -> ListAttribute<ExpressionAttribute> {
        let (name, attributes) = self.encode();
        Expressions::Other { expression_type: name.to_owned(), attributes }.into()
    }
}

pub(super) fn number(kind: u16, value: u32) -> DefaultNla {
    DefaultNla::new(kind, value.to_be_bytes().to_vec())
}

/// A C string.
pub(super) fn text(kind: u16, value: &str) -> DefaultNla {
    let mut bytes = value.as_bytes().to_vec();
    bytes.push(0);
    DefaultNla::new(kind, bytes)
}

pub(super) fn nested(kind: u16, inner: &[DefaultNla]) -> DefaultNla {
    let mut bytes = vec![0; inner.buffer_len()];
    inner.emit(&mut bytes);
    DefaultNla::new(kind | NLA_F_NESTED, bytes)
}

/// A value inside `NFTA_DATA_VALUE`.
pub(super) fn data(kind: u16, value: &[u8]) -> DefaultNla {
    nested(kind, &[DefaultNla::new(1, value.to_vec())])
}

fn meta(key: u32) -> (&'static str, Vec<DefaultNla>) {
    ("meta", vec![number(2, key), number(1, NFT_REG_1)])
}

fn payload(base: u32, offset: u32, length: u32) -> (&'static str, Vec<DefaultNla>) {
    ("payload", vec![number(1, NFT_REG_1), number(2, base), number(3, offset), number(4, length)])
}

/// `immediate` into the verdict register: `NFTA_DATA_VERDICT` { `NFTA_VERDICT_CODE` }.
fn verdict(code: u32) -> (&'static str, Vec<DefaultNla>) {
    let inner = nested(2, &[number(1, code)]);
    ("immediate", vec![number(1, NFT_REG_VERDICT), nested(2, &[inner])])
}
