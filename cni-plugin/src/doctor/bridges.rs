//! Bridges that bear an address of an earlier subnet: the next ADD fails on them ("already has an IP address
//! different from"), or, with no container on them, gives them the new one.

use super::binaries;
use super::networks::Picked;
use super::owners::Owners;
use super::{Places, Report};
use crate::config::SubnetEnv;
use crate::ipam::reservations;
use netstate::{Kernel, Link, LinkKind};
use serde_json::{Map, Value};
use std::path::PathBuf;

const CHECK: &str = "bridges";

pub(super) fn examine(
    places: &Places,
    picked: Option<&Picked>,
    kernel: &mut Kernel,
    links: &[Link],
    owners: &Owners,
    report: &mut Report,
) {
    let Some(picked) = picked else { return };
    let Some((bridge, file)) =
        picked.list.plugins.iter().find_map(|p| from_node_subnet(&p.plugin_type, &p.raw))
    else {
        return;
    };
    let file = file.unwrap_or_else(|| places.subnet_file.clone());
    let env = match SubnetEnv::read(&file) {
        Ok(env) => env,
        Err(error) => {
            report.find(
                CHECK,
                file.display(),
                error,
                "look at the overlay's log: until it writes this, no pod starts",
            );
            return;
        }
    };
    let Some(link) = links.iter().find(|link| *link.name == *bridge) else { return };
    if !matches!(link.kind, LinkKind::Bridge(_)) {
        let next = format!("`ip link delete {bridge}`, or set \"bridge\" to another name");
        report.find(CHECK, bridge, "the link of that name is not a bridge", next);
        return;
    }
    let present = kernel.route.addresses_of(link).unwrap_or_default();
    for wanted in &env.subnets {
        let of_family = present.iter().filter(|a| a.net.is_ipv4() == wanted.is_ipv4() && !a.link_scope);
        let foreign: Vec<String> =
            of_family.filter(|a| a.net != *wanted).map(|a| a.net.to_string()).collect();
        if foreign.is_empty() || (wanted.is_ipv6() && present.iter().any(|a| a.net == *wanted)) {
            continue;
        }
        let what = format!("it has {}, and {} gives this node {wanted}", foreign.join(", "), file.display());
        let pods = pods(places, picked, link, links, owners);
        let next = match (pods.is_empty(), replaces(places, picked, link)) {
            (true, true) => {
                "nothing: no container is on it, and the next ADD gives it the new address".to_owned()
            }
            (true, false) => {
                format!("no container is on it: `ip addr delete {} dev {bridge}`", foreign.join(" "))
            }
            (false, _) => {
                let all = pods.join(", ");
                format!("delete these pods, so that they get addresses of the new subnet: {all}")
            }
        };
        report.find(CHECK, format!("bridge {bridge}"), what, next);
    }
}

/// The bridge of a plugin that takes the node's subnet from the overlay's file, and the file if it is named.
fn from_node_subnet(plugin_type: &str, raw: &Map<String, Value>) -> Option<(String, Option<PathBuf>)> {
    let (block, uses) = match plugin_type {
        "flannel" => (raw.get("delegate").and_then(Value::as_object), true),
        "weft-cni" | "bridge" => {
            let own = raw.get("ipam").is_some_and(|ipam| !ipam.is_null());
            let ranges = |key: &str| raw.get("ipam").and_then(|ipam| ipam.get(key)).is_some();
            let file = raw.contains_key("subnetFile") && !ranges("subnet") && !ranges("ranges");
            (Some(raw), file || (plugin_type == "weft-cni" && !own))
        }
        _ => return None,
    };
    let text = |block: Option<&Map<String, Value>>, key: &str| {
        block?.get(key)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let bridge = text(block, "bridge").unwrap_or_else(|| "cni0".into());
    uses.then(|| (bridge, text(Some(raw), "subnetFile").map(PathBuf::from)))
}

/// Whether the plugin that attaches is ours, and would give an empty bridge its new address.
fn replaces(places: &Places, picked: &Picked, bridge: &Link) -> bool {
    let ours = |name: &str| binaries::resolves_to_ours(places, name);
    let types = picked.list.plugins.iter().map(|plugin| plugin.plugin_type.as_str());
    let all_ours =
        types.filter(|name| ["flannel", "weft-cni", "bridge"].contains(name)).all(|name| match name {
            "flannel" => ours("flannel") || ours("bridge"), // ours attaches by itself
            name => ours(name),
        });
    let name = &*bridge.name;
    all_ours && (name == "cni0" || bridge.alias == Some(netstate::owned_alias("cni", name)))
}

/// Who is on a bridge: by our alias, else by the port's name.
fn pods(places: &Places, picked: &Picked, bridge: &Link, links: &[Link], owners: &Owners) -> Vec<String> {
    let network = &picked.list.name;
    let port = |link: &Link| match link.alias.as_deref().and_then(|alias| alias.strip_prefix("weft:cni:")) {
        Some(alias) => format!("{} ({alias})", link.name),
        None => link.name.to_string(),
    };
    let mut pods: Vec<String> =
        links.iter().filter(|link| link.master == Some(bridge.index)).map(port).collect();
    if !pods.is_empty() {
        let untold = reservations(&places.data_dir.join(network));
        let untold =
            untold.into_iter().filter(|r| !owners.has_link(network, &r.key.container_id, &r.key.ifname));
        pods.extend(untold.map(|r| format!("container {} with {}", r.key.container_id, r.ip)));
    }
    pods
}
