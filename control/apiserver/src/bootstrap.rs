//! What every cluster has from its first moment: namespaces, roles, priority classes, the Service `kubernetes`.
//!
//! Done at each start, and the Service again and again: what somebody deleted comes back, what is there stays.

use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::task::JoinSet;

use crate::api::Api;
use crate::kinds::{self, Kind};
use crate::object::{at, name, namespace, put};
use crate::policy::{self, Step};
use crate::status::{Failure, Outcome};

/// Where the API is reached.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The addresses that pods reach it at (`--advertise-address`).
    pub addresses: Vec<IpAddr>,
    /// The port (`--secure-port`).
    pub port: u16,
    /// The CA that clients' certificates must be of, in PEM.
    pub client_ca: String,
}

fn kind(group: &str, plural: &str) -> Outcome<&'static Kind> {
    kinds::stored(group, plural)
        .ok_or_else(|| Failure::internal(format!("{plural} of {group:?} are not served")))
}

/// Makes all of it.
pub async fn everything(api: &Arc<Api>, endpoint: &Endpoint) -> Outcome<()> {
    all(api, namespaces()?).await?;
    let mut others = priority_classes()?;
    others.extend(ranges(api)?);
    others.push((kind("", "configmaps")?, authentication(endpoint)));
    all(api, others).await?;
    roles(api).await?;
    service(api, endpoint).await
}

/// Makes what is missing, side by side.
async fn all(api: &Arc<Api>, objects: Vec<(&'static Kind, Value)>) -> Outcome<()> {
    let mut making = JoinSet::new();
    for (kind, object) in objects {
        let api = api.clone();
        making.spawn(async move { missing(&api, kind, object).await });
    }
    while let Some(made) = making.join_next().await {
        made.map_err(Failure::internal)??;
    }
    Ok(())
}

async fn missing(api: &Api, kind: &'static Kind, object: Value) -> Outcome<()> {
    let key = crate::rest::cache_key(kind, namespace(&object), name(&object));
    if api.caches.of(kind).is_some_and(|cache| cache.get(&key).is_some()) {
        return Ok(());
    }
    match api.make(kind, object).await {
        Err(failure) if failure.reason() == "AlreadyExists" => Ok(()),
        made => made.map(drop),
    }
}

fn namespaces() -> Outcome<Vec<(&'static Kind, Value)>> {
    let kind = kind("", "namespaces")?;
    let names = ["default", "kube-system", "kube-public", "kube-node-lease"];
    Ok(names
        .map(|name| (kind, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})))
        .into())
}

fn priority_classes() -> Outcome<Vec<(&'static Kind, Value)>> {
    let kind = kind("scheduling.k8s.io", "priorityclasses")?;
    let of = |name: &str, value: i64, what: &str| {
        let object = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value,
            "description": format!("Used for system critical pods that must {what}"),
        });
        (kind, object)
    };
    Ok(vec![
        of("system-node-critical", 2_000_001_000, "not be moved from their current node."),
        of(
            "system-cluster-critical",
            2_000_000_000,
            "run in the cluster, but can be moved to another node if necessary.",
        ),
    ])
}

/// The ServiceCIDR that upstream's allocator makes of the flag.
fn ranges(api: &Api) -> Outcome<Vec<(&'static Kind, Value)>> {
    let cidrs: Vec<String> = api.services.ranges().iter().map(|range| range.net().to_string()).collect();
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": cidrs},
    });
    Ok(vec![(kind("networking.k8s.io", "servicecidrs")?, object)])
}

/// How extension servers know the clients' CA.
fn authentication(endpoint: &Endpoint) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {"client-ca-file": endpoint.client_ca},
    })
}

/// Roles first, as bindings name them.
async fn roles(api: &Arc<Api>) -> Outcome<()> {
    let (bindings, roles): (Vec<_>, Vec<_>) =
        policy::objects().into_iter().partition(|wanted| wanted.resource.ends_with("bindings"));
    for part in [roles, bindings] {
        let mut making = JoinSet::new();
        for wanted in part {
            let api = api.clone();
            making.spawn(async move { role(&api, wanted).await });
        }
        while let Some(made) = making.join_next().await {
            made.map_err(Failure::internal)??;
        }
    }
    Ok(())
}

async fn role(api: &Api, wanted: policy::Wanted) -> Outcome<()> {
    let kind = kind("rbac.authorization.k8s.io", wanted.resource)?;
    let key = crate::rest::cache_key(kind, &wanted.namespace, &wanted.name);
    let there = api.caches.of(kind).and_then(|cache| cache.get(&key)).map(|entry| entry.object());
    match policy::step(&wanted, there.as_ref()) {
        Step::Keep => Ok(()),
        Step::Create(object) => match api.make(kind, object).await {
            Err(failure) if failure.reason() == "AlreadyExists" => Ok(()),
            made => made.map(drop),
        },
        Step::Update(object) => api.replace(kind, object).await.map(drop),
        Step::Recreate(object) => {
            api.discard(kind, &object).await?;
            api.make(kind, object).await.map(drop)
        }
    }
}

/// The Service `kubernetes` and where it leads.
pub async fn service(api: &Arc<Api>, endpoint: &Endpoint) -> Outcome<()> {
    let Some(first) = api.services.first() else { return Ok(()) };
    let services = kind("", "services")?;
    let object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP", "clusterIP": first.to_string(), "clusterIPs": [first.to_string()],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "protocol": "TCP", "port": 443, "targetPort": endpoint.port}],
        },
    });
    missing(api, services, object).await?;
    let ips: Vec<&IpAddr> = endpoint.addresses.iter().filter(|ip| ip.is_ipv4() == first.is_ipv4()).collect();
    if ips.is_empty() {
        tracing::warn!(service = %first, "no --advertise-address is of the first service range's family: the Service kubernetes leads nowhere");
        return Ok(());
    }
    level(api, kind("", "endpoints")?, endpoints(&ips, endpoint.port), &["subsets"]).await?;
    let slice = slice(&ips, endpoint.port);
    level(api, kind("discovery.k8s.io", "endpointslices")?, slice, &["endpoints", "ports"]).await
}

/// Makes an object, or puts these of its fields right.
async fn level(api: &Api, kind: &'static Kind, wanted: Value, fields: &[&str]) -> Outcome<()> {
    let key = crate::rest::cache_key(kind, namespace(&wanted), name(&wanted));
    let there = api.caches.of(kind).and_then(|cache| cache.get(&key)).map(|entry| entry.object());
    let Some(mut there) = there else { return missing(api, kind, wanted).await };
    let right = fields.iter().all(|field| at(&there, field) == at(&wanted, field));
    if right {
        return Ok(());
    }
    for field in fields {
        put(&mut there, field, at(&wanted, field).clone());
    }
    crate::object::metadata(&mut there).remove("resourceVersion");
    api.replace(kind, there).await.map(drop)
}

fn endpoints(ips: &[&IpAddr], port: u16) -> Value {
    let addresses: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip.to_string()})).collect();
    json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{"addresses": addresses, "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}],
    })
}

fn slice(ips: &[&IpAddr], port: u16) -> Value {
    let family = if ips[0].is_ipv4() { "IPv4" } else { "IPv6" };
    let ends: Vec<Value> =
        ips.iter().map(|ip| json!({"addresses": [ip.to_string()], "conditions": {"ready": true}})).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": family, "endpoints": ends,
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    })
}
