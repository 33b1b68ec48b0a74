//! Objects for tests, as one writes them in manifests.

use crate::{Family, NodePortAddresses, NodeView, PortId, Protocol, ServiceName, ServicePort, ServiceTable};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

/// This node in all tests.
pub(crate) fn node() -> NodeView {
    NodeView {
        name: "here".to_owned(),
        zone: Some("a".to_owned()),
        addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        node_port_addresses: NodePortAddresses::Primary,
        external_ips_enabled: false,
    }
}

/// The Service `default/<name>` with one port, 80 by TCP, unless the spec has `ports`.
pub(crate) fn service(name: &str, spec: Value) -> Service {
    let mut all = json!({"ports": [{"port": 80}], "clusterIPs": ["10.96.0.1"]});
    merge(&mut all, spec);
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "default"}, "spec": all})).unwrap()
}

/// A service with a balancer whose ingress has these addresses.
pub(crate) fn balanced(name: &str, spec: Value, ingress: Value) -> Service {
    let mut all = json!({"type": "LoadBalancer"});
    merge(&mut all, spec);
    let mut service = service(name, all);
    service.status = Some(serde_json::from_value(json!({"loadBalancer": {"ingress": ingress}})).unwrap());
    service
}

/// An IPv4 slice of the service `default/<service>` with the port 8080, unless `more` says otherwise.
pub(crate) fn slice(name: &str, service: &str, endpoints: Value, more: Value) -> EndpointSlice {
    let mut all = json!({
        "metadata": {"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "ports": [{"port": 8080}],
        "endpoints": endpoints,
    });
    merge(&mut all, more);
    serde_json::from_value(all).unwrap()
}

/// The table of one service and its slices.
pub(crate) fn table(service: Service, slices: &[EndpointSlice]) -> ServiceTable {
    ServiceTable::build(&[service], slices, &node())
}

/// The only unnamed TCP port of a service in a family.
pub(crate) fn id(service: &str, family: Family) -> PortId {
    let service = ServiceName { namespace: "default".to_owned(), name: service.to_owned() }.into();
    PortId { service, port: "".into(), protocol: Protocol::Tcp, family }
}

/// The only unnamed TCP port of `default/web` in IPv4.
pub(crate) fn web(table: &ServiceTable) -> &ServicePort {
    table.ports.get(&id("web", Family::V4)).unwrap()
}

/// The port's frontends as text.
pub(crate) fn frontends(port: &ServicePort) -> Vec<String> {
    port.frontends.iter().map(ToString::to_string).collect()
}

/// Endpoints as text.
pub(crate) fn texts(endpoints: &[crate::Endpoint]) -> Vec<String> {
    endpoints.iter().map(ToString::to_string).collect()
}

/// What is left out, as `endpoint: reason`.
pub(crate) fn left_out(port: &ServicePort) -> Vec<String> {
    port.left_out.iter().map(|left| format!("{}: {}", left.endpoint, left.reason)).collect()
}

fn merge(into: &mut Value, from: Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { panic!("both are objects") };
    into.extend(from);
}
