//! Node ports.

use serde_json::Value;
use weft_objects::Faults;

use super::taken::{Port, Protocol, Taken};
use crate::object::{at, list, number, put, text};

/// How many ports at the bottom of the range are left for choosing by hand (KEP-3668).
fn by_hand(count: u32) -> u32 {
    if count < 16 { 0 } else { (count / 32).clamp(16, 128) }
}

/// Gives ports to those that need one, and judges those that are chosen.
pub(super) fn give(range: (u16, u16), taken: &Taken, owner: &str, service: &mut Value, faults: &mut Faults) {
    let kind = text(service, "spec.type").to_owned();
    let has = match kind.as_str() {
        "NodePort" => true,
        "LoadBalancer" => at(service, "spec.allocateLoadBalancerNodePorts") != false,
        _ => false,
    };
    let may = ["NodePort", "LoadBalancer"].contains(&kind.as_str());
    let mut given: Vec<(Port, i64)> = Vec::new();
    let ports = list(service, "spec.ports").to_vec();
    let mut written = Vec::new();
    for (place, mut port) in ports.into_iter().enumerate() {
        let (chosen, protocol) = (number(&port, "nodePort"), Protocol::of(text(&port, "protocol")));
        let field = format!("spec.ports[{place}].nodePort");
        if !may {
            put(&mut port, "nodePort", Value::Null);
        } else if chosen > 0 {
            if judge(range, taken, owner, chosen, protocol, &given, &field, faults) {
                given.push(((chosen as u16, protocol), number(&port, "port")));
            }
        } else if has {
            match free(range, taken, &given, protocol, number(&port, "port")) {
                Some(free) => {
                    put(&mut port, "nodePort", free.into());
                    given.push(((free, protocol), number(&port, "port")));
                }
                None => faults.invalid(field, 0, "failed to allocate a nodePort: the range is full"),
            }
        }
        written.push(port);
    }
    if !written.is_empty() {
        put(service, "spec.ports", written.into());
    }
    give_health(range, taken, owner, service, &given, faults);
}

#[allow(clippy::too_many_arguments)] // what a port is judged by
fn judge(
    range: (u16, u16),
    taken: &Taken,
    owner: &str,
    chosen: i64,
    protocol: Protocol,
    given: &[(Port, i64)],
    field: &str,
    faults: &mut Faults,
) -> bool {
    if !(i64::from(range.0)..=i64::from(range.1)).contains(&chosen) {
        let why = format!(
            "provided port is not in the valid range. The range of valid ports is {}-{}",
            range.0, range.1
        );
        faults.invalid(field, chosen, why);
        return false;
    }
    let port = (chosen as u16, protocol);
    let others = taken.of_port(port).is_some_and(|other| other != owner);
    if others || given.iter().any(|(one, _)| *one == port) {
        faults.invalid(field, chosen, "provided port is already allocated");
        return false;
    }
    true
}

/// A port that nobody has. Ports of one number and several protocols share a node port, as upstream's do.
fn free(
    range: (u16, u16),
    taken: &Taken,
    given: &[(Port, i64)],
    protocol: Protocol,
    number: i64,
) -> Option<u16> {
    let is_free = |port: &u16, protocol| {
        taken.of_port((*port, protocol)).is_none() && !given.iter().any(|(one, _)| *one == (*port, protocol))
    };
    let shared = given
        .iter()
        .find(|((_, other), own)| *own == number && *other != protocol)
        .map(|((port, _), _)| *port);
    if let Some(port) = shared.filter(|port| is_free(port, protocol)) {
        return Some(port);
    }
    let nobody =
        |port: &u16| [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].iter().all(|p| is_free(port, *p));
    let count = u32::from(range.1 - range.0) + 1;
    let low = by_hand(count);
    let scan = |from: u32, count: u32| {
        let start = rand::random::<u32>().checked_rem(count)?;
        (0..count).map(|step| range.0 + (from + (start + step) % count) as u16).find(nobody)
    };
    scan(low, count - low).or_else(|| scan(0, low))
}

/// A load balancer's health check has a port where only local endpoints serve.
fn give_health(
    range: (u16, u16),
    taken: &Taken,
    owner: &str,
    service: &mut Value,
    given: &[(Port, i64)],
    faults: &mut Faults,
) {
    let needs = text(service, "spec.type") == "LoadBalancer"
        && text(service, "spec.externalTrafficPolicy") == "Local";
    if !needs {
        if !at(service, "spec.healthCheckNodePort").is_null() {
            put(service, "spec.healthCheckNodePort", Value::Null);
        }
        return;
    }
    let field = "spec.healthCheckNodePort";
    match number(service, field) {
        0 => match free(range, taken, given, Protocol::Tcp, -1) {
            Some(port) => put(service, field, port.into()),
            None => faults.invalid(field, 0, "failed to allocate a nodePort: the range is full"),
        },
        chosen => {
            judge(range, taken, owner, chosen, Protocol::Tcp, given, field, faults);
        }
    }
}
