//! An operation as text: what a person would type (`ip`, `bridge`, `nft`, `sysctl`).
//!
//! A log line, `--dry-run` and `explain` print this, so that each can be checked by hand.

use std::fmt;

use crate::{FdbEntry, LinkChange, Neighbour, NewLink, NewLinkKind, Op, Route, Rule};

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddLink(link) => write!(f, "{link}"),
            Self::ChangeLink(change) => write!(f, "{change}"),
            Self::DeleteLink(dev) => write!(f, "ip link delete {dev}"),
            Self::AddAddress(a) => write!(f, "ip address add {} dev {}", a.net, a.dev),
            Self::DeleteAddress(a) => write!(f, "ip address delete {} dev {}", a.net, a.dev),
            Self::ReplaceRoute(r) => write!(f, "ip route replace {r}"),
            Self::DeleteRoute(r) => write!(f, "ip route delete {r}"),
            Self::AddRule(r) => write!(f, "ip rule add {r}"),
            Self::DeleteRule(r) => write!(f, "ip rule delete {r}"),
            Self::ReplaceNeighbour(n) => write!(f, "ip neighbour replace {n}"),
            Self::DeleteNeighbour(n) => write!(f, "ip neighbour delete {} dev {}", n.ip, n.dev),
            Self::ReplaceFdb(e) => write!(f, "bridge fdb replace {e}"),
            Self::DeleteFdb(e) => write!(f, "bridge fdb delete {e}"),
            Self::AddQdisc(q) => write!(f, "tc qdisc add {q}"),
            Self::DeleteQdisc { dev, hook } => write!(f, "tc qdisc delete dev {dev} {hook}"),
            Self::AddClass(c) => write!(f, "tc class add {c}"),
            Self::AddFilter(filter) => write!(f, "tc filter add {filter}"),
            Self::WriteSysctl { key, value } => write!(f, "sysctl -w {key}={value}"),
            Self::ReplaceTable(table) => {
                write!(f, "nft table {} replaced ({} rules)", table.id, table.rule_count())
            }
            Self::DeleteTable(id) => write!(f, "nft delete table {id}"),
        }
    }
}

/// Writes ` word value` when there is a value.
fn word<T: fmt::Display>(f: &mut fmt::Formatter<'_>, word: &str, value: Option<T>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {word} {value}"))
}

impl fmt::Display for NewLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ip link add {}", self.name)?;
        word(f, "address", self.mac)?;
        word(f, "mtu", self.mtu)?;
        word(f, "master", self.master.as_ref())?;
        match &self.kind {
            NewLinkKind::Veth(peer) => {
                write!(f, " type veth peer name {}", peer.name)?;
                word(f, "address", peer.mac)?;
                if peer.netns.is_some() {
                    write!(f, " netns (pod)")?
                }
            }
            NewLinkKind::Bridge(_) => write!(f, " type bridge")?,
            NewLinkKind::Ifb => write!(f, " type ifb")?,
            NewLinkKind::Vxlan(v) => {
                write!(f, " type vxlan id {} dstport {}", v.vni, v.port)?;
                word(f, "local", v.local)?;
                write!(f, " {}", if v.learning { "learning" } else { "nolearning" })?;
            }
        }
        if self.up { write!(f, " up") } else { Ok(()) }
    }
}

impl fmt::Display for LinkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ip link set {}", self.dev)?;
        word(f, "mtu", self.mtu)?;
        word(f, "address", self.mac)?;
        word(f, "name", self.name.as_ref())?;
        word(f, "alias", self.alias.as_ref())?;
        match &self.master {
            Some(Some(master)) => write!(f, " master {master}")?,
            Some(None) => write!(f, " nomaster")?,
            None => {}
        }
        let on_off = |on| if on { "on" } else { "off" };
        word(f, "promisc", self.promiscuous.map(on_off))?;
        word(f, "allmulticast", self.all_multicast.map(on_off))?;
        word(f, "txqueuelen", self.txqlen)?;
        word(f, "type bridge_slave hairpin", self.port.and_then(|p| p.hairpin).map(on_off))?;
        if self.netns.is_some() {
            write!(f, " netns (pod)")?
        }
        if self.no_link_local {
            write!(f, " addrgenmode none")?
        }
        match self.up {
            Some(true) => write!(f, " up"),
            Some(false) => write!(f, " down"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.dest)?;
        word(f, "via", self.via)?;
        word(f, "dev", self.dev.as_ref())?;
        word(f, "mtu", self.mtu)?;
        word(f, "src", self.source)?;
        if self.onlink {
            write!(f, " onlink")?
        }
        write!(f, " proto {}", self.protocol)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "priority {}", self.priority)?;
        word(f, "from", self.from)?;
        word(f, "to", self.to)?;
        if let Some((mark, mask)) = self.mark {
            write!(f, " fwmark {mark:#x}/{mask:#x}")?
        }
        write!(f, " table {}", self.table)
    }
}

impl fmt::Display for Neighbour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {}", self.ip, self.dev)?;
        word(f, "lladdr", self.mac)?;
        if self.permanent { write!(f, " nud permanent") } else { Ok(()) }
    }
}

impl fmt::Display for FdbEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} dev {} self", self.mac, self.dev)?;
        word(f, "dst", self.dst)?;
        if self.permanent { write!(f, " permanent") } else { Ok(()) }
    }
}
