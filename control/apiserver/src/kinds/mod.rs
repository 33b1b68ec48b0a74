//! The kinds that are served, one small file each: adding one is a file here and a line in [`KINDS`].
//!
//! Columns are those of `kubernetes/pkg/printers/internalversion/printers.go`, selectable fields and short names those
//! of `kubernetes/pkg/registry/*`.

mod apps;
mod batch;
mod cells;
mod config;
mod coordination;
mod events;
mod kind;
mod networking;
mod nodes;
mod pods;
mod policy;
mod rbac;
mod reviews;
mod scheduling;
mod services;
mod storage;

pub use kind::{ALL_VERBS, Column, Field, Kind, Strategy, Subresource};

/// Of all kinds, in the order in which discovery lists them.
pub static KINDS: &[&Kind] = &[
    &reviews::BINDING,
    &reviews::COMPONENT_STATUS,
    &config::CONFIG_MAP,
    &services::ENDPOINTS,
    &events::CORE,
    &config::LIMIT_RANGE,
    &config::NAMESPACE,
    &nodes::NODE,
    &storage::CLAIM,
    &storage::VOLUME,
    &pods::POD,
    &pods::TEMPLATE,
    &apps::REPLICATION_CONTROLLER,
    &config::RESOURCE_QUOTA,
    &config::SECRET,
    &config::SERVICE_ACCOUNT,
    &services::SERVICE,
    &apps::CONTROLLER_REVISION,
    &apps::DAEMON_SET,
    &apps::DEPLOYMENT,
    &apps::REPLICA_SET,
    &apps::STATEFUL_SET,
    &reviews::SELF_SUBJECT_REVIEW,
    &reviews::TOKEN_REVIEW,
    &reviews::LOCAL_SUBJECT_ACCESS_REVIEW,
    &reviews::SELF_SUBJECT_ACCESS_REVIEW,
    &reviews::SELF_SUBJECT_RULES_REVIEW,
    &reviews::SUBJECT_ACCESS_REVIEW,
    &policy::AUTOSCALER,
    &policy::AUTOSCALER_V1,
    &batch::CRON_JOB,
    &batch::JOB,
    &policy::SIGNING_REQUEST,
    &coordination::LEASE,
    &services::ENDPOINT_SLICE,
    &events::EVENT,
    &networking::INGRESS,
    &networking::INGRESS_CLASS,
    &networking::IP_ADDRESS,
    &networking::NETWORK_POLICY,
    &networking::SERVICE_CIDR,
    &scheduling::RUNTIME_CLASS,
    &policy::DISRUPTION_BUDGET,
    &rbac::CLUSTER_ROLE,
    &rbac::CLUSTER_ROLE_BINDING,
    &rbac::ROLE,
    &rbac::ROLE_BINDING,
    &scheduling::PRIORITY_CLASS,
    &storage::CSI_DRIVER,
    &storage::CSI_NODE,
    &storage::CSI_CAPACITY,
    &storage::CLASS,
    &storage::ATTACHMENT,
    &storage::ATTRIBUTES_CLASS,
];

/// A LabelSelector as kubectl prints it.
pub fn selector_text(selector: &serde_json::Value) -> String {
    cells::selector(selector)
}

/// The kind of a resource.
pub fn of_resource(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS.iter().copied().find(|k| k.group == group && k.version == version && k.plural == plural)
}

/// The kind that is stored for a resource of a group, whatever the version.
pub fn stored(group: &str, plural: &str) -> Option<&'static Kind> {
    KINDS.iter().copied().find(|k| k.group == group && k.plural == plural && !k.stored.is_empty())
}

/// Kinds whose objects are stored, one for each place in etcd.
pub fn places() -> impl Iterator<Item = &'static Kind> {
    let first = |kind: &&Kind| {
        KINDS.iter().find(|one| one.stored == kind.stored).is_some_and(|one| std::ptr::eq(*one, *kind))
    };
    KINDS.iter().copied().filter(|kind| !kind.stored.is_empty()).filter(first)
}

/// Groups with their versions, the preferred one first, in discovery's order.
pub fn groups() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for kind in KINDS {
        match groups.iter_mut().find(|(group, _)| *group == kind.group) {
            Some((_, versions)) if versions.contains(&kind.version) => {}
            Some((_, versions)) => versions.push(kind.version),
            None => groups.push((kind.group, vec![kind.version])),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_cell_for_each_column_of_an_empty_object() {
        for kind in KINDS {
            let row = (kind.row)(&serde_json::json!({}), jiff::Timestamp::UNIX_EPOCH);
            assert_eq!(row.len(), kind.columns.len(), "{}", kind.kind);
        }
    }

    #[test]
    fn names_are_told_apart() {
        for kind in KINDS {
            let same = |one: &&&Kind| {
                one.group == kind.group && one.version == kind.version && one.plural == kind.plural
            };
            assert_eq!(KINDS.iter().filter(same).count(), 1, "{}", kind.plural);
        }
    }
}
