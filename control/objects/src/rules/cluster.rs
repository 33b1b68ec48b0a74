//! Nodes, leases, priority classes, runtime classes, events, certificate requests, limits and quotas.
//!
//! Source: `defaults.go` and `validation.go` of core, coordination, scheduling, node, certificates.

use super::metadata::told;
use super::pod::{quantity, round_up};
use super::reading::{at, default, each, entries, has, int, items, text, with, within};
use super::{Rules, workload};
use crate::fault::Faults;
use crate::names;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Of nodes.
pub const NODE: Rules = Rules {
    default: |object| {
        within(object, "spec", |_| {});
        within(object, "status", |status| {
            for key in ["capacity", "allocatable"] {
                with(status, key, round_up);
            }
            let capacity = at(status, "capacity").clone();
            if !capacity.is_null() {
                default(status, "allocatable", capacity);
            }
        });
    },
    validate: node,
    validate_update: |new, old, faults| {
        node(new, faults);
        for key in ["podCIDR", "providerID"] {
            let (new, old) = (text(at(new, "spec"), key), text(at(old, "spec"), key));
            if !old.is_empty() && new != old {
                faults.forbidden(
                    format!("spec.{key}"),
                    "node updates may not change ".to_owned() + key + " except from \"\" to valid",
                );
            }
        }
    },
};

/// Of leases.
pub const LEASE: Rules =
    Rules { default: |_| {}, validate: lease, validate_update: |new, _, faults| lease(new, faults) };

/// Of priority classes.
pub const PRIORITY_CLASS: Rules = Rules {
    default: |object| {
        default(object, "preemptionPolicy", "PreemptLowerPriority");
        default(object, "value", 0);
    },
    validate: |object, faults| {
        let (name, value) = (text(at(object, "metadata"), "name"), int(object, "value").unwrap_or(0));
        if name.starts_with("system-") && !matches!(name, "system-node-critical" | "system-cluster-critical")
        {
            let text = "priority class names with 'system-' prefix are reserved for system use only. error: ";
            faults.forbidden("metadata.name", format!("{text}{name} is not a known system priority class"));
        } else if !name.starts_with("system-") && value > 1_000_000_000 {
            let text = "maximum allowed value of a user defined priority is 1000000000";
            faults.forbidden("value", text);
        }
        let policy = text(object, "preemptionPolicy");
        if !matches!(policy, "Never" | "PreemptLowerPriority") {
            let known = ["Never", "PreemptLowerPriority"];
            faults.not_supported("preemptionPolicy", policy, &known);
        }
    },
    validate_update: |new, old, faults| {
        if int(new, "value").unwrap_or(0) != int(old, "value").unwrap_or(0) {
            faults.forbidden("value", "may not be changed in an update.");
        }
        if at(new, "preemptionPolicy") != at(old, "preemptionPolicy") {
            let value = at(new, "preemptionPolicy").clone();
            faults.invalid("preemptionPolicy", value, "field is immutable");
        }
    },
};

/// Of runtime classes.
pub const RUNTIME_CLASS: Rules = Rules {
    default: |object| with(object, "overhead", |overhead| with(overhead, "podFixed", round_up)),
    validate: |object, faults| {
        let handler = text(object, "handler");
        told(names::dns1123_label(handler), "handler", handler, faults);
    },
    validate_update: |new, old, faults| {
        if text(new, "handler") != text(old, "handler") {
            faults.invalid("handler", text(new, "handler"), "field is immutable");
        }
    },
};

/// Of requests for certificates.
pub const CERTIFICATE_REQUEST: Rules = Rules {
    default: |object| within(object, "status", |_| {}),
    validate: |object, faults| {
        let spec = at(object, "spec");
        let request = BASE64_STANDARD.decode(text(spec, "request")).unwrap_or_default();
        if !String::from_utf8_lossy(&request).contains("-----BEGIN CERTIFICATE REQUEST-----") {
            let shown = text(spec, "request");
            faults.invalid("spec.request", shown, "PEM block type must be CERTIFICATE REQUEST");
        }
        let signer = text(spec, "signerName");
        match signer.split_once('/') {
            _ if signer.is_empty() => faults.required("spec.signerName", ""),
            Some((domain, path)) if domain.contains('.') && !path.is_empty() => {
                told(names::dns1123_subdomain(domain), "spec.signerName", signer, faults);
            }
            _ => {
                let text = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
                faults.invalid("spec.signerName", signer, text);
            }
        }
        if int(spec, "expirationSeconds").is_some_and(|seconds| seconds < 600) {
            let value = at(spec, "expirationSeconds").clone();
            faults.invalid(
                "spec.expirationSeconds",
                value,
                "may not specify a duration less than 600 seconds (10 minutes)",
            );
        }
        usages(spec, faults);
    },
    validate_update: |new, old, faults| {
        workload::immutable(
            new,
            old,
            &["request", "signerName", "usages", "username", "uid", "groups", "extra"],
            faults,
        );
        conditions(new, old, faults);
    },
};

