//! Our links whose container is gone: by alias, `weft:cni:<network>/<container>/<interface>`.
//!
//! A veth goes with its other end's namespace, so one that is left has its other end in the host's namespace or
//! in one that something holds open. An ifb has no other end: it is of use while something is redirected to it.

use super::Report;
use super::owners::{Fate, Owners};
use super::report::Repair;
use netstate::tc::{Handle, Hook, Verdict};
use netstate::{Kernel, Link, LinkKind};
use std::collections::HashSet;

const CHECK: &str = "links";

pub(super) fn examine(kernel: &mut Kernel, links: &[Link], owners: &Owners, report: &mut Report) {
    let prefix = netstate::owned_alias("cni", "");
    let mut redirected = None;
    for link in links {
        let owner = link.alias.as_deref().and_then(|alias| alias.strip_prefix(&prefix));
        // A bridge's alias is its name alone.
        let Some((network, container_id, ifname)) = owner.and_then(attachment) else { continue };
        let fate = owners.fate(network, container_id, ifname);
        let why = match &link.kind {
            LinkKind::Veth => veth(link, links, fate),
            LinkKind::Other(kind) if kind == "ifb" => {
                let targets = redirected.get_or_insert_with(|| targets(kernel, links));
                ifb(link, targets, fate)
            }
            _ => None,
        };
        let Some((why, sure)) = why else { continue };
        let next = format!("`ip link delete {}`, if container {container_id} is gone", link.name);
        let delete = Repair::DeleteLink { name: link.name.to_string(), index: link.index };
        let object = format!("{} of container {container_id} ({ifname}), network {network}", link.name);
        report.find_repairable(CHECK, object, why, next, sure.then_some(delete));
    }
}

/// Network, container, interface.
fn attachment(alias: &str) -> Option<(&str, &str, &str)> {
    let mut parts = alias.split('/');
    let found = (parts.next()?, parts.next()?, parts.next()?);
    parts.next().is_none().then_some(found)
}

/// Why a veth is left, and whether that is sure.
fn veth(link: &Link, links: &[Link], fate: Fate) -> Option<(String, bool)> {
    let peer = link.parent.filter(|_| link.parent_netnsid.is_none());
    let here = peer.and_then(|index| links.iter().find(|other| other.index == index));
    match (fate, here) {
        (Fate::Alive, None) => None,
        (Fate::Gone(why), _) => Some((why, true)),
        // Alive or not: a container's link that is not in a container.
        (_, Some(other)) => {
            Some((format!("its other end, {}, is in the host's namespace", other.name), false))
        }
        (Fate::Unknown, None) => Some(("no runtime's results tell of its container".into(), false)),
    }
}

fn ifb(link: &Link, targets: &HashSet<String>, fate: Fate) -> Option<(String, bool)> {
    match fate {
        Fate::Gone(why) => Some((why, true)),
        _ if targets.contains(&*link.name) => None,
        Fate::Unknown => {
            Some(("nothing is redirected to it, and no runtime's results tell of its container".into(), true))
        }
        Fate::Alive => {
            Some(("nothing is redirected to it, so what its container sends is not limited".into(), false))
        }
    }
}

/// Devices that something is redirected to.
fn targets(kernel: &mut Kernel, links: &[Link]) -> HashSet<String> {
    let mut targets = HashSet::new();
    for link in links.iter().filter(|link| link.kind == LinkKind::Veth) {
        if !matches!(kernel.route.qdisc_of(link, Hook::Ingress), Ok(Some(_))) {
            continue;
        }
        let filters = kernel.route.filters_of(link, Handle::INGRESS_QDISC, links).unwrap_or_default();
        targets.extend(filters.into_iter().filter_map(|filter| match filter.verdict {
            Verdict::Redirect(dev) => Some(dev.to_string()),
            _ => None,
        }));
    }
    targets
}
