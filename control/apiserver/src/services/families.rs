//! Which families a Service's addresses have (`pkg/registry/core/service/storage/alloc.go`, `initIPFamilyFields`).

use serde_json::{Value, json};
use std::net::IpAddr;
use weft_objects::Faults;

use super::Range;
use crate::object::{at, list, put, text};

/// Fills in `ipFamilyPolicy`, `ipFamilies` and `clusterIPs`, or tells what cannot be.
pub(super) fn decide(ranges: &[Range], service: &mut Value, faults: &mut Faults) {
    if text(service, "spec.type") == "ExternalName" {
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            put(service, &format!("spec.{key}"), Value::Null);
        }
        return;
    }
    let cluster_ip = text(service, "spec.clusterIP").to_owned();
    if !cluster_ip.is_empty() && list(service, "spec.clusterIPs").is_empty() {
        put(service, "spec.clusterIPs", json!([cluster_ip]));
    }
    if cluster_ip.is_empty() {
        let first = list(service, "spec.clusterIPs").first().and_then(Value::as_str).map(str::to_owned);
        if let Some(first) = first.filter(|first| !first.is_empty()) {
            put(service, "spec.clusterIP", first.into());
        }
    }
    let headless = text(service, "spec.clusterIP") == "None";
    let without_pods = at(service, "spec.selector").as_object().is_none_or(serde_json::Map::is_empty);
    let said = Said::of(service);
    let policy = said.policy.clone().unwrap_or_else(|| {
        let dual = said.families.len() > 1
            || said.ips.len() > 1
            || headless && without_pods && said.families.is_empty();
        if dual { "RequireDualStack" } else { "SingleStack" }.to_owned()
    });
    let wanted_two = policy != "SingleStack";
    // A headless Service without pods may have endpoints of any family, whatever the cluster has.
    let free = headless && without_pods;
    if policy == "RequireDualStack" && ranges.len() < 2 && !free {
        faults.invalid(
            "spec.ipFamilyPolicy",
            policy,
            "this cluster is not configured for dual-stack services",
        );
        return;
    }
    let mut families = said.families.clone();
    for (place, ip) in said.ips.iter().enumerate() {
        let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
        match families.get(place) {
            Some(own) if own != family => {
                let why = format!("expected an {own} value as indicated by `spec.ipFamilies[{place}]`");
                faults.invalid(format!("spec.clusterIPs[{place}]"), json!([ip.to_string()]), why);
            }
            Some(_) => {}
            None => families.push(family.to_owned()),
        }
    }
    for (place, family) in families.iter().enumerate() {
        let known = ["IPv4", "IPv6"].contains(&family.as_str());
        if !free && known && !ranges.iter().any(|range| range.family() == family) {
            let why = "not configured on this cluster";
            faults.invalid(format!("spec.ipFamilies[{place}]"), family.as_str(), why);
        }
    }
    complete(ranges, &mut families, wanted_two, free);
    if !faults.is_empty() {
        return;
    }
    if !wanted_two && families.len() > 1 {
        // A change of the policy takes the second away.
        families.truncate(1);
        let first: Vec<Value> = list(service, "spec.clusterIPs").iter().take(1).cloned().collect();
        if !first.is_empty() {
            put(service, "spec.clusterIPs", first.into());
        }
    }
    put(service, "spec.ipFamilyPolicy", policy.into());
    put(service, "spec.ipFamilies", json!(families));
}

/// The families that are not named: the cluster's own, in its order.
fn complete(ranges: &[Range], families: &mut Vec<String>, two: bool, free: bool) {
    if families.is_empty() {
        families.extend(ranges.first().map(|range| range.family().to_owned()));
    }
    if !two || families.len() > 1 {
        return;
    }
    let other = if families[0] == "IPv4" { "IPv6" } else { "IPv4" };
    if free || ranges.iter().any(|range| range.family() == other) {
        families.push(other.to_owned());
    }
}

/// What the Service says of it.
struct Said {
    policy: Option<String>,
    families: Vec<String>,
    ips: Vec<IpAddr>,
}

impl Said {
    fn of(service: &Value) -> Said {
        let texts = |path: &str| list(service, path).iter().filter_map(Value::as_str).map(str::to_owned);
        Said {
            policy: at(service, "spec.ipFamilyPolicy").as_str().map(str::to_owned),
            families: texts("spec.ipFamilies").collect(),
            ips: texts("spec.clusterIPs").filter_map(|ip| ip.parse().ok()).collect(),
        }
    }
}
