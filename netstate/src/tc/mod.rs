//! Traffic control: qdiscs, classes and filters of a device, as values.
//!
//! ```text
//!  device ──┬─ root     qdisc 1:      tbf                    all that leaves the device passes it
//!           │                         htb ─┬─ class 1:1      … or one of its classes, which a filter
//!           │                              └─ class 1:30     of parent 1: or the default chooses
//!           └─ ingress  qdisc ffff:   ingress
//!                         └─ filter   u32, all packets ─► mirred redirect ─► another device's root
//! ```
//!
//! Only what shaping needs, and only one qdisc of a device at a time is read ([`RouteSocket::qdisc_of`]): the
//! kernel's list of all qdiscs grows with the node's pods. Wire form: `wire.rs`; what a person would type: `text.rs`.
//!
//! [`RouteSocket::qdisc_of`]: crate::RouteSocket::qdisc_of

mod text;
pub(crate) mod wire;

use ipnetwork::IpNetwork;

use crate::DevName;

/// The kernel's unit of time in a token bucket (`PSCHED_SHIFT` is 6 in include/net/pkt_sched.h): nanoseconds.
pub const TICK_NS: u64 = 64;

/// `major:minor`, in hexadecimal as tc writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle {
    /// The qdisc.
    pub major: u16,
    /// The class in it; 0 is the qdisc itself.
    pub minor: u16,
}

impl Handle {
    /// `1:`, the qdisc that hangs at a device's root by custom.
    pub const ROOT_QDISC: Self = Self { major: 1, minor: 0 };
    /// `ffff:`, the ingress qdisc.
    pub const INGRESS_QDISC: Self = Self { major: 0xffff, minor: 0 };

    /// A class of this qdisc.
    pub fn class(self, minor: u16) -> Self {
        Self { minor, ..self }
    }
}

/// Where a qdisc hangs on its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// What leaves the device.
    Root,
    /// What comes in.
    Ingress,
}

/// A qdisc directly on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qdisc {
    /// The device.
    pub dev: DevName,
    /// Where on it.
    pub hook: Hook,
    /// Its name.
    pub handle: Handle,
    /// What it does.
    pub kind: QdiscKind,
}

impl Qdisc {
    /// `kind` as `1:` at the root of `dev`.
    pub fn root(dev: impl Into<DevName>, kind: QdiscKind) -> Self {
        Self { dev: dev.into(), hook: Hook::Root, handle: Handle::ROOT_QDISC, kind }
    }

    /// The ingress qdisc of `dev`.
    pub fn ingress(dev: impl Into<DevName>) -> Self {
        Self { dev: dev.into(), hook: Hook::Ingress, handle: Handle::INGRESS_QDISC, kind: QdiscKind::Ingress }
    }
}

/// What a qdisc does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QdiscKind {
    /// One token bucket for everything.
    Tbf(Tbf),
    /// Classes with a token bucket each.
    Htb {
        /// The minor of the class for what no filter chooses.
        default: u32,
    },
    /// Holds filters for what comes in.
    Ingress,
    /// Any other, by the kernel's name for it.
    Other(String),
}

/// A token bucket (`struct tc_tbf_qopt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tbf {
    /// Bytes per second.
    pub rate: u64,
    /// The bucket's depth, as the time that it takes to fill: ticks of [`TICK_NS`].
    pub buffer: u32,
    /// Bytes that may wait, those in the bucket included.
    pub limit: u32,
}

/// A class of an htb qdisc (`struct tc_htb_opt`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// The device.
    pub dev: DevName,
    /// Its name; its major is the qdisc's.
    pub handle: Handle,
    /// Bytes per second that it always has.
    pub rate: u64,
    /// Bytes per second that it may borrow up to.
    pub ceil: u64,
    /// The depth of the bucket that fills at `rate`: ticks.
    pub buffer: u32,
    /// The depth of the bucket that fills at `ceil`: ticks.
    pub cbuffer: u32,
}

/// A u32 filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The device.
    pub dev: DevName,
    /// The qdisc that asks it.
    pub parent: Handle,
    /// Lower is asked first.
    pub priority: u16,
    /// Which packets.
    pub matches: Match,
    /// What becomes of them.
    pub verdict: Verdict,
}

/// Which packets a filter chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// All.
    All,
    /// Those to addresses in this network.
    To(IpNetwork),
    /// Something that these values don't tell.
    Other,
}

/// What becomes of the packets that a filter chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// They go to a class of the qdisc.
    Class(Handle),
    /// They leave by another device (`mirred egress redirect`).
    Redirect(DevName),
    /// Something that these values don't tell.
    Other,
}
