//! The specification of a pod or of a template.

use super::super::metadata::{self, NOT_NEGATIVE, told};
use super::super::reading::{at, flag, has, int, items, text};
use super::container::{self, Around, choice};
use super::{resources, scheduling, volume};
use crate::fault::Faults;
use crate::names;
use serde_json::Value;

/// A specification. Source: `ValidatePodSpec`.
pub fn validate(spec: &Value, field: &str, faults: &mut Faults) {
    let volumes = volume::volumes(spec, field, faults);
    container::all(spec, field, &Around { volumes, on_host: flag(spec, "hostNetwork") }, faults);
    choice(spec, field, "restartPolicy", &["Always", "OnFailure", "Never"], true, faults);
    dns(spec, field, faults);
    scheduling::validate(spec, field, faults);
    names_of(spec, field, faults);
    if int(spec, "terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        let value = at(spec, "terminationGracePeriodSeconds").clone();
        faults.invalid(format!("{field}.terminationGracePeriodSeconds"), value, NOT_NEGATIVE);
    }
    if int(spec, "activeDeadlineSeconds").is_some_and(|seconds| !(1..=i64::from(i32::MAX)).contains(&seconds))
    {
        let text = "must be between 1 and 2147483647, inclusive";
        faults.invalid(
            format!("{field}.activeDeadlineSeconds"),
            at(spec, "activeDeadlineSeconds").clone(),
            text,
        );
    }
    security(spec, field, faults);
    resources::validate(at(spec, "resources"), &format!("{field}.resources"), faults);
    for (index, one) in items(spec, "hostAliases").iter().enumerate() {
        let field = format!("{field}.hostAliases[{index}]");
        let ip = text(one, "ip");
        told(names::ip(ip), &format!("{field}.ip"), ip, faults);
        for (index, name) in items(one, "hostnames").iter().filter_map(Value::as_str).enumerate() {
            told(names::dns1123_subdomain(name), &format!("{field}.hostnames[{index}]"), name, faults);
        }
    }
    for (index, gate) in items(spec, "readinessGates").iter().enumerate() {
        let kind = text(gate, "conditionType");
        told(
            names::qualified_name(kind),
            &format!("{field}.readinessGates[{index}].conditionType"),
            kind,
            faults,
        );
    }
}

fn dns(spec: &Value, field: &str, faults: &mut Faults) {
    let policies = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    choice(spec, field, "dnsPolicy", &policies, true, faults);
    let config = at(spec, "dnsConfig");
    if text(spec, "dnsPolicy") == "None" {
        if config.is_null() {
            let text = "must provide `dnsConfig` when `dnsPolicy` is None";
            faults.required(format!("{field}.dnsConfig"), text);
        } else if items(config, "nameservers").is_empty() {
            let text = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            faults.required(format!("{field}.dnsConfig.nameservers"), text);
        }
    }
    let servers = items(config, "nameservers");
    if servers.len() > 3 {
        let text = "must not have more than 3 nameservers";
        faults.invalid(format!("{field}.dnsConfig.nameservers"), Value::from(servers), text);
    }
    for (index, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        told(names::ip(server), &format!("{field}.dnsConfig.nameservers[{index}]"), server, faults);
    }
}

/// Fields that name other objects or this one.
fn names_of(spec: &Value, field: &str, faults: &mut Faults) {
    type Rule = fn(&str) -> names::Wrong;
    let rules: [(&str, Rule); 7] = [
        ("serviceAccountName", names::dns1123_subdomain),
        ("nodeName", names::dns1123_subdomain),
        ("schedulerName", names::dns1123_subdomain),
        ("priorityClassName", names::dns1123_subdomain),
        ("runtimeClassName", names::dns1123_subdomain),
        ("hostname", names::dns1123_label),
        ("subdomain", names::dns1123_label),
    ];
    for (key, rule) in rules {
        let name = text(spec, key);
        if !name.is_empty() {
            told(rule(name), &format!("{field}.{key}"), name, faults);
        }
    }
    let policies = ["PreemptLowerPriority", "Never"];
    choice(spec, field, "preemptionPolicy", &policies, false, faults);
}

fn security(spec: &Value, field: &str, faults: &mut Faults) {
    let context = at(spec, "securityContext");
    let field_of = format!("{field}.securityContext");
    container::identities(context, &field_of, &["runAsUser", "runAsGroup", "fsGroup"], faults);
    container::seccomp(context, &field_of, faults);
    let policies = ["OnRootMismatch", "Always"];
    choice(context, &field_of, "fsGroupChangePolicy", &policies, false, faults);
    if flag(spec, "shareProcessNamespace") && flag(spec, "hostPID") {
        let text = "ShareProcessNamespace and HostPID cannot both be enabled";
        faults.invalid(format!("{field}.shareProcessNamespace"), true, text);
    }
}

/// A template: its labels and annotations, and the specification. Source: `ValidatePodTemplateSpec`.
pub fn validate_template(template: &Value, field: &str, faults: &mut Faults) {
    let meta = at(template, "metadata");
    metadata::labels(at(meta, "labels"), &format!("{field}.labels"), faults);
    metadata::annotations(meta, &format!("{field}.annotations"), faults);
    let spec = at(template, "spec");
    validate(spec, &format!("{field}.spec"), faults);
    if has(spec, "ephemeralContainers") {
        let text = "ephemeral containers not allowed in pod template";
        faults.add(
            crate::fault::FaultKind::Forbidden,
            format!("{field}.spec.ephemeralContainers"),
            Value::Null,
            text,
        );
    }
}
