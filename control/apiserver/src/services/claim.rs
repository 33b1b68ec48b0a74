//! A claim: what a Service is given while it is being written, kept if that succeeds and given back if not.

use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use weft_objects::Faults;

use super::taken::{Port, Protocol, Taken};
use super::{Services, families, ports as node_ports};
use crate::kinds::Kind;
use crate::object::{list, name, namespace, number, put, text};
use crate::status::{Failure, Outcome};
use crate::store::Beside;

/// What was claimed. Dropped without [`Claim::keep`], the owner has again what it had.
#[derive(Debug)]
pub struct Claim {
    owner: String,
    before: (Vec<IpAddr>, Vec<Port>),
    beside: Vec<Beside>,
    taken: Option<Arc<Mutex<Taken>>>,
}

impl Claim {
    fn nothing() -> Claim {
        Claim { owner: String::new(), before: Default::default(), beside: Vec::new(), taken: None }
    }

    /// What is to be made beside the Service.
    pub fn objects(&self) -> &[Beside] {
        &self.beside
    }

    /// The Service is written.
    pub fn keep(mut self) {
        self.taken = None;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(taken) = &self.taken else { return };
        let (ips, ports) = std::mem::take(&mut self.before);
        taken.lock().unwrap_or_else(PoisonError::into_inner).see(&self.owner, ips, ports);
    }
}

/// The cluster IPs that a Service has.
pub(super) fn ips(service: &Value) -> Vec<IpAddr> {
    let first = text(service, "spec.clusterIP").parse().ok();
    let all = list(service, "spec.clusterIPs").iter().filter_map(|ip| ip.as_str()?.parse().ok());
    let mut ips: Vec<IpAddr> = first.into_iter().chain(all).collect();
    ips.sort_unstable();
    ips.dedup();
    ips
}

/// The node ports that it has; its health check's is of TCP.
pub(super) fn ports(service: &Value) -> Vec<Port> {
    let own = list(service, "spec.ports").iter();
    let own = own.map(|port| (number(port, "nodePort"), Protocol::of(text(port, "protocol"))));
    let health = (number(service, "spec.healthCheckNodePort"), Protocol::Tcp);
    let all = own.chain([health]).filter(|(port, _)| *port > 0);
    let mut ports: Vec<Port> =
        all.filter_map(|(port, protocol)| Some((port.try_into().ok()?, protocol))).collect();
    ports.dedup();
    ports
}

impl Services {
    /// What a Service is given that is to be written; nothing for other kinds.
    pub fn claim(&self, kind: &Kind, object: &mut Value) -> Outcome<Claim> {
        if kind.stored != "services/specs" {
            return Ok(Claim::nothing());
        }
        let owner = format!("{}/{}", namespace(object), name(object));
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let before = taken.owned(&owner);
        let mut faults = Faults::default();
        families::decide(&self.ranges, object, &mut faults);
        if faults.is_empty() {
            self.give_ips(&taken, &owner, object, &mut faults);
        }
        if faults.is_empty() {
            node_ports::give(self.ports, &taken, &owner, object, &mut faults);
        }
        if !faults.is_empty() {
            return Err(Failure::invalid(kind, name(object), &faults));
        }
        let now = ips(object);
        let beside =
            now.iter().filter(|ip| !before.0.contains(ip)).map(|ip| address_object(*ip, object)).collect();
        taken.see(&owner, now, ports(object));
        Ok(Claim { owner, before, beside, taken: Some(self.taken.clone()) })
    }

    fn give_ips(&self, taken: &Taken, owner: &str, object: &mut Value, faults: &mut Faults) {
        if text(object, "spec.type") == "ExternalName" || text(object, "spec.clusterIP") == "None" {
            return;
        }
        let families: Vec<String> =
            list(object, "spec.ipFamilies").iter().filter_map(|f| Some(f.as_str()?.to_owned())).collect();
        let chosen: Vec<Value> = list(object, "spec.clusterIPs").to_vec();
        let mut given: Vec<IpAddr> = Vec::new();
        for (place, family) in families.iter().enumerate() {
            let Some(range) = self.ranges.iter().find(|range| range.family() == family) else { continue };
            let field = format!("spec.clusterIPs[{place}]");
            match chosen.get(place).and_then(Value::as_str).unwrap_or_default() {
                "" => match range.free(rand::random(), |ip| taken.of_ip(ip).is_some() || given.contains(&ip))
                {
                    Some(ip) => given.push(ip),
                    None => faults.invalid(
                        field,
                        "",
                        format!("failed to allocate IP: range {} is full", range.net()),
                    ),
                },
                text => match text.parse::<IpAddr>() {
                    Ok(ip) if range.has(ip) => match taken.of_ip(ip) {
                        Some(other) if other != owner => {
                            faults.invalid(
                                field,
                                json!([text]),
                                format!("failed to allocate IP {text}: provided IP is already allocated"),
                            );
                        }
                        _ => given.push(ip),
                    },
                    _ => {
                        let why = format!(
                            "failed to allocate IP {text}: the provided IP ({text}) is not in the valid range. The range of valid IPs is {}",
                            range.net()
                        );
                        faults.invalid(field, json!([text]), why);
                    }
                },
            }
        }
        if let (true, Some(first)) = (faults.is_empty(), given.first()) {
            put(object, "spec.clusterIP", first.to_string().into());
            put(object, "spec.clusterIPs", given.iter().map(ToString::to_string).collect());
        }
    }
}

/// The IPAddress object of an address (`networking.k8s.io/v1`, as upstream's allocator makes it).
fn address_object(ip: IpAddr, service: &Value) -> Beside {
    let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {
            "name": ip.to_string(), "uid": crate::rest::random_uid(), "creationTimestamp": crate::object::now(),
            "labels": {
                "ipaddress.kubernetes.io/ip-family": family,
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            },
        },
        "spec": {"parentRef": {"group": "", "resource": "services", "namespace": namespace(service), "name": name(service)}},
    });
    Beside { key: format!("/registry/ipaddresses/{ip}"), bytes: Some(object.to_string().into_bytes()) }
}

/// What goes with a Service as it was, beside its change to what it is now: the IPAddress objects of addresses that it
/// has no more.
pub fn released(kind: &Kind, before: &Value, now: &Value) -> Vec<Beside> {
    if kind.stored != "services/specs" {
        return Vec::new();
    }
    let kept = ips(now);
    let gone = ips(before).into_iter().filter(|ip| !kept.contains(ip));
    gone.map(|ip| Beside { key: format!("/registry/ipaddresses/{ip}"), bytes: None }).collect()
}
