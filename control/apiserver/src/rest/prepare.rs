//! What the server itself fills in, keeps and takes away (upstream's `rest.BeforeCreate`, `rest.BeforeUpdate` and the
//! strategies' `PrepareForCreate` and `PrepareForUpdate`).

use serde_json::{Value, json};

use super::write::{spec_differs, take_status};
use crate::kinds::{Kind, Subresource};
use crate::object::{at, list, map, metadata, now, put, text};
use crate::request::User;
use crate::status::{Failure, Outcome};

/// How long a generated name may be before its five characters.
const LONGEST_BASE: usize = 58;

/// A name from `generateName`: five characters of an alphabet without vowels.
pub(super) fn generate_name(object: &mut Value) {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let base = text(object, "metadata.generateName");
    let base: String = base.chars().take(LONGEST_BASE).collect();
    let random = |_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]);
    let name: String = base.chars().chain((0..5).map(random)).collect();
    metadata(object).insert("name".into(), name.into());
}

/// The metadata of an object that is new.
pub(super) fn metadata_of_new(kind: &Kind, object: &mut Value) {
    let metadata = metadata(object);
    for key in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields", "generation"]
    {
        metadata.remove(key);
    }
    metadata.insert("uid".into(), random_uid().into());
    metadata.insert("creationTimestamp".into(), now().into());
    if kind.strategy.generation {
        metadata.insert("generation".into(), 1.into());
    }
    if kind.strategy.status && !comes_with_status(kind) {
        map(object).remove("status");
    }
}

/// Whether the status of a new object is kept: a kubelet registers its node with the addresses that it has
/// (`pkg/registry/core/node/strategy.go`, whose `PrepareForCreate` leaves it).
fn comes_with_status(kind: &Kind) -> bool {
    (kind.group, kind.kind) == ("", "Node")
}

/// A random UUID (RFC 9562, version 4).
pub(crate) fn random_uid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// What a kind's new objects get.
pub(super) fn for_create(kind: &Kind, user: &User, object: &mut Value) -> Outcome<()> {
    match (kind.group, kind.kind) {
        ("", "Namespace") => {
            let name = text(object, "metadata.name").to_owned();
            put(object, "status.phase", "Active".into());
            let mut finalizers = list(object, "spec.finalizers").to_vec();
            if !finalizers.iter().any(|one| one == "kubernetes") {
                finalizers.push("kubernetes".into());
            }
            put(object, "spec.finalizers", finalizers.into());
            label(object, "kubernetes.io/metadata.name", name.into());
        }
        ("", "Pod") => {
            put(object, "status", json!({"phase": "Pending", "qosClass": super::qos::class(object)}));
            let gated = !list(object, "spec.schedulingGates").is_empty();
            if gated {
                let condition = json!({"type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates"});
                put(object, "status.conditions", json!([condition]));
            }
        }
        ("", "Service") => put(object, "status", json!({"loadBalancer": {}})),
        ("", "PersistentVolume" | "PersistentVolumeClaim") => {
            put(object, "status", json!({"phase": "Pending"}))
        }
        ("", "Secret") => merge_string_data(object),
        ("batch", "Job") => weft_objects::rules::prepare_job(object),
        ("certificates.k8s.io", _) => requested_by(user, object),
        ("networking.k8s.io", "Ingress") => put(object, "status", json!({"loadBalancer": {}})),
        _ if kind.strategy.status && !comes_with_status(kind) => put(object, "status", json!({})),
        _ => {}
    }
    Ok(())
}

fn label(object: &mut Value, key: &str, value: Value) {
    let metadata = metadata(object);
    map(metadata.entry("labels").or_insert_with(|| json!({}))).insert(key.to_owned(), value);
}

/// `stringData` is written into `data`, in base64.
fn merge_string_data(object: &mut Value) {
    use base64::Engine as _;
    let Some(Value::Object(texts)) = map(object).remove("stringData") else { return };
    let data = map(map(object).entry("data").or_insert_with(|| json!({})));
    for (key, value) in texts {
        let encoded = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default());
        data.insert(key, encoded.into());
    }
}

