//! The walk's steps. `NS` is the walk's namespace, `DIR` a folder; a `_` within a word is a space, two are one `_`. In
//! the input `UID(deploy/web)` is an object's uid.

/// A call of kubectl.
pub struct Step {
    /// The words behind `kubectl -n NS`.
    pub words: &'static str,
    /// What is on standard input.
    pub input: &'static str,
    /// What it has to say.
    pub says: Says,
    /// From which minor version on kubectl has it.
    pub since: u32,
    /// Whether it waits for a controller, and is tried again.
    pub waits: bool,
}

/// What a step has to say.
#[derive(Debug)]
pub enum Says {
    /// It succeeds, and says all of this on standard output.
    All(&'static [&'static str]),
    /// It fails, and says this on standard error.
    Fails(&'static str),
}

const fn step(words: &'static str, parts: &'static [&'static str]) -> Step {
    Step { words, input: "", says: Says::All(parts), since: 0, waits: false }
}

const fn with(words: &'static str, input: &'static str, parts: &'static [&'static str]) -> Step {
    Step { words, input, says: Says::All(parts), since: 0, waits: false }
}

const fn waits(words: &'static str, parts: &'static [&'static str]) -> Step {
    Step { words, input: "", says: Says::All(parts), since: 0, waits: true }
}

const fn fails(words: &'static str, input: &'static str, part: &'static str) -> Step {
    Step { words, input, says: Says::Fails(part), since: 0, waits: false }
}

const fn since(since: u32, step: Step) -> Step {
    Step { since, ..step }
}

const SERVICE: &str = "---\n{apiVersion: v1, kind: Service, metadata: {name: applied, labels: {a: b}}, spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}";
const SERVICE_CHANGED: &str = "---\n{apiVersion: v1, kind: Service, metadata: {name: applied, labels: {a: c}}, spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080, name: http}, {port: 443, name: https}]}}";
const UNKNOWN_FIELD: &str =
    "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: strict}, data: {a: b}, dato: {c: d}}";
const POD: &str = "---\n{apiVersion: v1, kind: Pod, metadata: {name: one, labels: {app: one}}, spec: {containers: [{name: c, image: busybox, command: [sleep, '60']}]}}";
const BAD_POD: &str = "---\n{apiVersion: v1, kind: Pod, metadata: {name: bad}, spec: {containers: []}}";
const JOB: &str = "---\n{apiVersion: batch/v1, kind: Job, metadata: {generateName: job-}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: busybox}]}}}}";
const REQUEST: &str = "---\n{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: NS}, spec: {request: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIeE1JR1pBZ0VBTURjeEZUQVRCZ05WQkFvTURITjVjM1JsYlRwdWIyUmxjekVlTUJ3R0ExVUVBd3dWYzNsegpkR1Z0T201dlpHVTZhemh6TFc1dlpHVXhNRmt3RXdZSEtvWkl6ajBDQVFZSUtvWkl6ajBEQVFjRFFnQUVmY3pvCmd5ZGRXNzl5TEVuNzRIejgrU0swSExmWE9XWUkxWUJvYXVJdFBLZlJ0Y0ZLaGo3ZU9BdzlvOG1nSk5CQkVLN2gKL0lTZDJXbFB2a05LQVFtVWhhQUFNQW9HQ0NxR1NNNDlCQU1DQTBjQU1FUUNJSGxDbVFJc1U3dnJ3cjFmYkdJYgo2czJpWjBXUUtPd25iUjR0VlpSSytFbGlBaUFnMm1pQ1N3NTFZSkJCY2UrVWJNN2lvVEhZcFpGdHFSd3dJeUt6CnJqMFpuZz09Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=, signerName: example.com/own, usages: [client auth]}}";

// What the controllers keep of earlier revisions, which nobody does here.
const UNDONE: &str = r#"---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: undone, annotations: {deployment.kubernetes.io/revision: "2"}}, spec: {selector: {matchLabels: {app: undone}}, template: {metadata: {labels: {app: undone}}, spec: {containers: [{name: c, image: "nginx:2"}]}}}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: undone}, spec: {selector: {matchLabels: {app: undone}}, template: {metadata: {labels: {app: undone}}, spec: {containers: [{name: c, image: "nginx:2"}]}}}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: undone}, spec: {serviceName: undone, selector: {matchLabels: {app: undone}}, template: {metadata: {labels: {app: undone}}, spec: {containers: [{name: c, image: "nginx:2"}]}}}}
"#;
const REVISIONS: &str = r#"---
{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: undone-1, labels: {app: undone, pod-template-hash: "1"}, annotations: {deployment.kubernetes.io/revision: "1"}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: undone, uid: UID(deployment/undone), controller: true}]}, spec: {replicas: 0, selector: {matchLabels: {app: undone, pod-template-hash: "1"}}, template: {metadata: {labels: {app: undone, pod-template-hash: "1"}}, spec: {containers: [{name: c, image: "nginx:1"}]}}}}
---
{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: undone-2, labels: {app: undone, pod-template-hash: "2"}, annotations: {deployment.kubernetes.io/revision: "2"}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: undone, uid: UID(deployment/undone), controller: true}]}, spec: {selector: {matchLabels: {app: undone, pod-template-hash: "2"}}, template: {metadata: {labels: {app: undone, pod-template-hash: "2"}}, spec: {containers: [{name: c, image: "nginx:2"}]}}}}
---
{apiVersion: apps/v1, kind: ControllerRevision, metadata: {name: undone-ds-1, labels: {app: undone}, ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: undone, uid: UID(daemonset/undone), controller: true}]}, revision: 1, data: {spec: {template: {$patch: replace, metadata: {labels: {app: undone}}, spec: {containers: [{name: c, image: "nginx:1"}]}}}}}
---
{apiVersion: apps/v1, kind: ControllerRevision, metadata: {name: undone-ds-2, labels: {app: undone}, ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: undone, uid: UID(daemonset/undone), controller: true}]}, revision: 2, data: {spec: {template: {$patch: replace, metadata: {labels: {app: undone}}, spec: {containers: [{name: c, image: "nginx:2"}]}}}}}
---
{apiVersion: apps/v1, kind: ControllerRevision, metadata: {name: undone-sts-1, labels: {app: undone}, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: undone, uid: UID(statefulset/undone), controller: true}]}, revision: 1, data: {spec: {template: {$patch: replace, metadata: {labels: {app: undone}}, spec: {containers: [{name: c, image: "nginx:1"}]}}}}}
---
{apiVersion: apps/v1, kind: ControllerRevision, metadata: {name: undone-sts-2, labels: {app: undone}, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: undone, uid: UID(statefulset/undone), controller: true}]}, revision: 2, data: {spec: {template: {$patch: replace, metadata: {labels: {app: undone}}, spec: {containers: [{name: c, image: "nginx:2"}]}}}}}
"#;

