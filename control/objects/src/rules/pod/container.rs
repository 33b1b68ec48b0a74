//! Containers.

use super::super::metadata::told;
use super::super::reading::{at, flag, has, int, items, text};
use super::{probe, resources};
use crate::fault::{FaultKind, Faults};
use crate::names;
use serde_json::Value;
use std::collections::HashSet;

/// What the containers of a pod share.
pub struct Around<'a> {
    /// The names of its volumes.
    pub volumes: HashSet<&'a str>,
    /// Whether it uses the host's network.
    pub on_host: bool,
}

/// The three lists of containers; names are of one pool.
pub fn all(spec: &Value, field: &str, around: &Around<'_>, faults: &mut Faults) {
    let mut names = HashSet::new();
    if items(spec, "containers").is_empty() {
        faults.required(format!("{field}.containers"), "");
    }
    for key in ["initContainers", "containers", "ephemeralContainers"] {
        for (at, one) in items(spec, key).iter().enumerate() {
            let field = format!("{field}.{key}[{at}]");
            own_name(one, &field, &mut names, faults);
            container(one, &field, key, around, faults);
        }
    }
    host_ports(spec, field, faults);
}

/// The name of one of a list: a label, and no other's.
pub fn own_name<'a>(one: &'a Value, field: &str, names: &mut HashSet<&'a str>, faults: &mut Faults) {
    let (name, field) = (text(one, "name"), format!("{field}.name"));
    if name.is_empty() {
        return faults.required(field, "");
    }
    told(names::dns1123_label(name), &field, name, faults);
    if !names.insert(name) {
        faults.duplicate(field, name);
    }
}

fn container(one: &Value, field: &str, list: &str, around: &Around<'_>, faults: &mut Faults) {
    let image = text(one, "image");
    if image.is_empty() {
        faults.required(format!("{field}.image"), "");
    } else if image.trim() != image {
        faults.invalid(format!("{field}.image"), image, "must not have leading or trailing whitespace");
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    choice(one, field, "imagePullPolicy", &policies, true, faults);
    choice(one, field, "terminationMessagePolicy", &["FallbackToLogsOnError", "File"], true, faults);
    if list == "initContainers" {
        choice(one, field, "restartPolicy", &["Always", "Never", "OnFailure"], false, faults);
    }
    let restarts = list == "containers" || text(one, "restartPolicy") == "Always";
    for key in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
        if !has(one, key) {
            continue;
        }
        let field = format!("{field}.{key}");
        match (restarts, list) {
            (true, _) if key == "lifecycle" => lifecycle(at(one, key), &field, faults),
            (true, _) => probe::probe(at(one, key), &field, key == "readinessProbe", faults),
            (false, "initContainers") => {
                faults.forbidden(field, "may not be set for init containers without restartPolicy=Always");
            }
            (false, _) => faults.forbidden(field, "cannot be set for an Ephemeral Container"),
        }
    }
    ports(one, field, around, faults);
    environment(one, field, faults);
    mounts(one, field, around, faults);
    resources::validate(at(one, "resources"), &format!("{field}.resources"), faults);
    security(at(one, "securityContext"), &format!("{field}.securityContext"), faults);
}

/// A field that is one of some words.
pub fn choice(object: &Value, field: &str, key: &str, words: &[&str], required: bool, faults: &mut Faults) {
    let value = text(object, key);
    if value.is_empty() && !has(object, key) {
        if required {
            faults.required(format!("{field}.{key}"), "");
        }
    } else if !words.contains(&value) {
        faults.not_supported(format!("{field}.{key}"), value, words);
    }
}

fn lifecycle(lifecycle: &Value, field: &str, faults: &mut Faults) {
    for key in ["postStart", "preStop"] {
        if has(lifecycle, key) {
            probe::handler(at(lifecycle, key), &format!("{field}.{key}"), faults);
        }
    }
}

fn ports(one: &Value, field: &str, around: &Around<'_>, faults: &mut Faults) {
    let mut names = HashSet::new();
    for (index, port) in items(one, "ports").iter().enumerate() {
        let field = format!("{field}.ports[{index}]");
        let name = text(port, "name");
        if !name.is_empty() {
            told(names::port_name(name), &format!("{field}.name"), name, faults);
            if !names.insert(name) {
                faults.duplicate(format!("{field}.name"), name);
            }
        }
        match int(port, "containerPort").unwrap_or(0) {
            0 => faults.required(format!("{field}.containerPort"), ""),
            number => number_of(number, &format!("{field}.containerPort"), faults),
        }
        let on_host = int(port, "hostPort").unwrap_or(0);
        if on_host != 0 {
            number_of(on_host, &format!("{field}.hostPort"), faults);
        }
        if around.on_host && on_host != int(port, "containerPort").unwrap_or(0) {
            faults.invalid(
                format!("{field}.hostPort"),
                on_host,
                "must match `containerPort` when `hostNetwork` is true",
            );
        }
        choice(port, &field, "protocol", &["SCTP", "TCP", "UDP"], true, faults);
    }
}

fn number_of(number: i64, field: &str, faults: &mut Faults) {
    for text in names::port_number(number) {
        faults.invalid(field, number, text);
    }
}

/// Two containers cannot listen on the same port of the host.
fn host_ports(spec: &Value, field: &str, faults: &mut Faults) {
    let mut seen = HashSet::new();
    for (at, one) in items(spec, "containers").iter().enumerate() {
        for (index, port) in items(one, "ports").iter().enumerate() {
            let Some(number) = int(port, "hostPort").filter(|number| *number != 0) else { continue };
            let name = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if !seen.insert(name.clone()) {
                faults.duplicate(format!("{field}.containers[{at}].ports[{index}].hostPort"), name);
            }
        }
    }
}

