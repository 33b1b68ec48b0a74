//! The nftables socket: a table replaced or deleted in one transaction, and what is there.
//!
//! ```text
//! BATCH_BEGIN │ NEWTABLE │ DELTABLE │ NEWTABLE │ NEWCHAIN… │ NEWRULE… │ BATCH_END
//! ```
//!
//! The first NEWTABLE makes the DELTABLE succeed whether the table was there or not; the kernel
//! does all of it or nothing, and packets see either the old table or the new.

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily, NetfilterSubsystem,
    nftables::{
        ChainAttribute, ChainMessage, Hook as HookAttribute, HookNumber, NfTablesMessage, RuleAttribute,
        RuleMessage, TableAttribute, TableMessage,
    },
};
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::{
    Chain, ChainKind, Family, Fingerprint, Hook, HookPoint, Rule, Table, TableId,
    table::{bare_chain_line, chain_line, rule_line},
};
use crate::{
    Error, Op, Result,
    channel::{Answer, Channel, Request, Traffic},
};

/// A base chain of another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignChain {
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// It translates addresses.
    pub nat: bool,
    /// When it is asked; `None` where that is no place of ours to know.
    pub point: Option<HookPoint>,
    /// Its policy is drop: what no rule of it accepts does not pass.
    pub drops: bool,
    /// Its table's family.
    pub family: Family,
}

/// A `NETLINK_NETFILTER` socket for nftables.
#[derive(Debug)]
pub struct NftSocket {
    pub(super) channel: Channel,
}

impl NftSocket {
    /// Opens a socket in the calling thread's namespace.
    pub fn open() -> Result<Self> {
        Ok(Self { channel: Channel::open(NETLINK_NETFILTER)? })
    }

    /// Replaces the table and all in it.
    pub fn replace(&mut self, table: &Table) -> Result<()> {
        let mut requests =
            vec![marker(16), new_table(&table.id), delete_table(&table.id), new_table(&table.id)];
        for chain in &table.chains {
            requests.push(new_chain(&table.id, chain));
        }
        for chain in &table.chains {
            requests.extend(chain.rules.iter().map(|rule| new_rule(&table.id, &chain.name, rule)));
        }
        requests.push(marker(17));
        self.transact(requests, || Op::ReplaceTable(table.clone()))
    }

    /// Deletes the table; one that is not there is fine.
    pub fn delete(&mut self, id: &TableId) -> Result<()> {
        let requests = vec![marker(16), new_table(id), delete_table(id), marker(17)];
        self.transact(requests, || Op::DeleteTable(id.clone()))
    }

    fn transact(&mut self, mut requests: Vec<Request>, op: impl Fn() -> Op) -> Result<()> {
        for answer in self.channel.transact(&mut requests)? {
            match answer {
                Answer::Done => {}
                Answer::Refused(refusal) => return Err(op().refused(refusal.errno, refusal.said)),
                Answer::Lost => return Err(Error::AnswerLost { op: op().to_string() }),
            }
        }
        Ok(())
    }

    /// What is compared of the table that the kernel has; `None` where it has none of that name.
    pub fn fingerprint(&mut self, id: &TableId) -> Result<Option<Fingerprint>> {
        let tables = self.channel.dump("tables", || get(id.family, get_tables()), table_name)?;
        if !tables.iter().any(|t| t == &id.name) {
            return Ok(None);
        }
        let mut lines: Vec<String> = self
            .channel
            .dump("chains", || get(id.family, get_chains()), |m| observed_chain(m, &id.name))?
            .into_iter()
            .map(|chain| match chain.hook {
                Some(hook) => chain_line(&chain.name, hook),
                None => bare_chain_line(&chain.name),
            })
            .collect();
        lines.extend(self.channel.dump(
            "rules",
            || get(id.family, get_rules(&id.name)),
            |m| observed_rule(m, &id.name),
        )?);
        lines.sort_by(|a, b| a.split(' ').next().cmp(&b.split(' ').next()));
        Ok(Some(Fingerprint(lines)))
    }

    /// Base chains outside tables whose name begins with `ours`, of both IP families and inet.
    pub fn foreign_chains(&mut self, ours: &str) -> Result<Vec<ForeignChain>> {
        let mut found = Vec::new();
        for family in [Family::Inet, Family::Ip, Family::Ip6] {
            found.extend(self.channel.dump(
                "chains",
                || get(family, get_chains()),
                |m| foreign_chain(m, ours, family),
            )?);
        }
        Ok(found)
    }

