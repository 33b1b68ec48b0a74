//! Services. Addresses and node ports are allocated by the server; here is only what they may look like.
//!
//! Source: `SetDefaults_Service`, `ValidateService`, `ValidateServiceUpdate`.

use super::metadata::{labels, told};
use super::reading::{at, default, each, has, int, items, remove, text, within};
use super::{Rules, pod};
use crate::fault::Faults;
use crate::names;
use serde_json::{Value, json};
use std::collections::HashSet;

/// Of services.
pub const SERVICE: Rules = Rules { default: complete, validate, validate_update };

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

fn complete(object: &mut Value) {
    within(object, "spec", |spec| {
        default(spec, "type", "ClusterIP");
        default(spec, "sessionAffinity", "None");
        match text(spec, "sessionAffinity") {
            "None" => drop(remove(spec, "sessionAffinityConfig")),
            "ClientIP" => within(spec, "sessionAffinityConfig", |config| {
                within(config, "clientIP", |client| default(client, "timeoutSeconds", 10800));
            }),
            _ => {}
        }
        each(spec, "ports", |port| {
            default(port, "protocol", "TCP");
            let none = match at(port, "targetPort") {
                Value::String(name) => name.is_empty(),
                other => other.as_i64().unwrap_or(0) == 0,
            };
            if none {
                let number = at(port, "port").clone();
                super::reading::set(port, "targetPort", number);
            }
        });
        let kind = text(spec, "type").to_owned();
        let outside = matches!(kind.as_str(), "NodePort" | "LoadBalancer");
        if outside || (kind == "ClusterIP" && !items(spec, "externalIPs").is_empty()) {
            default(spec, "externalTrafficPolicy", "Cluster");
        }
        if outside || kind == "ClusterIP" {
            default(spec, "internalTrafficPolicy", "Cluster");
        }
        if kind == "LoadBalancer" {
            default(spec, "allocateLoadBalancerNodePorts", true);
        }
    });
    within(object, "status", |status| {
        within(status, "loadBalancer", |balancer| {
            each(balancer, "ingress", |one| {
                if !text(one, "ip").is_empty() {
                    default(one, "ipMode", "VIP");
                }
            });
        });
    });
}

fn validate(object: &Value, faults: &mut Faults) {
    let spec = at(object, "spec");
    let kind = text(spec, "type");
    if !TYPES.contains(&kind) {
        faults.not_supported("spec.type", kind, &TYPES);
    }
    let headless = text(spec, "clusterIP") == "None";
    match kind {
        "ExternalName" => external_name(spec, faults),
        "LoadBalancer" | "NodePort" if headless => {
            let text = format!("may not be set to 'None' for {kind} services");
            faults.invalid("spec.clusterIPs[0]", "None", text);
        }
        _ => {}
    }
    if items(spec, "ports").is_empty() && !headless && kind != "ExternalName" {
        faults.required("spec.ports", "");
    }
    ports(spec, kind, faults);
    labels(at(spec, "selector"), "spec.selector", faults);
    let affinity = text(spec, "sessionAffinity");
    if affinity.is_empty() {
        faults.required("spec.sessionAffinity", "");
    } else if !matches!(affinity, "ClientIP" | "None") {
        faults.not_supported("spec.sessionAffinity", affinity, &["ClientIP", "None"]);
    }
    let seconds = int(at(at(spec, "sessionAffinityConfig"), "clientIP"), "timeoutSeconds");
    if let Some(seconds) = seconds.filter(|seconds| !(1..=86400).contains(seconds)) {
        let text = "must be greater than 0 and less than 86400";
        faults.invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds, text);
    }
    addresses(spec, kind, faults);
    policies(spec, kind, faults);
}

fn external_name(spec: &Value, faults: &mut Faults) {
    if !items(spec, "clusterIPs").is_empty() || !text(spec, "clusterIP").is_empty() {
        faults.forbidden("spec.clusterIPs", "may not be set for ExternalName services");
    }
    let name = text(spec, "externalName").trim_end_matches('.');
    if name.is_empty() {
        faults.required("spec.externalName", "");
    } else {
        told(names::dns1123_subdomain(name), "spec.externalName", name, faults);
    }
}

