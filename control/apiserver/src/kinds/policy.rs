//! Autoscalers, disruption budgets, certificate signing requests.

use serde_json::Value;

use super::cells::{NONE, aged, condition, named, or_none};
use super::kind::{Field, Kind, Subresource, column};
use crate::object::{at, human, list, number, text};

const AUTOSCALER_COLUMNS: &[super::Column] = &[
    column("Name", "string"),
    column("Reference", "string"),
    column("Targets", "string"),
    column("MinPods", "string"),
    column("MaxPods", "string"),
    column("Replicas", "string"),
    column("Age", "string"),
];

pub(super) static AUTOSCALER: Kind = Kind::of(
    "autoscaling",
    "v2",
    "HorizontalPodAutoscaler",
    "horizontalpodautoscalers",
    "horizontalpodautoscaler",
)
.short(&["hpa"])
.categories(&["all"])
.subresources(&[Subresource::Status])
.status()
.table(AUTOSCALER_COLUMNS, autoscaler);

/// The same objects in an earlier version: see `convert`.
pub(super) static AUTOSCALER_V1: Kind = Kind { version: "v1", ..AUTOSCALER };

fn autoscaler(one: &Value, now: jiff::Timestamp) -> Vec<Value> {
    let reference =
        format!("{}/{}", text(one, "spec.scaleTargetRef.kind"), text(one, "spec.scaleTargetRef.name"));
    let minimum = at(one, "spec.minReplicas").as_i64();
    vec![
        named(one),
        reference.into(),
        targets(one).into(),
        minimum.map_or_else(|| "<unset>".into(), |number| number.to_string().into()),
        number(one, "spec.maxReplicas").into(),
        number(one, "status.currentReplicas").into(),
        aged(one, now),
    ]
}

fn targets(one: &Value) -> String {
    let metrics = list(one, "spec.metrics");
    let told = metrics.iter().enumerate().map(|(at_index, metric)| {
        let current = list(one, "status.currentMetrics").get(at_index);
        let kind = text(metric, "type");
        let key = match kind {
            "Resource" => "resource",
            "ContainerResource" => "containerResource",
            "Pods" => "pods",
            "Object" => "object",
            _ => "external",
        };
        let (target, now) = (at(metric, key), current.map(|c| at(at(c, key), "current")));
        let goal = at(target, "target");
        if let Some(percent) = at(goal, "averageUtilization").as_i64() {
            let now = now.and_then(|now| at(now, "averageUtilization").as_i64());
            let now = now.map_or("<unknown>".to_owned(), |now| format!("{now}%"));
            return format!("{}: {now}/{percent}%", text(target, "name"));
        }
        let of = |value: Option<&Value>| {
            let value = value.map(|v| {
                if text(v, "averageValue").is_empty() { text(v, "value") } else { text(v, "averageValue") }
            });
            value.filter(|v| !v.is_empty()).unwrap_or("<unknown>").to_owned()
        };
        let average = if text(goal, "averageValue").is_empty() { "" } else { " (avg)" };
        format!("{}/{}{average}", of(now), of(Some(goal)))
    });
    let told: Vec<String> = told.collect();
    match told.len() {
        0 => NONE.into(),
        1 | 2 => told.join(", "),
        more => format!("{} + {} more...", told[..2].join(", "), more - 2),
    }
}

pub(super) static DISRUPTION_BUDGET: Kind =
    Kind::of("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "poddisruptionbudget")
        .conditional()
        .short(&["pdb"])
        .subresources(&[Subresource::Status])
        .status()
        .generation()
        .table(
            &[
                column("Name", "string"),
                column("Min Available", "string"),
                column("Max Unavailable", "string"),
                column("Allowed Disruptions", "integer"),
                column("Age", "string"),
            ],
            |one, now| {
                let bound = |path: &str| -> Value {
                    match at(one, path) {
                        Value::Null => "N/A".into(),
                        Value::String(text) => text.as_str().into(),
                        other => other.to_string().into(),
                    }
                };
                vec![
                    named(one),
                    bound("spec.minAvailable"),
                    bound("spec.maxUnavailable"),
                    number(one, "status.disruptionsAllowed").into(),
                    aged(one, now),
                ]
            },
        );

pub(super) static SIGNING_REQUEST: Kind = Kind::of(
    "certificates.k8s.io",
    "v1",
    "CertificateSigningRequest",
    "certificatesigningrequests",
    "certificatesigningrequest",
)
.short(&["csr"])
.cluster()
.subresources(&[Subresource::Approval, Subresource::Status])
.status()
.fields(&[Field { path: "spec.signerName", of: |one| text(one, "spec.signerName").into() }])
.table(
    &[
        column("Name", "string"),
        column("Age", "string"),
        column("SignerName", "string"),
        column("Requestor", "string"),
        column("RequestedDuration", "string"),
        column("Condition", "string"),
    ],
    |one, now| {
        let requested = at(one, "spec.expirationSeconds").as_i64();
        vec![
            named(one),
            aged(one, now),
            or_none(text(one, "spec.signerName")),
            text(one, "spec.username").into(),
            requested.map_or_else(|| NONE.into(), |seconds| human(seconds).into()),
            signing_state(one).into(),
        ]
    },
);

fn signing_state(one: &Value) -> String {
    let is = |kind: &str| condition(one, kind).is_some();
    let mut state = match (is("Denied"), is("Approved")) {
        (true, _) => "Denied",
        (_, true) => "Approved",
        _ => "Pending",
    }
    .to_owned();
    if is("Failed") {
        state.push_str(",Failed");
    }
    if !text(one, "status.certificate").is_empty() {
        state.push_str(",Issued");
    }
    state
}
