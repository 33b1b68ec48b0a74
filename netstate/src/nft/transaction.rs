//! Changes of single objects: any mix of tables, chains, rules, sets and elements, in one transaction.
//!
//! ```text
//! BATCH_BEGIN │ NEWSETELEM EXCL │ NEWSETELEM EXCL │ DELSETELEM │ … │ BATCH_END
//!                    │ EEXIST: somebody has this key
//! ```
//!
//! The kernel does all of it or nothing. When it does nothing, it says why of each change that it
//! refused, not only of the first: [`NftSocket::commit`] hands that on, because a caller that meets a
//! taken key or a table that is gone has something to do about it. One element is one message, so that
//! an answer tells which.

use netlink_packet_core::{DefaultNla, NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterSubsystem,
};

use super::{
    ChainKind, Element, Fingerprint, Hook, NftSocket, Rule, Set, TableId, Value,
    expression::{data, nested, number, text},
    set::{comment_data, concatenated},
    socket::{marker, proto},
    table::{bare_chain_line, chain_line, rule_line},
};
use crate::{
    Error, Result,
    channel::{Answer, Request},
};

/// Messages of include/uapi/linux/netfilter/nf_tables.h, `enum nf_tables_msg_types`.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Kind {
    NewTable = 0,
    DeleteTable = 2,
    NewChain = 3,
    GetChain = 4,
    DeleteChain = 5,
    NewRule = 6,
    GetRule = 7,
    DeleteRule = 8,
    NewSet = 9,
    NewElement = 12,
    GetElement = 13,
    DeleteElement = 14,
}

/// One change of a transaction. All but the first three are of objects in `table`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Makes the table; one that is there is fine.
    Table,
    /// Makes the table; one that is there is refused (EEXIST).
    NewTable,
    /// Deletes the table and all in it (ENOENT).
    DeleteTable,
    /// Makes a chain; with a hook, a base chain whose policy is accept.
    Chain(String, Option<Hook>),
    /// Deletes a chain that has no rules and that no rule names.
    DeleteChain(String),
    /// Removes all rules of a chain.
    FlushChain(String),
    /// Puts a rule at the end of a chain.
    Rule(String, Rule),
    /// Deletes the rule with a handle out of a chain.
    DeleteRule(String, u64),
    /// Makes a set or a map.
    Set(Set),
    /// Puts an element into a set; a key that is there is refused (EEXIST).
    Add(String, Element),
    /// Takes the element with a key out of a set (ENOENT).
    Remove(String, Value),
}

/// What the kernel said against one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Which change: its place in what was given; `None` where it was the whole.
    pub at: Option<usize>,
    /// The errno, positive.
    pub errno: i32,
    /// The kernel's words, often none.
    pub said: String,
}

/// A table whose chains and sets are fixed, and whose elements come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Its name and family.
    pub table: TableId,
    /// Its sets and maps.
    pub sets: Vec<Set>,
    /// Its chains, each before those that jump to it: name, hook, rules.
    pub chains: Vec<(String, Option<Hook>, Vec<Rule>)>,
}

impl Layout {
    /// Makes table, sets, chains and rules.
    pub fn changes(&self) -> Vec<Change> {
        let sets = self.sets.iter().cloned().map(Change::Set);
        let chains = self.chains.iter().map(|(name, hook, _)| Change::Chain(name.clone(), *hook));
        let rules = self
            .chains
            .iter()
            .flat_map(|(name, _, rules)| rules.iter().map(|rule| Change::Rule(name.clone(), rule.clone())));
        std::iter::once(Change::Table).chain(sets).chain(chains).chain(rules).collect()
    }

    /// Whether these are the rules of the table, by their comments and in order: the cheapest look that
    /// tells a table that was flushed, because its cost is the rules and not the elements.
    pub fn has_rules(&self, found: &[super::ObservedRule]) -> bool {
        self.chains.iter().all(|(name, _, rules)| {
            let found = found.iter().filter(|rule| rule.chain == *name).map(|rule| rule.comment.as_str());
            found.eq(rules.iter().map(|rule| rule.comment()))
        })
    }

    /// What the kernel shows of chains and rules, as of a [`super::Table`].
    pub fn fingerprint(&self) -> Fingerprint {
        let mut lines: Vec<String> = Vec::new();
        for (name, hook, rules) in &self.chains {
            lines.push(hook.map_or_else(|| bare_chain_line(name), |hook| chain_line(name, hook)));
            lines.extend(rules.iter().map(|rule| rule_line(name, &rule.comment())));
        }
        lines.sort_by(|a, b| a.split(' ').next().cmp(&b.split(' ').next()));
        Fingerprint(lines)
    }
}

