//! Reads the lines of rules.
//!
//! They are part of the program, so that a line which says nothing is left out here, and found by the test that every
//! line says something.

use super::Wanted;
use serde_json::{Map, Value, json};

const GROUP: &str = "rbac.authorization.k8s.io";
const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

/// The objects of a text.
pub fn read(text: &str) -> Vec<Wanted> {
    let mut all = Vec::<Wanted>::new();
    let mut namespace = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["namespace", name] => namespace = name.to_owned(),
            ["role", name, ref more @ ..] => all.push(role(&namespace, name, more)),
            ["bind", name, ref more @ ..] => all.push(bound(&namespace, name, more)),
            _ => {
                let rules = all.last_mut().and_then(|role| role.object["rules"].as_array_mut());
                if let (Some(rules), Some(rule)) = (rules, rule(&words)) {
                    rules.push(rule);
                }
            }
        }
    }
    all
}

fn metadata(namespace: &str, name: &str) -> Value {
    let mut metadata = json!({
        "name": name,
        "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
    });
    if !namespace.is_empty() {
        metadata["namespace"] = namespace.into();
    }
    metadata
}

fn object(namespace: &str, name: &str, kind: &str, resource: &'static str) -> Wanted {
    let object = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": metadata(namespace, name),
    });
    Wanted { resource, namespace: namespace.to_owned(), name: name.to_owned(), object }
}

fn role(namespace: &str, name: &str, more: &[&str]) -> Wanted {
    let mut role = match namespace {
        "" => object("", name, "ClusterRole", "clusterroles"),
        _ => object(namespace, name, "Role", "roles"),
    };
    role.object["rules"] = json!([]);
    let label = |into: &str| format!("{GROUP}/aggregate-to-{into}");
    for word in more {
        match word.split_once('=') {
            Some(("into", into)) => role.object["metadata"]["labels"][label(into)] = "true".into(),
            Some(("aggregates", into)) => {
                let labels = Map::from_iter([(label(into), Value::from("true"))]);
                role.object["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": labels}]});
            }
            _ => {}
        }
    }
    role
}

fn bound(namespace: &str, name: &str, more: &[&str]) -> Wanted {
    let kind = if namespace.is_empty() { "ClusterRole" } else { "Role" };
    let role = more.iter().find_map(|word| word.strip_prefix("role=")).unwrap_or(name);
    let subject = |word: &&str| -> Option<Value> {
        let (kind, who) = word.split_once(':')?;
        match kind {
            "user" => Some(json!({"apiGroup": GROUP, "kind": "User", "name": who})),
            "group" => Some(json!({"apiGroup": GROUP, "kind": "Group", "name": who})),
            "account" => {
                let (within, who) = who.split_once('/')?;
                Some(json!({"kind": "ServiceAccount", "name": who, "namespace": within}))
            }
            _ => None,
        }
    };
    let subjects = more.iter().filter(|word| !word.starts_with("role=")).filter_map(subject).collect();
    binding(namespace, name, kind, role, subjects)
}

/// A binding of a role of a kind to subjects.
pub fn binding(namespace: &str, name: &str, kind: &str, role: &str, subjects: Vec<Value>) -> Wanted {
    let mut binding = match namespace {
        "" => object("", name, "ClusterRoleBinding", "clusterrolebindings"),
        _ => object(namespace, name, "RoleBinding", "rolebindings"),
    };
    binding.object["roleRef"] = json!({"apiGroup": GROUP, "kind": kind, "name": role});
    if !subjects.is_empty() {
        binding.object["subjects"] = subjects.into();
    }
    binding
}

fn rule(words: &[&str]) -> Option<Value> {
    let list = |words: &str| {
        let mut list: Vec<String> = words.split(',').map(str::to_owned).collect();
        list.sort();
        list
    };
    match *words {
        ["EVENTS"] => Some(json!({
            "apiGroups": ["", "events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch", "update"],
        })),
        [which, "url", paths] => Some(json!({"nonResourceURLs": list(paths), "verbs": verbs(which)})),
        [which, groups, resources, ref names @ ..] => {
            let groups = list(&groups.replace("core", ""));
            let mut rule = json!({"apiGroups": groups, "resources": list(resources), "verbs": verbs(which)});
            if let [names] = names {
                rule["resourceNames"] = json!(list(names.strip_prefix('@')?));
            }
            Some(rule)
        }
        _ => None,
    }
}

fn verbs(words: &str) -> Vec<&str> {
    let mut verbs = Vec::new();
    for word in words.split(',') {
        match word {
            "READ" => verbs.extend(READ),
            "WRITE" => verbs.extend(WRITE),
            "ALL" => verbs.extend(READ.iter().chain(&WRITE)),
            verb => verbs.push(verb),
        }
    }
    verbs.sort_unstable();
    verbs
}