/// All of them.
pub const STEPS: &[Step] = &[
    // the server itself
    step("version", &["Server Version", "v1.36"]),
    step("cluster-info", &["Kubernetes control plane", "running at"]),
    step("api-versions", &["apps/v1", "networking.k8s.io/v1", "v1"]),
    step("api-resources", &["deployments", "deploy", "HorizontalPodAutoscaler", "NetworkPolicy"]),
    step("api-resources --api-group=apps -o name", &["deployments.apps"]),
    step("get --raw /healthz", &["ok"]),
    step("get --raw /readyz?verbose", &["[+]etcd ok", "readyz check passed"]),
    step("get --raw /version", &["\"gitVersion\""]),
    step("get cs", &["etcd-0", "Healthy"]),
    // explain
    step("explain pod.spec.containers.ports", &["containerPort"]),
    step("explain deployment --recursive", &["revisionHistoryLimit", "template"]),
    step("explain service.spec.type", &["ClusterIP"]),
    // create of each sort
    step("create namespace NS", &["namespace/NS created"]),
    waits("get serviceaccount default", &["default"]),
    waits("get configmap kube-root-ca.crt -o jsonpath={.data}", &["BEGIN CERTIFICATE"]),
    fails("create namespace NS", "", "(AlreadyExists)"),
    step("create configmap config --from-literal=a=b --from-literal=c=d", &["configmap/config created"]),
    step("create secret generic secret --from-literal=password=x", &["secret/secret created"]),
    step("create serviceaccount robot", &["serviceaccount/robot created"]),
    step("create deployment web --image=nginx:1 --replicas=2 --port=80", &["deployment.apps/web created"]),
    step("create service clusterip cluster --tcp=80:8080", &["service/cluster created"]),
    step("create service nodeport node --tcp=80:8080", &["service/node created"]),
    step("create service loadbalancer balancer --tcp=80:8080", &["service/balancer created"]),
    step("create service externalname outside --external-name example.com", &["service/outside created"]),
    step(
        "create ingress ingress --rule=example.com/*=cluster:80",
        &["ingress.networking.k8s.io/ingress created"],
    ),
    step("create job job --image=busybox", &["job.batch/job created"]),
    step("create cronjob cron --image=busybox --schedule=*/5_*_*_*_*", &["cronjob.batch/cron created"]),
    step("create job from-cron --from=cronjob/cron", &["job.batch/from-cron created"]),
    step("create quota quota --hard=pods=10", &["resourcequota/quota created"]),
    step(
        "create poddisruptionbudget budget --selector=app=web --min-available=1",
        &["poddisruptionbudget.policy/budget created"],
    ),
    step("create priorityclass NS-high --value=1000", &["created"]),
    step(
        "create role reader --verb=get,list --resource=pods",
        &["role.rbac.authorization.k8s.io/reader created"],
    ),
    step("create rolebinding readers --role=reader --serviceaccount=NS:robot", &["created"]),
    step("create clusterrole NS-reader --verb=get --resource=nodes", &["created"]),
    step("create clusterrolebinding NS-readers --clusterrole=NS-reader --user=jane", &["created"]),
    with("create -f -", POD, &["pod/one created"]),
    with("create -f -", JOB, &["job.batch/job-", "created"]),
    step("run two --image=busybox --dry-run=client -o yaml", &["kind: Pod"]),
    step("run two --image=busybox --dry-run=server", &["created (server dry run)"]),
    step("create configmap dry --from-literal=a=b --dry-run=server -o yaml", &["a: b", "uid:"]),
    fails("get configmap dry", "", "(NotFound)"),
    fails("create -f -", BAD_POD, "spec.containers: Required value"),
    fails("create --validate=strict -f -", UNKNOWN_FIELD, "unknown field \"dato\""),
    // get in every form
    step("get deployments", &["NAME", "READY", "0/2"]),
    step("get deploy web -o wide", &["CONTAINERS", "nginx:1", "app=web"]),
    step("get deploy web -o name", &["deployment.apps/web"]),
    step("get deploy web -o yaml", &["apiVersion: apps/v1", "progressDeadlineSeconds: 600", "maxSurge: 25%"]),
    step("get deploy web -o json", &["\"kind\": \"Deployment\"", "\"terminationGracePeriodSeconds\": 30"]),
    step("get deploy web -o jsonpath={.spec.replicas}", &["2"]),
    step("get deploy web -o go-template={{.metadata.name}}", &["web"]),
    step("get deploy web -o custom-columns=N:.metadata.name,R:.spec.replicas", &["N", "R", "web"]),
    step("get deploy --show-labels", &["LABELS", "app=web"]),
    step("get pods,services,configmaps", &["pod/one", "service/node", "configmap/config"]),
    step("get all", &["service/cluster", "deployment.apps/web", "job.batch/job"]),
    step("get pods -A", &["NAMESPACE", "NS"]),
    step("get pods -l app=one", &["one", "Pending"]),
    step("get pods -l app!=one", &[]),
    step("get pods -l app_in_(one,two)", &["one"]),
    step("get pods --field-selector status.phase=Pending", &["one"]),
    step("get svc --sort-by=.metadata.name", &["balancer", "cluster"]),
    step("get svc node", &["NodePort", "80:3"]),
    step("get svc outside", &["ExternalName", "example.com"]),
    step("get svc balancer", &["LoadBalancer", "<pending>"]),
    step("get secret secret -o jsonpath={.data.password}", &["eA=="]),
    step("get pod one -o jsonpath={.spec.tolerations[*].key}", &["node.kubernetes.io/not-ready"]),
    step("get pod one -o jsonpath={.status.qosClass}", &["BestEffort"]),
    step("get pod one -o jsonpath={.spec.serviceAccountName}", &["default"]),
    step("get configmaps --chunk-size=1", &["config", "kube-root-ca.crt"]),
    step("get svc -n default kubernetes", &["10.96.0.1", "443/TCP"]),
    step("get endpoints -n default kubernetes", &["127.0.0.1:"]),
    step("get priorityclasses", &["system-node-critical", "2000001000"]),
    step("get --raw /api/v1/namespaces/NS/configmaps/config", &["\"a\":\"b\""]),
    fails("get nothing", "", "the server doesn't have a resource type"),
    fails("get pod none", "", "Error from server (NotFound): pods \"none\" not found"),
    step("get pods --watch --request-timeout=1s --output-watch-events", &["ADDED", "one"]),
    // describe
    step("describe deployment web", &["RollingUpdateStrategy:", "25% max unavailable", "nginx:1"]),
    step("describe service node", &["NodePort:", "Port:", "80/TCP"]),
    step("describe pod one", &["Name:", "QoS Class:", "BestEffort"]),
    step("describe configmap config", &["a:"]),
    step("describe namespace NS", &["Active"]),
    step("describe role reader", &["pods", "[get list]"]),
    // change
    step("label deploy web tier=front", &["labeled"]),
    fails("label deploy web tier=back", "", "already has a value"),
    step("label deploy web tier=back --overwrite", &["labeled"]),
    step("label deploy web tier-", &[]),
    step("annotate deploy web note=x", &["annotated"]),
    step("scale deploy web --replicas=5", &["scaled"]),
    step("get deploy web -o jsonpath={.spec.replicas}/{.metadata.generation}", &["5/2"]),
    fails("scale deploy web --replicas=1 --current-replicas=9", "", "Expected replicas to be 9"),
    step("set image deploy/web nginx=nginx:2", &["image updated"]),
    step("set env deploy/web A=b", &["env updated"]),
    step("set resources deploy/web --limits=cpu=1000m,memory=1024Mi", &["resource requirements updated"]),
    step(
        "get deploy web -o jsonpath={.spec.template.spec.containers[0].resources.limits}",
        &["\"cpu\":\"1\"", "\"memory\":\"1Gi\""],
    ),
    step("rollout pause deploy/web", &["paused"]),
    fails("rollout restart deploy/web", "", "can't restart paused deployment"),
    step("rollout resume deploy/web", &["resumed"]),
    step("rollout restart deploy/web", &["restarted"]),
    step("autoscale deploy web --max=5 --cpu-percent=80", &["autoscaled"]),
    step("get hpa", &["Deployment/web", "80%"]),
    step("expose deploy web --name=exposed --port=80 --target-port=8080", &["service/exposed exposed"]),
    step("patch deploy web -p {\"spec\":{\"replicas\":3}}", &["patched"]),
    step("patch deploy web --type=merge -p {\"spec\":{\"replicas\":4}}", &["patched"]),
    step(
        "patch deploy web --type=json -p [{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":6}]",
        &["patched"],
    ),
    step(
        "patch deploy web -p {\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"nginx\",\"image\":\"nginx:3\"}]}}}}",
        &["patched"],
    ),
    step(
        "get deploy web -o jsonpath={.spec.replicas}/{.spec.template.spec.containers[0].image}",
        &["6/nginx:3"],
    ),
    fails(
        "patch deploy web --type=json -p [{\"op\":\"remove\",\"path\":\"/spec/none\"}]",
        "",
        "The request is invalid",
    ),
    fails("patch svc node -p {\"spec\":{\"type\":\"Nothing\"}}", "", "Unsupported value: \"Nothing\""),
    fails(
        "patch deploy web -p {\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"x\"}}}}",
        "",
        "field is immutable",
    ),
    // earlier revisions
    with("create -f -", UNDONE, &["deployment.apps/undone created", "statefulset.apps/undone created"]),
    with("create -f -", REVISIONS, &["replicaset.apps/undone-1", "controllerrevision.apps/undone-sts-2"]),
    step("rollout history deploy/undone", &["REVISION", "1 ", "2 "]),
    step("rollout history deploy/undone --revision=1", &["nginx:1"]),
    step("rollout undo deploy/undone --dry-run=server", &["(server dry run)"]),
    step("rollout undo deploy/undone", &["deployment.apps/undone rolled back"]),
    step("get deploy undone -o jsonpath={.spec.template}", &["nginx:1", "{\"app\":\"undone\"}"]),
    fails("rollout undo deploy/undone --to-revision=9", "", "unable to find specified revision 9"),
    step("rollout undo deploy/undone --to-revision=2", &["rolled back"]),
    step("get deploy undone -o jsonpath={.spec.template}", &["nginx:2"]),
    step("rollout undo deploy/undone --to-revision=2", &["skipped rollback"]),
    step("rollout history ds/undone --revision=1", &["nginx:1"]),
    step("rollout undo ds/undone", &["daemonset.apps/undone rolled back"]),
    step("get ds undone -o jsonpath={.spec.template}", &["nginx:1", "{\"app\":\"undone\"}"]),
    step("rollout history sts/undone", &["REVISION", "1", "2"]),
    step("rollout undo sts/undone --to-revision=1", &["statefulset.apps/undone rolled back"]),
    step("get sts undone -o jsonpath={.spec.template}", &["nginx:1", "{\"app\":\"undone\"}"]),
    step("delete deploy,ds,sts undone", &["deleted"]),
    waits("get rs,controllerrevisions -l app=undone -o jsonpath=[{.items[*].metadata.name}]", &["[]"]),
    with("apply -f -", SERVICE, &["service/applied created"]),
    with("apply -f -", SERVICE, &["service/applied unchanged"]),
    Step { words: "diff -f -", input: SERVICE, says: Says::All(&[]), since: 0, waits: false },
    with("apply -f -", SERVICE_CHANGED, &["service/applied configured"]),
    step("get svc applied -o jsonpath={.spec.ports[*].port}/{.metadata.labels.a}", &["80 443/c"]),
    step("apply view-last-applied svc applied", &["https"]),
    with("replace -f -", CONFIG_REPLACED, &["configmap/config replaced"]),
    step("get configmap config -o jsonpath={.data}", &["{\"z\":\"x\"}"]),
    step("taint nodes --all a=b:NoSchedule --dry-run=client", &[]),
    // waiting
    step("wait --for=jsonpath={.spec.replicas}=6 deploy/web --timeout=5s", &["condition met"]),
    fails("wait --for=condition=Ready pod/one --timeout=1s", "", "timed out waiting"),
    // who may
    step("auth can-i create pods", &["yes"]),
    fails("auth can-i delete pods --as=system:serviceaccount:NS:robot", "", ""),
    step("auth can-i list pods --as=system:serviceaccount:NS:robot", &["yes"]),
    step("auth can-i --list --as=system:serviceaccount:NS:robot", &["pods", "[get list]"]),
    fails(
        "get secrets --as=jane",
        "",
        "User \"jane\" cannot list resource \"secrets\" in API group \"\" in the namespace \"NS\"",
    ),
    since(28, step("auth whoami", &["kubernetes-admin", "system:masters"])),
    step("create token robot --duration=10m", &["ey"]),
    step("get events", &[]),
    // certificates
    with("create -f -", REQUEST, &["certificatesigningrequest.certificates.k8s.io/NS created"]),
    step("get csr NS", &["example.com/own", "kubernetes-admin", "Pending"]),
    step("certificate approve NS", &["approved"]),
    step("get csr NS", &["Approved"]),
    // delete
    step("delete pod one --grace-period=0 --force", &["deleted"]),
    step("delete svc -l a=c", &["deleted"]),
    step("delete configmap config --cascade=orphan", &["deleted"]),
    step("delete secret --all", &["deleted"]),
    step(
        "delete clusterrole,clusterrolebinding,priorityclass,csr NS-reader --ignore-not-found",
        &["deleted"],
    ),
    step("delete clusterrolebinding NS-readers", &["deleted"]),
    step("delete csr NS", &["deleted"]),
    step("delete priorityclass NS-high", &["deleted"]),
    step("delete namespace NS", &["deleted"]),
    fails("get namespace NS", "", "(NotFound)"),
];

const CONFIG_REPLACED: &str =
    "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: config}, data: {z: x}}";
