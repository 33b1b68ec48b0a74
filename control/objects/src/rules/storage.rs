//! Volumes, claims, storage classes, drivers. Source: `pkg/apis/core`, `pkg/apis/storage`.

use super::metadata::told;
use super::pod::{claim_defaults, quantity, volume_source_defaults};
use super::reading::{as_in, at, below, default, entries, has, items, remove, set, text, with, within};
use super::workload::immutable;
use super::{Rules, pod, selecting};
use crate::fault::Faults;
use crate::names;
use serde_json::{Value, json};

const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// Fields of a persistent volume that are none of its source.
const NOT_SOURCES: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

/// Of persistent volumes.
pub const PERSISTENT_VOLUME: Rules = Rules {
    default: |object| {
        within(object, "spec", |spec| {
            default(spec, "persistentVolumeReclaimPolicy", "Retain");
            default(spec, "volumeMode", "Filesystem");
            with(spec, "capacity", pod::round_up);
            volume_source_defaults(spec);
        });
        within(object, "status", |status| default(status, "phase", "Pending"));
    },
    validate: volume,
    validate_update: |new, old, faults| {
        volume(new, faults);
        volume_source_stays(new, old, faults);
        immutable(new, old, &["volumeMode"], faults);
    },
};

/// Of claims.
pub const PERSISTENT_VOLUME_CLAIM: Rules = Rules {
    default: |object| {
        within(object, "spec", claim_defaults);
        within(object, "status", |status| default(status, "phase", "Pending"));
    },
    validate: |object, faults| claim(at(object, "spec"), "spec", faults),
    validate_update: claim_update,
};

/// Of storage classes.
pub const STORAGE_CLASS: Rules = Rules {
    default: |object| {
        default(object, "reclaimPolicy", "Delete");
        default(object, "volumeBindingMode", "Immediate");
    },
    validate: |object, faults| {
        if text(object, "provisioner").is_empty() {
            faults.required("provisioner", "");
        }
        one_of(object, "reclaimPolicy", &["Delete", "Retain"], faults);
        one_of(object, "volumeBindingMode", &["Immediate", "WaitForFirstConsumer"], faults);
        for (key, _) in entries(object, "parameters").filter(|(key, _)| key.is_empty()) {
            faults.invalid("parameters", key.as_str(), "field can not be empty.");
        }
    },
    validate_update: |new, old, faults| {
        for key in ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"] {
            if at(new, key) != at(old, key) {
                let text = "updates to ".to_owned() + key + " are forbidden.";
                faults.forbidden(key, text);
            }
        }
    },
};

/// Of drivers.
pub const CSI_DRIVER: Rules = Rules {
    default: |object| {
        within(object, "spec", |spec| {
            default(spec, "attachRequired", true);
            for key in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
                default(spec, key, false);
            }
            default(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
            if items(spec, "volumeLifecycleModes").is_empty() {
                set(spec, "volumeLifecycleModes", json!(["Persistent"]));
            }
        });
    },
    validate: |object, faults| {
        let known = ["None", "File", "ReadWriteOnceWithFSType"];
        let policy = text(at(object, "spec"), "fsGroupPolicy");
        if !known.contains(&policy) {
            faults.not_supported("spec.fsGroupPolicy", policy, &known);
        }
    },
    validate_update: |new, old, faults| {
        immutable(new, old, &["attachRequired", "volumeLifecycleModes"], faults)
    },
};

/// Of attachments.
pub const VOLUME_ATTACHMENT: Rules = Rules {
    default: |object| within(object, "status", |status| default(status, "attached", false)),
    validate: |object, faults| {
        let spec = at(object, "spec");
        for key in ["attacher", "nodeName"] {
            if text(spec, key).is_empty() {
                faults.required(format!("spec.{key}"), "");
            }
        }
        let source = at(spec, "source");
        if has(source, "persistentVolumeName") == has(source, "inlineVolumeSpec") {
            faults.required(
                "spec.source",
                "exactly one of inlineVolumeSpec and persistentVolumeName must be specified",
            );
        }
    },
    validate_update: |new, old, faults| {
        if at(new, "spec") != at(old, "spec") {
            faults.invalid("spec", at(new, "spec").clone(), "field is immutable");
        }
    },
};

/// Of classes of attributes.
pub const VOLUME_ATTRIBUTES_CLASS: Rules = Rules {
    default: |_| {},
    validate: |object, faults| {
        if text(object, "driverName").is_empty() {
            faults.required("driverName", "");
        }
        if entries(object, "parameters").next().is_none() {
            faults.required("parameters", "must contain at least one key/value pair");
        }
    },
    validate_update: |new, old, faults| {
        for key in ["driverName", "parameters"] {
            if at(new, key) != at(old, key) {
                faults.invalid(key, at(new, key).clone(), "field is immutable");
            }
        }
    },
};

