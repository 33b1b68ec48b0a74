//! Links: what the kernel has, what to make, what to change.

use std::{fmt, net::IpAddr, os::fd::RawFd, str::FromStr, sync::Arc};

/// A device name: at most 15 bytes (`IFNAMSIZ`), shared by all entries on the device.
pub type DevName = Arc<str>;

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

/// Text that is no Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no MAC address: write six hexadecimal bytes, such as 1a:6a:3f:7a:7d:c5")]
pub struct MacParseError(String);

impl Mac {
    /// A locally administered unicast address out of six bytes of a hash or of chance.
    pub fn local(mut bytes: [u8; 6]) -> Self {
        bytes[0] = (bytes[0] & 0xfe) | 0x02;
        Self(bytes)
    }

    /// The address in `bytes`, if it is six bytes long and not all zero.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let six: [u8; 6] = bytes.try_into().ok()?;
        (six != [0; 6]).then_some(Self(six))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = MacParseError;

    fn from_str(text: &str) -> Result<Self, MacParseError> {
        let fail = || MacParseError(text.to_owned());
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(fail)?;
            if part.len() != 2 {
                return Err(fail());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| fail())?;
        }
        if parts.next().is_some() { Err(fail()) } else { Ok(Self(bytes)) }
    }
}

/// A link as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Interface index.
    pub index: u32,
    /// Its name.
    pub name: DevName,
    /// Ethernet address, where it has one.
    pub mac: Option<Mac>,
    /// Bytes.
    pub mtu: u32,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// The lower layer is up (`IFF_LOWER_UP`: carrier).
    pub carrier: bool,
    /// A loopback device.
    pub loopback: bool,
    /// Index of the bridge that it is a port of.
    pub master: Option<u32>,
    /// `ip link … alias`.
    pub alias: Option<String>,
    /// `IFLA_LINK`: a veth's peer or the device below, numbered in its own namespace.
    pub parent: Option<u32>,
    /// `IFLA_LINK_NETNSID`: set where the parent lives in another namespace.
    pub parent_netnsid: Option<i32>,
    /// Promiscuous (`IFF_PROMISC`).
    pub promiscuous: bool,
    /// Takes all multicast frames (`IFF_ALLMULTI`).
    pub all_multicast: bool,
    /// Transmit queue length, packets.
    pub txqlen: u32,
    /// How it is a bridge's port, if it is one.
    pub port: Option<BridgePort>,
    /// What kind of device.
    pub kind: LinkKind,
}

/// What kind of device a link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkKind {
    /// One end of a veth pair.
    Veth,
    /// A bridge.
    Bridge(Bridge),
    /// A VXLAN tunnel end point.
    Vxlan(Vxlan),
    /// A device without `IFLA_INFO_KIND`: hardware or loopback.
    Plain,
    /// Any other kind, by the kernel's name for it.
    Other(String),
}

/// A bridge's attributes; `None` leaves the kernel's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bridge {
    /// VLAN filtering. The build machines' kernel has none.
    pub vlan_filtering: Option<bool>,
}

/// A bridge port's attributes; `None` leaves the kernel's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BridgePort {
    /// Frames may leave by the port they came in on.
    pub hairpin: Option<bool>,
    /// Isolated from other isolated ports (kernel ≥ 4.18).
    pub isolated: Option<bool>,
}

/// A VXLAN device's attributes (RFC 7348), as flannel sets them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vxlan {
    /// Network identifier, 24 bits.
    pub vni: u32,
    /// UDP destination port.
    pub port: u16,
    /// Outer source address.
    pub local: Option<IpAddr>,
    /// Index of the device that carries the outer packets.
    pub parent: Option<u32>,
    /// Learn addresses from traffic.
    pub learning: bool,
    /// Group based policy (`IFLA_VXLAN_GBP`).
    pub gbp: bool,
}

