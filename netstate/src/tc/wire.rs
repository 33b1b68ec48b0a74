//! Traffic control as netlink messages, both ways.
//!
//! ```text
//!  tcmsg (20)   family, ifindex, handle, parent, info (filters: priority << 16 | protocol, network order)
//!  TCA_KIND     "tbf", "htb", "ingress", "u32"
//!  TCA_OPTIONS  tbf  PARMS 1: ratespec rate, ratespec peak, u32 limit, u32 buffer, u32 mtu     RATE64 4
//!               htb  INIT  2: u32 version, rate2quantum, default, debug, direct packets
//!               class PARMS 1: ratespec rate, ratespec ceil, u32 buffer, cbuffer, quantum, …   RATE64 6, CEIL64 7
//!  ratespec (12) u8 cell_log, u8 linklayer, u16 overhead, i16 cell_align, u16 mpu, u32 rate
//! ```
//!
//! The codec knows u32 and mirred; tbf and htb travel through it as bytes (include/uapi/linux/pkt_sched.h).

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::{DefaultNla, NlasIterator};
use netlink_packet_route::{
    RouteNetlinkMessage as Rtnl,
    tc::{
        TcAction, TcActionAttribute, TcActionMirrorOption, TcActionOption, TcActionType, TcAttribute,
        TcFilterU32Option, TcHandle, TcMessage, TcMirror, TcMirrorActionType, TcOption, TcU32Key,
        TcU32Selector, TcU32SelectorFlags,
    },
};

use super::{Class, Filter, Handle, Hook, Match, Qdisc, QdiscKind, Tbf, Verdict};
use crate::{DevName, Link};

const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_RATE64: u16 = 4;
const TCA_HTB_PARMS: u16 = 1;
const TCA_HTB_INIT: u16 = 2;
const TCA_HTB_RATE64: u16 = 6;
const TCA_HTB_CEIL64: u16 = 7;
/// `TC_LINKLAYER_ETHERNET`: the kernel then needs no table of transmission times.
const LINKLAYER_ETHERNET: u8 = 1;
const ETH_P_ALL: u16 = 0x0003;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_IPV6: u16 = 0x86dd;
/// Where the destination is in an IP header, bytes.
const DESTINATION_V4: i32 = 16;
const DESTINATION_V6: i32 = 24;

fn handle(handle: Handle) -> TcHandle {
    TcHandle { major: handle.major, minor: handle.minor }
}

fn message(index: u32, own: Handle, parent: TcHandle) -> TcMessage {
    let mut message = TcMessage::with_index(index as i32);
    (message.header.handle, message.header.parent) = (handle(own), parent);
    message
}

fn hook(hook: Hook) -> TcHandle {
    match hook {
        Hook::Root => TcHandle::ROOT,
        Hook::Ingress => TcHandle::INGRESS,
    }
}

/// `struct tc_ratespec`; the rate is cut to 32 bits, beyond which the 64-bit attribute counts.
fn ratespec(rate: u64, linklayer: u8) -> [u8; 12] {
    let mut spec = [0; 12];
    spec[1] = linklayer;
    spec[8..].copy_from_slice(&u32::try_from(rate).unwrap_or(u32::MAX).to_ne_bytes());
    spec
}

fn rate64(attribute: u16, rate: u64) -> Option<TcOption> {
    (rate > u64::from(u32::MAX)).then(|| other(attribute, rate.to_ne_bytes().to_vec()))
}

fn other(attribute: u16, bytes: Vec<u8>) -> TcOption {
    TcOption::Other(DefaultNla::new(attribute, bytes))
}

fn words(bytes: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|word| bytes.extend_from_slice(&word.to_ne_bytes()));
}

fn tbf_options(tbf: &Tbf) -> Vec<TcOption> {
    let mut parms = ratespec(tbf.rate, 0).to_vec();
    parms.extend_from_slice(&[0; 12]); // no peak rate
    words(&mut parms, &[tbf.limit, tbf.buffer, 0]);
    let mut options = vec![other(TCA_TBF_PARMS, parms)];
    options.extend(rate64(TCA_TBF_RATE64, tbf.rate));
    options
}