/// Who asks for a certificate is what the server knows, not what the object says.
fn requested_by(user: &User, object: &mut Value) {
    let spec = map(map(object).entry("spec").or_insert_with(|| json!({})));
    spec.insert("username".into(), user.name.as_str().into());
    spec.insert("groups".into(), json!(user.groups));
    spec.remove("uid");
    spec.remove("extra");
    if !user.uid.is_empty() {
        spec.insert("uid".into(), user.uid.as_str().into());
    }
    if !user.extra.is_empty() {
        spec.insert("extra".into(), json!(user.extra));
    }
}

/// What of an object stays as it was, whatever an update says.
pub(super) fn for_update(
    kind: &Kind,
    sub: Option<Subresource>,
    object: &mut Value,
    old: &Value,
) -> Outcome<()> {
    keep_metadata(object, old);
    match sub {
        Some(Subresource::Status) => keep_all_but_status(kind, object, old),
        Some(Subresource::Approval) => approved(object, old),
        Some(Subresource::Finalize) => {
            let finalizers = at(object, "spec.finalizers").clone();
            *object = old.clone();
            put(object, "spec.finalizers", finalizers);
        }
        Some(Subresource::EphemeralContainers) => {
            let containers = at(object, "spec.ephemeralContainers").clone();
            let revision = at(object, "metadata.resourceVersion").clone();
            *object = old.clone();
            put(object, "metadata.resourceVersion", revision);
            put(object, "spec.ephemeralContainers", containers);
        }
        Some(Subresource::Resize) => resized(object, old),
        // Made by the server from what was there, with its condition.
        Some(Subresource::Binding) => {}
        _ => keep_of_main(kind, object, old)?,
    }
    // Whoever watches slices finds a Service's by their labels (`pkg/registry/discovery/endpointslice/strategy.go`).
    let relabelled =
        kind.kind == "EndpointSlice" && at(object, "metadata.labels") != at(old, "metadata.labels");
    if kind.strategy.generation && (relabelled || spec_differs(object, old)) {
        let generation = at(old, "metadata.generation").as_i64().unwrap_or(0) + 1;
        put(object, "metadata.generation", generation.into());
    } else {
        put(object, "metadata.generation", at(old, "metadata.generation").clone());
    }
    Ok(())
}

fn keep_metadata(object: &mut Value, old: &Value) {
    for key in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let path = format!("metadata.{key}");
        // A uid that differs is a fault, and is told as one.
        if key == "uid" && !text(object, &path).is_empty() {
            continue;
        }
        put(object, &path, at(old, &path).clone());
    }
    for key in ["managedFields", "selfLink"] {
        metadata(object).remove(key);
    }
}

fn keep_all_but_status(kind: &Kind, object: &mut Value, old: &Value) {
    let (metadata, status) = (at(object, "metadata").clone(), at(object, "status").clone());
    *object = old.clone();
    put(object, "metadata", metadata);
    put(object, "status", status);
    if ["apps", "batch", "policy", "autoscaling"].contains(&kind.group) {
        put(object, "metadata.labels", at(old, "metadata.labels").clone());
    }
}

/// Only conditions of approval and denial, with who wrote them when.
fn approved(object: &mut Value, old: &Value) {
    let conditions = at(object, "status.conditions").clone();
    let revision = at(object, "metadata.resourceVersion").clone();
    *object = old.clone();
    put(object, "metadata.resourceVersion", revision);
    let known = list(old, "status.conditions");
    let mut told = conditions.as_array().cloned().unwrap_or_default();
    for condition in &mut told {
        let before = known.iter().find(|one| text(one, "type") == text(condition, "type"));
        if text(condition, "lastUpdateTime").is_empty() {
            put(condition, "lastUpdateTime", now().into());
        }
        if text(condition, "lastTransitionTime").is_empty() {
            let then = before.map_or(Value::Null, |one| at(one, "lastTransitionTime").clone());
            put(condition, "lastTransitionTime", if then.is_null() { now().into() } else { then });
        }
        if text(condition, "status").is_empty() {
            put(condition, "status", "True".into());
        }
    }
    put(object, "status.conditions", told.into());
}