/// A link to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    /// Its name.
    pub name: DevName,
    /// Ethernet address; the kernel picks one at random without.
    pub mac: Option<Mac>,
    /// Bytes; the kernel's default without.
    pub mtu: Option<u32>,
    /// Up at once.
    pub up: bool,
    /// Name of the bridge to be a port of.
    pub master: Option<DevName>,
    /// Owner's tag: see [`crate::owned_alias`].
    pub alias: Option<String>,
    /// Transmit queue length, packets.
    pub txqlen: Option<u32>,
    /// How it is to be a bridge's port.
    pub port: Option<BridgePort>,
    /// What to make.
    pub kind: NewLinkKind,
}

impl NewLink {
    /// A link with the kernel's defaults, down.
    pub fn of(name: impl Into<DevName>, kind: NewLinkKind) -> Self {
        Self {
            name: name.into(),
            mac: None,
            mtu: None,
            up: false,
            master: None,
            alias: None,
            txqlen: None,
            port: None,
            kind,
        }
    }
}

/// What kind of link to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewLinkKind {
    /// A veth pair.
    Veth(VethPeer),
    /// A bridge.
    Bridge(Bridge),
    /// A VXLAN device.
    Vxlan(Vxlan),
    /// An intermediate functional block: what is redirected to it passes its qdisc and goes on.
    Ifb,
}

/// The other end of a new veth pair, made straight in its namespace under its last name: no second
/// message moves or renames it, and no other program sees it half made. It is made down: the kernel
/// cannot bring it up before both ends know each other (ENOTCONN).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VethPeer {
    /// Its name.
    pub name: DevName,
    /// Ethernet address.
    pub mac: Option<Mac>,
    /// Bytes.
    pub mtu: Option<u32>,
    /// Where it lives; beside the first end without.
    pub netns: Option<NetNsTarget>,
}

/// Names a network namespace to the kernel in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetNsTarget {
    /// An open file descriptor, which must stay open until the operation is applied.
    Fd(RawFd),
    /// A process.
    Pid(u32),
}

/// Changes of an existing link; `None` leaves a value as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkChange {
    /// The link.
    pub dev: DevName,
    /// Up or down.
    pub up: Option<bool>,
    /// Bytes.
    pub mtu: Option<u32>,
    /// Ethernet address.
    pub mac: Option<Mac>,
    /// The bridge to be a port of; `Some(None)` takes it out of its bridge.
    pub master: Option<Option<DevName>>,
    /// A new name.
    pub name: Option<DevName>,
    /// A new alias.
    pub alias: Option<String>,
    /// Promiscuous mode.
    pub promiscuous: Option<bool>,
    /// Takes all multicast frames.
    pub all_multicast: Option<bool>,
    /// Transmit queue length, packets.
    pub txqlen: Option<u32>,
    /// Moved to this namespace.
    pub netns: Option<NetNsTarget>,
    /// As a bridge's port.
    pub port: Option<BridgePort>,
    /// Do not make an IPv6 link-local address when it comes up (`addrgenmode none`).
    pub no_link_local: bool,
}

impl LinkChange {
    /// No change yet of `dev`.
    pub fn of(dev: impl Into<DevName>) -> Self {
        Self {
            dev: dev.into(),
            up: None,
            mtu: None,
            mac: None,
            master: None,
            name: None,
            alias: None,
            promiscuous: None,
            all_multicast: None,
            txqlen: None,
            netns: None,
            port: None,
            no_link_local: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_reads_what_it_prints() {
        let mac: Mac = "1a:6a:3f:7a:7d:c5".parse().unwrap();
        assert_eq!(mac.to_string(), "1a:6a:3f:7a:7d:c5");
        for bad in ["", "1a:6a:3f:7a:7d", "1a:6a:3f:7a:7d:c5:00", "1a:6a:3f:7a:7d:zz", "1a6a:3f:7a:7d:c5:1"] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
        assert_eq!(Mac::local([0xff; 6]).0[0], 0xfe);
    }
}
