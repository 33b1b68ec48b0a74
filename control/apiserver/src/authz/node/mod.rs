//! The node authorizer: a kubelet may read what its own pods refer to, and no other node's secrets.
//!
//! Source: `plugin/pkg/auth/authorizer/node/node_authorizer.go`. What it does not divide is decided by the rules of the
//! role `system:node` as this program has them, not as they are stored: no binding is needed.
//!
//! One rule is upstream's of before 1.32: a node may list all pods, for a field selector is not among what an
//! authorizer is asked.

mod audience;
mod graph;
mod references;
mod restriction;
#[cfg(test)]
mod tests;

pub use references::secrets as secrets_of;
pub use restriction::{NodeWrite, restrict};

use super::rbac::Rule;
use super::{Decision, combined};
use crate::authz::rbac::Wanted;
use crate::request::{Attributes, User};
use graph::{Graph, Kind};
use serde_json::Value;
use std::sync::{PoisonError, RwLock};

const LEASES: &str = "kube-node-lease";

/// The name of the node that a user is (`pkg/auth/nodeidentifier`).
pub fn name_of(user: &User) -> Option<&str> {
    user.name.strip_prefix("system:node:").filter(|_| user.is_in("system:nodes"))
}

/// Who needs what, by node.
#[derive(Debug)]
pub struct NodeAuthorizer {
    graph: RwLock<Graph>,
    rules: Vec<Rule>,
}

impl Default for NodeAuthorizer {
    fn default() -> NodeAuthorizer {
        NodeAuthorizer { graph: RwLock::default(), rules: crate::policy::node_rules() }
    }
}

impl NodeAuthorizer {
    /// An object of `pods`, `persistentvolumes` or `volumeattachments` is as given now, or gone. Other resources are
    /// none of its business.
    pub fn set(&self, resource: &str, namespace: &str, name: &str, object: Option<&Value>) {
        if !["pods", "persistentvolumes", "volumeattachments"].contains(&resource) {
            return;
        }
        let mut graph = self.graph.write().unwrap_or_else(PoisonError::into_inner);
        match resource {
            "pods" => graph.pod(namespace, name, object),
            "persistentvolumes" => graph.volume(name, object),
            _ => graph.attachment(name, object),
        }
    }

    /// Whether a request of a node is allowed; no opinion of anybody else's.
    pub fn decide(&self, asked: &Attributes<'_>) -> Decision {
        let no = |why: &str| Decision::NoOpinion(why.to_owned());
        let Some(node) = name_of(asked.user) else { return no("") };
        if node.is_empty() {
            return Decision::NoOpinion(format!("unknown node for user {:?}", asked.user.name));
        }
        match (asked.group, asked.resource) {
            ("", "secrets") => self.read(node, Kind::Secret, asked),
            ("", "configmaps") => self.read(node, Kind::ConfigMap, asked),
            ("", "persistentvolumeclaims") if asked.subresource == "status" => match asked.verb {
                "get" | "update" | "patch" => self.related(node, Kind::Claim, asked),
                _ => no("can only get/update/patch this type"),
            },
            ("", "persistentvolumeclaims") => self.get(node, Kind::Claim, asked),
            ("", "persistentvolumes") => self.get(node, Kind::Volume, asked),
            ("storage.k8s.io", "volumeattachments") => self.get(node, Kind::Attachment, asked),
            ("", "serviceaccounts") => match (asked.verb, asked.subresource) {
                ("create", "token") if !asked.name.is_empty() => self.related(node, Kind::Account, asked),
                ("create", "token") => no("can only create tokens for individual service accounts"),
                ("get", "") => self.get(node, Kind::Account, asked),
                _ => no("can only create token subresource of serviceaccount"),
            },
            ("coordination.k8s.io", "leases") => own_lease(node, asked),
            ("storage.k8s.io", "csinodes") => own_csi_node(node, asked),
            ("", "nodes") => own_node(node, asked),
            ("", "pods") => self.pod(node, asked),
            _ => self.by_rules(asked),
        }
    }

