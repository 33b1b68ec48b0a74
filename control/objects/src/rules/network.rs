//! Ingresses, ingress classes, network policies, service networks.
//!
//! Source: `pkg/apis/networking`: `defaults.go` and `validation.go`.

use super::metadata::told;
use super::reading::{at, default, each, has, int, items, text, with, within};
use super::selecting::label_selector;
use super::{Rules, pod};
use crate::fault::Faults;
use crate::names;
use serde_json::{Value, json};

/// Of ingresses.
pub const INGRESS: Rules = Rules {
    default: |object| within(object, "status", |status| within(status, "loadBalancer", |_| {})),
    validate: ingress,
    validate_update: |new, _, faults| ingress(new, faults),
};

/// Of ingress classes.
pub const INGRESS_CLASS: Rules = Rules {
    default: |object| {
        within(object, "spec", |spec| with(spec, "parameters", |one| default(one, "scope", "Cluster")))
    },
    validate: |object, faults| {
        let controller = text(at(object, "spec"), "controller");
        domain_prefixed_path(controller, "spec.controller", faults);
    },
    validate_update: |new, old, faults| {
        let (new, old) = (text(at(new, "spec"), "controller"), text(at(old, "spec"), "controller"));
        if new != old {
            faults.invalid("spec.controller", new, "field is immutable");
        }
    },
};