/// Of limits.
pub const LIMIT_RANGE: Rules = Rules {
    default: limit_defaults,
    validate: limit_range,
    validate_update: |new, _, faults| limit_range(new, faults),
};

/// Of quotas.
pub const RESOURCE_QUOTA: Rules = Rules {
    default: |object| {
        within(object, "spec", |spec| with(spec, "hard", round_up));
        within(object, "status", |status| {
            for key in ["hard", "used"] {
                with(status, key, round_up);
            }
        });
    },
    validate: |object, faults| {
        for (name, value) in entries(at(object, "spec"), "hard") {
            let field = format!("spec.hard[{name}]");
            told(names::qualified_name(name), &field, name, faults);
            if quantity(value).sign() < 0 {
                faults.invalid(field, value.clone(), super::metadata::NOT_NEGATIVE);
            }
        }
    },
    validate_update: |new, old, faults| workload::immutable(new, old, &["scopes"], faults),
};

fn node(object: &Value, faults: &mut Faults) {
    let spec = at(object, "spec");
    let mut seen = HashSet::new();
    for (index, taint) in items(spec, "taints").iter().enumerate() {
        let field = format!("spec.taints[{index}]");
        let (key, value, effect) = (text(taint, "key"), text(taint, "value"), text(taint, "effect"));
        told(names::qualified_name(key), &format!("{field}.key"), key, faults);
        told(names::label_value(value), &format!("{field}.value"), value, faults);
        match effect {
            "" => faults.required(format!("{field}.effect"), ""),
            "NoSchedule" | "PreferNoSchedule" | "NoExecute" => {}
            other => {
                let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
                faults.not_supported(format!("{field}.effect"), other, &known);
            }
        }
        if !seen.insert((key, effect)) {
            faults.duplicate(field, taint.clone());
        }
    }
    for (index, one) in items(spec, "podCIDRs").iter().filter_map(Value::as_str).enumerate() {
        told(names::cidr(one), &format!("spec.podCIDRs[{index}]"), one, faults);
    }
}

fn lease(object: &Value, faults: &mut Faults) {
    let spec = at(object, "spec");
    if int(spec, "leaseDurationSeconds").is_some_and(|seconds| seconds <= 0) {
        let value = at(spec, "leaseDurationSeconds").clone();
        faults.invalid("spec.leaseDurationSeconds", value, "must be greater than 0");
    }
    if int(spec, "leaseTransitions").is_some_and(|number| number < 0) {
        let value = at(spec, "leaseTransitions").clone();
        faults.invalid("spec.leaseTransitions", value, "must be greater than or equal to 0");
    }
}

fn usages(spec: &Value, faults: &mut Faults) {
    const KNOWN: [&str; 23] = [
        "any",
        "cert sign",
        "client auth",
        "code signing",
        "content commitment",
        "crl sign",
        "data encipherment",
        "decipher only",
        "digital signature",
        "email protection",
        "encipher only",
        "ipsec end system",
        "ipsec tunnel",
        "ipsec user",
        "key agreement",
        "key encipherment",
        "microsoft sgc",
        "netscape sgc",
        "ocsp signing",
        "s/mime",
        "server auth",
        "signing",
        "timestamping",
    ];
    let list = items(spec, "usages");
    if list.is_empty() {
        faults.required("spec.usages", "usages must be specified");
    }
    for (index, one) in list.iter().filter_map(Value::as_str).enumerate() {
        if !KNOWN.contains(&one) {
            faults.not_supported(format!("spec.usages[{index}]"), one, &KNOWN);
        }
    }
}

