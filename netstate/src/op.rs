//! One change of the kernel's network state.
//!
//! Wire form: `encode.rs`. Text form, which is what a person would type: `display.rs`.

use crate::{Address, Error, FdbEntry, LinkChange, Neighbour, NewLink, Route, Rule, nft, tc};

/// One change of the kernel's network state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Makes a link; one of that name is an error.
    AddLink(NewLink),
    /// Changes a link.
    ChangeLink(LinkChange),
    /// Deletes a link; one that is gone is fine.
    DeleteLink(crate::DevName),
    /// Adds an address; one that is there is fine.
    AddAddress(Address),
    /// Deletes an address; one that is gone is fine.
    DeleteAddress(Address),
    /// Adds a route or replaces the one with its key.
    ReplaceRoute(Route),
    /// Deletes a route; one that is gone is fine.
    DeleteRoute(Route),
    /// Adds a rule; one that is there is fine.
    AddRule(Rule),
    /// Deletes a rule; one that is gone is fine.
    DeleteRule(Rule),
    /// Adds or replaces a neighbour entry.
    ReplaceNeighbour(Neighbour),
    /// Deletes a neighbour entry; one that is gone is fine.
    DeleteNeighbour(Neighbour),
    /// Adds or replaces a forwarding database entry.
    ReplaceFdb(FdbEntry),
    /// Deletes a forwarding database entry; one that is gone is fine.
    DeleteFdb(FdbEntry),
    /// Adds a qdisc; one that is there is an error.
    AddQdisc(tc::Qdisc),
    /// Deletes the qdisc at a hook, with its classes and filters; none there is fine.
    DeleteQdisc {
        /// The device.
        dev: crate::DevName,
        /// Where on it.
        hook: tc::Hook,
    },
    /// Adds a class; one that is there is an error.
    AddClass(tc::Class),
    /// Adds a filter.
    AddFilter(tc::Filter),
    /// Writes a sysctl of the calling thread's namespace.
    WriteSysctl {
        /// Below /proc/sys.
        key: String,
        /// The value.
        value: String,
    },
    /// Replaces a whole nftables table in one transaction.
    ReplaceTable(nft::Table),
    /// Deletes an nftables table; one that is gone is fine.
    DeleteTable(nft::TableId),
}

impl Op {
    /// The device whose index the message needs, if any.
    pub(crate) fn devices(&self) -> [Option<&crate::DevName>; 2] {
        match self {
            Self::AddLink(link) => [link.master.as_ref(), None],
            Self::ChangeLink(change) => [Some(&change.dev), change.master.as_ref().and_then(Option::as_ref)],
            Self::DeleteLink(dev) => [Some(dev), None],
            Self::AddAddress(a) | Self::DeleteAddress(a) => [Some(&a.dev), None],
            Self::ReplaceRoute(r) | Self::DeleteRoute(r) => [r.dev.as_ref(), None],
            Self::ReplaceNeighbour(n) | Self::DeleteNeighbour(n) => [Some(&n.dev), None],
            Self::ReplaceFdb(e) | Self::DeleteFdb(e) => [Some(&e.dev), None],
            Self::AddQdisc(q) => [Some(&q.dev), None],
            Self::DeleteQdisc { dev, .. } => [Some(dev), None],
            Self::AddClass(c) => [Some(&c.dev), None],
            Self::AddFilter(f) => match &f.verdict {
                tc::Verdict::Redirect(target) => [Some(&f.dev), Some(target)],
                _ => [Some(&f.dev), None],
            },
            _ => [None, None],
        }
    }

    /// Whether the goal is reached although the kernel answered `errno`: races with another hand
    /// that did the same are no failures.
    pub(crate) fn already(&self, errno: i32) -> bool {
        match self {
            Self::AddAddress(_) | Self::AddRule(_) => errno == libc::EEXIST,
            Self::DeleteLink(_) => errno == libc::ENODEV,
            Self::DeleteAddress(_) => matches!(errno, libc::EADDRNOTAVAIL | libc::ENODEV),
            Self::DeleteRoute(_) | Self::DeleteRule(_) => {
                matches!(errno, libc::ESRCH | libc::ENOENT | libc::ENODEV)
            }
            Self::DeleteNeighbour(_) | Self::DeleteFdb(_) | Self::DeleteQdisc { .. } => {
                matches!(errno, libc::ENOENT | libc::ENODEV)
            }
            _ => false,
        }
    }

    /// Whether a device that is not there means that nothing is left to do.
    pub(crate) fn deletes(&self) -> bool {
        matches!(
            self,
            Self::DeleteLink(_)
                | Self::DeleteAddress(_)
                | Self::DeleteRoute(_)
                | Self::DeleteNeighbour(_)
                | Self::DeleteFdb(_)
                | Self::DeleteQdisc { .. }
        )
    }

    /// The kind of object, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AddLink(_) | Self::ChangeLink(_) | Self::DeleteLink(_) => "link",
            Self::AddAddress(_) | Self::DeleteAddress(_) => "address",
            Self::ReplaceRoute(_) | Self::DeleteRoute(_) => "route",
            Self::AddRule(_) | Self::DeleteRule(_) => "rule",
            Self::ReplaceNeighbour(_) | Self::DeleteNeighbour(_) => "neighbour",
            Self::ReplaceFdb(_) | Self::DeleteFdb(_) => "fdb",
            Self::AddQdisc(_) | Self::DeleteQdisc { .. } => "qdisc",
            Self::AddClass(_) => "class",
            Self::AddFilter(_) => "filter",
            Self::WriteSysctl { .. } => "sysctl",
            Self::ReplaceTable(_) | Self::DeleteTable(_) => "table",
        }
    }

    /// The error of this operation that the kernel refused with `errno`.
    pub(crate) fn refused(&self, errno: i32, said: String) -> Error {
        Error::Refused { op: self.to_string(), errno, said }
    }
}