fn ports(spec: &Value, kind: &str, faults: &mut Faults) {
    let list = items(spec, "ports");
    let (mut seen_names, mut seen, mut seen_nodes) = (HashSet::new(), HashSet::new(), HashSet::new());
    for (index, port) in list.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        let name = text(port, "name");
        if name.is_empty() && list.len() > 1 {
            faults.required(format!("{field}.name"), "");
        } else if !name.is_empty() {
            told(names::dns1123_label(name), &format!("{field}.name"), name, faults);
            if !seen_names.insert(name) {
                faults.duplicate(format!("{field}.name"), name);
            }
        }
        let number = int(port, "port").unwrap_or(0);
        for text in names::port_number(number) {
            faults.invalid(format!("{field}.port"), number, text);
        }
        let protocol = text(port, "protocol");
        match protocol {
            "" => faults.required(format!("{field}.protocol"), ""),
            "TCP" | "UDP" | "SCTP" => {}
            other => faults.not_supported(format!("{field}.protocol"), other, &["SCTP", "TCP", "UDP"]),
        }
        pod::port(at(port, "targetPort"), &format!("{field}.targetPort"), faults);
        if has(port, "appProtocol") {
            let name = text(port, "appProtocol");
            told(names::qualified_name(name), &format!("{field}.appProtocol"), name, faults);
        }
        let node = int(port, "nodePort").unwrap_or(0);
        if node != 0 {
            if matches!(kind, "ClusterIP" | "ExternalName") {
                let text = format!("may not be used when `type` is '{kind}'");
                faults.forbidden(format!("{field}.nodePort"), text);
            }
            for text in names::port_number(node) {
                faults.invalid(format!("{field}.nodePort"), node, text);
            }
            if !seen_nodes.insert((protocol, node)) {
                faults.duplicate(format!("{field}.nodePort"), node);
            }
        }
        if !seen.insert((protocol, number)) {
            faults.duplicate(&field, json!({ "port": number, "protocol": protocol }));
        }
    }
}

