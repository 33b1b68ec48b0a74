//! What the controllers do for a cluster, as kubectl sees it: `weft apiserver` alone.

#![allow(clippy::unwrap_used)]

use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use weft_tests::apiserver::{Apiserver, State};

/// The kubectl of this year.
const VERSION: &str = "1.37";
/// What has not come true by then does not.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the collector is given to do what it must not.
const CALM: Duration = Duration::from_millis(1_500);

struct Cluster(Apiserver);

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Cluster {
    fn start() -> Cluster {
        Cluster(Apiserver::start(State::Within, &[]))
    }

    /// What kubectl says; words are split at spaces.
    fn kubectl(&self, words: &str) -> String {
        let output = self.0.kubectl(VERSION, &words.split(' ').collect::<Vec<_>>(), "");
        assert!(output.status.success(), "kubectl {words}: {}", String::from_utf8_lossy(&output.stderr));
        said(&output)
    }

    fn apply(&self, manifest: &str) {
        let output = self.0.kubectl(VERSION, &["create", "-f", "-"], manifest);
        assert!(output.status.success(), "{manifest}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn is_there(&self, words: &str) -> bool {
        let words: Vec<&str> = ["get", "-o", "name"].into_iter().chain(words.split(' ')).collect();
        self.0.kubectl(VERSION, &words, "").status.success()
    }

    fn gone(&self, words: &str) {
        until(&format!("{words} is gone"), || !self.is_there(words));
    }

    fn uid(&self, words: &str) -> String {
        self.kubectl(&format!("get {words} -o jsonpath={{.metadata.uid}}"))
    }

    /// A config map whose owners are these config maps: name, uid, whether it blocks its owner.
    fn config_map(&self, namespace: &str, name: &str, owners: &[(&str, &str, bool)], more: &str) -> String {
        let owners: Vec<String> = owners
            .iter()
            .map(|(name, uid, blocks)| {
                format!(
                    "{{apiVersion: v1, kind: ConfigMap, name: {name}, uid: {uid}, blockOwnerDeletion: {blocks}}}"
                )
            })
            .collect();
        self.apply(&format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {namespace}, \
             ownerReferences: [{}]{more}}}}}",
            owners.join(", ")
        ));
        self.uid(&format!("cm {name} -n {namespace}"))
    }
}

