//! What nobody should send, to every verb and kind: malformed JSON, YAML, protobuf, patches, selectors, continue tokens,
//! paths and queries. The answer is a 2xx or a 4xx, never a 5xx, and nothing panics. (A revision of the future is a 504,
//! as upstream has it; none is asked for here.)

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

#[allow(dead_code, reason = "each table of tests uses a part of it")]
mod common;

use common::Api;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use std::sync::LazyLock;
use std::time::Duration;
use tokio::runtime::Runtime;
use weft_apiserver::kinds::{KINDS, Kind};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
});
static API: LazyLock<Api> = LazyLock::new(|| RUNTIME.block_on(Api::start()));

const KEYS: &[&str] = &[
    "metadata",
    "name",
    "namespace",
    "labels",
    "annotations",
    "generateName",
    "finalizers",
    "ownerReferences",
    "uid",
    "resourceVersion",
    "deletionTimestamp",
    "spec",
    "status",
    "containers",
    "initContainers",
    "image",
    "resources",
    "limits",
    "requests",
    "cpu",
    "ports",
    "port",
    "nodePort",
    "selector",
    "matchLabels",
    "matchExpressions",
    "template",
    "replicas",
    "data",
    "stringData",
    "binaryData",
    "rules",
    "subjects",
    "roleRef",
    "type",
    "clusterIP",
    "clusterIPs",
    "ipFamilies",
    "volumes",
    "conditions",
    "target",
    "user",
    "token",
    "request",
    "hard",
    "schedule",
    "metrics",
    "kind",
    "apiVersion",
    "$patch",
    "$retainKeys",
    "$setElementOrder/containers",
    "$deleteFromPrimitiveList/finalizers",
    "op",
    "path",
    "value",
    "from",
];
const TEXTS: &[&str] = &[
    "",
    "a",
    "default",
    "Not A Name",
    "10",
    "-1",
    "1Gi",
    "1e400",
    "None",
    "ExternalName",
    "NodePort",
    "delete",
    "replace",
    "merge",
    "v1",
    "ConfigMap",
    "/metadata/labels",
    "/spec/-",
    "/spec/containers/99999999999",
    "~",
    "10.96.0.999",
    "fd00::/8",
    "2026-01-01T00:00:00Z",
    "9999-99-99",
    "eA==",
    "*/0 * * * *",
    "\u{0}",
    "\u{1f980}",
    "a/b/c",
    "..",
];
const QUERIES: &[&str] = &[
    "labelSelector",
    "fieldSelector",
    "limit",
    "continue",
    "resourceVersionMatch",
    "dryRun",
    "fieldValidation",
    "propagationPolicy",
    "orphanDependents",
    "gracePeriodSeconds",
    "sendInitialEvents",
    "allowWatchBookmarks",
    "includeObject",
    "timeoutSeconds",
    "fieldManager",
    "pretty",
];
const VALUES: &[&str] = &[
    "",
    "a",
    "a=b",
    "a in (b",
    "a in (b,c)",
    "!",
    "!!a",
    "a=b,,c",
    "a>x",
    "metadata.name=a",
    "metadata.name!=",
    "spec.x=y",
    "=",
    "\\",
    "-1",
    "1",
    "99999999999999999999",
    "1.5",
    "true",
    "All",
    "Strict",
    "Exact",
    "Foreground",
    "Object",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiYSJ9",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0",
    "e30",
    "\u{0}",
];
const TYPES: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "text/plain",
    "",
];
const ACCEPTS: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/vnd.kubernetes.protobuf",
    ";;=,",
    "*/*",
];

/// A JSON value with keys that mean something.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        select(TEXTS).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((select(KEYS), inner), 0..6).prop_map(|all| Value::Object(
                all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

/// An object that decodes up to its specification, more often than not.
fn object() -> impl Strategy<Value = Value> {
    (value(), value(), value(), select(TEXTS)).prop_map(|(spec, status, metadata, name)| {
        let metadata = if metadata.is_object() { metadata } else { json!({"name": name}) };
        json!({"metadata": metadata, "spec": spec, "status": status})
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    let json = prop_oneof![value(), object()].prop_map(|value| value.to_string().into_bytes());
    prop_oneof![
        4 => json.clone(),
        // Cut off, or with a byte that is another.
        2 => (json, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut bytes, at, byte)| {
            let at = at.index(bytes.len());
            if byte < 128 { bytes.truncate(at) } else { bytes[at] = byte }
            bytes
        }),
        1 => proptest::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| [b"k8s\0".to_vec(), bytes].concat()),
        1 => any::<Vec<u8>>(),
        1 => any::<String>().prop_map(String::into_bytes),
    ]
}

/// What the table of rules creates: each with the path that it is sent to.
static SEEDS: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api");
    let files =
        std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let text = files.collect::<String>().replace("$NS", "default");
    let seed = |line: &str| {
        let (path, body) = line.strip_prefix("POST /")?.split_once(' ')?;
        let mut body: Value = serde_json::from_str(body).ok()?;
        let metadata = body.get_mut("metadata")?.as_object_mut()?;
        metadata.remove("name");
        metadata.insert("generateName".into(), "x-".into());
        Some((format!("/{path}"), body))
    };
    text.lines().filter_map(seed).collect()
});

