use super::*;
use serde_json::json;

#[derive(Default)]
struct Objects(Vec<(&'static str, &'static str, Value)>);

impl Lookup for Objects {
    fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.all(resource, namespace).into_iter().find(|one| one["metadata"]["name"] == name)
    }
}

impl Cluster for Objects {
    fn all(&self, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let own = self.0.iter().filter(|(one, within, _)| *one == resource && *within == namespace);
        own.map(|(_, _, object)| Arc::new(object.clone())).collect()
    }
}

impl Objects {
    fn with(mut self, resource: &'static str, namespace: &'static str, object: Value) -> Objects {
        self.0.push((resource, namespace, object));
        self
    }
}

fn of<'a>(user: &'a User, resource: &'a str, old: Option<&'a Value>) -> Write<'a> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
    Write { user, group, resource, subresource, namespace: "default", old }
}

fn admit(resource: &str, mut object: Value, old: Option<&Value>, objects: &Objects) -> Result<Value, String> {
    let (user, authorizer) = (User::of("jane", &[]), Authorizer::of("RBAC")?);
    let write = of(&user, resource, old);
    mutate(&write, &mut object, objects).map_err(|e| e.message)?;
    check(&write, &object, objects, &authorizer).map_err(|e| e.message)?;
    Ok(object)
}

fn accounts() -> Objects {
    Objects::default().with("serviceaccounts", "default", json!({"metadata": {"name": "default"}})).with(
        "serviceaccounts",
        "default",
        json!({"metadata": {"name": "bare"}, "automountServiceAccountToken": false,
               "imagePullSecrets": [{"name": "pull"}]}),
    )
}

fn pod() -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}})
}