/// Resources and resize policies of containers, by name.
fn resized(object: &mut Value, old: &Value) {
    let wanted = list(object, "spec.containers").to_vec();
    let revision = at(object, "metadata.resourceVersion").clone();
    *object = old.clone();
    put(object, "metadata.resourceVersion", revision);
    let containers = object.pointer_mut("/spec/containers").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        let Some(new) = wanted.iter().find(|one| text(one, "name") == text(container, "name")) else {
            continue;
        };
        for key in ["resources", "resizePolicy"] {
            put(container, key, at(new, key).clone());
        }
    }
}

fn keep_of_main(kind: &Kind, object: &mut Value, old: &Value) -> Outcome<()> {
    if kind.strategy.status {
        take_status(object, old);
    }
    match (kind.group, kind.kind) {
        // Only the subresource takes a namespace's finalizer away.
        ("", "Namespace") => {
            put(object, "spec.finalizers", at(old, "spec.finalizers").clone());
            label(object, "kubernetes.io/metadata.name", text(old, "metadata.name").into());
        }
        ("", "Secret") => merge_string_data(object),
        ("", "Service") => {
            keep_addresses(object, old);
            super::service_type::drop_of_old_type(object, old);
        }
        ("certificates.k8s.io", _) => put(object, "spec", at(old, "spec").clone()),
        ("batch", "Job") if at(object, "spec.selector").is_null() => {
            put(object, "spec.selector", at(old, "spec.selector").clone());
            if let Some(template) = object.pointer_mut("/spec/template/metadata") {
                let labels = at(old, "spec.template.metadata.labels").clone();
                put(template, "labels", labels);
            }
        }
        ("", "Pod")
            if at(old, "spec.nodeName") != at(object, "spec.nodeName")
                && !text(old, "spec.nodeName").is_empty() =>
        {
            return Err(Failure::invalid(kind, text(old, "metadata.name"), &node_name_changed()));
        }
        _ => {}
    }
    Ok(())
}

fn node_name_changed() -> weft_objects::Faults {
    let mut faults = weft_objects::Faults::default();
    faults.forbidden(
        "spec.nodeName",
        "pod updates may not change fields other than `spec.containers[*].image`",
    );
    faults
}

/// What a client that knows nothing of addresses leaves out stays as it was (`patchAllocatedValues` and the defaults on
/// read of `pkg/registry/core/service`).
fn keep_addresses(object: &mut Value, old: &Value) {
    let needs_address = |service: &Value| text(service, "spec.type") != "ExternalName";
    if needs_address(object) && needs_address(old) {
        for key in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            let path = format!("spec.{key}");
            let left_out = at(object, &path).is_null();
            // A new policy or list of families is for the allocator.
            if left_out {
                put(object, &path, at(old, &path).clone());
            }
        }
    }
    let node_ports = |service: &Value| ["NodePort", "LoadBalancer"].contains(&text(service, "spec.type"));
    if node_ports(object) && node_ports(old) {
        let before = list(old, "spec.ports").to_vec();
        let ports = object.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
        for port in ports.into_iter().flatten() {
            if at(port, "nodePort").as_i64().unwrap_or(0) != 0 {
                continue;
            }
            let same = |one: &&Value| {
                at(one, "port") == at(port, "port") && at(one, "protocol") == at(port, "protocol")
            };
            if let Some(known) = before.iter().find(same) {
                put(port, "nodePort", at(known, "nodePort").clone());
            }
        }
        if text(object, "spec.externalTrafficPolicy") == "Local"
            && at(object, "spec.healthCheckNodePort").is_null()
        {
            put(object, "spec.healthCheckNodePort", at(old, "spec.healthCheckNodePort").clone());
        }
    }
}

/// Sets a condition of a pod.
pub(super) fn set_condition(object: &mut Value, kind: &str, status: &str) {
    let condition =
        json!({"type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": now()});
    let mut conditions = list(object, "status.conditions").to_vec();
    conditions.retain(|one| text(one, "type") != kind);
    conditions.push(condition);
    put(object, "status.conditions", conditions.into());
}
