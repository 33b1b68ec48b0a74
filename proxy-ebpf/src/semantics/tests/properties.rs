//! Properties of the table over random objects, many of them wrong.

use super::objects::node;
use crate::semantics::claims::Claim;
use crate::{Family, NodeView, Object, PortId, ServicePort, ServiceTable, TableChanges, Tracker, Update};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const ADDRESSES: [&str; 4] = ["10.0.0.1", "10.0.0.2", "fd00::1", "fd00::2"];
const BAD_ADDRESSES: [&str; 4] = ["127.0.0.1", "10.0.0.400", "::ffff:10.0.0.1", "0.0.0.0"];
const PORTS: [i32; 2] = [80, 30080];
const BAD_PORTS: [i32; 3] = [0, -7, 70_000];
const POLICIES: [&str; 3] = ["Local", "Cluster", "odd"];

fn address() -> impl Strategy<Value = &'static str> {
    prop_oneof![12 => select(&ADDRESSES[..]), 1 => select(&BAD_ADDRESSES[..])]
}

fn port_number() -> impl Strategy<Value = i32> {
    prop_oneof![12 => select(&PORTS[..]), 1 => select(&BAD_PORTS[..])]
}

fn protocol() -> impl Strategy<Value = &'static str> {
    prop_oneof![12 => Just("TCP"), 2 => Just("UDP"), 1 => Just("SCTP"), 1 => Just("ICMP")]
}

fn spec() -> impl Strategy<Value = Value> {
    let port = (select(&["", "x"][..]), port_number(), protocol(), port_number())
        .prop_map(|(name, port, protocol, node_port)| {
            json!({"name": name, "port": port, "protocol": protocol, "nodePort": node_port})
        });
    let addresses = || prop::collection::vec(address(), 0..3);
    let types = select(&["ClusterIP", "NodePort", "LoadBalancer", "LoadBalancer", "ExternalName"][..]);
    (types, prop::collection::vec(port, 0..4), addresses(), addresses(), select(&POLICIES[..]), select(&POLICIES[..]), port_number())
        .prop_map(|(type_, ports, cluster, external, inside, outside, health)| {
            json!({
                "type": type_, "ports": ports, "clusterIPs": cluster, "externalIPs": external,
                "internalTrafficPolicy": inside, "externalTrafficPolicy": outside, "healthCheckNodePort": health,
                "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": health}},
                "loadBalancerSourceRanges": external,
            })
        })
}

fn service() -> impl Strategy<Value = Service> {
    let ingress = prop::collection::vec(address(), 0..3);
    (select(&NAMES[..]), spec(), ingress, 0..3).prop_map(|(name, spec, ingress, day)| {
        let ingress: Vec<Value> = ingress.into_iter().map(|ip| json!({"ip": ip})).collect();
        serde_json::from_value(json!({
            "metadata": {"name": name, "creationTimestamp": format!("2026-01-0{}T00:00:00Z", day + 1)},
            "spec": spec, "status": {"loadBalancer": {"ingress": ingress}},
        }))
        .unwrap()
    })
}

fn listed() -> impl Strategy<Value = Value> {
    let maybe = || prop::option::of(any::<bool>());
    let hint = || prop::collection::vec(select(&["a", "b", "here", "there"][..]), 0..2);
    (address(), maybe(), maybe(), maybe(), select(&["here", "there"][..]), hint(), hint()).prop_map(
        |(address, ready, serving, terminating, node, nodes, zones)| {
            let named = |names: Vec<&str>| -> Vec<Value> { names.into_iter().map(|name| json!({"name": name})).collect() };
            json!({
                "addresses": [address], "nodeName": node, "hints": {"forNodes": named(nodes), "forZones": named(zones)},
                "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
            })
        },
    )
}

fn slice() -> impl Strategy<Value = EndpointSlice> {
    let port = (select(&["", "x"][..]), prop::option::of(port_number()), protocol())
        .prop_map(|(name, port, protocol)| json!({"name": name, "port": port, "protocol": protocol}));
    let family = select(&["IPv4", "IPv4", "IPv6", "FQDN"][..]);
    let ports = prop::collection::vec(port, 0..3);
    (select(&NAMES[..]), select(&NAMES[..]), family, ports, prop::collection::vec(listed(), 0..5)).prop_map(
        |(name, owner, family, ports, endpoints)| {
            serde_json::from_value(json!({
                "metadata": {"name": name, "labels": {"kubernetes.io/service-name": owner}},
                "addressType": family, "ports": ports, "endpoints": endpoints,
            }))
            .unwrap()
        },
    )
}

/// An object as the API has it.
#[derive(Clone, Debug)]
enum Given {
    Service(Box<Service>),
    Slice(Box<EndpointSlice>),
}

/// An object, and whether it is deleted.
fn given() -> impl Strategy<Value = (Given, bool)> {
    let object = prop_oneof![
        service().prop_map(|service| Given::Service(Box::new(service))),
        slice().prop_map(|slice| Given::Slice(Box::new(slice)))
    ];
    (object, prop::bool::weighted(0.2))
}

