//! What shapes a device: one token bucket, or classes where only some subnets are limited.
//!
//! ```text
//!  all traffic     root 1: tbf
//!  some subnets    root 1: htb ─┬─ 1:30  limited: rate, ceil 2 × rate     default, with unshapedSubnets
//!                               ├─ 1:1   not limited                      default, with shapedSubnets
//!                               └─ u32 filters by destination             to the other of the two
//! ```
//!
//! Newer releases of the reference use the second form always; [`check`] takes both for all traffic.

use super::config::{Limit, Subnets};
use super::rates;
use crate::attach::compare::differs;
use crate::attach::kernel_error;
use crate::types::CniError;
use ipnetwork::IpNetwork;
use netstate::tc::{Class, Filter, Handle, Hook, Match, Qdisc, QdiscKind, Tbf, Verdict};
use netstate::{Kernel, Link, Op};

const ROOT: Handle = Handle::ROOT_QDISC;
/// Minors of the two classes; 48 is 30 in tc's hexadecimal.
const LIMITED: u16 = 48;
const UNLIMITED: u16 = 1;
/// The reference's "uncapped": bytes per second.
const UNLIMITED_RATE: u64 = 100_000_000_000;
/// Priorities of filters: one priority holds one protocol.
const PRIORITY_V4: u16 = 16;
const PRIORITY_V6: u16 = 15;

/// Shapes `dev`. The first operation makes the root qdisc: without it there is nothing to undo.
pub(super) fn ops(dev: &str, limit: Limit, subnets: &Subnets) -> Vec<Op> {
    let Some((default, chosen, nets)) = classes_for(subnets) else {
        return vec![Op::AddQdisc(Qdisc::root(dev, QdiscKind::Tbf(rates::tbf(limit))))];
    };
    let mut ops = vec![Op::AddQdisc(Qdisc::root(dev, QdiscKind::Htb { default: default.into() }))];
    ops.extend(classes(dev, limit).map(Op::AddClass));
    ops.extend(nets.iter().map(|net| Op::AddFilter(filter(dev, *net, chosen))));
    ops
}

/// The class by default, the class of those that match, and what matches; `None` without subnets.
fn classes_for(subnets: &Subnets) -> Option<(u16, u16, &[IpNetwork])> {
    match subnets {
        Subnets::All => None,
        Subnets::Except(nets) => Some((LIMITED, UNLIMITED, nets)),
        Subnets::Only(nets) => Some((UNLIMITED, LIMITED, nets)),
    }
}

fn classes(dev: &str, limit: Limit) -> [Class; 2] {
    let (rate, buffer) = (limit.rate / 8, rates::buffer(limit));
    let class = |minor, rate, ceil, buffer| Class {
        dev: dev.into(),
        handle: ROOT.class(minor),
        rate,
        ceil,
        buffer,
        cbuffer: buffer,
    };
    [class(LIMITED, rate, 2 * rate, buffer), class(UNLIMITED, UNLIMITED_RATE, UNLIMITED_RATE, 0)]
}

fn filter(dev: &str, net: IpNetwork, class: u16) -> Filter {
    Filter {
        dev: dev.into(),
        parent: ROOT,
        priority: if net.is_ipv4() { PRIORITY_V4 } else { PRIORITY_V6 },
        matches: Match::To(net),
        verdict: Verdict::Class(ROOT.class(class)),
    }
}

/// Compares what shapes a device with what should.
pub(super) fn check(
    kernel: &mut Kernel,
    link: &Link,
    limit: Limit,
    subnets: &Subnets,
) -> Result<(), CniError> {
    let name = &link.name;
    let qdisc = kernel.route.qdisc_of(link, Hook::Root).map_err(kernel_error(format!("qdisc of {name}")))?;
    let wanted = classes_for(subnets);
    match qdisc.map(|qdisc| qdisc.kind) {
        None => Err(differs(name, "nothing limits it: its root qdisc is gone")),
        Some(QdiscKind::Tbf(found)) if wanted.is_none() => same_bucket(name, found, rates::tbf(limit)),
        Some(QdiscKind::Htb { default }) => {
            let (class, ..) = wanted.unwrap_or((LIMITED, UNLIMITED, &[]));
            if default != u32::from(class) {
                return Err(differs(
                    name,
                    format!("its htb qdisc's default class is {default:x}, not {class:x}"),
                ));
            }
            same_classes(kernel, link, limit)?;
            same_filters(kernel, link, wanted)
        }
        Some(other) => Err(differs(name, format!("its root qdisc is {other}, which ADD did not make"))),
    }
}

fn same_bucket(name: &str, found: Tbf, wanted: Tbf) -> Result<(), CniError> {
    match found == wanted {
        true => Ok(()),
        false => Err(differs(name, format!("its token bucket is {found}, ADD made {wanted}"))),
    }
}

/// The kernel rounds a depth to whole ticks and gives an unlimited class one: rates tell enough there.
fn same_classes(kernel: &mut Kernel, link: &Link, limit: Limit) -> Result<(), CniError> {
    let name = &link.name;
    let present = kernel.route.classes_of(link).map_err(kernel_error(format!("classes of {name}")))?;
    let wanted = classes(name, limit);
    let depth = wanted[0].buffer;
    for class in wanted {
        let found = present.iter().find(|found| found.handle == class.handle);
        let is_it = |found: &&Class| {
            found.rate == class.rate && (class.handle.minor != LIMITED || found.buffer == depth)
        };
        if found.filter(is_it).is_none() {
            let found = found.map_or("gone".to_owned(), ToString::to_string);
            return Err(differs(name, format!("class {} is {found}, ADD made {class}", class.handle)));
        }
    }
    Ok(())
}

fn same_filters(
    kernel: &mut Kernel,
    link: &Link,
    wanted: Option<(u16, u16, &[IpNetwork])>,
) -> Result<(), CniError> {
    let Some((_, chosen, nets)) = wanted else { return Ok(()) };
    let name = &link.name;
    let present =
        kernel.route.filters_of(link, ROOT, &[]).map_err(kernel_error(format!("filters of {name}")))?;
    // All of a family is written as a filter without keys.
    let is_it = |found: &Filter, wanted: &Filter| {
        found.verdict == wanted.verdict
            && found.priority == wanted.priority
            && found.matches == wanted.matches
    };
    match nets.iter().map(|net| filter(name, *net, chosen)).find(|w| !present.iter().any(|f| is_it(f, w))) {
        None => Ok(()),
        Some(filter) => Err(differs(name, format!("a filter is gone: {filter}"))),
    }
}