/// Of drivers' reports of what there is to give.
pub const STORAGE_CAPACITY: Rules = Rules {
    default: |_| {},
    validate: |object, faults| {
        let class = text(object, "storageClassName");
        told(names::dns1123_subdomain(class), "storageClassName", class, faults);
        for key in ["capacity", "maximumVolumeSize"] {
            if quantity(at(object, key)).sign() < 0 {
                faults.invalid(key, at(object, key).clone(), super::metadata::NOT_NEGATIVE);
            }
        }
        selecting::label_selector(at(object, "nodeTopology"), "nodeTopology", faults);
    },
    validate_update: |new, old, faults| {
        for key in ["nodeTopology", "storageClassName"] {
            if at(new, key) != at(old, key) {
                faults.invalid(key, at(new, key).clone(), "field is immutable");
            }
        }
    },
};

fn one_of(object: &Value, key: &str, known: &[&str], faults: &mut Faults) {
    if !known.contains(&text(object, key)) {
        faults.not_supported(key, text(object, key), known);
    }
}

fn access_modes(spec: &Value, field: &str, faults: &mut Faults) {
    let modes = items(spec, "accessModes");
    let field = format!("{field}.accessModes");
    if modes.is_empty() {
        faults.required(&field, "at least 1 access mode is required");
    }
    for mode in modes.iter().filter_map(Value::as_str).filter(|mode| !MODES.contains(mode)) {
        faults.not_supported(&field, mode, &MODES);
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        faults.forbidden(field, "may not use ReadWriteOncePod with other access modes");
    }
}

fn sources(spec: &Value) -> Vec<(&String, &Value)> {
    let all = spec.as_object().into_iter().flatten();
    all.filter(|(key, _)| !NOT_SOURCES.contains(&key.as_str())).collect()
}

/// Source: `ValidatePersistentVolumeSpec`.
fn volume(object: &Value, faults: &mut Faults) {
    let spec = at(object, "spec");
    access_modes(spec, "spec", faults);
    let capacity = at(spec, "capacity");
    if capacity.as_object().is_none_or(|map| map.is_empty()) {
        faults.required("spec.capacity", "");
    } else if !has(capacity, "storage") || capacity.as_object().is_some_and(|map| map.len() > 1) {
        faults.not_supported("spec.capacity", capacity.clone(), &["storage"]);
    } else if quantity(at(capacity, "storage")).sign() <= 0 {
        faults.invalid(
            "spec.capacity[storage]",
            at(capacity, "storage").clone(),
            "must be greater than zero",
        );
    }
    let policy = text(spec, "persistentVolumeReclaimPolicy");
    if !matches!(policy, "Delete" | "Recycle" | "Retain") {
        faults.not_supported("spec.persistentVolumeReclaimPolicy", policy, &["Delete", "Recycle", "Retain"]);
    }
    let sources = sources(spec);
    if sources.is_empty() {
        faults.required("spec", "must specify a volume type");
    }
    for (index, (key, source)) in sources.iter().enumerate() {
        let field = format!("spec.{key}");
        if index > 0 {
            faults.forbidden(field, "may not specify more than 1 volume type");
            continue;
        }
        pod::needed_of_source(key, source, &field, faults);
        if *key == "hostPath" {
            pod::host_path(source, &field, faults);
        }
        if *key == "local" && !has(at(spec, "nodeAffinity"), "required") {
            faults.required("spec.nodeAffinity", "Local volume requires node affinity");
        }
        if *key == "csi" && text(source, "volumeHandle").is_empty() {
            faults.required(format!("{field}.volumeHandle"), "");
        }
    }
    let class = text(spec, "storageClassName");
    if !class.is_empty() {
        told(names::dns1123_subdomain(class), "spec.storageClassName", class, faults);
    }
    if has(at(spec, "nodeAffinity"), "required") {
        selecting::node_selector(
            below(spec, &["nodeAffinity", "required"]),
            "spec.nodeAffinity.required",
            faults,
        );
    }
}

fn volume_source_stays(new: &Value, old: &Value, faults: &mut Faults) {
    let (new, old) = (at(new, "spec"), at(old, "spec"));
    if sources(new) != sources(old) {
        let text = "spec.persistentvolumesource is immutable after creation";
        faults.forbidden("spec.persistentvolumesource", text);
    }
}

