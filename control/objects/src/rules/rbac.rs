//! Roles and bindings. Source: `pkg/apis/rbac/v1/defaults.go`, `pkg/apis/rbac/validation/validation.go`.

use super::Rules;
use super::metadata::told;
use super::reading::{at, default, each, has, items, set, text, within};
use super::selecting;
use crate::fault::Faults;
use crate::names;
use serde_json::Value;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Of roles in a namespace.
pub const ROLE: Rules = Rules {
    default: |_| {},
    validate: |object, faults| rules(object, true, faults),
    validate_update: |new, _, faults| rules(new, true, faults),
};

/// Of roles of the cluster.
pub const CLUSTER_ROLE: Rules = Rules {
    default: |_| {},
    validate: cluster_role,
    validate_update: |new, _, faults| cluster_role(new, faults),
};

/// Of bindings in a namespace.
pub const ROLE_BINDING: Rules = Rules {
    default: binding_defaults,
    validate: |object, faults| binding(object, &["Role", "ClusterRole"], faults),
    validate_update: |new, old, faults| {
        binding(new, &["Role", "ClusterRole"], faults);
        same_role(new, old, faults);
    },
};

/// Of bindings of the cluster.
pub const CLUSTER_ROLE_BINDING: Rules = Rules {
    default: binding_defaults,
    validate: |object, faults| binding(object, &["ClusterRole"], faults),
    validate_update: |new, old, faults| {
        binding(new, &["ClusterRole"], faults);
        same_role(new, old, faults);
    },
};

fn binding_defaults(object: &mut Value) {
    within(object, "roleRef", |role| {
        if text(role, "apiGroup").is_empty() {
            set(role, "apiGroup", GROUP);
        }
    });
    each(object, "subjects", |subject| {
        if matches!(text(subject, "kind"), "User" | "Group") {
            default(subject, "apiGroup", GROUP);
        }
    });
}

fn cluster_role(object: &Value, faults: &mut Faults) {
    rules(object, false, faults);
    let selectors = at(object, "aggregationRule");
    if selectors.is_null() {
        return;
    }
    let list = items(selectors, "clusterRoleSelectors");
    if list.is_empty() {
        let text = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        faults.required("aggregationRule.clusterRoleSelectors", text);
    }
    for (index, one) in list.iter().enumerate() {
        selecting::label_selector(one, &format!("aggregationRule.clusterRoleSelectors[{index}]"), faults);
    }
}

/// Source: `ValidatePolicyRule`.
fn rules(object: &Value, namespaced: bool, faults: &mut Faults) {
    for (index, rule) in items(object, "rules").iter().enumerate() {
        let field = format!("rules[{index}]");
        if items(rule, "verbs").is_empty() {
            faults.required(format!("{field}.verbs"), "verbs must contain at least one value");
        }
        let urls = items(rule, "nonResourceURLs");
        if !urls.is_empty() {
            let list = at(rule, "nonResourceURLs").clone();
            if namespaced {
                let text = "namespaced rules cannot apply to non-resource URLs";
                faults.invalid(format!("{field}.nonResourceURLs"), list.clone(), text);
            }
            let others = ["apiGroups", "resources", "resourceNames"];
            if others.iter().any(|key| !items(rule, key).is_empty()) {
                let text = "rules cannot apply to both regular resources and non-resource URLs";
                faults.invalid(format!("{field}.nonResourceURLs"), list, text);
            }
            continue;
        }
        if items(rule, "apiGroups").is_empty() {
            faults
                .required(format!("{field}.apiGroups"), "resource rules must supply at least one api group");
        }
        if items(rule, "resources").is_empty() {
            faults.required(format!("{field}.resources"), "resource rules must supply at least one resource");
        }
    }
}

fn binding(object: &Value, kinds: &[&str], faults: &mut Faults) {
    let role = at(object, "roleRef");
    if text(role, "apiGroup") != GROUP {
        faults.not_supported("roleRef.apiGroup", text(role, "apiGroup"), &[GROUP]);
    }
    if !kinds.contains(&text(role, "kind")) {
        faults.not_supported("roleRef.kind", text(role, "kind"), kinds);
    }
    let name = text(role, "name");
    if name.is_empty() {
        faults.required("roleRef.name", "");
    } else {
        told(names::path_segment(name), "roleRef.name", name, faults);
    }
    let namespaced = kinds.contains(&"Role");
    for (index, one) in items(object, "subjects").iter().enumerate() {
        subject(one, namespaced, &format!("subjects[{index}]"), faults);
    }
}

/// Source: `ValidateRoleBindingSubject`.
fn subject(one: &Value, namespaced: bool, field: &str, faults: &mut Faults) {
    if text(one, "name").is_empty() {
        faults.required(format!("{field}.name"), "");
    }
    let group = text(one, "apiGroup");
    match text(one, "kind") {
        "ServiceAccount" => {
            let name = text(one, "name");
            if !name.is_empty() {
                told(names::dns1123_subdomain(name), &format!("{field}.name"), name, faults);
            }
            if !group.is_empty() {
                faults.not_supported(format!("{field}.apiGroup"), group, &[""]);
            }
            if !namespaced && !has(one, "namespace") {
                faults.required(format!("{field}.namespace"), "");
            }
        }
        "User" | "Group" if group != GROUP => {
            faults.not_supported(format!("{field}.apiGroup"), group, &[GROUP]);
        }
        "User" | "Group" => {}
        other => faults.not_supported(format!("{field}.kind"), other, &["ServiceAccount", "User", "Group"]),
    }
}

fn same_role(new: &Value, old: &Value, faults: &mut Faults) {
    if at(new, "roleRef") != at(old, "roleRef") {
        faults.invalid("roleRef", at(new, "roleRef").clone(), "cannot change roleRef");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Source: TestValidateRoleBinding, TestValidateRole.
    #[test]
    fn bindings_and_roles() {
        let mut object = json!({"roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}, {"kind": "X", "name": ""}]});
        (CLUSTER_ROLE_BINDING.default)(&mut object);
        assert_eq!(
            (&object["roleRef"]["apiGroup"], &object["subjects"][0]["apiGroup"]),
            (&json!(GROUP), &json!(GROUP))
        );
        let mut faults = Faults::default();
        (CLUSTER_ROLE_BINDING.validate)(&object, &mut faults);
        let mut role =
            json!({"rules": [{"nonResourceURLs": ["/x"], "verbs": ["get"]}, {"resources": ["pods"]}]});
        (ROLE.default)(&mut role);
        (ROLE.validate)(&role, &mut faults);
        let mut other = object.clone();
        other["roleRef"]["name"] = json!("edit");
        same_role(&other, &object, &mut faults);
        let texts: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "subjects[1].namespace: Required value",
                "subjects[2].name: Required value",
                "subjects[2].kind: Unsupported value: \"X\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
                "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
                "rules[1].verbs: Required value: verbs must contain at least one value",
                "rules[1].apiGroups: Required value: resource rules must supply at least one api group",
                "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"edit\"}: cannot change roleRef",
            ]
        );
    }
}
