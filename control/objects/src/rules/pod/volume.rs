//! The volumes of a pod.

use super::super::reading::{at, has, int, items, text};
use super::container::{choice, own_name};
use super::resources::quantity;
use crate::fault::Faults;
use serde_json::Value;
use std::collections::HashSet;

/// What a source cannot do without. Those whose storage went out of Kubernetes keep their fields for old objects.
const NEEDED: &[(&str, &[&str])] = &[
    ("hostPath", &["path"]),
    ("nfs", &["server", "path"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("secret", &["secretName"]),
    ("configMap", &["name"]),
    ("csi", &["driver"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("gitRepo", &["repository"]),
    ("flexVolume", &["driver"]),
    ("awsElasticBlockStore", &["volumeID"]),
    ("gcePersistentDisk", &["pdName"]),
    ("azureFile", &["secretName", "shareName"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("cinder", &["volumeID"]),
    ("glusterfs", &["endpoints", "path"]),
    ("rbd", &["image"]),
    ("image", &["reference"]),
];

/// The volumes; answers with their names.
pub fn volumes<'a>(spec: &'a Value, field: &str, faults: &mut Faults) -> HashSet<&'a str> {
    let mut names = HashSet::new();
    for (index, one) in items(spec, "volumes").iter().enumerate() {
        let field = format!("{field}.volumes[{index}]");
        own_name(one, &field, &mut names, faults);
        source(one, &field, faults);
    }
    names
}

/// The one source of a volume.
fn source(volume: &Value, field: &str, faults: &mut Faults) {
    let sources = volume.as_object().into_iter().flat_map(|volume| volume.keys());
    let sources: Vec<&String> = sources.filter(|key| *key != "name").collect();
    if sources.is_empty() {
        faults.required(field, "must specify a volume type");
    }
    for (index, key) in sources.iter().enumerate() {
        let (source, field) = (at(volume, key), format!("{field}.{key}"));
        if index > 0 {
            faults.forbidden(field, "may not specify more than 1 volume type");
            continue;
        }
        needed(key, source, &field, faults);
        match key.as_str() {
            "emptyDir" if quantity(at(source, "sizeLimit")).sign() < 0 => {
                let text = "SizeLimit field must be a valid resource quantity";
                faults.forbidden(format!("{field}.sizeLimit"), text);
            }
            "hostPath" => host_path(source, &field, faults),
            "secret" | "configMap" => {
                mode(source, &field, "defaultMode", faults);
                keys(source, &field, faults);
            }
            "downwardAPI" => {
                mode(source, &field, "defaultMode", faults);
                downward(source, &field, faults);
            }
            "projected" => projected(source, &field, faults),
            "ephemeral" if !has(source, "volumeClaimTemplate") => {
                faults.required(format!("{field}.volumeClaimTemplate"), "");
            }
            _ => {}
        }
    }
}

/// Fields that a source of this name needs.
pub fn needed(key: &str, source: &Value, field: &str, faults: &mut Faults) {
    let fields = NEEDED.iter().find(|(name, _)| *name == key).map_or(&[][..], |(_, fields)| fields);
    for name in fields {
        if text(source, name).is_empty() {
            faults.required(format!("{field}.{name}"), "");
        }
    }
}

/// A path of the host.
pub fn host_path(source: &Value, field: &str, faults: &mut Faults) {
    let path = text(source, "path");
    if path.split('/').any(|part| part == "..") {
        faults.invalid(format!("{field}.path"), path, "must not contain '..'");
    }
    let kinds =
        ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    choice(source, field, "type", &kinds, false, faults);
}

fn mode(source: &Value, field: &str, key: &str, faults: &mut Faults) {
    if int(source, key).is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        let text = "must be a number between 0 and 0777 (octal), both inclusive";
        faults.invalid(format!("{field}.{key}"), at(source, key).clone(), text);
    }
}

fn keys(source: &Value, field: &str, faults: &mut Faults) {
    for (index, item) in items(source, "items").iter().enumerate() {
        let field = format!("{field}.items[{index}]");
        if text(item, "key").is_empty() {
            faults.required(format!("{field}.key"), "");
        }
        path(item, &field, faults);
        mode(item, &field, "mode", faults);
    }
}

/// A path below the volume.
fn path(item: &Value, field: &str, faults: &mut Faults) {
    let path = text(item, "path");
    let field = format!("{field}.path");
    if path.is_empty() {
        faults.required(field, "");
    } else if path.starts_with('/') {
        faults.invalid(field, path, "must be a relative path");
    } else if path.split('/').any(|part| part == "..") {
        faults.invalid(field, path, "must not contain '..'");
    } else if path.starts_with("..") {
        faults.invalid(field, path, "must not start with '..'");
    }
}

fn downward(source: &Value, field: &str, faults: &mut Faults) {
    for (index, item) in items(source, "items").iter().enumerate() {
        let field = format!("{field}.items[{index}]");
        path(item, &field, faults);
        mode(item, &field, "mode", faults);
        match (has(item, "fieldRef"), has(item, "resourceFieldRef")) {
            (true, true) => faults.invalid(
                field,
                "resource",
                "fieldRef and resourceFieldRef can not be specified simultaneously",
            ),
            (false, false) => faults.required(field, "one of fieldRef and resourceFieldRef is required"),
            _ => {}
        }
    }
}

fn projected(source: &Value, field: &str, faults: &mut Faults) {
    mode(source, field, "defaultMode", faults);
    let kinds =
        ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate"];
    for (index, one) in items(source, "sources").iter().enumerate() {
        let field = format!("{field}.sources[{index}]");
        let mut told = 0;
        for key in kinds.iter().filter(|key| has(one, key)) {
            told += 1;
            let (inner, field) = (at(one, key), format!("{field}.{key}"));
            if told > 1 {
                faults.forbidden(field, "may not specify more than 1 volume type");
                continue;
            }
            match *key {
                "secret" | "configMap" => {
                    if text(inner, "name").is_empty() {
                        faults.required(format!("{field}.name"), "");
                    }
                    keys(inner, &field, faults);
                }
                "downwardAPI" => downward(inner, &field, faults),
                "serviceAccountToken" => token(inner, &field, faults),
                _ => {}
            }
        }
        if told == 0 {
            faults.required(field, "must specify one of the source types");
        }
    }
}

fn token(token: &Value, field: &str, faults: &mut Faults) {
    let seconds = int(token, "expirationSeconds").unwrap_or(0);
    let field_of = format!("{field}.expirationSeconds");
    if seconds < 600 {
        faults.invalid(field_of, seconds, "may not specify a duration less than 10 minutes");
    } else if seconds > 1 << 32 {
        faults.invalid(field_of, seconds, "may not specify a duration larger than 2^32 seconds");
    }
    path(token, field, faults);
}