/// plugin/pkg/admission/serviceaccount/admission_test.go.
#[test]
fn a_pod_gets_its_account_and_token() {
    let new = admit("pods", pod(), None, &accounts()).unwrap();
    let spec = &new["spec"];
    assert_eq!(
        (&spec["serviceAccountName"], &spec["serviceAccount"]),
        (&json!("default"), &json!("default"))
    );
    let volume = &spec["volumes"][0];
    let name = volume["name"].as_str().unwrap();
    assert!(name.starts_with("kube-api-access-") && name.len() == 21, "{name}");
    assert_eq!(volume["projected"]["defaultMode"], 420);
    assert_eq!(
        volume["projected"]["sources"][0]["serviceAccountToken"],
        json!({"expirationSeconds": 3607, "path": "token"})
    );
    let mount =
        json!({"name": name, "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"});
    assert_eq!(spec["containers"][0]["volumeMounts"], json!([mount]));

    let mut own = pod();
    own["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "v", "mountPath": mount["mountPath"]}]);
    assert!(admit("pods", own, None, &accounts()).unwrap()["spec"]["volumes"].is_null());
    let mut bare = pod();
    bare["spec"]["serviceAccountName"] = "bare".into();
    let new = admit("pods", bare.clone(), None, &accounts()).unwrap();
    assert!(new["spec"]["volumes"].is_null());
    assert_eq!(new["spec"]["imagePullSecrets"], json!([{"name": "pull"}]));
    bare["spec"]["automountServiceAccountToken"] = true.into();
    assert!(!admit("pods", bare, None, &accounts()).unwrap()["spec"]["volumes"].is_null());
    let mut other = pod();
    other["spec"]["serviceAccountName"] = "other".into();
    assert_eq!(
        admit("pods", other, None, &accounts()).unwrap_err(),
        "pods \"p\" is forbidden: error looking up service account default/other: serviceaccount \"other\" not found"
    );
    let mut mirror = pod();
    mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"] = "1".into();
    assert!(
        admit("pods", mirror.clone(), None, &accounts()).unwrap()["spec"]["serviceAccountName"].is_null()
    );
    mirror["spec"]["serviceAccountName"] = "default".into();
    assert!(
        admit("pods", mirror, None, &accounts()).unwrap_err().contains("may not reference service accounts")
    );
}

/// plugin/pkg/admission/priority/admission_test.go.
#[test]
fn a_pod_gets_its_classes_number() {
    let class = |name: &str, value: i64, default: bool| json!({"metadata": {"name": name}, "value": value, "globalDefault": default});
    let new = admit("pods", pod(), None, &accounts()).unwrap();
    assert_eq!(
        (&new["spec"]["priority"], &new["spec"]["preemptionPolicy"]),
        (&json!(0), &json!("PreemptLowerPriority"))
    );
    let objects = accounts().with("priorityclasses", "", class("high", 1000, false)).with(
        "priorityclasses",
        "",
        class("usual", 5, true),
    );
    let new = admit("pods", pod(), None, &objects).unwrap();
    assert_eq!((&new["spec"]["priority"], &new["spec"]["priorityClassName"]), (&json!(5), &json!("usual")));
    let mut high = pod();
    high["spec"]["priorityClassName"] = "high".into();
    assert_eq!(admit("pods", high.clone(), None, &objects).unwrap()["spec"]["priority"], 1000);
    high["spec"]["priority"] = 7.into();
    assert!(admit("pods", high.clone(), None, &objects).unwrap_err().contains("computed 1000 from"));
    high["spec"]["priorityClassName"] = "none".into();
    assert!(
        admit("pods", high, None, &objects)
            .unwrap_err()
            .ends_with("no PriorityClass with name none was found")
    );
    let classes = "priorityclasses.scheduling.k8s.io";
    assert!(
        admit(classes, class("other", 1, true), None, &objects)
            .unwrap_err()
            .contains("usual is already marked")
    );
    admit(classes, class("usual", 5, true), Some(&class("usual", 5, true)), &objects).unwrap();
}

fn limited(limits: Value) -> Objects {
    accounts().with("limitranges", "default", json!({"metadata": {"name": "l"}, "spec": {"limits": limits}}))
}

fn asking(resources: Value) -> Value {
    json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": resources}]}})
}

/// plugin/pkg/admission/limitranger/admission_test.go: TestMergePodResourceRequirements.
#[test]
fn limit_ranges_fill_in_what_is_not_said() {
    let objects = limited(json!([{"type": "Container", "default": {"cpu": "50m", "memory": "5Mi"},
                                  "defaultRequest": {"cpu": "10m"}}]));
    let new = admit("pods", asking(json!({"limits": {"cpu": "1"}})), None, &objects).unwrap();
    assert_eq!(
        new["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "1", "memory": "5Mi"}, "requests": {"cpu": "10m"}})
    );
    assert_eq!(
        new["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; memory limit for container c"
    );
}

/// TestPodLimitFunc, TestPersistentVolumeClaimLimitFunc.
#[test]
fn limit_ranges_are_kept() {
    let refused = |limits: Value, resources: Value| {
        let text =
            admit("pods", asking(resources), None, &limited(limits)).map_or_else(|e| e, |_| String::new());
        text.trim_start_matches("pods \"p\" is forbidden: ").to_owned()
    };
    let min = json!([{"type": "Container", "min": {"memory": "50Mi"}}]);
    assert_eq!(
        refused(min.clone(), json!({})),
        "minimum memory usage per Container is 50Mi.  No request is specified"
    );
    assert_eq!(
        refused(min.clone(), json!({"requests": {"memory": "40Mi"}})),
        "minimum memory usage per Container is 50Mi, but request is 40Mi"
    );
    assert_eq!(refused(min, json!({"requests": {"memory": "60Mi"}})), "");
    let max = json!([{"type": "Container", "max": {"cpu": "1"}}, {"type": "Pod", "max": {"cpu": "500m"}}]);
    assert_eq!(
        refused(max, json!({"requests": {"cpu": "2"}, "limits": {"cpu": "2"}})),
        "[maximum cpu usage per Container is 1, but limit is 2, maximum cpu usage per Pod is 500m, but limit is 2]"
    );
    let ratio = json!([{"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}]);
    assert_eq!(
        refused(ratio.clone(), json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "300m"}})),
        "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000"
    );
    assert_eq!(refused(ratio, json!({"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}})), "");
    let storage = limited(json!([{"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}}]));
    let claim = |size: &str| json!({"metadata": {"name": "c"}, "spec": {"resources": {"requests": {"storage": size}}}});
    assert!(admit("persistentvolumeclaims", claim("1Gi"), None, &storage).is_ok());
    assert_eq!(
        admit("persistentvolumeclaims", claim("2Gi"), None, &storage).unwrap_err(),
        "persistentvolumeclaims \"c\" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but \
         request is 2Gi"
    );
}

/// component-helpers/resource/helpers_test.go: sidecars run beside what comes after them.
#[test]
fn a_pod_asks_for_what_runs_at_once() {
    let container = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
    let mut sidecar = container("1");
    sidecar["restartPolicy"] = "Always".into();
    let pod = json!({"spec": {"containers": [container("1"), container("1")], "overhead": {"cpu": "500m"},
                              "initContainers": [container("3"), sidecar, container("4")]}});
    assert_eq!(pod_resources::of_pod(&pod, "requests")["cpu"].to_string(), "5500m");
}

#[test]
fn who_asks_for_no_class_gets_the_newest_default() {
    let class = |name: &str, time: &str, default: bool| {
        json!({"metadata": {"name": name, "creationTimestamp": time, "annotations": {
            "storageclass.kubernetes.io/is-default-class": default.to_string(),
            "ingressclass.kubernetes.io/is-default-class": default.to_string()}}})
    };
    let mut objects = Objects::default();
    for kind in ["storageclasses", "ingressclasses"] {
        objects = objects
            .with(kind, "", class("old", "2024-01-01T00:00:00Z", true))
            .with(kind, "", class("new", "2025-01-01T00:00:00Z", true))
            .with(kind, "", class("none", "2026-01-01T00:00:00Z", false));
    }
    let new = admit("persistentvolumeclaims", json!({"spec": {}}), None, &objects).unwrap();
    assert_eq!(new["spec"]["storageClassName"], "new");
    let told =
        admit("persistentvolumeclaims", json!({"spec": {"storageClassName": ""}}), None, &objects).unwrap();
    assert_eq!(told["spec"]["storageClassName"], "");
    let new = admit("ingresses.networking.k8s.io", json!({"spec": {}}), None, &objects).unwrap();
    assert_eq!(new["spec"]["ingressClassName"], "new");
}

#[test]
fn claims_grow_where_their_class_lets_them() {
    let claim = |size: &str, phase: &str| {
        json!({"metadata": {"name": "c"}, "status": {"phase": phase},
               "spec": {"storageClassName": "s", "resources": {"requests": {"storage": size}}}})
    };
    let grow = |phase: &str, class: Value| {
        let objects = Objects::default().with("storageclasses", "", class);
        admit("persistentvolumeclaims", claim("2Gi", phase), Some(&claim("1Gi", phase)), &objects)
    };
    let class = |grows: bool| json!({"metadata": {"name": "s"}, "allowVolumeExpansion": grows});
    assert!(grow("Bound", class(true)).is_ok());
    assert!(grow("Bound", class(false)).unwrap_err().contains("must support resize"));
    assert!(grow("Pending", class(true)).unwrap_err().contains("Only bound"));
}

#[test]
fn nodes_are_tainted_and_pods_tolerate_a_while() {
    let new =
        admit("nodes", json!({"metadata": {"name": "n"}, "spec": {}}), None, &Objects::default()).unwrap();
    assert_eq!(
        new["spec"]["taints"],
        json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}])
    );
    let new = admit("pods", pod(), None, &accounts()).unwrap();
    assert_eq!(new["spec"]["tolerations"].as_array().unwrap().len(), 2);
    let mut all = pod();
    all["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    assert_eq!(
        admit("pods", all, None, &accounts()).unwrap()["spec"]["tolerations"].as_array().unwrap().len(),
        1
    );
}

/// plugin/pkg/admission/certificates.
#[test]
fn signers_have_their_approvers_and_nobody_becomes_a_master() {
    let (jane, authorizer) = (User::of("jane", &[]), Authorizer::of("RBAC").unwrap());
    let rules = json!({"rules": [{"verbs": ["approve"], "apiGroups": ["certificates.k8s.io"], "resources": ["signers"],
                                  "resourceNames": ["example.com/*"]}]});
    let bound = json!({"roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "User", "name": "jane"}]});
    authorizer.set("clusterroles", "", "r", Some(&rules));
    authorizer.set("clusterrolebindings", "", "b", Some(&bound));
    let request = |signer: &str| json!({"metadata": {"name": "r"}, "spec": {"signerName": signer}});
    let may = |subresource: &str, signer: &str, new: Value| {
        let (old, resource) =
            (request(signer), format!("certificatesigningrequests.certificates.k8s.io/{subresource}"));
        check(&of(&jane, &resource, Some(&old)), &new, &Objects::default(), &authorizer)
            .map_err(|e| e.message)
    };
    // `of` takes the group before the subresource.
    may("approval", "example.com/x", request("example.com/x")).unwrap();
    assert!(
        may("approval", "kubernetes.io/x", request("kubernetes.io/x"))
            .unwrap_err()
            .ends_with("user not permitted to approve requests with signerName \"kubernetes.io/x\"")
    );
    may("status", "example.com/x", request("example.com/x")).unwrap();
    let mut signed = request("example.com/x");
    signed["status"]["certificate"] = "x".into();
    assert!(may("status", "example.com/x", signed).unwrap_err().contains("not permitted to sign"));

    let asked = |group: &str| {
        use base64::prelude::{BASE64_STANDARD, Engine};
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::OrganizationName, group);
        let pem = params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        let mut new = request("kubernetes.io/kube-apiserver-client");
        new["spec"]["request"] = BASE64_STANDARD.encode(pem).into();
        admit("certificatesigningrequests.certificates.k8s.io", new, None, &Objects::default())
    };
    asked("dev").unwrap();
    assert!(asked("system:masters").unwrap_err().ends_with(
        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed"
    ));
}

/// A value of any shape.
fn anything() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let keys = "metadata|annotations|spec|containers|initContainers|resources|requests|limits|volumes|tolerations|name";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        "[a-z]{0,3}".prop_map(Value::from)
    ];
    leaf.prop_recursive(6, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::vec((keys, inner), 0..5)
                .prop_map(|all| Value::Object(all.into_iter().collect())),
        ]
    })
}

proptest::proptest! {
    #[test]
    fn no_shape_panics(object in anything(), spec in anything(), containers in anything()) {
        let objects = limited(json!([{"type": "Container", "default": {"cpu": "1"}, "min": {"cpu": "1"}}]));
        for resource in ["pods", "nodes", "persistentvolumeclaims", "ingresses.networking.k8s.io"] {
            drop(admit(resource, object.clone(), None, &objects));
            drop(admit(resource, json!({"spec": spec}), None, &objects));
            drop(admit(resource, json!({"spec": {"containers": containers}}), Some(&object), &objects));
            drop(admit(resource, json!({"spec": {"containers": [containers]}}), None, &objects));
        }
    }
}