fn until(what: &str, check: impl Fn() -> bool) {
    let start = Instant::now();
    while !check() {
        assert!(start.elapsed() < PATIENCE, "not so after {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(50));
    }
}

/// `pkg/controller/serviceaccount`, `rootcacertpublisher`: in each namespace, made again, put right.
#[test]
fn the_default_account_and_the_ca_come_back() {
    let cluster = Cluster::start();
    cluster.kubectl("create ns a");
    let both = || cluster.is_there("sa default -n a") && cluster.is_there("cm kube-root-ca.crt -n a");
    until("both are there", both);
    let data = "get cm kube-root-ca.crt -n a -o jsonpath={.data}";
    let right = cluster.kubectl(data);
    assert!(right.contains("BEGIN CERTIFICATE"), "{right}");
    cluster.kubectl("delete sa default -n a");
    cluster.kubectl("delete cm kube-root-ca.crt -n a");
    until("both are there again", both);
    cluster.kubectl(r#"patch cm kube-root-ca.crt -n a --type=merge -p {"data":{"ca.crt":"x","y":"z"}}"#);
    until("the data is right again", || cluster.kubectl(data) == right);
}

/// `pkg/controller/namespace/deletion`: all goes, what waits for a finalizer is told by conditions.
#[test]
fn a_namespace_ends_with_all_that_is_in_it() {
    let cluster = Cluster::start();
    cluster.kubectl("create ns a");
    until("pods may be made", || cluster.is_there("sa default -n a"));
    cluster.kubectl("create deployment web --image=x -n a");
    cluster.kubectl("create service clusterip web --tcp=80 -n a");
    cluster.kubectl("run one --image=x -n a");
    cluster.config_map("a", "held", &[], ", finalizers: [example.com/hold]");
    cluster.kubectl("delete ns a --wait=false");
    let condition = |kind: &str, field: &str| {
        cluster
            .kubectl(&format!("get ns a -o jsonpath={{.status.conditions[?(@.type==\"{kind}\")].{field}}}"))
    };
    until("a condition tells the finalizer", || {
        condition("NamespaceFinalizersRemaining", "message")
            == "Some finalizers are remaining: example.com/hold in 1 resource instances"
    });
    assert_eq!(
        condition("NamespaceContentRemaining", "message"),
        "Some resources are remaining: configmaps. has 1 resource instances"
    );
    assert_eq!(condition("NamespaceDeletionContentFailure", "status"), "False");
    assert_eq!(cluster.kubectl("get ns a -o jsonpath={.status.phase}"), "Terminating");
    for gone in ["deploy web -n a", "svc web -n a", "pod one -n a", "sa default -n a"] {
        assert!(!cluster.is_there(gone), "{gone} is still there");
    }
    cluster.kubectl("patch cm held -n a --type=merge -p {\"metadata\":{\"finalizers\":null}}");
    cluster.gone("ns a");
    // Nothing of it is left: a namespace of that name begins empty.
    cluster.kubectl("create ns a");
    until("the account is there", || cluster.is_there("sa default -n a"));
    assert!(!cluster.is_there("cm held -n a"));
}

/// `--cascade=background`: the owner goes at once, its dependents, and theirs, after it.
#[test]
fn dependents_go_after_their_owner() {
    let cluster = Cluster::start();
    let owner = cluster.config_map("default", "owner", &[], "");
    let child = cluster.config_map("default", "child", &[("owner", &owner, true)], "");
    cluster.config_map("default", "grandchild", &[("child", &child, true)], "");
    sleep(CALM);
    assert!(cluster.is_there("cm grandchild"));
    cluster.kubectl("delete cm owner --cascade=background");
    cluster.gone("cm child");
    cluster.gone("cm grandchild");
}

/// `--cascade=foreground`: an owner waits for the dependents that block it, and for no others.
#[test]
fn dependents_go_before_their_owner() {
    let cluster = Cluster::start();
    let owner = cluster.config_map("default", "owner", &[], "");
    let child = cluster.config_map("default", "child", &[("owner", &owner, true)], "");
    let held = ", finalizers: [example.com/hold]";
    cluster.config_map("default", "grandchild", &[("child", &child, true)], held);
    cluster.config_map("default", "careless", &[("owner", &owner, false)], held);
    cluster.kubectl("delete cm owner --cascade=foreground --wait=false");
    let going = |name: &str| {
        !cluster.kubectl(&format!("get cm {name} -o jsonpath={{.metadata.deletionTimestamp}}")).is_empty()
    };
    until("all go", || ["owner", "child", "grandchild", "careless"].iter().all(|name| going(name)));
    assert_eq!(
        cluster.kubectl("get cm child -o jsonpath={.metadata.finalizers}"),
        r#"["foregroundDeletion"]"#
    );
    sleep(CALM);
    assert!(cluster.is_there("cm owner") && cluster.is_there("cm child"));
    cluster.kubectl("patch cm grandchild --type=merge -p {\"metadata\":{\"finalizers\":null}}");
    ["grandchild", "child", "owner"].iter().for_each(|name| cluster.gone(&format!("cm {name}")));
    assert!(cluster.is_there("cm careless"));
}

/// `--cascade=orphan`: dependents stay, and name the owner no more.
#[test]
fn dependents_stay() {
    let cluster = Cluster::start();
    let owner = cluster.config_map("default", "owner", &[], "");
    let other = cluster.config_map("default", "other", &[], "");
    cluster.config_map("default", "child", &[("owner", &owner, true), ("other", &other, false)], "");
    cluster.config_map("default", "only", &[("owner", &owner, true)], "");
    cluster.kubectl("delete cm owner --cascade=orphan");
    cluster.gone("cm owner");
    let owners = |name: &str| {
        cluster.kubectl(&format!("get cm {name} -o jsonpath={{.metadata.ownerReferences[*].name}}"))
    };
    assert_eq!((owners("child").as_str(), owners("only").as_str()), ("other", ""));
    sleep(CALM);
    assert!(cluster.is_there("cm child") && cluster.is_there("cm only"));
}

/// An owner that never was, one that is elsewhere, one of two that is not: `isDangling`, `OwnerRefInvalidNamespace`.
#[test]
fn an_owner_that_is_not_there_counts_for_nothing() {
    let cluster = Cluster::start();
    let owner = cluster.config_map("default", "owner", &[], "");
    let create = |name: &str, namespace: &str, owners: &str| {
        cluster.apply(&format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: {namespace}, ownerReferences: \
             [{owners}]}}}}"
        ));
    };
    let reference =
        |name: &str, uid: &str| format!("{{apiVersion: v1, kind: ConfigMap, name: {name}, uid: {uid}}}");
    let nobody = "00000000-0000-0000-0000-000000000001";
    create("absent", "default", &reference("nobody", nobody));
    // The name is there, and is another object.
    create("replaced", "default", &reference("owner", nobody));
    create("elsewhere", "kube-public", &reference("owner", &owner));
    create("half", "default", &format!("{}, {}", reference("owner", &owner), reference("nobody", nobody)));
    create(
        "unknown",
        "default",
        &format!("{{apiVersion: example.com/v1, kind: Thing, name: x, uid: {nobody}}}"),
    );
    for gone in ["cm absent", "cm replaced", "cm elsewhere -n kube-public"] {
        cluster.gone(gone);
    }
    let event = "get events -n kube-public -o jsonpath={.items[*].reason}";
    until("an event tells", || cluster.kubectl(event) == "OwnerRefInvalidNamespace");
    let owners = "get cm half -o jsonpath={.metadata.ownerReferences[*].name}";
    until("the absent one of two is taken away", || cluster.kubectl(owners) == "owner");
    // What nobody knows is not known to be absent.
    assert!(cluster.is_there("cm unknown") && cluster.is_there("cm owner"));
}