fn htb_options(default: u32) -> Vec<TcOption> {
    let mut init = Vec::new();
    words(&mut init, &[3, 10, default, 0, 0]); // version 3, rate2quantum 10: iproute2's
    vec![other(TCA_HTB_INIT, init)]
}

pub(crate) fn qdisc(qdisc: &Qdisc, index: u32) -> TcMessage {
    let mut message = message(index, qdisc.handle, hook(qdisc.hook));
    let (kind, options) = match &qdisc.kind {
        QdiscKind::Tbf(tbf) => ("tbf", Some(tbf_options(tbf))),
        QdiscKind::Htb { default } => ("htb", Some(htb_options(*default))),
        QdiscKind::Ingress => ("ingress", None),
        QdiscKind::Other(kind) => (kind.as_str(), None),
    };
    message.attributes.push(TcAttribute::Kind(kind.to_owned()));
    message.attributes.extend(options.map(TcAttribute::Options));
    message
}

/// Names the qdisc at a hook, to ask for it or delete it.
pub(crate) fn qdisc_at(index: u32, at: Hook) -> TcMessage {
    message(index, Handle { major: 0, minor: 0 }, hook(at))
}

pub(crate) fn class(class: &Class, index: u32) -> TcMessage {
    let mut message = message(index, class.handle, handle(class.handle.class(0)));
    let mut parms = ratespec(class.rate, LINKLAYER_ETHERNET).to_vec();
    parms.extend_from_slice(&ratespec(class.ceil, LINKLAYER_ETHERNET));
    words(&mut parms, &[class.buffer, class.cbuffer, 0, 0, 0]);
    let mut options = vec![other(TCA_HTB_PARMS, parms)];
    options.extend(rate64(TCA_HTB_RATE64, class.rate));
    options.extend(rate64(TCA_HTB_CEIL64, class.ceil));
    message.attributes.push(TcAttribute::Kind("htb".to_owned()));
    message.attributes.push(TcAttribute::Options(options));
    message
}

pub(crate) fn get_classes(index: u32) -> Rtnl {
    Rtnl::GetTrafficClass(TcMessage::with_index(index as i32))
}

pub(crate) fn get_filters(index: u32, parent: Handle) -> Rtnl {
    Rtnl::GetTrafficFilter(message(index, Handle { major: 0, minor: 0 }, handle(parent)))
}

fn selector(matches: Match) -> TcU32Selector {
    let mut selector = TcU32Selector::default();
    selector.flags = TcU32SelectorFlags::Terminal;
    selector.keys = match matches {
        Match::To(net) => address_keys(net),
        Match::All | Match::Other => Vec::new(),
    };
    if selector.keys.is_empty() {
        selector.keys.push(TcU32Key::default()); // mask 0: everything
    }
    selector.nkeys = selector.keys.len() as u8;
    selector
}

/// One key per 32 bits of the address that the prefix reaches into.
fn address_keys(net: IpNetwork) -> Vec<TcU32Key> {
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let word = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| (word << 8) | u32::from(*byte));
    let base = if net.is_ipv4() { DESTINATION_V4 } else { DESTINATION_V6 };
    let (address, mask) = (octets(net.network()), octets(net.mask()));
    let pairs = address.chunks(4).zip(mask.chunks(4)).enumerate();
    let keys = pairs.map(|(at, (address, mask))| {
        let mut key = TcU32Key::default();
        (key.val, key.mask, key.off) = (word(address), word(mask), base + 4 * at as i32);
        key
    });
    keys.filter(|key| key.mask != 0).collect()
}

fn redirect(index: u32) -> TcAction {
    let mut mirror = TcMirror::default();
    mirror.generic.action = TcActionType::Stolen;
    mirror.eaction = TcMirrorActionType::EgressRedir;
    mirror.ifindex = index;
    let mut action = TcAction::default();
    action.attributes = vec![
        TcActionAttribute::Kind("mirred".to_owned()),
        TcActionAttribute::Options(vec![TcActionOption::Mirror(TcActionMirrorOption::Parms(mirror))]),
    ];
    action
}

