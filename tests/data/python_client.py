"""The Python client's calls. Arguments: the admin's kubeconfig, and a namespace of its own."""

import sys
import threading

from kubernetes import client, config, dynamic, watch
from kubernetes.client import ApiException, api_client

KUBECONFIG, NAMESPACE = sys.argv[1:]
# In place of a wait for ever.
PATIENCE = 60

config.load_kube_config(config_file=KUBECONFIG)
core, apps, rbac = client.CoreV1Api(), client.AppsV1Api(), client.RbacAuthorizationV1Api()


def config_map(name, value, **labels):
    metadata = client.V1ObjectMeta(name=name, labels=labels)
    return client.V1ConfigMap(metadata=metadata, data={"value": value})


def fails(status, reason, call, *words, **named):
    try:
        call(*words, **named)
    except ApiException as refusal:
        assert refusal.status == status, refusal
        assert f'"reason":"{reason}"' in refusal.body.replace(" ", ""), refusal.body
        return
    raise AssertionError(f"{call} did not fail with {status}")


def objects():
    """Create, read, replace, delete."""
    namespace = client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE))
    assert core.create_namespace(namespace).status.phase == "Active"
    made = core.create_namespaced_config_map(NAMESPACE, config_map("one", "x"))
    assert made.metadata.uid and made.metadata.creation_timestamp
    fails(409, "AlreadyExists", core.create_namespaced_config_map, NAMESPACE, config_map("one", "x"))
    fails(404, "NotFound", core.read_namespaced_config_map, "none", NAMESPACE)
    got = core.read_namespaced_config_map("one", NAMESPACE)
    assert got.to_dict() == made.to_dict(), (got, made)
    got.data = {"value": "y"}
    put = core.replace_namespaced_config_map("one", NAMESPACE, got)
    assert put.data == {"value": "y"} and put.metadata.resource_version != made.metadata.resource_version
    fails(409, "Conflict", core.replace_namespaced_config_map, "one", NAMESPACE, got)
    core.delete_namespaced_config_map("one", NAMESPACE)
    fails(404, "NotFound", core.read_namespaced_config_map, "one", NAMESPACE)
    dry = core.create_namespaced_config_map(NAMESPACE, config_map("dry", "x"), dry_run="All")
    assert dry.metadata.uid
    fails(404, "NotFound", core.read_namespaced_config_map, "dry", NAMESPACE)


def deployment(name):
    container = client.V1Container(name="main", image="busybox:1")
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app": name}), spec=client.V1PodSpec(containers=[container])
    )
    selector = client.V1LabelSelector(match_labels={"app": name})
    spec = client.V1DeploymentSpec(replicas=1, selector=selector, template=template)
    return client.V1Deployment(metadata=client.V1ObjectMeta(name=name), spec=spec)


def patch_as(content_type, path, body):
    """A patch of a named content type: the client's own choice is by the body's type."""
    headers = {"Content-Type": content_type, "Accept": "application/json"}
    return core.api_client.call_api(
        path, "PATCH", header_params=headers, body=body, response_type="object",
        auth_settings=["BearerToken"], _return_http_data_only=True,
    )


def patches():
    """Each content type; the client itself sends lists as JSON patches and objects as strategic merges."""
    apps.create_namespaced_deployment(NAMESPACE, deployment("web"))
    image = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "busybox:2"}]}}}}
    changed = apps.patch_namespaced_deployment("web", NAMESPACE, image)
    containers = changed.spec.template.spec.containers
    assert [one.image for one in containers] == ["busybox:2"] and changed.metadata.generation == 2
    more = [{"op": "replace", "path": "/spec/replicas", "value": 2}]
    assert apps.patch_namespaced_deployment("web", NAMESPACE, more).spec.replicas == 2
    fails(422, "Invalid", apps.patch_namespaced_deployment, "web", NAMESPACE,
          [{"op": "remove", "path": "/spec/none"}])
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/web"
    merged = patch_as("application/merge-patch+json", path, {"spec": {"replicas": 3}, "metadata": {"labels": {"a": "b"}}})
    assert merged["spec"]["replicas"] == 3 and merged["metadata"]["labels"] == {"a": "b"}
    merged = patch_as("application/strategic-merge-patch+json", path, {"metadata": {"labels": {"a": None, "c": "d"}}})
    assert merged["metadata"]["labels"] == {"c": "d"}
    fails(415, "UnsupportedMediaType", patch_as, "application/nothing", path, "{}")


def subresources():
    scale = apps.read_namespaced_deployment_scale("web", NAMESPACE)
    scale.spec.replicas = 4
    assert apps.replace_namespaced_deployment_scale("web", NAMESPACE, scale).spec.replicas == 4
    status = {"status": {"replicas": 4, "readyReplicas": 2}}
    seen = apps.patch_namespaced_deployment_status("web", NAMESPACE, status)
    assert (seen.status.replicas, seen.status.ready_replicas, seen.spec.replicas) == (4, 2, 4)
    core.create_namespaced_service_account(NAMESPACE, client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="robot")))
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = core.create_namespaced_service_account_token("robot", NAMESPACE, request)
    return token.status.token


