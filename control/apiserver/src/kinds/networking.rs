//! Ingresses, network policies, and the ranges and addresses of services.

use serde_json::Value;

use super::cells::{NONE, aged, joined, named, or_none, selector};
use super::kind::{Field, Kind, Subresource, column};
use crate::object::{at, list, text};

const GROUP: &str = "networking.k8s.io";

pub(super) static INGRESS: Kind = Kind::of(GROUP, "v1", "Ingress", "ingresses", "ingress")
    .short(&["ing"])
    .stored("ingress")
    .subresources(&[Subresource::Status])
    .status()
    .generation()
    .table(
        &[
            column("Name", "string"),
            column("Class", "string"),
            column("Hosts", "string"),
            column("Address", "string"),
            column("Ports", "string"),
            column("Age", "string"),
        ],
        |one, now| {
            let class = match text(one, "spec.ingressClassName") {
                "" => at(one, "metadata.annotations")
                    .get("kubernetes.io/ingress.class")
                    .and_then(Value::as_str)
                    .unwrap_or(NONE),
                class => class,
            };
            let hosts: Vec<&str> = list(one, "spec.rules")
                .iter()
                .map(|rule| text(rule, "host"))
                .filter(|h| !h.is_empty())
                .collect();
            let shown = match hosts.len() {
                0 => "*".to_owned(),
                1..=3 => hosts.join(","),
                more => format!("{} + {} more...", hosts[..3].join(","), more - 3),
            };
            let ports = if list(one, "spec.tls").is_empty() { "80" } else { "80, 443" };
            let addresses: Vec<&str> = list(one, "status.loadBalancer.ingress")
                .iter()
                .map(|one| if text(one, "ip").is_empty() { text(one, "hostname") } else { text(one, "ip") })
                .collect();
            vec![
                named(one),
                class.into(),
                shown.into(),
                addresses.join(",").into(),
                ports.into(),
                aged(one, now),
            ]
        },
    );

pub(super) static INGRESS_CLASS: Kind =
    Kind::of(GROUP, "v1", "IngressClass", "ingressclasses", "ingressclass").cluster().generation().table(
        &[
            column("Name", "string"),
            column("Controller", "string"),
            column("Parameters", "string"),
            column("Age", "string"),
        ],
        |one, now| {
            let of = at(one, "spec.parameters");
            let parameters = match (text(of, "kind"), text(of, "apiGroup")) {
                ("", _) => NONE.to_owned(),
                (kind, "") => format!("{kind}/{}", text(of, "name")),
                (kind, group) => format!("{kind}.{group}/{}", text(of, "name")),
            };
            vec![named(one), text(one, "spec.controller").into(), parameters.into(), aged(one, now)]
        },
    );

pub(super) static NETWORK_POLICY: Kind =
    Kind::of(GROUP, "v1", "NetworkPolicy", "networkpolicies", "networkpolicy")
        .short(&["netpol"])
        .generation()
        .table(
            &[column("Name", "string"), column("Pod-Selector", "string"), column("Age", "string")],
            |one, now| vec![named(one), selector(at(one, "spec.podSelector")).into(), aged(one, now)],
        );

pub(super) static SERVICE_CIDR: Kind = Kind::of(GROUP, "v1", "ServiceCIDR", "servicecidrs", "servicecidr")
    .cluster()
    .subresources(&[Subresource::Status])
    .status()
    .table(&[column("Name", "string"), column("CIDRs", "string"), column("Age", "string")], |one, now| {
        vec![named(one), joined(list(one, "spec.cidrs"), ",").into(), aged(one, now)]
    });

pub(super) static IP_ADDRESS: Kind = Kind::of(GROUP, "v1", "IPAddress", "ipaddresses", "ipaddress")
    .short(&["ip"])
    .cluster()
    .fields(&[Field { path: "spec.parentRef.name", of: |one| text(one, "spec.parentRef.name").into() }])
    .table(
        &[column("Name", "string"), column("ParentRef", "string"), column("Age", "string")],
        |one, now| {
            let of = at(one, "spec.parentRef");
            let parts = ["group", "resource", "namespace", "name"].map(|key| text(of, key));
            let parent = match parts {
                ["", resource, namespace, name] => format!("{resource}/{namespace}/{name}"),
                [group, resource, namespace, name] => format!("{resource}.{group}/{namespace}/{name}"),
            };
            vec![named(one), or_none(&parent), aged(one, now)]
        },
    );
