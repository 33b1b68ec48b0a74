use super::*;
use crate::authz::rbac::Rbac;
use crate::request::{Attributes, User};

/// The cluster as a first start leaves it.
fn bootstrapped() -> Rbac {
    let rbac = Rbac::default();
    for one in objects() {
        rbac.set(one.resource, &one.namespace, &one.name, Some(&one.object));
    }
    rbac
}

fn may(rbac: &Rbac, user: &User, verb: &str, what: (&str, &str, &str), namespace: &str) -> bool {
    let (group, resource, subresource) = what;
    let path = "";
    let version = "v1";
    rbac.decide(&Attributes { user, verb, group, version, resource, subresource, namespace, name: "x", path })
        .allows()
}

#[test]
fn every_line_says_something() {
    let lines = [CLUSTER, CONTROLLERS, NAMESPACES].concat();
    let lines = lines.lines().filter(|line| line.starts_with("  ")).count();
    let rules: usize = objects().iter().map(|one| one.object["rules"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!(rules, lines);
    for one in objects() {
        for rule in Rule::all(&one.object["rules"]) {
            assert!(!rule.verbs.is_empty());
            assert_ne!(rule.resources.is_empty(), rule.urls.is_empty());
            let words = rule.verbs.iter().chain(&rule.groups).chain(&rule.resources);
            assert!(words.clone().all(|word| !word.contains(char::is_uppercase)), "{rule}");
        }
    }
    let count = |resource: &str| objects().iter().filter(|one| one.resource == resource).count();
    assert_eq!(count("clusterrolebindings"), 12 + CONTROLLERS.matches("\nrole ").count());
    assert_eq!((count("roles"), count("rolebindings")), (7, 7));
    assert!(!node_rules().is_empty());
}

/// What the roles for people may: bootstrappolicy/policy_test.go.
#[test]
fn people_may_what_their_roles_say() {
    let rbac = bootstrapped();
    for (role, user) in [("admin", "ann"), ("edit", "ed"), ("view", "vi")] {
        let subject = json!({"kind": "User", "name": user});
        let binding = text::binding("dev", role, "ClusterRole", role, vec![subject]);
        rbac.set("rolebindings", "dev", role, Some(&binding.object));
    }
    let pods = ("", "pods", "");
    let secrets = ("", "secrets", "");
    let roles = ("rbac.authorization.k8s.io", "roles", "");
    let table = [
        ("ann", [true; 5]),
        ("ed", [true, true, true, true, false]),
        ("vi", [true, false, false, false, false]),
    ];
    for (user, expected) in table {
        let user = User::of(user, &["system:authenticated"]);
        let found = [
            may(&rbac, &user, "list", pods, "dev"),
            may(&rbac, &user, "create", pods, "dev"),
            may(&rbac, &user, "get", secrets, "dev"),
            may(&rbac, &user, "create", ("", "pods", "exec"), "dev"),
            may(&rbac, &user, "create", roles, "dev"),
        ];
        assert_eq!(found, expected, "{}", user.name);
        assert!(!may(&rbac, &user, "list", pods, "other"));
        assert!(may(&rbac, &user, "create", ("authorization.k8s.io", "selfsubjectaccessreviews", ""), ""));
    }
}

#[test]
fn controllers_may_what_theirs_say() {
    let rbac = bootstrapped();
    let account = |name: &str| User::of(&format!("system:serviceaccount:kube-system:{name}"), &[]);
    assert!(may(&rbac, &account("job-controller"), "create", ("", "pods", ""), "a"));
    assert!(!may(&rbac, &account("job-controller"), "get", ("", "secrets", ""), "a"));
    assert!(may(&rbac, &account("disruption-controller"), "get", ("example.com", "things", "scale"), "a"));
    assert!(may(&rbac, &account("bootstrap-signer"), "list", ("", "secrets", ""), "kube-system"));
    assert!(!may(&rbac, &account("bootstrap-signer"), "list", ("", "secrets", ""), "default"));
    assert!(may(&rbac, &User::of("system:kube-scheduler", &[]), "create", ("", "pods", "binding"), "a"));
}

/// pkg/registry/rbac/reconciliation/reconcile_role_test.go.
#[test]
fn a_start_adds_what_is_missing_and_keeps_the_rest() {
    let all = objects();
    let find = |resource: &str, name: &str| {
        all.iter().find(|one| one.resource == resource && one.name == name).unwrap()
    };
    let wanted = find("clusterroles", "system:kube-dns");
    assert_eq!(step(wanted, None), Step::Create(wanted.object.clone()));
    assert_eq!(step(wanted, Some(&wanted.object)), Step::Keep);

    let mut changed = wanted.object.clone();
    changed["rules"] = json!([{"verbs": ["get"], "apiGroups": ["x"], "resources": ["y"]}]);
    changed["metadata"]["labels"]["own"] = "1".into();
    let Step::Update(new) = step(wanted, Some(&changed)) else { panic!("not updated") };
    assert_eq!(
        new["rules"].as_array().unwrap().len(),
        1 + 6,
        "two verbs on three resources, and the own one"
    );
    assert_eq!(new["metadata"]["labels"]["own"], "1");
    changed["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] = "false".into();
    assert_eq!(step(wanted, Some(&changed)), Step::Keep);

    let wanted = find("clusterroles", "admin");
    let mut complete = wanted.object.clone();
    complete["rules"] = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
    assert_eq!(step(wanted, Some(&complete)), Step::Keep, "the rules of an aggregated role are not its own");

    let wanted = find("clusterrolebindings", "cluster-admin");
    let mut other = wanted.object.clone();
    other["subjects"] = json!([{"kind": "User", "name": "root"}]);
    let Step::Update(new) = step(wanted, Some(&other)) else { panic!("not updated") };
    assert_eq!(new["subjects"].as_array().unwrap().len(), 2);
    other["roleRef"]["name"] = "view".into();
    assert_eq!(step(wanted, Some(&other)), Step::Recreate(wanted.object.clone()));
}