/// What was decided stays decided, and only one way.
fn conditions(new: &Value, old: &Value, faults: &mut Faults) {
    let has_kind = |object: &Value, kind: &str| {
        items(at(object, "status"), "conditions").iter().any(|one| text(one, "type") == kind)
    };
    for kind in ["Approved", "Denied", "Failed"] {
        if has_kind(old, kind) && !has_kind(new, kind) {
            let text = format!("updates may not remove a condition of type {kind:?}");
            faults.forbidden("status.conditions", text);
        }
    }
    if has_kind(new, "Approved") && has_kind(new, "Denied") {
        let list = at(at(new, "status"), "conditions").clone();
        faults.invalid("status.conditions", list, "Approved and Denied conditions are mutually exclusive");
    }
}

/// Source: `SetDefaults_LimitRangeItem`: for containers, what is not told follows from what is.
fn limit_defaults(object: &mut Value) {
    const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];
    within(object, "spec", |spec| {
        each(spec, "limits", |limit| {
            for key in LISTS {
                with(limit, key, round_up);
            }
            if text(limit, "type") != "Container" {
                return;
            }
            for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
                let values: Map<String, Value> =
                    entries(limit, from).map(|(key, value)| (key.clone(), value.clone())).collect();
                if values.is_empty() {
                    continue;
                }
                within(limit, to, |list| {
                    for (key, value) in values {
                        default(list, &key, value);
                    }
                });
            }
        });
    });
}

/// Source: `ValidateLimitRange`.
fn limit_range(object: &Value, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for (index, limit) in items(at(object, "spec"), "limits").iter().enumerate() {
        let field = format!("spec.limits[{index}]");
        let kind = text(limit, "type");
        if kind.is_empty() {
            faults.required(format!("{field}.type"), "");
        }
        if !seen.insert(kind) {
            faults.duplicate(format!("{field}.type"), kind);
        }
        if kind == "Pod" {
            for key in ["default", "defaultRequest"].iter().filter(|key| has(limit, key)) {
                let text = "may not be specified when `type` is 'Pod'";
                faults.forbidden(format!("{field}.{key}"), text);
            }
        }
        let order = [
            ("min", "max"),
            ("min", "defaultRequest"),
            ("min", "default"),
            ("defaultRequest", "max"),
            ("defaultRequest", "default"),
            ("default", "max"),
        ];
        for (less, more) in order {
            for (name, low) in entries(limit, less) {
                let high = at(at(limit, more), name);
                if !high.is_null() && quantity(low) > quantity(high) {
                    let words = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    let text =
                        format!("{less} value {} is greater than {more} value {}", words(low), words(high));
                    faults.invalid(format!("{field}.{less}[{name}]"), low.clone(), text);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::wrong;
    use super::*;
    use serde_json::json;

    /// Source: TestSetDefaultLimitRangeItem, TestValidateLimitRange.
    #[test]
    fn limits() {
        let mut object = json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1", "memory": "1Mi"}}]}});
        (LIMIT_RANGE.default)(&mut object);
        let limit = &object["spec"]["limits"][0];
        assert_eq!(
            (&limit["default"], &limit["defaultRequest"]),
            (&json!({"cpu": "2"}), &json!({"cpu": "2", "memory": "1Mi"}))
        );
        let bad = json!({"spec": {"limits": [{"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}, {"type": "Pod"}]}});
        assert_eq!(
            wrong(&LIMIT_RANGE, bad),
            [
                "spec.limits[0].min[cpu]: Invalid value: \"2\": min value 2 is greater than max value 1",
                "spec.limits[1].type: Duplicate value: \"Pod\"",
            ]
        );
    }

    #[test]
    fn nodes_leases_classes_requests() {
        let taint = json!({"key": "a", "effect": "X"});
        assert_eq!(wrong(&NODE, json!({"spec": {"taints": [taint]}})).len(), 1);
        assert_eq!(
            wrong(&LEASE, json!({"spec": {"leaseDurationSeconds": 0}})),
            ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"]
        );
        let class = json!({"metadata": {"name": "high"}, "value": 2_000_000_000});
        assert_eq!(
            wrong(&PRIORITY_CLASS, class),
            ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]
        );
        let request =
            json!({"spec": {"request": "eA==", "signerName": "x", "usages": ["client auth", "fly"]}});
        assert_eq!(wrong(&CERTIFICATE_REQUEST, request).len(), 3);
    }
}