fn addresses(spec: &Value, kind: &str, faults: &mut Faults) {
    for (index, one) in items(spec, "clusterIPs").iter().filter_map(Value::as_str).enumerate() {
        if one != "None" && !one.is_empty() {
            told(names::ip(one), &format!("spec.clusterIPs[{index}]"), one, faults);
        }
    }
    let (first, single) = (items(spec, "clusterIPs").first(), text(spec, "clusterIP"));
    if first.and_then(Value::as_str).is_some_and(|first| !single.is_empty() && first != single) {
        let text = "first value must match `clusterIP`";
        faults.invalid("spec.clusterIPs", at(spec, "clusterIPs").clone(), text);
    } else if first.is_none() && !matches!(single, "" | "None") {
        told(names::ip(single), "spec.clusterIP", single, faults);
    }
    for (index, one) in items(spec, "externalIPs").iter().filter_map(Value::as_str).enumerate() {
        let field = format!("spec.externalIPs[{index}]");
        match one.parse::<std::net::IpAddr>() {
            Err(_) => told(names::ip(one), &field, one, faults),
            Ok(ip) if ip.is_unspecified() => {
                faults.invalid(field, one, format!("may not be unspecified ({one})"));
            }
            Ok(ip) if ip.is_loopback() => {
                faults.invalid(field, one, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
            }
            Ok(_) => {}
        }
    }
    let ranges = items(spec, "loadBalancerSourceRanges");
    if !ranges.is_empty() && kind != "LoadBalancer" {
        let text = "may only be used when `type` is 'LoadBalancer'";
        faults.forbidden("spec.LoadBalancerSourceRanges", text);
    }
    for (index, one) in ranges.iter().filter_map(Value::as_str).enumerate() {
        let field = format!("spec.LoadBalancerSourceRanges[{index}]");
        told(names::cidr(one.trim()), &field, one, faults);
    }
}

fn policies(spec: &Value, kind: &str, faults: &mut Faults) {
    let reachable = matches!(kind, "NodePort" | "LoadBalancer")
        || (kind == "ClusterIP" && !items(spec, "externalIPs").is_empty());
    let (outer, inner) = (text(spec, "externalTrafficPolicy"), text(spec, "internalTrafficPolicy"));
    match (outer, reachable) {
        ("", _) | ("Cluster" | "Local", true) => {}
        (other, true) => faults.not_supported("spec.externalTrafficPolicy", other, &["Cluster", "Local"]),
        (other, false) => {
            let text = "may only be set for externally-accessible services";
            faults.invalid("spec.externalTrafficPolicy", other, text);
        }
    }
    if !matches!(inner, "" | "Cluster" | "Local") {
        faults.not_supported("spec.internalTrafficPolicy", inner, &["Cluster", "Local"]);
    }
    for key in ["loadBalancerClass", "allocateLoadBalancerNodePorts"] {
        if has(spec, key) && kind != "LoadBalancer" {
            faults.forbidden(format!("spec.{key}"), "may only be used when `type` is 'LoadBalancer'");
        }
    }
    let policy = text(spec, "ipFamilyPolicy");
    if !matches!(policy, "" | "SingleStack" | "PreferDualStack" | "RequireDualStack") {
        let known = ["SingleStack", "PreferDualStack", "RequireDualStack"];
        faults.invalid("spec.ipFamilyPolicy", policy, format!("must be one of {}", known.join(", ")));
    }
    for (index, family) in items(spec, "ipFamilies").iter().filter_map(Value::as_str).enumerate() {
        if !matches!(family, "IPv4" | "IPv6") {
            faults.not_supported(format!("spec.ipFamilies[{index}]"), family, &["IPv4", "IPv6"]);
        }
    }
}

fn validate_update(new: &Value, old: &Value, faults: &mut Faults) {
    validate(new, faults);
    let (new, old) = (at(new, "spec"), at(old, "spec"));
    // Whoever becomes or ceases to be an ExternalName service gets or loses its addresses.
    let stays = text(new, "type") != "ExternalName" && text(old, "type") != "ExternalName";
    if !stays {
        return;
    }
    let (before, after) = (text(old, "clusterIP"), text(new, "clusterIP"));
    if !before.is_empty() && after != before {
        faults.invalid("spec.clusterIPs[0]", json!([after]), "may not change once set");
    }
    let (before, after) = (items(old, "ipFamilies").first(), items(new, "ipFamilies").first());
    if before.is_some() && after.is_some() && before != after {
        let text = "may not change once set";
        faults.invalid("spec.ipFamilies[0]", at(new, "ipFamilies").clone(), text);
    }
    if text(old, "type") == "LoadBalancer"
        && text(new, "type") == "LoadBalancer"
        && at(old, "loadBalancerClass") != at(new, "loadBalancerClass")
    {
        let text = "may not change once set";
        faults.invalid("spec.loadBalancerClass", at(new, "loadBalancerClass").clone(), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(spec: Value) -> Value {
        let mut object = json!({ "spec": spec });
        complete(&mut object);
        object
    }

    fn wrong(spec: Value) -> Vec<String> {
        let mut faults = Faults::default();
        validate(&service(spec), &mut faults);
        faults.0.iter().map(ToString::to_string).collect()
    }

    /// Source: TestSetDefaultService and those after it.
    #[test]
    fn a_service_is_completed_as_upstream_does() {
        let wanted = json!({"type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]});
        assert_eq!(service(json!({"ports": [{"port": 80}]}))["spec"], wanted);
        let wanted = json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP", "internalTrafficPolicy": "Cluster",
            "externalTrafficPolicy": "Cluster", "allocateLoadBalancerNodePorts": true,
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}}});
        assert_eq!(service(json!({"type": "LoadBalancer", "sessionAffinity": "ClientIP"}))["spec"], wanted);
        let outside = service(json!({"type": "ExternalName", "externalName": "a.b"}));
        assert_eq!(
            outside["spec"],
            json!({"type": "ExternalName", "externalName": "a.b", "sessionAffinity": "None"})
        );
    }

    /// Source: TestValidateService.
    #[test]
    fn faults_are_told_as_upstream_does() {
        assert!(wrong(json!({"ports": [{"port": 80}]})).is_empty());
        assert!(wrong(json!({"clusterIP": "None"})).is_empty());
        assert_eq!(wrong(json!({})), ["spec.ports: Required value"]);
        assert_eq!(
            wrong(json!({"type": "X", "ports": [{"port": 1}]})),
            [
                "spec.type: Unsupported value: \"X\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\""
            ]
        );
        assert_eq!(
            wrong(
                json!({"ports": [{"port": 80}, {"port": 80, "name": "a"}, {"port": 0, "name": "a", "nodePort": 30000}]})
            ),
            [
                "spec.ports[0].name: Required value",
                "spec.ports[1]: Duplicate value: {\"port\":80,\"protocol\":\"TCP\"}",
                "spec.ports[2].name: Duplicate value: \"a\"",
                "spec.ports[2].port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[2].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
                "spec.ports[2].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
            ]
        );
        assert_eq!(wrong(json!({"type": "ExternalName"})), ["spec.externalName: Required value"]);
        assert_eq!(
            wrong(json!({"type": "NodePort", "clusterIP": "None", "ports": [{"port": 80}]})),
            ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"]
        );
    }

    #[test]
    fn addresses_do_not_change() {
        let old =
            service(json!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]}));
        let mut new = old.clone();
        let mut faults = Faults::default();
        validate_update(&new, &old, &mut faults);
        assert!(faults.is_empty());
        new["spec"]["clusterIP"] = json!("10.0.0.2");
        new["spec"]["clusterIPs"] = json!(["10.0.0.2"]);
        validate_update(&new, &old, &mut faults);
        let texts: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["spec.clusterIPs[0]: Invalid value: [\"10.0.0.2\"]: may not change once set"]);
    }
}