/// Source: `ValidatePersistentVolumeClaimSpec`.
fn claim(spec: &Value, field: &str, faults: &mut Faults) {
    access_modes(spec, field, faults);
    if has(spec, "selector") {
        selecting::label_selector(at(spec, "selector"), &format!("{field}.selector"), faults);
    }
    let asked = below(spec, &["resources", "requests", "storage"]);
    let storage = format!("{field}.resources[storage]");
    if asked.is_null() {
        faults.required(storage, "");
    } else if quantity(asked).sign() <= 0 {
        faults.invalid(storage, asked.clone(), "must be greater than zero");
    }
    let class = text(spec, "storageClassName");
    if !class.is_empty() {
        told(names::dns1123_subdomain(class), &format!("{field}.storageClassName"), class, faults);
    }
    let mode = text(spec, "volumeMode");
    if !matches!(mode, "" | "Block" | "Filesystem") {
        faults.not_supported(format!("{field}.volumeMode"), mode, &["Block", "Filesystem"]);
    }
}

/// Source: `ValidatePersistentVolumeClaimUpdate`: a bound claim may grow, one that is not may be told its volume.
fn claim_update(new: &Value, old: &Value, faults: &mut Faults) {
    claim(at(new, "spec"), "spec", faults);
    let (new, old) = (at(new, "spec"), at(old, "spec"));
    let (asked, before) = (
        below(new, &["resources", "requests", "storage"]),
        below(old, &["resources", "requests", "storage"]),
    );
    let mut fixed = new.clone();
    if text(old, "volumeName").is_empty() {
        remove(&mut fixed, "volumeName");
    } else {
        if !before.is_null() {
            with(&mut fixed, "resources", |resources| {
                with(resources, "requests", |requests| set(requests, "storage", before.clone()));
            });
        }
        as_in(&mut fixed, old, "volumeAttributesClassName");
    }
    // A class may be set where there was none yet.
    if !has(old, "storageClassName") {
        remove(&mut fixed, "storageClassName");
    }
    if fixed != *old {
        let text = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        faults.forbidden("spec", text);
    } else if quantity(asked) < quantity(before) {
        let text = "field can not be less than status.capacity";
        faults.forbidden("spec.resources.requests.storage", text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(faults: &Faults) -> Vec<String> {
        faults.0.iter().map(ToString::to_string).collect()
    }

    /// Source: TestValidatePersistentVolumes, TestValidatePersistentVolumeSourceUpdate.
    #[test]
    fn volumes() {
        let mut object = json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}});
        (PERSISTENT_VOLUME.default)(&mut object);
        assert_eq!(
            (&object["spec"]["persistentVolumeReclaimPolicy"], &object["spec"]["hostPath"]["type"]),
            (&json!("Retain"), &json!(""))
        );
        let mut faults = Faults::default();
        (PERSISTENT_VOLUME.validate)(&object, &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        let mut other = object.clone();
        other["spec"]["hostPath"]["path"] = json!("/y");
        (PERSISTENT_VOLUME.validate_update)(&other, &object, &mut faults);
        (PERSISTENT_VOLUME.validate)(
            &json!({"spec": {"persistentVolumeReclaimPolicy": "Retain"}}),
            &mut faults,
        );
        assert_eq!(
            texts(&faults),
            [
                "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation",
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.capacity: Required value",
                "spec: Required value: must specify a volume type",
            ]
        );
    }

    /// Source: TestValidatePersistentVolumeClaimUpdate.
    #[test]
    fn claims() {
        let claim = |storage: &str, volume: &str| {
            let mut object = json!({"spec": {"accessModes": ["ReadWriteOnce"], "volumeName": volume, "resources": {"requests": {"storage": storage}}}});
            if volume.is_empty() {
                remove(&mut object["spec"], "volumeName");
            }
            (PERSISTENT_VOLUME_CLAIM.default)(&mut object);
            object
        };
        let update = |new: &Value, old: &Value| {
            let mut faults = Faults::default();
            claim_update(new, old, &mut faults);
            texts(&faults)
        };
        assert!(update(&claim("1Gi", "v"), &claim("1Gi", "")).is_empty());
        assert!(update(&claim("2Gi", "v"), &claim("1Gi", "v")).is_empty());
        assert_eq!(update(&claim("2Gi", ""), &claim("1Gi", "")).len(), 1);
        assert_eq!(
            update(&claim("1Gi", "v"), &claim("2Gi", "v")),
            ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"]
        );
    }
}
