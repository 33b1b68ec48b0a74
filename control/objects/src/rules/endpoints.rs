//! Endpoints and endpoint slices: the addresses behind services.
//!
//! Source: `ValidateEndpoints` of core, `pkg/apis/discovery`: `defaults.go` and `validation.go`.

use super::Rules;
use super::metadata::told;
use super::reading::{default, each, has, int, items, set, text};
use crate::fault::{FaultKind, Faults};
use crate::names;
use serde_json::{Value, json};
use std::collections::HashSet;

/// Of endpoints.
pub const ENDPOINTS: Rules = Rules {
    default: |object| {
        each(object, "subsets", |subset| each(subset, "ports", |port| default(port, "protocol", "TCP")))
    },
    validate: endpoints,
    validate_update: |new, _, faults| endpoints(new, faults),
};

/// Of endpoint slices.
pub const ENDPOINT_SLICE: Rules = Rules {
    default: |object| {
        each(object, "ports", |port| {
            default(port, "name", "");
            default(port, "protocol", "TCP");
        });
        if !has(object, "endpoints") {
            set(object, "endpoints", json!([]));
        }
    },
    validate: endpoint_slice,
    validate_update: |new, old, faults| {
        endpoint_slice(new, faults);
        if text(new, "addressType") != text(old, "addressType") {
            faults.invalid("addressType", text(new, "addressType"), "field is immutable");
        }
    },
};

/// Source: `ValidateEndpoints`.
fn endpoints(object: &Value, faults: &mut Faults) {
    for (index, subset) in items(object, "subsets").iter().enumerate() {
        let field = format!("subsets[{index}]");
        if items(subset, "addresses").is_empty() && items(subset, "notReadyAddresses").is_empty() {
            faults.required(&field, "must specify `addresses` or `notReadyAddresses`");
        }
        for key in ["addresses", "notReadyAddresses"] {
            for (index, address) in items(subset, key).iter().enumerate() {
                let ip = text(address, "ip");
                told(names::ip(ip), &format!("{field}.{key}[{index}].ip"), ip, faults);
            }
        }
        let ports = items(subset, "ports");
        for (index, port) in ports.iter().enumerate() {
            let field = format!("{field}.ports[{index}]");
            if text(port, "name").is_empty() && ports.len() > 1 {
                faults.required(format!("{field}.name"), "");
            }
            let number = int(port, "port").unwrap_or(0);
            for text in names::port_number(number) {
                faults.invalid(format!("{field}.port"), number, text);
            }
        }
    }
}

/// Source: `ValidateEndpointSlice`.
fn endpoint_slice(object: &Value, faults: &mut Faults) {
    let kind = text(object, "addressType");
    match kind {
        "" => faults.required("addressType", ""),
        "IPv4" | "IPv6" | "FQDN" => {}
        other => faults.not_supported("addressType", other, &["FQDN", "IPv4", "IPv6"]),
    }
    let list = items(object, "endpoints");
    if list.len() > 1000 {
        faults.add(FaultKind::TooMany, "endpoints", Value::Null, "must have at most 1000 items");
    }
    for (index, one) in list.iter().enumerate() {
        let field = format!("endpoints[{index}]");
        let addresses = items(one, "addresses");
        if addresses.is_empty() {
            faults.required(format!("{field}.addresses"), "must contain at least 1 address");
        }
        for (at, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
            let field = format!("{field}.addresses[{at}]");
            let ip = address.parse::<std::net::IpAddr>();
            match (kind, ip) {
                ("IPv4", Ok(ip)) if ip.is_ipv4() => {}
                ("IPv4", _) => faults.invalid(field, address, "must be a valid IPv4 address"),
                ("IPv6", Ok(ip)) if ip.is_ipv6() => {}
                ("IPv6", _) => faults.invalid(field, address, "must be a valid IPv6 address"),
                _ => told(names::dns1123_subdomain(address), &field, address, faults),
            }
        }
    }
    let mut seen = HashSet::new();
    for (index, port) in items(object, "ports").iter().enumerate() {
        let (field, name) = (format!("ports[{index}]"), text(port, "name"));
        if !seen.insert(name) {
            faults.duplicate(format!("{field}.name"), name);
        }
        if !name.is_empty() {
            told(names::dns1123_label(name), &format!("{field}.name"), name, faults);
        }
        let protocol = text(port, "protocol");
        if !matches!(protocol, "TCP" | "UDP" | "SCTP") {
            faults.not_supported(format!("{field}.protocol"), protocol, &["SCTP", "TCP", "UDP"]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_slices() {
        assert_eq!(
            wrong(
                json!({"addressType": "IPv4", "endpoints": [{"addresses": ["::1"]}], "ports": [{"port": 1}, {"port": 2}]})
            ),
            [
                "endpoints[0].addresses[0]: Invalid value: \"::1\": must be a valid IPv4 address",
                "ports[1].name: Duplicate value: \"\"",
            ]
        );
    }

    fn wrong(mut object: Value) -> Vec<String> {
        (ENDPOINT_SLICE.default)(&mut object);
        let mut faults = Faults::default();
        (ENDPOINT_SLICE.validate)(&object, &mut faults);
        faults.0.iter().map(ToString::to_string).collect()
    }
}