    /// What this socket has done.
    pub fn traffic(&self) -> Traffic {
        self.channel.traffic
    }

    /// Tables outside ours whose rules look at connection tracking (`ct`) state or translate addresses.
    pub fn tracked_tables(&mut self, ours: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for family in [Family::Inet, Family::Ip, Family::Ip6] {
            found.extend(self.channel.dump(
                "rules",
                || get(family, get_rules("")),
                |m| tracking_rule(m, ours),
            )?);
        }
        found.sort();
        found.dedup();
        Ok(found)
    }
}

pub(super) fn proto(family: Family) -> NetfilterProtoFamily {
    match family {
        Family::Inet => NetfilterProtoFamily::Inet,
        Family::Ip => NetfilterProtoFamily::IPv4,
        Family::Ip6 => NetfilterProtoFamily::IPv6,
    }
}

/// `NFNL_MSG_BATCH_BEGIN` (16) and `_END` (17): the transaction's subsystem is in `res_id`.
pub(super) fn marker(kind: u8) -> Request {
    const NFNL_SUBSYS_NFTABLES: u16 = 10;
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFNL_SUBSYS_NFTABLES);
    let inner = NetfilterMessageInner::Other {
        subsys: NetfilterSubsystem::None,
        message_type: kind,
        attributes: Vec::new(),
    };
    Request::of(NetfilterMessage::new(header, inner), 0)
}

fn get(family: Family, message: NfTablesMessage) -> NetfilterMessage {
    NetfilterMessage::new(NetfilterHeader::new(proto(family), 0, 0), message)
}

fn new_table(id: &TableId) -> Request {
    let message = TableMessage { attributes: vec![TableAttribute::Name(id.name.clone())] };
    Request::of(get(id.family, NfTablesMessage::NewTable(message)), NLM_F_CREATE)
}

fn delete_table(id: &TableId) -> Request {
    let message = TableMessage { attributes: vec![TableAttribute::Name(id.name.clone())] };
    Request::of(get(id.family, NfTablesMessage::DeleteTable(message)), 0)
}

fn new_chain(id: &TableId, chain: &Chain) -> Request {
    let Hook { kind, point, priority } = chain.hook;
    let kind = match kind {
        ChainKind::Filter => "filter",
        ChainKind::Nat => "nat",
    };
    let hook = vec![
        HookAttribute::Number(HookNumber::Other(point as u32)),
        HookAttribute::Priority(priority as u32),
    ];
    let attributes = vec![
        ChainAttribute::Table(id.name.clone()),
        ChainAttribute::Name(chain.name.clone()),
        ChainAttribute::Hook(hook),
        ChainAttribute::Type(kind.to_owned()),
    ];
    Request::of(get(id.family, NfTablesMessage::NewChain(ChainMessage { attributes })), NLM_F_CREATE)
}

fn new_rule(id: &TableId, chain: &str, rule: &Rule) -> Request {
    let attributes = vec![
        RuleAttribute::Table(id.name.clone()),
        RuleAttribute::Chain(chain.to_owned()),
        RuleAttribute::Expressions(rule.expressions().iter().map(super::Expression::element).collect()),
        RuleAttribute::UserData(rule.user_data()),
    ];
    Request::of(
        get(id.family, NfTablesMessage::NewRule(RuleMessage { attributes })),
        NLM_F_CREATE | NLM_F_APPEND,
    )
}

fn get_tables() -> NfTablesMessage {
    NfTablesMessage::GetTable(TableMessage { attributes: Vec::new() })
}

fn get_chains() -> NfTablesMessage {
    NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() })
}

fn get_rules(table: &str) -> NfTablesMessage {
    let named = (!table.is_empty()).then(|| RuleAttribute::Table(table.to_owned()));
    NfTablesMessage::GetRule(RuleMessage { attributes: named.into_iter().collect() })
}

fn table_name(message: NetfilterMessage) -> Option<String> {
    let NetfilterMessageInner::NfTables(NfTablesMessage::NewTable(table)) = message.inner else {
        return None;
    };
    table
        .attributes
        .into_iter()
        .find_map(|a| if let TableAttribute::Name(name) = a { Some(name) } else { None })
}