/// What was lost while no collector ran is found at the next start.
#[test]
fn a_restart_forgets_nothing() {
    let mut cluster = Cluster(Apiserver::start(State::Within, &["--controllers", ""]));
    let owner = cluster.config_map("default", "owner", &[], "");
    cluster.config_map("default", "child", &[("owner", &owner, true)], "");
    cluster.kubectl("create ns a");
    cluster.kubectl("delete ns a --wait=false");
    cluster.kubectl("delete cm owner");
    sleep(CALM);
    assert!(cluster.is_there("cm child") && cluster.is_there("ns a") && !cluster.is_there("sa default"));
    cluster.0.kill();
    cluster.0.set_flags(&[]);
    cluster.0.restart();
    cluster.gone("cm child");
    cluster.gone("ns a");
    until("the account is there", || cluster.is_there("sa default"));
}

/// `clusterroleaggregation`: a labelled role's rules are in the aggregated roles, and go with it.
#[test]
fn aggregated_roles_have_the_rules_of_others() {
    let cluster = Cluster::start();
    let has = |role: &str| {
        cluster
            .kubectl(&format!("get clusterrole {role} -o jsonpath={{.rules[*].resources}}"))
            .contains("crontabs")
    };
    cluster.kubectl("create clusterrole crontabs --verb=get,list --resource=pods");
    cluster.kubectl(
        r#"patch clusterrole crontabs --type=merge -p {"rules":[{"apiGroups":["x.io"],"resources":["crontabs"],"verbs":["get"]}]}"#,
    );
    assert!(!has("view"));
    cluster.kubectl("label clusterrole crontabs rbac.authorization.k8s.io/aggregate-to-view=true");
    // view is part of edit, and edit of admin.
    until("view, edit and admin have it", || has("view") && has("edit") && has("admin"));
    cluster.kubectl("label clusterrole crontabs rbac.authorization.k8s.io/aggregate-to-view-");
    until("they have it no more", || !has("view") && !has("edit") && !has("admin"));
}

