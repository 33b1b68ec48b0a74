//! What a kind's objects get when they leave something out, and what they may be: defaults and validation.
//!
//! Pure functions over JSON values, one small file for a kind or a family of kinds. Source: upstream's `defaults.go`
//! and `validation.go` of each group, whose paths and words are kept, since clients and people read them.

mod batch;
mod cluster;
mod config;
mod endpoints;
mod event;
mod metadata;
mod network;
mod pod;
mod rbac;
mod reading;
mod scaling;
mod selecting;
mod service;
mod storage;
mod workload;

pub use batch::prepare_job;
pub use metadata::{metadata, metadata_update, name_rule};
pub use pod::ephemeral_containers_update;

use crate::fault::Faults;
use serde_json::Value;

/// The rules of a kind.
#[derive(Debug)]
pub struct Rules {
    /// Fills in what is left out.
    pub default: fn(&mut Value),
    /// What is wrong with an object.
    pub validate: fn(&Value, &mut Faults),
    /// What may not change: the object as it shall be, then as it was.
    pub validate_update: fn(&Value, &Value, &mut Faults),
}

/// A kind without rules of its own.
const NONE: Rules = Rules { default: |_| {}, validate: |_, _| {}, validate_update: |_, _, _| {} };

/// The rules of a kind; the core group's name is empty.
pub fn rules(group: &str, kind: &str) -> &'static Rules {
    match (group, kind) {
        ("", "Pod") => &pod::POD,
        ("", "PodTemplate") => &pod::POD_TEMPLATE,
        ("", "Service") => &service::SERVICE,
        ("", "ReplicationController") => &workload::REPLICATION_CONTROLLER,
        ("", "Namespace") => &config::NAMESPACE,
        ("", "ConfigMap") => &config::CONFIG_MAP,
        ("", "Secret") => &config::SECRET,
        ("apps", "Deployment") => &workload::DEPLOYMENT,
        ("apps", "ReplicaSet") => &workload::REPLICA_SET,
        ("apps", "DaemonSet") => &workload::DAEMON_SET,
        ("apps", "StatefulSet") => &workload::STATEFUL_SET,
        ("apps", "ControllerRevision") => &workload::CONTROLLER_REVISION,
        ("", "Node") => &cluster::NODE,
        ("", "LimitRange") => &cluster::LIMIT_RANGE,
        ("", "ResourceQuota") => &cluster::RESOURCE_QUOTA,
        ("", "Event") => &event::CORE,
        ("events.k8s.io", "Event") => &event::EVENT,
        ("", "Endpoints") => &endpoints::ENDPOINTS,
        ("", "PersistentVolume") => &storage::PERSISTENT_VOLUME,
        ("", "PersistentVolumeClaim") => &storage::PERSISTENT_VOLUME_CLAIM,
        ("batch", "Job") => &batch::JOB,
        ("batch", "CronJob") => &batch::CRON_JOB,
        ("discovery.k8s.io", "EndpointSlice") => &endpoints::ENDPOINT_SLICE,
        ("networking.k8s.io", kind) => networking(kind),
        ("autoscaling", "HorizontalPodAutoscaler") => &scaling::AUTOSCALER,
        ("autoscaling", "Scale") => &scaling::SCALE,
        ("policy", "PodDisruptionBudget") => &scaling::DISRUPTION_BUDGET,
        ("coordination.k8s.io", "Lease") => &cluster::LEASE,
        ("rbac.authorization.k8s.io", "Role") => &rbac::ROLE,
        ("rbac.authorization.k8s.io", "ClusterRole") => &rbac::CLUSTER_ROLE,
        ("rbac.authorization.k8s.io", "RoleBinding") => &rbac::ROLE_BINDING,
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => &rbac::CLUSTER_ROLE_BINDING,
        ("storage.k8s.io", kind) => storage(kind),
        ("certificates.k8s.io", "CertificateSigningRequest") => &cluster::CERTIFICATE_REQUEST,
        ("scheduling.k8s.io", "PriorityClass") => &cluster::PRIORITY_CLASS,
        ("node.k8s.io", "RuntimeClass") => &cluster::RUNTIME_CLASS,
        _ => &NONE,
    }
}

fn networking(kind: &str) -> &'static Rules {
    match kind {
        "Ingress" => &network::INGRESS,
        "IngressClass" => &network::INGRESS_CLASS,
        "NetworkPolicy" => &network::NETWORK_POLICY,
        "ServiceCIDR" => &network::SERVICE_CIDR,
        _ => &NONE,
    }
}

fn storage(kind: &str) -> &'static Rules {
    match kind {
        "StorageClass" => &storage::STORAGE_CLASS,
        "CSIDriver" => &storage::CSI_DRIVER,
        "VolumeAttachment" => &storage::VOLUME_ATTACHMENT,
        "VolumeAttributesClass" => &storage::VOLUME_ATTRIBUTES_CLASS,
        "CSIStorageCapacity" => &storage::STORAGE_CAPACITY,
        _ => &NONE,
    }
}

#[cfg(test)]
mod tests;