struct Observed {
    table: String,
    name: String,
    hook: Option<Hook>,
    nat: bool,
    base: bool,
    point: Option<HookPoint>,
    drops: bool,
}

fn read_chain(message: NetfilterMessage) -> Option<Observed> {
    let NetfilterMessageInner::NfTables(NfTablesMessage::NewChain(chain)) = message.inner else {
        return None;
    };
    let (mut table, mut name, mut kind, mut point, mut priority, mut policy) =
        (String::new(), String::new(), String::new(), None, 0, 1);
    for attribute in chain.attributes {
        match attribute {
            ChainAttribute::Table(value) => table = value,
            ChainAttribute::Name(value) => name = value,
            ChainAttribute::Type(value) => kind = value,
            ChainAttribute::Policy(value) => policy = value,
            ChainAttribute::Hook(hook) => {
                for part in hook {
                    match part {
                        HookAttribute::Number(number) => point = Some(u32::from(number)),
                        HookAttribute::Priority(value) => priority = value as i32,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let nat = kind == "nat";
    let kind = if nat { ChainKind::Nat } else { ChainKind::Filter };
    let base = point.is_some();
    let (point, drops) = (point.and_then(hook_point), policy != 1);
    let hook = point.filter(|_| !drops).map(|point| Hook { kind, point, priority });
    Some(Observed { table, name, hook, nat, base, point, drops })
}

fn hook_point(number: u32) -> Option<HookPoint> {
    use HookPoint::{Forward, Input, Output, Postrouting, Prerouting};
    [Prerouting, Input, Forward, Output, Postrouting].into_iter().find(|point| *point as u32 == number)
}

fn observed_chain(message: NetfilterMessage, table: &str) -> Option<Observed> {
    read_chain(message).filter(|chain| chain.table == table)
}

fn foreign_chain(message: NetfilterMessage, ours: &str, family: Family) -> Option<ForeignChain> {
    let chain = read_chain(message)?;
    (chain.base && !chain.table.starts_with(ours)).then_some(ForeignChain {
        table: chain.table,
        name: chain.name,
        nat: chain.nat,
        point: chain.point,
        drops: chain.drops,
        family,
    })
}

pub(super) fn rule_attributes(message: NetfilterMessage) -> Option<Vec<RuleAttribute>> {
    let NetfilterMessageInner::NfTables(NfTablesMessage::NewRule(rule)) = message.inner else { return None };
    Some(rule.attributes)
}

fn observed_rule(message: NetfilterMessage, table: &str) -> Option<String> {
    let (mut of, mut chain, mut comment) =
        (String::new(), String::new(), String::from("without our comment"));
    for attribute in rule_attributes(message)? {
        match attribute {
            RuleAttribute::Table(value) => of = value,
            RuleAttribute::Chain(value) => chain = value,
            RuleAttribute::UserData(data) => {
                let text = data.get(2..data.len().saturating_sub(1)).unwrap_or(&[]);
                comment = String::from_utf8_lossy(text).into_owned();
            }
            _ => {}
        }
    }
    (of == table).then(|| rule_line(&chain, &comment))
}

/// The table of a foreign rule that needs connection tracking.
fn tracking_rule(message: NetfilterMessage, ours: &str) -> Option<String> {
    let (mut of, mut tracks) = (String::new(), false);
    for attribute in rule_attributes(message)? {
        match attribute {
            RuleAttribute::Table(value) => of = value,
            RuleAttribute::Expressions(list) => {
                tracks = list.iter().any(|item| needs_tracking(&format!("{item:?}")))
            }
            _ => {}
        }
    }
    (tracks && !of.starts_with(ours)).then_some(of)
}

/// Expressions, and extensions of iptables-nft inside `match` and `target`, that read or make
/// connection tracking entries. Their names are looked for in the debug text, because the codec
/// leaves unknown expressions as bytes.
fn needs_tracking(expression: &str) -> bool {
    ["\"ct\"", "\"nat\"", "\"masq\"", "\"redir\"", "\"conntrack\"", "\"MASQUERADE\"", "\"DNAT\"", "\"SNAT\""]
        .iter()
        .any(|name| expression.contains(name))
}
