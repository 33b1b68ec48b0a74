use super::*;
use crate::authz::{Authorizer, refusal};
use serde_json::json;

fn role(rules: Value) -> Value {
    json!({ "rules": rules })
}

fn binding(kind: &str, role: &str, subjects: Value) -> Value {
    json!({"roleRef": {"kind": kind, "name": role}, "subjects": subjects})
}

fn request<'a>(
    user: &'a User,
    verb: &'a str,
    resource: &'a str,
    namespace: &'a str,
    name: &'a str,
) -> Attributes<'a> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    Attributes { user, verb, group, version: "v1", resource, subresource, namespace, name, path: "" }
}

fn user(name: &str) -> Value {
    json!([{"kind": "User", "name": name}])
}

/// plugin/pkg/auth/authorizer/rbac/rbac_test.go: TestAuthorizer, TestRuleMatches.
#[test]
fn rules_allow_what_they_say() {
    let rbac = Rbac::default();
    let rules = json!([
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]},
        {"verbs": ["*"], "apiGroups": ["apps"], "resources": ["*/scale"]},
        {"verbs": ["update"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"]},
        {"verbs": ["watch"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["get"], "nonResourceURLs": ["/metrics", "/api/*"]},
    ]);
    rbac.set("clusterroles", "", "r", Some(&role(rules)));
    rbac.set("clusterrolebindings", "", "b", Some(&binding("ClusterRole", "r", user("jane"))));
    let jane = User::of("jane", &[]);
    let may = |verb: &str, resource: &str, name: &str| {
        rbac.decide(&request(&jane, verb, resource, "default", name)).allows()
    };
    assert!(may("get", "pods", "x") && may("list", "pods/log", ""));
    assert!(!may("create", "pods", "") && !may("get", "pods/exec", "x") && !may("get", "pods.other", "x"));
    assert!(may("patch", "deployments.apps/scale", "x") && !may("patch", "deployments.apps", "x"));
    assert!(may("update", "configmaps", "one") && !may("update", "configmaps", "two"));
    assert!(!may("update", "configmaps", ""));
    assert!(may("watch", "anything.example.com/status", ""));
    let path = |verb, path| {
        let asked = Attributes { path, ..request(&jane, verb, "", "", "") };
        rbac.decide(&asked).allows()
    };
    assert!(
        path("get", "/metrics")
            && path("get", "/api/v1")
            && !path("get", "/metrics/x")
            && !path("post", "/metrics")
    );
}

#[test]
fn bindings_reach_their_namespace_and_go_with_their_objects() {
    let rbac = Rbac::default();
    let all = role(json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]));
    rbac.set("clusterroles", "", "all", Some(&all));
    let subjects = json!([{"kind": "ServiceAccount", "name": "web"}, {"kind": "Group", "name": "dev"}]);
    rbac.set("rolebindings", "dev", "b", Some(&binding("ClusterRole", "all", subjects)));
    let account = User::of("system:serviceaccount:dev:web", &[]);
    let member = User::of("joe", &["ops", "dev"]);
    let may = |user: &User, namespace: &str| rbac.decide(&request(user, "get", "pods", namespace, "x"));
    assert_eq!(
        may(&account, "dev").reason(),
        r#"RBAC: allowed by RoleBinding "b/dev" of ClusterRole "all" to ServiceAccount "web/dev""#
    );
    assert!(may(&member, "dev").allows());
    assert!(!may(&member, "other").allows() && !may(&member, "").allows());
    assert!(!may(&User::of("joe", &[]), "dev").allows());
    rbac.set("clusterroles", "", "all", None);
    assert_eq!(
        may(&member, "dev"),
        Decision::NoOpinion(r#"RBAC: clusterrole.rbac.authorization.k8s.io "all" not found"#.into())
    );
    rbac.set("rolebindings", "dev", "b", None);
    assert_eq!(may(&member, "dev"), Decision::NoOpinion(String::new()));
}