    fn by_rules(&self, asked: &Attributes<'_>) -> Decision {
        let wanted = Wanted {
            verb: asked.verb,
            group: asked.group,
            resource: &combined(asked.resource, asked.subresource),
            subresource: asked.subresource,
            name: asked.name,
            path: asked.path,
            is_resource: !asked.resource.is_empty(),
        };
        match self.rules.iter().any(|rule| rule.allows(&wanted)) {
            true => Decision::Allow(String::new()),
            false => Decision::NoOpinion(String::new()),
        }
    }

    fn get(&self, node: &str, kind: Kind, asked: &Attributes<'_>) -> Decision {
        let no = |why: &str| Decision::NoOpinion(why.to_owned());
        match (asked.verb, asked.subresource) {
            ("get", "") => self.related(node, kind, asked),
            ("get", _) => no("cannot get subresource"),
            _ => no("can only get individual resources of this type"),
        }
    }

    fn read(&self, node: &str, kind: Kind, asked: &Attributes<'_>) -> Decision {
        let no = |why: &str| Decision::NoOpinion(why.to_owned());
        if !matches!(asked.verb, "get" | "list" | "watch") {
            return no("can only read resources of this type");
        }
        if !asked.subresource.is_empty() {
            return no("cannot read subresource");
        }
        if asked.namespace.is_empty() {
            return no("can only read namespaced object of this type");
        }
        self.related(node, kind, asked)
    }

    fn related(&self, node: &str, kind: Kind, asked: &Attributes<'_>) -> Decision {
        if asked.name.is_empty() {
            return Decision::NoOpinion("No Object name found".into());
        }
        let graph = self.graph.read().unwrap_or_else(PoisonError::into_inner);
        if graph.needs(node, kind, asked.namespace, asked.name) {
            return Decision::Allow(String::new());
        }
        Decision::NoOpinion(format!("no relationship found between node '{node}' and this object"))
    }

    fn pod(&self, node: &str, asked: &Attributes<'_>) -> Decision {
        match (asked.subresource, asked.verb) {
            ("", "get") => self.related(node, Kind::Pod, asked),
            // Which pods it may make, end and report of is NodeRestriction's to say.
            ("", "list" | "watch" | "create" | "delete")
            | ("status", "get" | "update" | "patch")
            | ("eviction", "create") => Decision::Allow(String::new()),
            _ => Decision::NoOpinion(format!(
                "nodes cannot {} {}",
                asked.verb,
                combined("pods", asked.subresource)
            )),
        }
    }
}

fn own_lease(node: &str, asked: &Attributes<'_>) -> Decision {
    let no = |why: String| Decision::NoOpinion(why);
    if !matches!(asked.verb, "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a node lease".into());
    }
    if asked.namespace != LEASES {
        return no(format!("can only access leases in the {LEASES:?} system namespace"));
    }
    if asked.verb != "create" && asked.name != node {
        return no("can only access node lease with the same name as the requesting node".into());
    }
    Decision::Allow(String::new())
}

fn own_csi_node(node: &str, asked: &Attributes<'_>) -> Decision {
    let no = |why: &str| Decision::NoOpinion(why.to_owned());
    if !matches!(asked.verb, "get" | "create" | "update" | "patch" | "delete") {
        return no("can only get, create, update, patch, or delete a CSINode");
    }
    if !asked.subresource.is_empty() {
        return no("cannot authorize CSINode subresources");
    }
    if asked.verb != "create" && asked.name != node {
        return no("can only access CSINode with the same name as the requesting node");
    }
    Decision::Allow(String::new())
}

fn own_node(node: &str, asked: &Attributes<'_>) -> Decision {
    match (asked.subresource, asked.verb) {
        // Which node it may make and change is NodeRestriction's to say.
        ("", "create" | "update" | "patch") | ("status", "update" | "patch") => {
            Decision::Allow(String::new())
        }
        ("" | "status", "get" | "list" | "watch") if asked.name == node => Decision::Allow(String::new()),
        ("" | "status", "get" | "list" | "watch") => Decision::NoOpinion(format!(
            "node '{node}' cannot read '{}', only its own Node object",
            asked.name
        )),
        _ => Decision::NoOpinion(String::new()),
    }
}