fn update((object, delete): &(Given, bool)) -> Update {
    let object = match object.clone() {
        Given::Service(service) => Object::from(*service),
        Given::Slice(slice) => Object::from(*slice),
    };
    Update { key: object.key(), object: Some(object).filter(|_| !delete) }
}

fn view() -> NodeView {
    NodeView { external_ips_enabled: true, ..node() }
}

fn claims(id: &PortId, port: Option<&ServicePort>) -> Vec<Claim> {
    port.map(|port| port.frontends.iter().map(|frontend| Claim::of(id, frontend)).collect())
        .unwrap_or_default()
}

/// Applies changes to a table as a back end does, which has each frontend once at any time.
fn replay(table: &mut ServiceTable, changes: TableChanges) -> Result<(), TestCaseError> {
    let mut owners: HashMap<Claim, PortId> = HashMap::new();
    for (id, port) in &table.ports {
        owners.extend(claims(id, Some(port)).into_iter().map(|claim| (claim, id.clone())));
    }
    for change in changes.ports {
        prop_assert_eq!(table.ports.get(&change.id), change.before.as_ref());
        prop_assert_ne!(&change.before, &change.after);
        for claim in claims(&change.id, change.before.as_deref()) {
            prop_assert_eq!(owners.remove(&claim), Some(change.id.clone()));
        }
        for claim in claims(&change.id, change.after.as_deref()) {
            prop_assert_eq!(owners.insert(claim, change.id.clone()), None);
        }
        match change.after {
            Some(after) => table.ports.insert(change.id, after),
            None => table.ports.remove(&change.id),
        };
    }
    for (port, check) in changes.health_checks {
        match check {
            Some(check) => table.health_checks.insert(port, check),
            None => table.health_checks.remove(&port),
        };
    }
    Ok(())
}

/// What holds of every service port.
fn check(id: &PortId, port: &ServicePort, usable: &HashSet<String>) -> Result<(), TestCaseError> {
    for endpoints in [&port.cluster, &port.local] {
        prop_assert!(endpoints.is_sorted_by(|a, b| (a.address, a.port) < (b.address, b.port)));
        for endpoint in endpoints {
            prop_assert_eq!(Family::of(endpoint.address), id.family);
            prop_assert!(port.any_endpoint && usable.contains(&endpoint.address.to_string()));
        }
    }
    prop_assert!(port.local.iter().all(|endpoint| endpoint.local));
    prop_assert!(port.frontends.is_sorted());
    prop_assert!(port.affinity.is_some_and(|seconds| (1..=86_400).contains(&seconds)));
    for left in &port.left_out {
        let connected = port
            .cluster
            .iter()
            .chain(&port.local)
            .any(|e| e.to_string().starts_with(&format!("{} ", left.endpoint)));
        prop_assert!(!connected || left.reason == "not an IP address", "{left:?} is connected to");
    }
    Ok(())
}

/// The addresses that some slice of a service lists in a condition that can get connections.
fn usable(slices: &BTreeMap<String, EndpointSlice>, service: &str) -> HashSet<String> {
    let of_service = slices.values().filter(|slice| {
        slice.metadata.labels.as_ref().is_some_and(|labels| labels["kubernetes.io/service-name"] == service)
    });
    let listed = of_service.flat_map(|slice| slice.endpoints.iter().flatten());
    let can = |listed: &&k8s_openapi::api::discovery::v1::Endpoint| {
        let c = listed.conditions.clone().unwrap_or_default();
        c.ready != Some(false) || (c.serving != Some(false) && c.terminating == Some(true))
    };
    listed.filter(can).flat_map(|listed| listed.addresses.clone()).collect()
}

proptest! {
    #[test]
    fn updates_one_by_one_mean_what_the_objects_mean_at_once(batches in prop::collection::vec(prop::collection::vec(given(), 1..4), 1..12)) {
        let mut tracker = Tracker::with_node(view());
        let mut replayed = ServiceTable::default();
        let mut services = BTreeMap::new();
        let mut slices = BTreeMap::new();
        for batch in batches {
            let updates: Vec<Update> = batch.iter().map(update).collect();
            for ((object, delete), Update { key, .. }) in batch.into_iter().zip(&updates) {
                match object {
                    Given::Service(_) if delete => drop(services.remove(&*key.name)),
                    Given::Slice(_) if delete => drop(slices.remove(&*key.name)),
                    Given::Service(service) => drop(services.insert(key.name.to_string(), *service)),
                    Given::Slice(slice) => drop(slices.insert(key.name.to_string(), *slice)),
                }
            }
            replay(&mut replayed, tracker.apply(updates))?;
            let all_services: Vec<Service> = services.values().cloned().collect();
            let all_slices: Vec<EndpointSlice> = slices.values().rev().cloned().collect();
            let built = ServiceTable::build(&all_services, &all_slices, &view());
            prop_assert_eq!(tracker.table(), &built);
            prop_assert_eq!(&replayed.ports, &built.ports);
            prop_assert_eq!(&replayed.health_checks, &built.health_checks);
            let mut seen = HashSet::new();
            for (id, port) in &built.ports {
                prop_assert!(claims(id, Some(port)).into_iter().all(|claim| seen.insert(claim)));
                check(id, port, &usable(&slices, &id.service.name))?;
            }
        }
    }
}
