//! Rules, written as `nft` would: each call adds a match or ends with a verdict, in text and in
//! expressions at once, so that the two cannot differ.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{Expression, set::comment_data};
use crate::fnv1a;

/// One rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    text: String,
    expressions: Vec<Expression>,
}

/// Which address of a packet to look at.
#[derive(Clone, Copy)]
enum End {
    Source,
    Destination,
}

impl Rule {
    /// A rule that matches everything and does nothing yet.
    pub fn all() -> Self {
        Self::default()
    }

    /// As `nft` would print it, without the comment.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn expressions(&self) -> &[Expression] {
        &self.expressions
    }

    /// What the rule carries in the kernel to be known again.
    pub(super) fn comment(&self) -> String {
        format!("weft {:016x}", fnv1a(self.text.bytes()))
    }

    /// The comment as `NFTA_RULE_USERDATA`.
    pub(super) fn user_data(&self) -> Vec<u8> {
        comment_data(&self.comment())
    }

    pub(super) fn add(mut self, text: &str, expressions: impl IntoIterator<Item = Expression>) -> Self {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(text);
        self.expressions.extend(expressions);
        self
    }

    /// The packet comes from `net`.
    #[must_use]
    pub fn from(self, net: IpNetwork) -> Self {
        self.address(End::Source, net, true)
    }

    /// The packet does not come from `net`.
    #[must_use]
    pub fn not_from(self, net: IpNetwork) -> Self {
        self.address(End::Source, net, false)
    }

    /// The packet goes to `net`.
    #[must_use]
    pub fn to(self, net: IpNetwork) -> Self {
        self.address(End::Destination, net, true)
    }

    /// The packet does not go to `net`.
    #[must_use]
    pub fn not_to(self, net: IpNetwork) -> Self {
        self.address(End::Destination, net, false)
    }

    fn address(self, end: End, net: IpNetwork, equal: bool) -> Self {
        const NFPROTO_IPV4: u8 = 2;
        const NFPROTO_IPV6: u8 = 10;
        // Offsets of the addresses in the IPv4 (RFC 791) and IPv6 (RFC 8200) headers.
        let (family, word, offset, network): (u8, &str, u32, Vec<u8>) = match (net.network(), end) {
            (IpAddr::V4(ip), End::Source) => (NFPROTO_IPV4, "ip saddr", 12, ip.octets().into()),
            (IpAddr::V4(ip), End::Destination) => (NFPROTO_IPV4, "ip daddr", 16, ip.octets().into()),
            (IpAddr::V6(ip), End::Source) => (NFPROTO_IPV6, "ip6 saddr", 8, ip.octets().into()),
            (IpAddr::V6(ip), End::Destination) => (NFPROTO_IPV6, "ip6 daddr", 24, ip.octets().into()),
        };
        let mask = match net.mask() {
            IpAddr::V4(mask) => mask.octets().to_vec(),
            IpAddr::V6(mask) => mask.octets().to_vec(),
        };
        let sign = if equal { "" } else { "!= " };
        let text = format!("{word} {sign}{}/{}", net.network(), net.prefix());
        let load = Expression::LoadNetworkHeader { offset, length: network.len() as u32 };
        // In a table of family inet the other family's header means something else.
        let once = !self.expressions.contains(&Expression::LoadProtocolFamily);
        let guard =
            [Expression::LoadProtocolFamily, Expression::Compare { equal: true, value: vec![family] }];
        let masked = (mask.iter().any(|byte| *byte != 255)).then_some(Expression::Mask { mask });
        let expressions: Vec<_> = guard
            .into_iter()
            .filter(|_| once)
            .chain([load])
            .chain(masked)
            .chain([Expression::Compare { equal, value: network }])
            .collect();
        self.add(&text, expressions)
    }

    /// All bits of `mark` are set in the packet's mark.
    #[must_use]
    pub fn marked(self, mark: u32) -> Self {
        let bits = mark.to_ne_bytes().to_vec();
        let expressions = [
            Expression::LoadMark,
            Expression::Mask { mask: bits.clone() },
            Expression::Compare { equal: true, value: bits },
        ];
        self.add(&format!("meta mark and {mark:#x} == {mark:#x}"), expressions)
    }

    /// A UDP packet to `port`.
    #[must_use]
    pub fn udp_to(self, port: u16) -> Self {
        const IPPROTO_UDP: u8 = 17;
        let expressions = [
            Expression::LoadTransportProtocol,
            Expression::Compare { equal: true, value: vec![IPPROTO_UDP] },
            Expression::LoadTransportHeader { offset: 2, length: 2 },
            Expression::Compare { equal: true, value: port.to_be_bytes().to_vec() },
        ];
        self.add(&format!("udp dport {port}"), expressions)
    }

    /// The packet came in by the device.
    #[must_use]
    pub fn in_by(self, dev: &str) -> Self {
        self.add(&format!("iifname \"{dev}\""), [Expression::LoadInputName, Expression::name(dev)])
    }

    /// The packet goes out by the device.
    #[must_use]
    pub fn out_by(self, dev: &str) -> Self {
        self.add(&format!("oifname \"{dev}\""), [Expression::LoadOutputName, Expression::name(dev)])
    }

    /// Ends the table's look at the packet: let it pass.
    #[must_use]
    pub fn accept(self) -> Self {
        self.add("accept", [Expression::Accept])
    }

    /// Leaves the chain.
    #[must_use]
    pub fn return_(self) -> Self {
        self.add("return", [Expression::Return])
    }

    /// Drops the packet.
    #[must_use]
    pub fn drop(self) -> Self {
        self.add("drop", [Expression::Drop])
    }

    /// Exempts the packet from connection tracking (chains before priority -200).
    #[must_use]
    pub fn notrack(self) -> Self {
        self.add("notrack", [Expression::NoTrack])
    }

    /// Replaces the source address by the outgoing device's.
    #[must_use]
    pub fn masquerade(self) -> Self {
        self.add("masquerade", [Expression::Masquerade])
    }

    /// Masquerades with a source port by chance, so that two hosts' guesses do not collide. One of 32768 on: below them
    /// are ports that are reached from outside (NodePorts are 30000–32767), and a reply to one of those would be
    /// taken for a new flow.
    #[must_use]
    pub fn masquerade_fully_random(self) -> Self {
        let ports = [(0, 32768), (1, 65535)].map(|(register, port)| Expression::LoadPort { register, port });
        let [first, last] = ports;
        self.add("masquerade to :32768-65535 fully-random", [first, last, Expression::MasqueradeToPorts])
    }
}
