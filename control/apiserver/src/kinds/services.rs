//! Services and where they lead.

use jiff::Timestamp;
use serde_json::Value;

use super::cells::{NONE, aged, named, or_none, pairs};
use super::kind::{Field, Kind, Subresource, column, wide};
use crate::object::{at, list, number, text};

pub(super) static SERVICE: Kind = Kind::of("", "v1", "Service", "services", "service")
    .short(&["svc"])
    .categories(&["all"])
    .stored("services/specs")
    .subresources(&[Subresource::Status])
    .status()
    .fields(&[
        Field { path: "spec.clusterIP", of: |one| text(one, "spec.clusterIP").into() },
        Field { path: "spec.type", of: |one| text(one, "spec.type").into() },
    ])
    .table(
        &[
            column("Name", "string"),
            column("Type", "string"),
            column("Cluster-IP", "string"),
            column("External-IP", "string"),
            column("Port(s)", "string"),
            column("Age", "string"),
            wide("Selector", "string"),
        ],
        row,
    );

fn row(one: &Value, now: Timestamp) -> Vec<Value> {
    let port = |port: &Value| match number(port, "nodePort") {
        0 => format!("{}/{}", number(port, "port"), text(port, "protocol")),
        node => format!("{}:{node}/{}", number(port, "port"), text(port, "protocol")),
    };
    let ports: Vec<String> = list(one, "spec.ports").iter().map(port).collect();
    vec![
        named(one),
        text(one, "spec.type").into(),
        or_none(text(one, "spec.clusterIP")),
        external(one).into(),
        or_none(&ports.join(",")),
        aged(one, now),
        pairs(at(one, "spec.selector")).into(),
    ]
}

fn external(one: &Value) -> String {
    let mut ips: Vec<&str> = list(one, "spec.externalIPs").iter().filter_map(Value::as_str).collect();
    match text(one, "spec.type") {
        "ExternalName" => text(one, "spec.externalName").to_owned(),
        "LoadBalancer" => {
            let ingress = list(one, "status.loadBalancer.ingress").iter();
            let name = |one| match text(one, "ip") {
                "" => text(one, "hostname"),
                ip => ip,
            };
            ips.splice(0..0, ingress.map(name));
            if ips.is_empty() { "<pending>".into() } else { ips.join(",") }
        }
        _ if ips.is_empty() => NONE.into(),
        _ => ips.join(","),
    }
}

/// `a:80,b:80 + 3 more...`: at most three.
fn some(all: &[String]) -> String {
    match all.len() {
        0 => NONE.into(),
        1..=3 => all.join(","),
        more => format!("{} + {} more...", all[..3].join(","), more - 3),
    }
}

pub(super) static ENDPOINTS: Kind = Kind::of("", "v1", "Endpoints", "endpoints", "endpoints")
    .short(&["ep"])
    .stored("services/endpoints")
    .table(
        &[column("Name", "string"), column("Endpoints", "string"), column("Age", "string")],
        |one, now| {
            let mut all = Vec::new();
            for subset in list(one, "subsets") {
                let ips = list(subset, "addresses").iter().map(|address| text(address, "ip"));
                for port in list(subset, "ports") {
                    let to = |ip: &str| match ip.contains(':') {
                        true => format!("[{ip}]:{}", number(port, "port")),
                        false => format!("{ip}:{}", number(port, "port")),
                    };
                    all.extend(ips.clone().map(to));
                }
                if list(subset, "ports").is_empty() {
                    all.extend(ips.map(str::to_owned));
                }
            }
            vec![named(one), some(&all).into(), aged(one, now)]
        },
    );

pub(super) static ENDPOINT_SLICE: Kind =
    Kind::of("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice")
        .generation()
        .table(
            &[
                column("Name", "string"),
                column("AddressType", "string"),
                column("Ports", "string"),
                column("Endpoints", "string"),
                column("Age", "string"),
            ],
            |one, now| {
                let port = |port: &Value| match at(port, "port").as_i64() {
                    Some(number) => number.to_string(),
                    None => "*".to_owned(),
                };
                let ports: Vec<String> = list(one, "ports").iter().map(port).collect();
                let ports = if ports.is_empty() { "<unset>".to_owned() } else { some(&ports) };
                let addresses = list(one, "endpoints").iter().flat_map(|e| list(e, "addresses"));
                let addresses: Vec<String> = addresses.filter_map(Value::as_str).map(str::to_owned).collect();
                let addresses = if addresses.is_empty() { "<unset>".to_owned() } else { some(&addresses) };
                vec![
                    named(one),
                    text(one, "addressType").into(),
                    ports.into(),
                    addresses.into(),
                    aged(one, now),
                ]
            },
        );