/// `certificatesigningrequest-signing-controller`: approved is signed, denied is not, against the rules has failed.
#[test]
fn approved_requests_are_signed() {
    let cluster = Cluster::start();
    let request = |name: &str, usage: &str| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, "jane");
        let key = rcgen::KeyPair::generate().unwrap();
        let path = cluster.0.dir().join(format!("{name}.pem"));
        std::fs::write(&path, params.serialize_request(&key).unwrap().pem().unwrap()).unwrap();
        let text = Command::new("base64").arg("-w0").arg(&path).output().unwrap();
        cluster.apply(&format!(
            "{{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {{name: {name}}}, spec: \
             {{request: {}, signerName: kubernetes.io/kube-apiserver-client, usages: [{usage}]}}}}",
            said(&text)
        ));
    };
    let certificate =
        |name: &str| cluster.kubectl(&format!("get csr {name} -o jsonpath={{.status.certificate}}"));
    ["good", "denied"].iter().for_each(|name| request(name, "client auth"));
    request("wrong", "server auth");
    cluster.kubectl("certificate deny denied");
    cluster.kubectl("certificate approve good wrong");
    until("it is signed", || !certificate("good").is_empty());
    let failed = "get csr wrong -o jsonpath={.status.conditions[?(@.type==\"Failed\")].reason}";
    until("it has failed", || cluster.kubectl(failed) == "SignerValidationFailure");
    assert!(certificate("denied").is_empty() && certificate("wrong").is_empty());
}

/// `weft controller-manager`: the same controllers, over TLS, for any API server.
#[test]
fn the_controllers_on_their_own() {
    let cluster = Cluster(Apiserver::start(State::Within, &["--controllers", ""]));
    let start = |controllers: &str| {
        let mut command = Command::new(weft_tests::weft());
        command.arg("controller-manager").arg("--kubeconfig").arg(cluster.0.kubeconfig());
        command.args(["--controllers", controllers]).stdout(Stdio::null()).stderr(Stdio::null());
        Killed(command.spawn().unwrap())
    };
    let some = start("*,-serviceaccount-controller");
    until("the CA is there", || cluster.is_there("cm kube-root-ca.crt"));
    let account = || cluster.is_there("sa default");
    assert!(!account());
    let owner = cluster.config_map("default", "owner", &[], "");
    cluster.config_map("default", "child", &[("owner", &owner, true)], "");
    cluster.kubectl("delete cm owner");
    cluster.gone("cm child");
    cluster.kubectl("create ns a");
    cluster.kubectl("delete ns a");
    // Another one waits for the lease, and has it when it is given back.
    let _all = start("*");
    sleep(CALM);
    assert!(!account());
    drop(some);
    until("the second one is at work", account);
}

/// `bootstrap-signer-controller`, `token-cleaner-controller`: a token signs cluster-info until it runs out.
#[test]
fn a_bootstrap_token_signs_until_it_runs_out() {
    let cluster = Cluster(Apiserver::start(
        State::Within,
        &["--controllers", "*,bootstrapsigner,token-cleaner-controller"],
    ));
    cluster.kubectl("create cm cluster-info -n kube-public --from-literal=kubeconfig=x");
    let date = Command::new("date").args(["-u", "-d", "+6 seconds", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Secret, type: bootstrap.kubernetes.io/token, metadata: {{name: bootstrap-token-abcdef, \
         namespace: kube-system}}, stringData: {{token-id: abcdef, token-secret: 0123456789abcdef, \
         usage-bootstrap-signing: 'true', expiration: '{}'}}}}",
        said(&date)
    ));
    let signature =
        || cluster.kubectl("get cm cluster-info -n kube-public -o jsonpath={.data.jws-kubeconfig-abcdef}");
    // Header and detached signature; the header is fixed to the byte.
    until("it is signed", || signature().starts_with("eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9.."));
    cluster.gone("secret bootstrap-token-abcdef -n kube-system");
    until("the signature is gone", || signature().is_empty());
}

/// A process that ends with its handle: by SIGTERM, so that it gives back what it holds.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let pid = self.0.id().to_string();
        drop(Command::new("kill").arg(pid).status());
        drop(self.0.wait());
    }
}

#[test]
fn componentstatuses_know_the_controllers() {
    let cluster = Cluster::start();
    let health = "get cs controller-manager -o jsonpath={.conditions[0].status}";
    until("the lease is held", || cluster.kubectl(health) == "True");
}
