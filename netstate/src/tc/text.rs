//! Traffic control as tc(8) takes it on its command line.

use std::fmt;

use super::{Class, Filter, Handle, Hook, Match, Qdisc, QdiscKind, TICK_NS, Tbf, Verdict};

/// The bytes that flow at `rate` during `ticks`.
fn burst(rate: u64, ticks: u32) -> u128 {
    u128::from(rate) * u128::from(ticks) * u128::from(TICK_NS) / 1_000_000_000
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minor {
            0 => write!(f, "{:x}:", self.major),
            minor => write!(f, "{:x}:{minor:x}", self.major),
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Ingress => "ingress",
        })
    }
}

/// tc's `bps` are bytes per second.
impl fmt::Display for Tbf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tbf rate {}bps burst {}b limit {}b", self.rate, burst(self.rate, self.buffer), self.limit)
    }
}

impl fmt::Display for QdiscKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tbf(tbf) => write!(f, "{tbf}"),
            Self::Htb { default } => write!(f, "htb default {default:x}"),
            Self::Ingress => f.write_str("ingress"),
            Self::Other(kind) => f.write_str(kind),
        }
    }
}

impl fmt::Display for Qdisc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hook {
            Hook::Root => write!(f, "dev {} root handle {} {}", self.dev, self.handle, self.kind),
            Hook::Ingress => write!(f, "dev {} handle {} {}", self.dev, self.handle, self.kind),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parent = self.handle.class(0);
        write!(f, "dev {} parent {parent} classid {} htb", self.dev, self.handle)?;
        write!(f, " rate {}bps burst {}b", self.rate, burst(self.rate, self.buffer))?;
        write!(f, " ceil {}bps cburst {}b", self.ceil, burst(self.ceil, self.cbuffer))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dev {} parent {} prio {}", self.dev, self.parent, self.priority)?;
        match self.matches {
            Match::All => write!(f, " protocol all u32 match u32 0 0")?,
            Match::To(net) if net.is_ipv4() => write!(f, " protocol ip u32 match ip dst {net}")?,
            Match::To(net) => write!(f, " protocol ipv6 u32 match ip6 dst {net}")?,
            Match::Other => write!(f, " (another match)")?,
        }
        match &self.verdict {
            Verdict::Class(class) => write!(f, " flowid {class}"),
            Verdict::Redirect(dev) => write!(f, " action mirred egress redirect dev {dev}"),
            Verdict::Other => write!(f, " (another action)"),
        }
    }
}