/// pkg/controller/clusterroleaggregation: also over a role that is itself aggregated.
#[test]
fn aggregated_roles_have_what_they_select() {
    let rbac = Rbac::default();
    let labelled =
        |label: &str, rules: Value| json!({"metadata": {"labels": {label: "true"}}, "rules": rules});
    let selecting = |label: &str, own: &str| {
        json!({"metadata": {"labels": {own: "true"}}, "rules": [],
               "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]}})
    };
    rbac.set("clusterroles", "", "admin", Some(&selecting("to-admin", "x")));
    rbac.set("clusterroles", "", "edit", Some(&selecting("to-edit", "to-admin")));
    rbac.set("clusterrolebindings", "", "b", Some(&binding("ClusterRole", "admin", user("jane"))));
    let jane = User::of("jane", &[]);
    let may = || rbac.decide(&request(&jane, "get", "things.example.com", "", "x")).allows();
    assert!(!may());
    let rules = json!([{"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"]}]);
    rbac.set("clusterroles", "", "crd-edit", Some(&labelled("to-edit", rules)));
    assert!(may());
    assert_eq!(rbac.aggregated("admin").unwrap().len(), 1);
    assert_eq!(rbac.aggregated("crd-edit"), None);
    rbac.set("clusterroles", "", "crd-edit", None);
    assert!(!may());
}

#[test]
fn refusals_have_upstreams_words() {
    let jane = User::of("jane", &[]);
    let text = |asked: &Attributes<'_>, reason: &str| refusal(asked, reason).message;
    assert_eq!(
        text(&request(&jane, "list", "pods", "default", ""), ""),
        r#"pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default""#
    );
    assert_eq!(
        text(&request(&jane, "patch", "deployments.apps/scale", "", "web"), "why"),
        "deployments.apps \"web\" is forbidden: User \"jane\" cannot patch resource \"deployments/scale\" in API \
         group \"apps\" at the cluster scope: why"
    );
    let path = Attributes { path: "/metrics", ..request(&jane, "get", "", "", "") };
    assert_eq!(text(&path, ""), r#"forbidden: User "jane" cannot get path "/metrics""#);
}

fn chain() -> Authorizer {
    let own = Authorizer::of("Node,RBAC").unwrap();
    let some = role(json!([
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]},
        {"verbs": ["create", "update"], "apiGroups": [GROUP], "resources": ["roles", "rolebindings", "clusterroles"]},
    ]));
    let much =
        role(json!([{"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["pods", "secrets"]}]));
    own.rbac.set("clusterroles", "", "some", Some(&some));
    own.rbac.set("clusterroles", "", "much", Some(&much));
    own.rbac.set("rolebindings", "dev", "b", Some(&binding("ClusterRole", "some", user("jane"))));
    own
}

fn change<'a>(user: &'a User, resource: &'a str, new: &'a Value, old: Option<&'a Value>) -> RoleChange<'a> {
    RoleChange { user, resource, namespace: "dev", name: "x", new, old }
}

/// pkg/registry/rbac/validation/rule_test.go and the policybased storages.
#[test]
fn nobody_grants_more_than_they_have() {
    let own = chain();
    let jane = User::of("jane", &["dev", "system:authenticated"]);
    let less = role(json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]));
    let more =
        role(json!([{"verbs": ["get", "delete"], "apiGroups": [""], "resources": ["pods", "secrets"]}]));
    own.may_change(&change(&jane, "roles", &less, None)).unwrap();
    let refused = own.may_change(&change(&jane, "roles", &more, None)).unwrap_err();
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.message,
        "roles.rbac.authorization.k8s.io \"x\" is forbidden: user \"jane\" (groups=[\"dev\" \
         \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}\n\
         {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"delete\"]}"
    );
    own.may_change(&change(&jane, "roles", &more, Some(&more))).unwrap();
    own.may_change(&change(&User::of("root", &["system:masters"]), "roles", &more, None)).unwrap();

    let to_some = binding("ClusterRole", "some", user("joe"));
    let to_much = binding("ClusterRole", "much", user("joe"));
    own.may_change(&change(&jane, "rolebindings", &to_some, None)).unwrap();
    assert!(own.may_change(&change(&jane, "rolebindings", &to_much, None)).is_err());
    let to_none = binding("Role", "none", user("joe"));
    let refused = own.may_change(&change(&jane, "rolebindings", &to_none, None)).unwrap_err();
    assert!(refused.message.ends_with(r#"role.rbac.authorization.k8s.io "none" not found"#));

    let verbs = role(json!([
        {"verbs": ["bind"], "apiGroups": [GROUP], "resources": ["clusterroles"], "resourceNames": ["much"]},
        {"verbs": ["escalate"], "apiGroups": [GROUP], "resources": ["roles"]},
    ]));
    own.rbac.set("roles", "dev", "verbs", Some(&verbs));
    own.rbac.set("rolebindings", "dev", "verbs", Some(&binding("Role", "verbs", user("jane"))));
    own.may_change(&change(&jane, "rolebindings", &to_much, None)).unwrap();
    own.may_change(&change(&jane, "roles", &more, None)).unwrap();
    let aggregating = json!({"aggregationRule": {"clusterRoleSelectors": []}});
    let refused = own.may_change(&change(&jane, "clusterroles", &aggregating, None)).unwrap_err();
    assert!(refused.message.ends_with("must have cluster-admin privileges to use the aggregationRule"));
}

/// pkg/registry/authorization: the four reviews.
#[test]
fn reviews_answer_what_a_request_would_be_told() {
    use crate::authz::*;
    let own = chain();
    let jane = User::of("jane", &[]);
    let attributes = |verb: &str| json!({"verb": verb, "resource": "pods", "namespace": "dev"});
    let asked = |verb: &str| json!({"spec": {"resourceAttributes": attributes(verb)}});
    let answer = self_subject_access_review(&own, &jane, &asked("list")).unwrap();
    assert_eq!(answer["status"]["allowed"], true);
    assert_eq!(
        self_subject_access_review(&own, &jane, &asked("delete")).unwrap()["status"],
        json!({"allowed": false})
    );
    let both = json!({"spec": {"resourceAttributes": attributes("get"), "nonResourceAttributes": {}}});
    for wrong in [json!({"spec": {}}), both] {
        assert_eq!(self_subject_access_review(&own, &jane, &wrong).unwrap_err().code, 422);
    }
    let of = |user: &str| json!({"spec": {"user": user, "resourceAttributes": attributes("get")}});
    assert_eq!(subject_access_review(&own, &of("jane")).unwrap()["status"]["allowed"], true);
    assert_eq!(subject_access_review(&own, &of("joe")).unwrap()["status"]["allowed"], false);
    assert!(subject_access_review(&own, &of("")).is_err());
    assert_eq!(local_subject_access_review(&own, "dev", &of("jane")).unwrap()["status"]["allowed"], true);
    assert_eq!(local_subject_access_review(&own, "other", &of("jane")).unwrap_err().code, 400);
    let rules = json!({"spec": {"namespace": "dev"}});
    let status = self_subject_rules_review(&own, &jane, &rules).unwrap()["status"].clone();
    assert_eq!(status["resourceRules"].as_array().unwrap().len(), 2);
    assert_eq!(status["incomplete"], false);
}

#[test]
fn chains_are_of_known_modes() {
    assert!(Authorizer::of("Webhook").unwrap_err().contains("not supported"));
    assert!(Authorizer::of("RBAC,RBAC").unwrap_err().contains("more than once"));
    let jane = User::of("jane", &[]);
    let asked = request(&jane, "get", "pods", "dev", "x");
    assert!(Authorizer::of("AlwaysAllow").unwrap().decide(&asked).allows());
    assert_eq!(Authorizer::of("AlwaysDeny").unwrap().decide(&asked).reason(), "Everything is forbidden.");
    let root = User::of("root", &["system:masters"]);
    let asked = request(&root, "get", "pods", "dev", "x");
    assert!(Authorizer::of("RBAC").unwrap().decide(&asked).allows());
}

/// A decision looks at the user's own bindings, not at all of them.
#[test]
fn of_a_thousand_bindings_one_is_looked_at() {
    let rbac = Rbac::default();
    let some = role(json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]));
    rbac.set("clusterroles", "", "r", Some(&some));
    for number in 0..1000 {
        let name = format!("b{number}");
        rbac.set(
            "clusterrolebindings",
            "",
            &name,
            Some(&binding("ClusterRole", "r", user(&format!("u{number}")))),
        );
    }
    let last = User::of("u999", &["system:authenticated"]);
    let asked = request(&last, "get", "pods", "default", "x");
    assert!(rbac.decide(&asked).allows());
    let state = rbac.0.read().unwrap();
    assert_eq!(state.bindings[""].of(&last).count(), 1, "others' bindings are not looked at");
}

/// One write: a binding (none: gone) of a role to subjects, in a namespace or the cluster.
type Op = (u8, u8, Option<(u8, Vec<(bool, u8)>)>);

/// Bindings by namespace and name: the role, and the subjects (whether a group, and which).
type Held = HashMap<(u8, u8), (u8, Vec<(bool, u8)>)>;

/// What the bindings allow, found by looking at each of them.
fn scanned(held: &Held, user: u8, groups: &[u8], verb: u8, within: u8) -> bool {
    held.iter().any(|((namespace, _), (role, subjects))| {
        let reaches = *namespace == 0 || *namespace == within;
        let bound = |(group, who): &(bool, u8)| if *group { groups.contains(who) } else { *who == user };
        reaches && *role == verb && subjects.iter().any(bound)
    })
}

proptest::proptest! {
    /// The index by subject says what a scan of all bindings says, whatever came and went.
    #[test]
    fn the_index_is_the_bindings(
        ops in proptest::collection::vec(
            (0u8..3, 0u8..4, proptest::option::of((0u8..3, proptest::collection::vec((proptest::bool::ANY, 0u8..4), 0..4)))),
            0..40,
        ),
        user in 0u8..4, groups in proptest::collection::vec(0u8..4, 0..3), verb in 0u8..3, within in 0u8..3,
    ) {
        let ops: Vec<Op> = ops;
        let rbac = Rbac::default();
        for number in 0..3 {
            let rules = json!([{"verbs": [format!("v{number}")], "apiGroups": ["*"], "resources": ["*"]}]);
            rbac.set("clusterroles", "", &format!("r{number}"), Some(&role(rules)));
        }
        let mut held = HashMap::new();
        let space = |number: u8| if number == 0 { String::new() } else { format!("ns{number}") };
        for (namespace, name, to) in ops {
            let object = to.as_ref().map(|(role, subjects)| {
                let subjects: Vec<Value> = subjects.iter().map(|(group, who)| {
                    let kind = if *group { "Group" } else { "User" };
                    json!({"kind": kind, "name": format!("w{who}")})
                }).collect();
                binding("ClusterRole", &format!("r{role}"), subjects.into())
            });
            let resource = if namespace == 0 { "clusterrolebindings" } else { "rolebindings" };
            rbac.set(resource, &space(namespace), &format!("b{name}"), object.as_ref());
            match to {
                Some(to) => drop(held.insert((namespace, name), to)),
                None => drop(held.remove(&(namespace, name))),
            }
        }
        let names: Vec<String> = groups.iter().map(|group| format!("w{group}")).collect();
        let who = User { name: format!("w{user}"), groups: names, ..User::default() };
        let (verb_name, namespace) = (format!("v{verb}"), space(within));
        let asked = request(&who, &verb_name, "things", &namespace, "x");
        proptest::prop_assert_eq!(rbac.decide(&asked).allows(), scanned(&held, user, &groups, verb, within));
    }
}
