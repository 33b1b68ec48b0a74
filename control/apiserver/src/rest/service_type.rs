//! What a Service loses when its type changes: fields that only the old type had and that the client left as they were
//! (`dropTypeDependentFields` of `pkg/registry/core/service/strategy.go`). A client that changes such a field as well
//! means it, and is told that it does not fit.

use serde_json::Value;

use crate::object::{at, list, number, put, text};

/// Drops them.
pub(super) fn drop_of_old_type(new: &mut Value, old: &Value) {
    let same = |new: &Value, key: &str| at(new, key) == at(old, key);
    if has_address(old) && !has_address(new) {
        if same(new, "spec.clusterIPs") {
            put(new, "spec.clusterIP", Value::Null);
        }
        drop_same(new, old, &["clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]);
    }
    if has_node_ports(old) && !has_node_ports(new) && node_ports(old) == node_ports(new) {
        let ports = new.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
        ports.into_iter().flatten().for_each(|port| put(port, "nodePort", Value::Null));
    }
    if has_health_port(old) && !has_health_port(new) {
        drop_same(new, old, &["healthCheckNodePort"]);
    }
    if is_balanced(old) && !is_balanced(new) {
        drop_same(new, old, &["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if is_outside(old) && !is_outside(new) {
        drop_same(new, old, &["externalTrafficPolicy"]);
    }
}

fn drop_same(new: &mut Value, old: &Value, keys: &[&str]) {
    for key in keys {
        let path = format!("spec.{key}");
        if at(new, &path) == at(old, &path) {
            put(new, &path, Value::Null);
        }
    }
}

fn has_address(service: &Value) -> bool {
    text(service, "spec.type") != "ExternalName"
}

fn is_balanced(service: &Value) -> bool {
    text(service, "spec.type") == "LoadBalancer"
}

fn has_node_ports(service: &Value) -> bool {
    let wanted = at(service, "spec.allocateLoadBalancerNodePorts") != false;
    text(service, "spec.type") == "NodePort" || is_balanced(service) && wanted
}

fn has_health_port(service: &Value) -> bool {
    is_balanced(service) && text(service, "spec.externalTrafficPolicy") == "Local"
}

fn is_outside(service: &Value) -> bool {
    let by_address = has_address(service) && !list(service, "spec.externalIPs").is_empty();
    has_node_ports(service) || is_balanced(service) || by_address
}

fn node_ports(service: &Value) -> Vec<i64> {
    let mut ports: Vec<i64> =
        list(service, "spec.ports").iter().map(|port| number(port, "nodePort")).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_client_left_alone_goes() {
        let old = json!({"spec": {"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
            "externalTrafficPolicy": "Cluster", "ports": [{"port": 80, "nodePort": 30000}]}});
        let mut new = old.clone();
        new["spec"]["type"] = "ClusterIP".into();
        drop_of_old_type(&mut new, &old);
        assert_eq!(
            new["spec"],
            json!({"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]})
        );
    }

    #[test]
    fn what_the_client_changed_stays() {
        let old = json!({"spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30000}]}});
        let mut new = json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 30001}]}});
        drop_of_old_type(&mut new, &old);
        assert_eq!(new["spec"]["ports"][0]["nodePort"], 30001);
    }
}