/// `acme.io/foo`. Source: `IsDomainPrefixedPath`.
fn domain_prefixed_path(text: &str, field: &str, faults: &mut Faults) {
    const PATH: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";
    match text.split_once('/') {
        _ if text.is_empty() => faults.required(field, ""),
        Some((host, path)) if !host.is_empty() && !path.is_empty() => {
            told(names::dns1123_subdomain(host), field, host, faults);
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || br"/-._~%!$&'()*+,;=:".contains(&byte);
            if !path.bytes().all(fits) {
                faults.invalid(field, path, names::pattern("Invalid path", PATH, &[]));
            }
        }
        _ => faults.invalid(field, text, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
}

/// Of network policies.
pub const NETWORK_POLICY: Rules = Rules {
    default: |object| {
        within(object, "spec", |spec| {
            for key in ["ingress", "egress"] {
                each(spec, key, |rule| each(rule, "ports", |port| default(port, "protocol", "TCP")));
            }
            let both = if items(spec, "egress").is_empty() {
                json!(["Ingress"])
            } else {
                json!(["Ingress", "Egress"])
            };
            default(spec, "policyTypes", both);
            within(spec, "podSelector", |_| {});
        });
    },
    validate: network_policy,
    validate_update: |new, _, faults| network_policy(new, faults),
};

/// Of networks of services.
pub const SERVICE_CIDR: Rules = Rules {
    default: |_| {},
    validate: |object, faults| {
        let list = items(at(object, "spec"), "cidrs");
        if list.is_empty() {
            faults.required("spec.cidrs", "at least one CIDR required");
        }
        let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
        let why = match texts[..] {
            [one, other] if one.contains(':') == other.contains(':') => {
                "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
            }
            [] | [_] | [_, _] => "",
            _ => "may only hold up to 2 values",
        };
        if !why.is_empty() {
            faults.invalid("spec.cidrs", at(object, "spec").clone(), why);
        }
        for (index, one) in list.iter().filter_map(Value::as_str).enumerate() {
            told(names::cidr(one), &format!("spec.cidrs[{index}]"), one, faults);
        }
    },
    validate_update: |new, old, faults| super::workload::immutable(new, old, &["cidrs"], faults),
};

/// Source: `validateIngressSpec`.
fn ingress(object: &Value, faults: &mut Faults) {
    let spec = at(object, "spec");
    if items(spec, "rules").is_empty() && !has(spec, "defaultBackend") {
        faults.invalid(
            "spec",
            Value::from(Vec::<Value>::new()),
            "either `defaultBackend` or `rules` must be specified",
        );
    }
    if has(spec, "defaultBackend") {
        backend(at(spec, "defaultBackend"), "spec.defaultBackend", faults);
    }
    let class = text(spec, "ingressClassName");
    if has(spec, "ingressClassName") {
        told(names::dns1123_subdomain(class), "spec.ingressClassName", class, faults);
    }
    for (index, rule) in items(spec, "rules").iter().enumerate() {
        let field = format!("spec.rules[{index}]");
        host(text(rule, "host"), &format!("{field}.host"), faults);
        let http = at(rule, "http");
        if http.is_null() {
            continue;
        }
        if items(http, "paths").is_empty() {
            faults.required(format!("{field}.http.paths"), "");
        }
        for (index, path) in items(http, "paths").iter().enumerate() {
            http_path(path, &format!("{field}.http.paths[{index}]"), faults);
        }
    }
    for (index, tls) in items(spec, "tls").iter().enumerate() {
        for (at, name) in items(tls, "hosts").iter().filter_map(Value::as_str).enumerate() {
            host(name, &format!("spec.tls[{index}].hosts[{at}]"), faults);
        }
    }
}

fn host(name: &str, field: &str, faults: &mut Faults) {
    if name.is_empty() {
        return;
    }
    if name.parse::<std::net::IpAddr>().is_ok() {
        faults.invalid(field, name, "must be a DNS name, not an IP address");
    } else if name.contains('*') {
        told(names::wildcard_subdomain(name), field, name, faults);
    } else {
        told(names::dns1123_subdomain(name), field, name, faults);
    }
}

fn http_path(path: &Value, field: &str, faults: &mut Faults) {
    let (kind, value) = (text(path, "pathType"), text(path, "path"));
    match kind {
        "" => faults.required(format!("{field}.pathType"), "pathType must be specified"),
        "Exact" | "Prefix" => {
            if !value.starts_with('/') {
                faults.invalid(format!("{field}.path"), value, "must be an absolute path");
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"].iter().filter(|part| value.contains(**part)) {
                faults.invalid(format!("{field}.path"), value, format!("must not contain '{part}'"));
            }
        }
        "ImplementationSpecific" if !value.is_empty() && !value.starts_with('/') => {
            faults.invalid(format!("{field}.path"), value, "must be an absolute path");
        }
        "ImplementationSpecific" => {}
        other => {
            let known = ["Exact", "ImplementationSpecific", "Prefix"];
            faults.not_supported(format!("{field}.pathType"), other, &known);
        }
    }
    backend(at(path, "backend"), &format!("{field}.backend"), faults);
}

fn backend(backend: &Value, field: &str, faults: &mut Faults) {
    let service = at(backend, "service");
    match (has(backend, "resource"), service.is_null()) {
        (true, false) => {
            let text = "cannot set both resource and service backends";
            faults.invalid(field, "", text);
        }
        (false, true) => faults.required(field, "resource or service backend is required"),
        (true, true) => {}
        (false, false) => {
            let name = text(service, "name");
            if name.is_empty() {
                faults.required(format!("{field}.service.name"), "");
            } else {
                told(names::dns1035_label(name), &format!("{field}.service.name"), name, faults);
            }
            let port = at(service, "port");
            match (text(port, "name"), int(port, "number").unwrap_or(0)) {
                ("", 0) => {
                    faults.required(format!("{field}.service.port"), "port name or number is required")
                }
                ("", number) => {
                    for text in names::port_number(number) {
                        faults.invalid(format!("{field}.service.port.number"), number, text);
                    }
                }
                (name, 0) => {
                    told(names::port_name(name), &format!("{field}.service.port.name"), name, faults)
                }
                _ => faults.invalid(field, "", "cannot set both port name & port number"),
            }
        }
    }
}

/// Source: `ValidateNetworkPolicySpec`.
fn network_policy(object: &Value, faults: &mut Faults) {
    let spec = at(object, "spec");
    label_selector(at(spec, "podSelector"), "spec.podSelector", faults);
    for (list, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in items(spec, list).iter().enumerate() {
            let field = format!("spec.{list}[{index}]");
            for (index, port) in items(rule, "ports").iter().enumerate() {
                policy_port(port, &format!("{field}.ports[{index}]"), faults);
            }
            for (index, one) in items(rule, peers).iter().enumerate() {
                peer(one, &format!("{field}.{peers}[{index}]"), faults);
            }
        }
    }
    let kinds = items(spec, "policyTypes");
    if kinds.len() > 2 {
        faults.invalid("spec.policyTypes", Value::from(kinds), "may not specify more than two policyTypes");
        return;
    }
    for (index, kind) in kinds.iter().filter_map(Value::as_str).enumerate() {
        if !matches!(kind, "Ingress" | "Egress") {
            faults.not_supported(format!("spec.policyTypes[{index}]"), kind, &["Egress", "Ingress"]);
        }
    }
}

fn policy_port(port: &Value, field: &str, faults: &mut Faults) {
    let protocol = text(port, "protocol");
    if !matches!(protocol, "" | "TCP" | "UDP" | "SCTP") {
        faults.not_supported(format!("{field}.protocol"), protocol, &["SCTP", "TCP", "UDP"]);
    }
    if has(port, "port") {
        pod::port(at(port, "port"), &format!("{field}.port"), faults);
    }
    let Some(end) = int(port, "endPort") else { return };
    let field = format!("{field}.endPort");
    match int(port, "port") {
        Some(start) if end < start => {
            faults.invalid(field, end, format!("must be greater than or equal to `port`: {start}"));
        }
        None if has(port, "port") => {
            faults.invalid(field, end, "may not be specified when `port` is non-numeric")
        }
        None => faults.invalid(field, end, "may not be specified when `port` is not specified"),
        Some(_) => {
            for text in names::port_number(end) {
                faults.invalid(&field, end, text);
            }
        }
    }
}

fn peer(peer: &Value, field: &str, faults: &mut Faults) {
    let selects = has(peer, "podSelector") || has(peer, "namespaceSelector");
    for key in ["podSelector", "namespaceSelector"] {
        label_selector(at(peer, key), &format!("{field}.{key}"), faults);
    }
    let block = at(peer, "ipBlock");
    if block.is_null() {
        if !selects {
            faults.required(field, "must specify a peer");
        }
        return;
    }
    if selects {
        faults.forbidden(field, "may not specify both ipBlock and another peer");
    }
    let cidr = text(block, "cidr");
    if cidr.is_empty() {
        faults.required(format!("{field}.ipBlock.cidr"), "");
    } else {
        told(names::cidr(cidr), &format!("{field}.ipBlock.cidr"), cidr, faults);
    }
    for (index, one) in items(block, "except").iter().filter_map(Value::as_str).enumerate() {
        told(names::cidr(one), &format!("{field}.ipBlock.except[{index}]"), one, faults);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::wrong;
    use super::*;

    /// Source: TestValidateIngress.
    #[test]
    fn ingresses() {
        let path = json!({"path": "x", "backend": {"service": {"name": "s", "port": {"number": 80}}}});
        assert_eq!(
            wrong(&INGRESS, json!({"spec": {"rules": [{"host": "1.2.3.4", "http": {"paths": [path]}}]}})),
            [
                "spec.rules[0].host: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address",
                "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
            ]
        );
        assert_eq!(wrong(&INGRESS, json!({"spec": {}})).len(), 1);
        let good = json!({"spec": {"defaultBackend": {"service": {"name": "s", "port": {"name": "http"}}}}});
        assert!(wrong(&INGRESS, good).is_empty());
    }

    /// Source: TestSetDefaultNetworkPolicy, TestValidateNetworkPolicy.
    #[test]
    fn network_policies() {
        let mut object = json!({"spec": {"egress": [{"ports": [{"port": 53}]}]}});
        (NETWORK_POLICY.default)(&mut object);
        assert_eq!(
            object["spec"],
            json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}]})
        );
        assert_eq!(
            wrong(
                &NETWORK_POLICY,
                json!({"spec": {"ingress": [{"from": [{}, {"ipBlock": {"cidr": "x"}}], "ports": [{"port": 5, "endPort": 1}]}]}})
            ),
            [
                "spec.ingress[0].ports[0].endPort: Invalid value: 1: must be greater than or equal to `port`: 5",
                "spec.ingress[0].from[0]: Required value: must specify a peer",
                "spec.ingress[0].from[1].ipBlock.cidr: Invalid value: \"x\": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            ]
        );
    }
}