/// `index` holds the device's and, for a redirection, the target's.
pub(crate) fn filter(filter: &Filter, index: [u32; 2]) -> TcMessage {
    let mut message = message(index[0], Handle { major: 0, minor: 0 }, handle(filter.parent));
    let protocol = match filter.matches {
        Match::To(IpNetwork::V4(_)) => ETH_P_IP,
        Match::To(IpNetwork::V6(_)) => ETH_P_IPV6,
        Match::All | Match::Other => ETH_P_ALL,
    };
    message.header.info = u32::from(filter.priority) << 16 | u32::from(protocol.to_be());
    let mut options = vec![TcFilterU32Option::Selector(selector(filter.matches))];
    match &filter.verdict {
        Verdict::Class(class) => options.push(TcFilterU32Option::ClassId(handle(*class))),
        Verdict::Redirect(_) => options.push(TcFilterU32Option::Action(vec![redirect(index[1])])),
        Verdict::Other => {}
    }
    message.attributes.push(TcAttribute::Kind("u32".to_owned()));
    message.attributes.push(TcAttribute::Options(options.into_iter().map(TcOption::U32).collect()));
    message
}

fn kind_of(message: &TcMessage) -> Option<&str> {
    message
        .attributes
        .iter()
        .find_map(|a| if let TcAttribute::Kind(kind) = a { Some(kind.as_str()) } else { None })
}

fn options_of(message: &TcMessage) -> &[TcOption] {
    let found = message.attributes.iter().find_map(|a| match a {
        TcAttribute::Options(options) => Some(options.as_slice()),
        _ => None,
    });
    found.unwrap_or(&[])
}

