//! Volumes, claims, their classes and drivers.

use serde_json::Value;

use super::cells::{NONE, aged, count, joined, named, or_none};
use super::kind::{Kind, Subresource, column, wide};
use crate::object::{at, list, text};

const GROUP: &str = "storage.k8s.io";

/// `RWO,RWX`.
fn modes(values: &[Value]) -> Value {
    let short = |mode: &str| match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        _ => "",
    };
    values.iter().filter_map(Value::as_str).map(short).collect::<Vec<_>>().join(",").into()
}

fn phase(one: &Value) -> Value {
    match at(one, "metadata.deletionTimestamp").is_null() {
        true => text(one, "status.phase").into(),
        false => "Terminating".into(),
    }
}

fn volume_mode(one: &Value) -> Value {
    match text(one, "spec.volumeMode") {
        "" => "<unset>".into(),
        mode => mode.into(),
    }
}

fn attributes_class(one: &Value) -> Value {
    match text(one, "spec.volumeAttributesClassName") {
        "" => "<unset>".into(),
        class => class.into(),
    }
}

pub(super) static VOLUME: Kind =
    Kind::of("", "v1", "PersistentVolume", "persistentvolumes", "persistentvolume")
        .short(&["pv"])
        .cluster()
        .subresources(&[Subresource::Status])
        .status()
        .table(
            &[
                column("Name", "string"),
                column("Capacity", "string"),
                column("Access Modes", "string"),
                column("Reclaim Policy", "string"),
                column("Status", "string"),
                column("Claim", "string"),
                column("StorageClass", "string"),
                column("VolumeAttributesClass", "string"),
                column("Reason", "string"),
                column("Age", "string"),
                wide("VolumeMode", "string"),
            ],
            |one, now| {
                let claim = match text(one, "spec.claimRef.name") {
                    "" => String::new(),
                    name => format!("{}/{name}", text(one, "spec.claimRef.namespace")),
                };
                vec![
                    named(one),
                    text(one, "spec.capacity.storage").into(),
                    modes(list(one, "spec.accessModes")),
                    text(one, "spec.persistentVolumeReclaimPolicy").into(),
                    phase(one),
                    claim.into(),
                    text(one, "spec.storageClassName").into(),
                    attributes_class(one),
                    text(one, "status.reason").into(),
                    aged(one, now),
                    volume_mode(one),
                ]
            },
        );

pub(super) static CLAIM: Kind =
    Kind::of("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "persistentvolumeclaim")
        .short(&["pvc"])
        .subresources(&[Subresource::Status])
        .status()
        .table(
            &[
                column("Name", "string"),
                column("Status", "string"),
                column("Volume", "string"),
                column("Capacity", "string"),
                column("Access Modes", "string"),
                column("StorageClass", "string"),
                column("VolumeAttributesClass", "string"),
                column("Age", "string"),
                wide("VolumeMode", "string"),
            ],
            |one, now| {
                let bound = !text(one, "spec.volumeName").is_empty();
                vec![
                    named(one),
                    phase(one),
                    text(one, "spec.volumeName").into(),
                    if bound { text(one, "status.capacity.storage").into() } else { "".into() },
                    if bound { modes(list(one, "status.accessModes")) } else { "".into() },
                    text(one, "spec.storageClassName").into(),
                    attributes_class(one),
                    aged(one, now),
                    volume_mode(one),
                ]
            },
        );

pub(super) static CLASS: Kind =
    Kind::of(GROUP, "v1", "StorageClass", "storageclasses", "storageclass").short(&["sc"]).cluster().table(
        &[
            column("Name", "string"),
            column("Provisioner", "string"),
            column("ReclaimPolicy", "string"),
            column("VolumeBindingMode", "string"),
            column("AllowVolumeExpansion", "string"),
            column("Age", "string"),
        ],
        |one, now| {
            let default = at(one, "metadata.annotations").get("storageclass.kubernetes.io/is-default-class");
            let name = match default.and_then(Value::as_str) {
                Some("true") => format!("{} (default)", text(one, "metadata.name")),
                _ => text(one, "metadata.name").to_owned(),
            };
            vec![
                name.into(),
                text(one, "provisioner").into(),
                text(one, "reclaimPolicy").into(),
                text(one, "volumeBindingMode").into(),
                (at(one, "allowVolumeExpansion") == true).into(),
                aged(one, now),
            ]
        },
    );

pub(super) static ATTACHMENT: Kind =
    Kind::of(GROUP, "v1", "VolumeAttachment", "volumeattachments", "volumeattachment")
        .conditional()
        .cluster()
        .subresources(&[Subresource::Status])
        .status()
        .table(
            &[
                column("Name", "string"),
                column("Attacher", "string"),
                column("PV", "string"),
                column("Node", "string"),
                column("Attached", "boolean"),
                column("Age", "string"),
            ],
            |one, now| {
                vec![
                    named(one),
                    text(one, "spec.attacher").into(),
                    text(one, "spec.source.persistentVolumeName").into(),
                    text(one, "spec.nodeName").into(),
                    (at(one, "status.attached") == true).into(),
                    aged(one, now),
                ]
            },
        );

pub(super) static CSI_DRIVER: Kind =
    Kind::of(GROUP, "v1", "CSIDriver", "csidrivers", "csidriver").conditional().cluster().table(
        &[
            column("Name", "string"),
            column("AttachRequired", "boolean"),
            column("PodInfoOnMount", "boolean"),
            column("StorageCapacity", "boolean"),
            column("TokenRequests", "string"),
            column("RequiresRepublish", "boolean"),
            column("Modes", "string"),
            column("Age", "string"),
        ],
        |one, now| {
            let flag = |path: &str| Value::from(at(one, path) == true);
            let audiences: Vec<Value> =
                list(one, "spec.tokenRequests").iter().map(|token| at(token, "audience").clone()).collect();
            let tokens = if audiences.is_empty() { "<unset>".to_owned() } else { joined(&audiences, ",") };
            let modes = list(one, "spec.volumeLifecycleModes");
            vec![
                named(one),
                (at(one, "spec.attachRequired") != false).into(),
                flag("spec.podInfoOnMount"),
                flag("spec.storageCapacity"),
                tokens.into(),
                flag("spec.requiresRepublish"),
                if modes.is_empty() { NONE.into() } else { joined(modes, ",").into() },
                aged(one, now),
            ]
        },
    );

pub(super) static CSI_NODE: Kind =
    Kind::of(GROUP, "v1", "CSINode", "csinodes", "csinode").conditional().cluster().table(
        &[column("Name", "string"), column("Drivers", "integer"), column("Age", "string")],
        |one, now| vec![named(one), count(at(one, "spec.drivers")), aged(one, now)],
    );

pub(super) static CSI_CAPACITY: Kind =
    Kind::of(GROUP, "v1", "CSIStorageCapacity", "csistoragecapacities", "csistoragecapacity")
        .conditional()
        .table(
            &[column("Name", "string"), column("StorageClassName", "string"), column("Capacity", "string")],
            |one, _| vec![named(one), text(one, "storageClassName").into(), or_none(text(one, "capacity"))],
        );

pub(super) static ATTRIBUTES_CLASS: Kind =
    Kind::of(GROUP, "v1", "VolumeAttributesClass", "volumeattributesclasses", "volumeattributesclass")
        .conditional()
        .short(&["vac"])
        .cluster()
        .table(
            &[column("Name", "string"), column("DriverName", "string"), column("Age", "string")],
            |one, now| vec![named(one), text(one, "driverName").into(), aged(one, now)],
        );
