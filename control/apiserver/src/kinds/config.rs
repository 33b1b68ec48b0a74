//! Namespaces and what configures those who run in them: config maps, secrets, service accounts, limits, quotas.

use serde_json::{Map, Value};

use super::cells::{aged, count, named};
use super::kind::{Field, Kind, Subresource, column};
use crate::object::{at, list, text};

pub(super) static NAMESPACE: Kind = Kind::of("", "v1", "Namespace", "namespaces", "namespace")
    .short(&["ns"])
    .cluster()
    .subresources(&[Subresource::Finalize, Subresource::Status])
    .status()
    .fields(&[Field { path: "status.phase", of: |one| text(one, "status.phase").into() }])
    .verbs(&["create", "delete", "get", "list", "patch", "update", "watch"])
    .table(&[column("Name", "string"), column("Status", "string"), column("Age", "string")], |one, now| {
        vec![named(one), text(one, "status.phase").into(), aged(one, now)]
    });

pub(super) static CONFIG_MAP: Kind = Kind::of("", "v1", "ConfigMap", "configmaps", "configmap")
    .short(&["cm"])
    .table(&[column("Name", "string"), column("Data", "string"), column("Age", "string")], |one, now| {
        let keys = ["data", "binaryData"].map(|key| at(one, key).as_object().map_or(0, Map::len));
        vec![named(one), (keys[0] + keys[1]).into(), aged(one, now)]
    });

pub(super) static SECRET: Kind = Kind::of("", "v1", "Secret", "secrets", "secret")
    .fields(&[Field { path: "type", of: |one| text(one, "type").into() }])
    .table(
        &[
            column("Name", "string"),
            column("Type", "string"),
            column("Data", "string"),
            column("Age", "string"),
        ],
        |one, now| vec![named(one), text(one, "type").into(), count(at(one, "data")), aged(one, now)],
    );

pub(super) static SERVICE_ACCOUNT: Kind =
    Kind::of("", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount")
        .short(&["sa"])
        .subresources(&[Subresource::Token])
        .table(
            &[column("Name", "string"), column("Secrets", "string"), column("Age", "string")],
            |one, now| vec![named(one), list(one, "secrets").len().into(), aged(one, now)],
        );

pub(super) static LIMIT_RANGE: Kind = Kind::of("", "v1", "LimitRange", "limitranges", "limitrange")
    .short(&["limits"])
    .table(&[column("Name", "string"), column("Created At", "date")], |one, _| {
        vec![named(one), at(one, "metadata.creationTimestamp").clone()]
    });

pub(super) static RESOURCE_QUOTA: Kind =
    Kind::of("", "v1", "ResourceQuota", "resourcequotas", "resourcequota")
        .short(&["quota"])
        .subresources(&[Subresource::Status])
        .status()
        .table(
            &[
                column("Name", "string"),
                column("Request", "string"),
                column("Limit", "string"),
                column("Age", "string"),
            ],
            |one, now| {
                let [requests, limits] = quota(one);
                vec![named(one), requests.into(), limits.into(), aged(one, now)]
            },
        );

/// `cpu: 1/2` for each resource, those that limit apart.
fn quota(one: &Value) -> [String; 2] {
    let mut told = [Vec::new(), Vec::new()];
    for (resource, hard) in at(one, "status.hard").as_object().into_iter().flatten() {
        let used = at(one, "status.used").get(resource).and_then(Value::as_str).unwrap_or("0");
        let line = format!("{resource}: {used}/{}", hard.as_str().unwrap_or_default());
        told[usize::from(resource.starts_with("limits"))].push(line);
    }
    told.map(|lines| lines.join(", "))
}
