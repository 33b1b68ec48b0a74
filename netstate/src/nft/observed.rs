//! What single objects are there: elements of a set, rules of a chain, whether there is a chain.

use std::net::IpAddr;

use netlink_packet_core::{DefaultNla, Nla as _};
use netlink_packet_netfilter::{
    NetfilterMessage, NetfilterMessageInner,
    nftables::{
        Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, ListAttribute, NfTablesMessage,
        Payload, RuleAttribute, SetElementAttribute, SetElementList, VerdictAttribute,
    },
};

use super::{
    Element, NftSocket, TableId, Value,
    expression::{data, text},
    set::comment_of,
    socket::rule_attributes,
    transaction::{Kind, element_list, message},
};
use crate::Result;

/// A rule that somebody made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObservedRule {
    /// The chain that it is in.
    pub chain: String,
    /// What it can be deleted by.
    pub handle: u64,
    /// Its comment, nft's or that of iptables' match of this name; empty without.
    pub comment: String,
    /// The chain that it jumps to, if it does.
    pub jump: String,
    /// The whole address that it compares the packet's source with, if it does.
    pub source: Option<IpAddr>,
    /// The whole address that it compares the packet's destination with, if it does.
    pub destination: Option<IpAddr>,
    /// It ends with accept.
    pub accepts: bool,
}

impl NftSocket {
    /// The element with a key, or `None` where it, the set or the table is not there.
    pub fn element(&mut self, table: &TableId, set: &str, key: &Value) -> Result<Option<Element>> {
        let list = element_list(table, set, Some(vec![data(1, &key.0)]));
        let found =
            self.channel.get("set element", message(table, Kind::GetElement, list), &[libc::ENOENT])?;
        Ok(found.and_then(|message| read_elements(message).into_iter().next()))
    }