/// The bytes of one attribute in the options of a kind that the codec does not know.
fn option_bytes(message: &TcMessage, attribute: u16) -> Option<Vec<u8>> {
    use netlink_packet_core::Nla;
    let [TcOption::Other(nested)] = options_of(message) else { return None };
    let mut bytes = vec![0; nested.value_len()];
    nested.emit_value(&mut bytes);
    let found = NlasIterator::new(bytes.as_slice()).flatten().find(|nla| nla.kind() == attribute)?;
    Some(found.value().to_vec())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

fn rate_of(message: &TcMessage, attribute: u16, spec: u32) -> u64 {
    let wide =
        option_bytes(message, attribute).and_then(|bytes| bytes.try_into().ok()).map(u64::from_ne_bytes);
    wide.unwrap_or(u64::from(spec))
}

fn read_tbf(message: &TcMessage) -> Option<Tbf> {
    let parms = option_bytes(message, TCA_TBF_PARMS)?;
    Some(Tbf {
        rate: rate_of(message, TCA_TBF_RATE64, word(&parms, 8)?),
        limit: word(&parms, 24)?,
        buffer: word(&parms, 28)?,
    })
}

pub(crate) fn read_qdisc(message: Rtnl, dev: &DevName) -> Option<Qdisc> {
    let Rtnl::NewQueueDiscipline(message) = message else { return None };
    let kind = kind_of(&message)?;
    let known = match kind {
        "tbf" => read_tbf(&message).map(QdiscKind::Tbf),
        "htb" => option_bytes(&message, TCA_HTB_INIT)
            .and_then(|init| word(&init, 8))
            .map(|default| QdiscKind::Htb { default }),
        "ingress" => Some(QdiscKind::Ingress),
        _ => None,
    };
    let at = if message.header.parent == TcHandle::INGRESS { Hook::Ingress } else { Hook::Root };
    let own = Handle { major: message.header.handle.major, minor: message.header.handle.minor };
    let kind = known.unwrap_or_else(|| QdiscKind::Other(kind.to_owned()));
    Some(Qdisc { dev: dev.clone(), hook: at, handle: own, kind })
}

pub(crate) fn read_class(message: Rtnl, dev: &DevName) -> Option<Class> {
    let Rtnl::NewTrafficClass(message) = message else { return None };
    if kind_of(&message)? != "htb" {
        return None;
    }
    let parms = option_bytes(&message, TCA_HTB_PARMS)?;
    Some(Class {
        dev: dev.clone(),
        handle: Handle { major: message.header.handle.major, minor: message.header.handle.minor },
        rate: rate_of(&message, TCA_HTB_RATE64, word(&parms, 8)?),
        ceil: rate_of(&message, TCA_HTB_CEIL64, word(&parms, 20)?),
        buffer: word(&parms, 24)?,
        cbuffer: word(&parms, 28)?,
    })
}

/// `links` names the devices that a redirection may go to; others are called by number, as iproute2 does.
pub(crate) fn read_filter(message: Rtnl, dev: &DevName, links: &[Link]) -> Option<Filter> {
    let Rtnl::NewTrafficFilter(message) = message else { return None };
    let (mut found, mut verdict) = (None, Verdict::Other);
    for option in options_of(&message) {
        match option {
            TcOption::U32(TcFilterU32Option::Selector(selector)) => found = Some(selector),
            TcOption::U32(TcFilterU32Option::ClassId(class)) if verdict == Verdict::Other => {
                verdict = Verdict::Class(Handle { major: class.major, minor: class.minor });
            }
            TcOption::U32(TcFilterU32Option::Action(actions)) => {
                verdict = actions.iter().find_map(redirected).map_or(Verdict::Other, |index| {
                    let known = links.iter().find(|link| link.index == index).map(|link| link.name.clone());
                    Verdict::Redirect(known.unwrap_or_else(|| format!("if{index}").into()))
                });
            }
            _ => {}
        }
    }
    let parent = message.header.parent;
    Some(Filter {
        dev: dev.clone(),
        parent: Handle { major: parent.major, minor: parent.minor },
        priority: (message.header.info >> 16) as u16,
        // The kernel lists a filter's hash tables, too: those have no selector.
        matches: matched(found?, u16::from_be(message.header.info as u16)),
        verdict,
    })
}

fn redirected(action: &TcAction) -> Option<u32> {
    action.attributes.iter().find_map(|attribute| {
        let TcActionAttribute::Options(options) = attribute else { return None };
        options.iter().find_map(|option| match option {
            TcActionOption::Mirror(TcActionMirrorOption::Parms(mirror))
                if mirror.eaction == TcMirrorActionType::EgressRedir =>
            {
                Some(mirror.ifindex)
            }
            _ => None,
        })
    })
}

fn matched(selector: &TcU32Selector, protocol: u16) -> Match {
    let all = selector.keys.iter().all(|key| key.mask == 0);
    match protocol {
        ETH_P_ALL if all => Match::All,
        ETH_P_IP | ETH_P_IPV6 => network_of(selector, protocol).map_or(Match::Other, Match::To),
        _ => Match::Other,
    }
}

/// The network whose keys these are.
fn network_of(selector: &TcU32Selector, protocol: u16) -> Option<IpNetwork> {
    let mut octets = [0u8; 16];
    let (base, size) = if protocol == ETH_P_IP { (DESTINATION_V4, 4) } else { (DESTINATION_V6, 16) };
    let mut prefix = 0;
    for key in selector.keys.iter().filter(|key| key.mask != 0) {
        let at = usize::try_from(key.off - base).ok().filter(|at| at + 4 <= size)?;
        octets[at..at + 4].copy_from_slice(&key.val.to_be_bytes());
        prefix += key.mask.count_ones() as u8;
    }
    let ip = if size == 4 {
        IpAddr::from([octets[0], octets[1], octets[2], octets[3]])
    } else {
        IpAddr::from(octets)
    };
    let net = IpNetwork::new(ip, prefix).ok()?;
    // A mask with holes or keys elsewhere make other keys.
    let keys: Vec<TcU32Key> = selector.keys.iter().filter(|key| key.mask != 0).cloned().collect();
    (address_keys(net) == keys).then_some(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_networks_keys_are_read_back() {
        for text in
            ["10.1.2.0/24", "0.0.0.0/0", "192.168.7.9/32", "fd00:1:2::/48", "fd00:1:2:3:400::/70", "::/0"]
        {
            let net: IpNetwork = text.parse().unwrap();
            let protocol = if net.is_ipv4() { ETH_P_IP } else { ETH_P_IPV6 };
            assert_eq!(matched(&selector(Match::To(net)), protocol), Match::To(net), "{text}");
        }
        assert_eq!(matched(&selector(Match::All), ETH_P_ALL), Match::All);
        let mut holed = selector(Match::To("10.1.0.0/16".parse().unwrap()));
        holed.keys[0].mask = 0xff00_ff00;
        assert_eq!(matched(&holed, ETH_P_IP), Match::Other);
    }
}
