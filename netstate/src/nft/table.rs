//! Tables and chains.

use std::fmt;

use super::Rule;

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
}

/// Names a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId {
    /// Its family.
    pub family: Family,
    /// Its name.
    pub name: String,
}

/// A table with all that is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name and family.
    pub id: TableId,
    /// Its chains.
    pub chains: Vec<Chain>,
}

/// A base chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where it hooks in.
    pub hook: Hook,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// Where and how a base chain hooks in. The policy is accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// What it may do.
    pub kind: ChainKind,
    /// When it is asked.
    pub point: HookPoint,
    /// Its place among the chains of one point; lower is earlier.
    pub priority: i32,
}

/// What a chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// Accept, drop, notrack.
    Filter,
    /// Address translation; asked for a connection's first packet only.
    Nat,
}

/// When a chain is asked (include/uapi/linux/netfilter.h, `nf_inet_hooks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookPoint {
    /// On arrival.
    Prerouting = 0,
    /// For this host.
    Input = 1,
    /// Through this host.
    Forward = 2,
    /// From this host.
    Output = 3,
    /// On leaving.
    Postrouting = 4,
}

/// What is compared between a desired and an observed table: a line per chain and per rule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint(pub Vec<String>);

impl Table {
    /// How many rules it holds.
    pub fn rule_count(&self) -> usize {
        self.chains.iter().map(|chain| chain.rules.len()).sum()
    }

    /// What the kernel would show of this table.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut lines = Vec::new();
        for chain in &self.chains {
            lines.push(chain_line(&chain.name, chain.hook));
            lines.extend(chain.rules.iter().map(|rule| rule_line(&chain.name, &rule.comment())));
        }
        lines.sort_by(|a, b| a.split(' ').next().cmp(&b.split(' ').next())); // stable: rules keep their order
        Fingerprint(lines)
    }
}

pub(super) fn chain_line(name: &str, hook: Hook) -> String {
    let Hook { kind, point, priority } = hook;
    format!("{name} type {kind:?} hook {point:?} priority {priority}")
}

/// Of a chain that no hook asks, or one of a kind that we do not make.
pub(super) fn bare_chain_line(name: &str) -> String {
    format!("{name} without a hook that is ours")
}

pub(super) fn rule_line(chain: &str, comment: &str) -> String {
    format!("{chain} rule {comment}")
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
        })
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {} {{", self.id)?;
        for chain in &self.chains {
            let Hook { kind, point, priority } = chain.hook;
            let (kind, point) = (format!("{kind:?}").to_lowercase(), format!("{point:?}").to_lowercase());
            writeln!(
                f,
                "  chain {} {{\n    type {kind} hook {point} priority {priority}; policy accept;",
                chain.name
            )?;
            for rule in &chain.rules {
                writeln!(f, "    {}", rule.text())?;
            }
            writeln!(f, "  }}")?;
        }
        write!(f, "}}")
    }
}