    /// All elements of a set; `None` where it or the table is not there.
    pub fn elements(&mut self, table: &TableId, set: &str) -> Result<Option<Vec<Element>>> {
        let request = || message(table, Kind::GetElement, element_list(table, set, None));
        match self.channel.dump("set elements", request, |message| Some(read_elements(message))) {
            Ok(lists) => Ok(Some(lists.into_iter().flatten().collect())),
            Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The rules of a table, or of one chain of it; none where it is not there.
    pub fn rules(&mut self, table: &TableId, chain: Option<&str>) -> Result<Vec<ObservedRule>> {
        let request = || {
            let chain = chain.map(|chain| text(2, chain));
            let attributes = std::iter::once(text(1, &table.name)).chain(chain).collect();
            message(table, Kind::GetRule, attributes)
        };
        let each = |message| read_rule(message, &table.name);
        match self.channel.dump("rules", request, each) {
            // Kernels differ in whether they ask for the chain only or filter by it.
            Ok(rules) => {
                Ok(rules.into_iter().filter(|r| chain.is_none_or(|chain| r.chain == chain)).collect())
            }
            Err(error) if error.errno() == Some(libc::ENOENT) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Whether a table has a chain.
    pub fn has_chain(&mut self, table: &TableId, chain: &str) -> Result<bool> {
        let request = message(table, Kind::GetChain, vec![text(1, &table.name), text(3, chain)]);
        Ok(self.channel.get("chain", request, &[libc::ENOENT])?.is_some())
    }
}

fn read_elements(message: NetfilterMessage) -> Vec<Element> {
    let NetfilterMessageInner::NfTables(NfTablesMessage::NewSetElement(message)) = message.inner else {
        return Vec::new();
    };
    let lists = message.attributes.into_iter().filter_map(|attribute| match attribute {
        SetElementList::Elements(list) => Some(list),
        _ => None,
    });
    lists.flatten().map(read_element).collect()
}

fn read_element(item: ListAttribute<SetElementAttribute>) -> Element {
    let mut element = Element::default();
    let ListAttribute::Element(attributes) = item else { return element };
    for attribute in attributes {
        match attribute {
            SetElementAttribute::Key(DataAttribute::Value(bytes)) => element.key = Value(bytes),
            SetElementAttribute::Data(DataAttribute::Value(bytes)) => element.data = Value(bytes),
            SetElementAttribute::UserData(bytes) => element.comment = comment_of(&bytes),
            _ => {}
        }
    }
    element
}

fn read_rule(message: NetfilterMessage, table: &str) -> Option<ObservedRule> {
    let (mut rule, mut of) = (ObservedRule::default(), String::new());
    for attribute in rule_attributes(message)? {
        match attribute {
            RuleAttribute::Table(value) => of = value,
            RuleAttribute::Chain(value) => rule.chain = value,
            RuleAttribute::Handle(value) => rule.handle = value,
            RuleAttribute::UserData(bytes) => rule.comment = comment_of(&bytes),
            RuleAttribute::Expressions(list) => read_expressions(&list, &mut rule),
            _ => {}
        }
    }
    (of == table).then_some(rule)
}

fn read_expressions(list: &[ListAttribute<ExpressionAttribute>], rule: &mut ObservedRule) {
    let mut loaded = None;
    for item in list {
        let ListAttribute::Element(attributes) = item else { continue };
        for attribute in attributes {
            let ExpressionAttribute::Data(expression) = attribute else { continue };
            match expression {
                Expressions::Other { expression_type, attributes } if expression_type == "match" => {
                    rule.comment.push_str(&iptables_comment(attributes));
                }
                Expressions::Payload(parts) => loaded = network_header(parts),
                Expressions::Cmp(parts) => {
                    let value = parts.iter().find_map(|part| match part {
                        Cmp::Data(DataAttribute::Value(bytes)) => Some(bytes.as_slice()),
                        _ => None,
                    });
                    compare(loaded.take(), value, rule);
                }
                Expressions::Immediate(parts) => parts.iter().for_each(|part| read_verdict(part, rule)),
                // A masked comparison is of a network and not of an address.
                Expressions::Bitwise(_) => loaded = None,
                _ => {}
            }
        }
    }
}

/// The text of `-m comment`: `NFTA_MATCH_NAME` 1 and `NFTA_MATCH_INFO` 3, a C string of 256 bytes.
fn iptables_comment(attributes: &[DefaultNla]) -> String {
    let part = |kind: u16| attributes.iter().find(|a| a.kind() == kind).map(value_of).unwrap_or_default();
    if c_string(&part(1)) != "comment" {
        return String::new();
    }
    c_string(&part(3))
}

fn value_of(attribute: &DefaultNla) -> Vec<u8> {
    let mut value = vec![0; attribute.value_len()];
    attribute.emit_value(&mut value);
    value
}

fn c_string(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// Offset and length, if it is of the network header.
fn network_header(parts: &[Payload]) -> Option<(u32, u32)> {
    const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
    let (mut base, mut offset, mut length) = (0, 0, 0);
    for part in parts {
        match part {
            Payload::Base(value) => base = *value,
            Payload::Offset(value) => offset = *value,
            Payload::Len(value) => length = *value,
            _ => {}
        }
    }
    (base == NFT_PAYLOAD_NETWORK_HEADER).then_some((offset, length))
}

/// Offsets and lengths of the addresses in the headers of IPv4 and IPv6.
fn compare(loaded: Option<(u32, u32)>, value: Option<&[u8]>, rule: &mut ObservedRule) {
    let Some(value) = value else { return };
    let v4 = || <[u8; 4]>::try_from(value).ok().map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(value).ok().map(IpAddr::from);
    match loaded {
        Some((12, 4)) => rule.source = v4(),
        Some((16, 4)) => rule.destination = v4(),
        Some((8, 16)) => rule.source = v6(),
        Some((24, 16)) => rule.destination = v6(),
        _ => {}
    }
}

fn read_verdict(part: &Immediate, rule: &mut ObservedRule) {
    let Immediate::Data(DataAttribute::Verdict(attributes)) = part else { return };
    for attribute in attributes {
        match attribute {
            VerdictAttribute::Chain(chain) => rule.jump = chain.clone(),
            VerdictAttribute::Code(code) => rule.accepts = u32::from(*code) == 1,
            _ => {}
        }
    }
}
