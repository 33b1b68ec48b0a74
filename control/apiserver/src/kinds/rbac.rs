//! Roles and their bindings.

use serde_json::Value;

use super::cells::{aged, named};
use super::kind::{Kind, column, wide};
use crate::object::{list, text};

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) static ROLE: Kind = Kind::of(GROUP, "v1", "Role", "roles", "role")
    .table(&[column("Name", "string"), column("Created At", "date")], |one, _| {
        vec![named(one), crate::object::at(one, "metadata.creationTimestamp").clone()]
    });

pub(super) static CLUSTER_ROLE: Kind = Kind::of(GROUP, "v1", "ClusterRole", "clusterroles", "clusterrole")
    .cluster()
    .table(&[column("Name", "string"), column("Created At", "date")], |one, _| {
        vec![named(one), crate::object::at(one, "metadata.creationTimestamp").clone()]
    });

const BINDING_COLUMNS: &[super::Column] = &[
    column("Name", "string"),
    column("Role", "string"),
    column("Age", "string"),
    wide("Users", "string"),
    wide("Groups", "string"),
    wide("ServiceAccounts", "string"),
];

pub(super) static ROLE_BINDING: Kind =
    Kind::of(GROUP, "v1", "RoleBinding", "rolebindings", "rolebinding").table(BINDING_COLUMNS, binding);

pub(super) static CLUSTER_ROLE_BINDING: Kind =
    Kind::of(GROUP, "v1", "ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding")
        .cluster()
        .table(BINDING_COLUMNS, binding);

fn binding(one: &Value, now: jiff::Timestamp) -> Vec<Value> {
    let of = |kind: &str| -> Value {
        let subjects = list(one, "subjects").iter().filter(|subject| text(subject, "kind") == kind);
        let name = |subject: &Value| match kind {
            "ServiceAccount" => format!("{}/{}", text(subject, "namespace"), text(subject, "name")),
            _ => text(subject, "name").to_owned(),
        };
        subjects.map(name).collect::<Vec<_>>().join(", ").into()
    };
    let role = format!("{}/{}", text(one, "roleRef.kind"), text(one, "roleRef.name"));
    vec![named(one), role.into(), aged(one, now), of("User"), of("Group"), of("ServiceAccount")]
}