impl NftSocket {
    /// Does all changes or none. Empty: done. Otherwise nothing was done, because of these.
    pub fn commit(&mut self, table: &TableId, changes: &[Change]) -> Result<Vec<Rejected>> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let encoded = changes.iter().enumerate().map(|(at, change)| encode(table, change, at as u32));
        let mut requests: Vec<Request> =
            std::iter::once(marker(16)).chain(encoded).chain([marker(17)]).collect();
        let last = requests.len() - 1;
        let answers = self.channel.transact(&mut requests)?;
        let mut rejected = Vec::new();
        for (at, answer) in answers.into_iter().enumerate() {
            match answer {
                Answer::Done => {}
                Answer::Lost => {
                    let op = format!("change of table {table}");
                    return Err(Error::AnswerLost { op });
                }
                Answer::Refused(refusal) => {
                    let at = (at > 0 && at < last).then(|| at - 1);
                    rejected.push(Rejected { at, errno: refusal.errno, said: refusal.said });
                }
            }
        }
        Ok(rejected)
    }
}

/// A request with its attributes as they are.
pub(super) fn message(table: &TableId, kind: Kind, attributes: Vec<DefaultNla>) -> NetfilterMessage {
    let inner = NetfilterMessageInner::Other {
        subsys: NetfilterSubsystem::NfTables,
        message_type: kind as u8,
        attributes,
    };
    NetfilterMessage::new(NetfilterHeader::new(proto(table.family), 0, 0), inner)
}

/// The list of a set's elements (`NFTA_SET_ELEM_LIST_…`) with one in it.
pub(super) fn element_list(table: &TableId, set: &str, element: Option<Vec<DefaultNla>>) -> Vec<DefaultNla> {
    let mut attributes = vec![text(1, &table.name), text(2, set)];
    attributes.extend(element.map(|element| nested(3, &[nested(1, &element)])));
    attributes
}

fn encode(table: &TableId, change: &Change, number_of_change: u32) -> Request {
    let of_table = || text(1, &table.name);
    let (kind, flags, attributes) = match change {
        Change::Table => (Kind::NewTable, NLM_F_CREATE, vec![of_table()]),
        Change::NewTable => (Kind::NewTable, NLM_F_CREATE | NLM_F_EXCL, vec![of_table()]),
        Change::DeleteTable => (Kind::DeleteTable, 0, vec![of_table()]),
        Change::Chain(name, hook) => {
            let mut attributes = vec![of_table(), text(3, name)];
            if let Some(Hook { kind, point, priority }) = hook {
                let word = if *kind == ChainKind::Nat { "nat" } else { "filter" };
                attributes.push(nested(4, &[number(1, *point as u32), number(2, *priority as u32)]));
                attributes.push(text(7, word));
            }
            (Kind::NewChain, NLM_F_CREATE, attributes)
        }
        Change::DeleteChain(name) => (Kind::DeleteChain, 0, vec![of_table(), text(3, name)]),
        Change::FlushChain(name) => (Kind::DeleteRule, 0, vec![of_table(), text(2, name)]),
        Change::Rule(chain, rule) => {
            let expressions: Vec<DefaultNla> = rule.expressions().iter().map(|e| e.nla()).collect();
            let attributes = vec![
                of_table(),
                text(2, chain),
                nested(4, &expressions),
                DefaultNla::new(7, rule.user_data()),
            ];
            (Kind::NewRule, NLM_F_CREATE | NLM_F_APPEND, attributes)
        }
        Change::DeleteRule(chain, handle) => {
            let handle = DefaultNla::new(3, handle.to_be_bytes().to_vec());
            (Kind::DeleteRule, 0, vec![of_table(), text(2, chain), handle])
        }
        Change::Set(set) => (Kind::NewSet, NLM_F_CREATE, set_attributes(of_table(), set, number_of_change)),
        Change::Add(set, element) => {
            let mut attributes = vec![data(1, &element.key.0)];
            if element.data != Value::empty() {
                attributes.push(data(2, &element.data.0));
            }
            attributes.push(DefaultNla::new(6, comment_data(&element.comment)));
            (Kind::NewElement, NLM_F_CREATE | NLM_F_EXCL, element_list(table, set, Some(attributes)))
        }
        Change::Remove(set, key) => {
            (Kind::DeleteElement, 0, element_list(table, set, Some(vec![data(1, &key.0)])))
        }
    };
    Request::of(message(table, kind, attributes), flags)
}

/// `NFTA_SET_…`: the types are for `nft list`; the kernel counts bytes. Without a size the kernel takes
/// a hash table that grows.
fn set_attributes(table: DefaultNla, set: &Set, id: u32) -> Vec<DefaultNla> {
    const NFT_SET_MAP: u32 = 8;
    let (key_type, key_length) = concatenated(&set.key);
    let mut attributes = vec![
        table,
        text(2, &set.name),
        number(3, if set.data.is_empty() { 0 } else { NFT_SET_MAP }),
        number(4, key_type),
        number(5, key_length),
        number(10, id + 1),
    ];
    if !set.data.is_empty() {
        let (data_type, data_length) = concatenated(&set.data);
        attributes.extend([number(6, data_type), number(7, data_length)]);
    }
    attributes
}
