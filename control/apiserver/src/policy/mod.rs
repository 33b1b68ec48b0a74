//! The roles and bindings that every cluster has, and how a start brings them into the store.
//!
//! Which roles there are and what they allow is upstream's (`plugin/pkg/auth/authorizer/rbac/bootstrappolicy`), so that
//! charts and controllers find what they know. It is data, a line for a rule, read when asked for: a start reads it
//! once and keeps nothing.

mod reconcile;
mod text;

pub use reconcile::{Step, step};

use crate::authz::rbac::Rule;
use serde_json::{Value, json};

/// An object that the cluster has to have.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// `clusterroles`, `clusterrolebindings`, `roles` or `rolebindings`.
    pub resource: &'static str,
    /// The namespace, of roles and their bindings.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The object.
    pub object: Value,
}

const CLUSTER: &str = include_str!("cluster-roles.txt");
const CONTROLLERS: &str = include_str!("controller-roles.txt");
const NAMESPACES: &str = include_str!("namespace-roles.txt");

/// All of them, roles before what binds to them.
pub fn objects() -> Vec<Wanted> {
    let mut all = text::read(CLUSTER);
    for role in text::read(CONTROLLERS) {
        let account = role.name.trim_start_matches("system:controller:").to_owned();
        let subject = json!({"kind": "ServiceAccount", "name": account, "namespace": "kube-system"});
        let binding = text::binding("", &role.name, "ClusterRole", &role.name, vec![subject]);
        all.extend([role, binding]);
    }
    all.extend(text::read(NAMESPACES));
    all.sort_by_key(|one| one.resource.ends_with("bindings"));
    all
}

/// The rules of `system:node`, which the node authorizer goes by whatever is stored.
pub fn node_rules() -> Vec<Rule> {
    let all = text::read(CLUSTER);
    let node = all.iter().find(|one| one.name == "system:node" && one.resource == "clusterroles");
    node.map_or(Vec::new(), |node| Rule::all(&node.object["rules"]))
}

#[cfg(test)]
mod tests;