def access(token):
    """What a service account may, by its token and a role."""
    settings = client.Configuration()
    ours = core.api_client.configuration
    settings.host, settings.ssl_ca_cert = ours.host, ours.ssl_ca_cert
    settings.api_key = {"authorization": f"Bearer {token}"}
    robot = client.CoreV1Api(client.ApiClient(settings))
    fails(403, "Forbidden", robot.list_namespaced_config_map, NAMESPACE)
    rule = client.V1PolicyRule(api_groups=[""], resources=["configmaps"], verbs=["list"])
    rbac.create_namespaced_role(NAMESPACE, client.V1Role(metadata=client.V1ObjectMeta(name="lister"), rules=[rule]))
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "lister"}
    subject = {"kind": "ServiceAccount", "name": "robot", "namespace": NAMESPACE}
    binding = {"metadata": {"name": "listers"}, "roleRef": reference, "subjects": [subject]}
    rbac.create_namespaced_role_binding(NAMESPACE, binding)
    assert rbac.read_namespaced_role_binding("listers", NAMESPACE).role_ref.name == "lister"
    assert robot.list_namespaced_config_map(NAMESPACE).items is not None
    fails(403, "Forbidden", robot.create_namespaced_config_map, NAMESPACE, config_map("no", "x"))


def lists():
    """Pages, selectors, and the deletion of what is selected."""
    for number in range(25):
        core.create_namespaced_config_map(NAMESPACE, config_map(f"page-{number:02}", "x", paged="yes"))
    names, token, pages = [], None, 0
    while True:
        page = core.list_namespaced_config_map(NAMESPACE, label_selector="paged=yes", limit=10, _continue=token)
        names += [one.metadata.name for one in page.items]
        token, pages = page.metadata._continue, pages + 1
        if not token:
            break
    assert (pages, names) == (3, [f"page-{number:02}" for number in range(25)]), (pages, names)
    one = core.list_config_map_for_all_namespaces(field_selector=f"metadata.namespace={NAMESPACE},metadata.name=page-07")
    assert [found.metadata.name for found in one.items] == ["page-07"]
    core.delete_collection_namespaced_config_map(NAMESPACE, label_selector="paged=yes")
    assert core.list_namespaced_config_map(NAMESPACE, label_selector="paged=yes").items == []


def watches():
    """A stream from a list's revision on, which ends when it has seen enough."""
    start = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version

    def change():
        core.create_namespaced_config_map(NAMESPACE, config_map("seen", "x"))
        core.patch_namespaced_config_map("seen", NAMESPACE, {"data": {"value": "y"}})
        core.delete_namespaced_config_map("seen", NAMESPACE)

    changing = threading.Thread(target=change)
    changing.start()
    events, stream = [], watch.Watch()
    for event in stream.stream(core.list_namespaced_config_map, NAMESPACE, resource_version=start, timeout_seconds=PATIENCE):
        events.append((event["type"], event["object"].metadata.name, event["object"].data["value"]))
        if event["type"] == "DELETED":
            stream.stop()
    changing.join()
    assert events == [("ADDED", "seen", "x"), ("MODIFIED", "seen", "y"), ("DELETED", "seen", "y")], events
    # A revision that is too old is the client's own exception of 410.
    try:
        for event in watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, resource_version="1", timeout_seconds=PATIENCE):
            raise AssertionError(event)
    except ApiException as gone:
        assert gone.status == 410, gone


def dynamically():
    """Kinds by discovery."""
    found = dynamic.DynamicClient(api_client.ApiClient())
    services = found.resources.get(api_version="v1", kind="Service")
    body = {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "dynamic"}, "spec": {"ports": [{"port": 80}]}}
    made = services.create(body=body, namespace=NAMESPACE)
    assert made.spec.clusterIP and made.spec.ports[0].targetPort == 80
    for content_type in ["strategic-merge-patch", "merge-patch", "json-patch"]:
        patch = {"metadata": {"labels": {content_type: "x"}}}
        if content_type == "json-patch":
            patch = [{"op": "add", "path": "/metadata/labels/json-patch", "value": "x"}]
        changed = services.patch(body=patch, name="dynamic", namespace=NAMESPACE, content_type=f"application/{content_type}+json")
        assert changed.metadata.labels[content_type] == "x", changed
    listed = services.get(namespace=NAMESPACE, label_selector="merge-patch=x")
    assert [one.metadata.name for one in listed.items] == ["dynamic"]
    for event in services.watch(namespace=NAMESPACE, name="dynamic", timeout=PATIENCE):
        assert (event["type"], event["object"].metadata.name) == ("ADDED", "dynamic")
        break
    services.delete(name="dynamic", namespace=NAMESPACE)
    assert services.get(namespace=NAMESPACE).items == []
    assert found.resources.get(api_version="apps/v1", kind="Deployment").namespaced
    assert client.VersionApi().get_code().minor.startswith("36")
    assert "apps" in [group.name for group in client.ApisApi().get_api_versions().groups]


objects()
patches()
access(subresources())
lists()
watches()
dynamically()
core.delete_namespace(NAMESPACE)
print("all calls are as they should be")