/// How many values there are in a value, itself included.
fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(all) => all.iter().map(size).sum::<usize>(),
        Value::Object(all) => all.values().map(size).sum(),
        _ => 0,
    }
}

/// Puts another value in the place of the one that is counted as `at`, depth first.
fn changed(value: &mut Value, at: &mut usize, other: &Value) -> bool {
    if *at == 0 {
        *value = other.clone();
        return true;
    }
    *at -= 1;
    match value {
        Value::Array(all) => all.iter_mut().any(|one| changed(one, at, other)),
        Value::Object(all) => all.values_mut().any(|one| changed(one, at, other)),
        _ => false,
    }
}

/// A kind's path, of its collection, an object or something below.
fn path(kind: &Kind, namespace: &str, name: &str, below: &str) -> String {
    let root = if kind.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", kind.group) };
    let mut path = format!("{root}/{}", kind.version);
    if kind.namespaced && !namespace.is_empty() {
        path.push_str(&format!("/namespaces/{}", encoded(namespace)));
    }
    path.push_str(&format!("/{}", kind.plural));
    for part in [name, below].into_iter().filter(|part| !part.is_empty()) {
        path.push_str(&format!("/{}", encoded(part)));
    }
    path
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}

fn judge(method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<(), TestCaseError> {
    let sent = API.send_with("admin", method, path, headers, body);
    // A watch goes on: that it began is enough.
    let Ok(got) = RUNTIME.block_on(async { tokio::time::timeout(Duration::from_secs(2), sent).await }) else {
        return Ok(());
    };
    prop_assert!(got.status.as_u16() < 500, "{method} {path} {headers:?}: {} {}", got.status, got.text);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bodies_of_every_sort_to_every_kind(
        kind in select(KINDS),
        method in select(&["POST", "PUT", "PATCH", "DELETE"][..]),
        place in (select(&["default", "", "none", "Not A Name"][..]), select(&["", "a", "b", "..", "Not A Name"][..])),
        below in select(&["", "", "", "status", "scale", "binding", "eviction", "token", "approval", "finalize", "resize",
            "ephemeralcontainers", "nothing"][..]),
        content_type in select(TYPES),
        body in body(),
    ) {
        let path = path(kind, place.0, place.1, below);
        judge(method, &path, &[("content-type", content_type)], body)?;
    }

    #[test]
    fn objects_with_one_value_that_is_another(
        seed in any::<prop::sample::Index>(),
        places in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            2 => select(TEXTS).prop_map(Value::from),
            2 => select(&[0, -1, 1, 65536, i64::MAX, i64::MIN][..]).prop_map(Value::from),
            1 => value(),
        ]), 0..3),
    ) {
        let (path, body) = seed.get(&SEEDS);
        let mut body = body.clone();
        for (place, other) in places {
            let mut at = place.index(size(&body));
            changed(&mut body, &mut at, &other);
        }
        judge("POST", path, &[("content-type", "application/json")], body.to_string().into_bytes())?;
    }

    #[test]
    fn patches_of_what_is_there(
        content_type in select(&TYPES[3..6]),
        path in select(&[
            "/api/v1/namespaces/default/services/kubernetes", "/api/v1/namespaces/default",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/view",
            "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes",
        ][..]),
        body in prop_oneof![body(), proptest::collection::vec(object(), 0..3).prop_map(|all| json!(all).to_string().into())],
    ) {
        judge("PATCH", path, &[("content-type", content_type)], body)?;
    }

    #[test]
    fn queries_and_headers_of_every_sort(
        kind in select(KINDS),
        method in select(&["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"][..]),
        name in prop_oneof![Just(String::new()), any::<String>()],
        query in proptest::collection::vec((select(QUERIES), prop_oneof![select(VALUES).prop_map(str::to_owned), any::<String>()]), 0..4),
        accept in select(ACCEPTS),
    ) {
        let query: Vec<String> = query.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        let path = format!("{}?{}", path(kind, "default", &name, ""), query.join("&"));
        judge(method, &path, &[("accept", accept)], Vec::new())?;
    }

    #[test]
    fn paths_of_every_sort(
        parts in proptest::collection::vec(prop_oneof![
            select(&["api", "apis", "v1", "apps", "namespaces", "default", "pods", "deployments", "status", "openapi", "v3",
                "v2", "readyz", "version", "watch", "..", ""][..]).prop_map(str::to_owned),
            any::<String>(),
        ], 0..8),
        method in select(&["GET", "POST", "PUT", "PATCH", "DELETE"][..]),
    ) {
        let path: Vec<String> = parts.iter().map(|part| encoded(part)).collect();
        judge(method, &format!("/{}", path.join("/")), &[], Vec::new())?;
    }
}