fn environment(one: &Value, field: &str, faults: &mut Faults) {
    const SOURCES: [&str; 5] =
        ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
    for (index, variable) in items(one, "env").iter().enumerate() {
        let field = format!("{field}.env[{index}]");
        let name = text(variable, "name");
        if name.is_empty() {
            faults.required(format!("{field}.name"), "");
        } else {
            told(names::environment_variable(name), &format!("{field}.name"), name, faults);
        }
        let from = at(variable, "valueFrom");
        if from.is_null() {
            continue;
        }
        let field = format!("{field}.valueFrom");
        let told = SOURCES.iter().filter(|key| has(from, key)).count();
        if told == 0 {
            let text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
            faults.invalid(&field, "", text);
        } else if !text(variable, "value").is_empty() {
            faults.invalid(&field, "", "may not be specified when `value` is not empty");
        } else if told > 1 {
            faults.invalid(&field, "", "may not have more than one field specified at a time");
        }
        for key in ["configMapKeyRef", "secretKeyRef"] {
            let reference = at(from, key);
            if reference.is_null() {
                continue;
            }
            if text(reference, "name").is_empty() {
                faults.required(format!("{field}.{key}.name"), "");
            }
            let of_key = text(reference, "key");
            if of_key.is_empty() {
                faults.required(format!("{field}.{key}.key"), "");
            } else {
                super::super::metadata::told(
                    names::config_key(of_key),
                    &format!("{field}.{key}.key"),
                    of_key,
                    faults,
                );
            }
        }
        if has(from, "fieldRef") && text(at(from, "fieldRef"), "fieldPath").is_empty() {
            faults.required(format!("{field}.fieldRef.fieldPath"), "");
        }
        if has(from, "resourceFieldRef") && text(at(from, "resourceFieldRef"), "resource").is_empty() {
            faults.required(format!("{field}.resourceFieldRef.resource"), "");
        }
    }
    for (index, source) in items(one, "envFrom").iter().enumerate() {
        let field = format!("{field}.envFrom[{index}]");
        let told: Vec<&str> =
            ["configMapRef", "secretRef"].into_iter().filter(|key| has(source, key)).collect();
        match told.as_slice() {
            [] => faults.invalid(&field, "", "must specify one of: `configMapRef` or `secretRef`"),
            [key] if text(at(source, key), "name").is_empty() => {
                faults.required(format!("{field}.{key}.name"), "")
            }
            [_] => {}
            _ => faults.invalid(&field, "", "may not have more than one field specified at a time"),
        }
    }
}

fn mounts(one: &Value, field: &str, around: &Around<'_>, faults: &mut Faults) {
    let mut paths = HashSet::new();
    for (list, key) in [("volumeMounts", "mountPath"), ("volumeDevices", "devicePath")] {
        for (index, mount) in items(one, list).iter().enumerate() {
            let field = format!("{field}.{list}[{index}]");
            let (name, path) = (text(mount, "name"), text(mount, key));
            if name.is_empty() {
                faults.required(format!("{field}.name"), "");
            } else if !around.volumes.contains(name) {
                faults.add(FaultKind::NotFound, format!("{field}.name"), name, "");
            }
            if path.is_empty() {
                faults.required(format!("{field}.{key}"), "");
            } else if !paths.insert(path) {
                faults.invalid(format!("{field}.{key}"), path, "must be unique");
            }
            let inner = text(mount, "subPath");
            if inner.starts_with('/') {
                faults.invalid(format!("{field}.subPath"), inner, "must be a relative path");
            }
            if inner.split('/').any(|part| part == "..") {
                faults.invalid(format!("{field}.subPath"), inner, "must not contain '..'");
            }
            if !inner.is_empty() && !text(mount, "subPathExpr").is_empty() {
                let text = "subPathExpr and subPath are mutually exclusive";
                faults.invalid(format!("{field}.subPathExpr"), self::text(mount, "subPathExpr"), text);
            }
            let ways = ["Bidirectional", "HostToContainer", "None"];
            choice(mount, &field, "mountPropagation", &ways, false, faults);
        }
    }
}

fn security(context: &Value, field: &str, faults: &mut Faults) {
    identities(context, field, &["runAsUser", "runAsGroup"], faults);
    let escalates = at(context, "allowPrivilegeEscalation").as_bool();
    if escalates == Some(false) && flag(context, "privileged") {
        let text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        faults.invalid(field, context.clone(), text);
    }
    seccomp(context, field, faults);
}

/// User and group numbers.
pub fn identities(context: &Value, field: &str, keys: &[&str], faults: &mut Faults) {
    for key in keys {
        if int(context, key).is_some_and(|id| !(0..=i64::from(i32::MAX)).contains(&id)) {
            let text = "must be between 0 and 2147483647, inclusive";
            faults.invalid(format!("{field}.{key}"), at(context, key).clone(), text);
        }
    }
}

/// Which system calls are let through.
pub fn seccomp(context: &Value, field: &str, faults: &mut Faults) {
    let profile = at(context, "seccompProfile");
    if profile.is_null() {
        return;
    }
    let field = format!("{field}.seccompProfile");
    choice(profile, &field, "type", &["Localhost", "RuntimeDefault", "Unconfined"], true, faults);
    let local = text(profile, "type") == "Localhost";
    if local && text(profile, "localhostProfile").is_empty() {
        faults.required(format!("{field}.localhostProfile"), "must be set when seccomp type is Localhost");
    } else if !local && has(profile, "localhostProfile") {
        let text = "can only be set when seccomp type is Localhost";
        faults.invalid(format!("{field}.localhostProfile"), at(profile, "localhostProfile").clone(), text);
    }
}
