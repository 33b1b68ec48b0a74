#![allow(clippy::unwrap_used)]
use super::*;
use crate::schema::schema;
use proptest::prelude::*;
use serde_json::json as value;

fn kind(name: &str) -> &'static Type {
    let (group, kind) = name.split_once('/').unwrap_or(("", name));
    schema().kind(group, "v1", kind).unwrap()
}

fn read(name: &str, text: &str) -> Result<Decoded, BodyError> {
    json(text.as_bytes(), kind(name), &Limits::default())
}

#[test]
fn strict_complaints_are_upstreams_in_its_order() {
    let text = r#"{"apiVersion":"v1","kind":"Pod","spec":{"foo":{"x":1,"x":2},"containers":[{"name":"a","name":"b",
        "imagee":"x"}],"nodeSelector":{"k":"1","k":"2"}},"metadata":{"labels":{"a":"b"}},"bar":null}"#;
    let decoded = read("Pod", text).unwrap();
    assert_eq!(
        decoded.strict,
        [
            "unknown field \"spec.foo\"",
            "duplicate field \"spec.containers[0].name\"",
            "unknown field \"spec.containers[0].imagee\"",
            "duplicate field \"spec.nodeSelector.k\"",
            "unknown field \"bar\"",
        ]
    );
    let wanted = value!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "b"}], "nodeSelector": {"k": "2"}}});
    assert_eq!(decoded.object, wanted);
}

#[test]
fn wrong_types_are_told_as_go_does() {
    let cases = [
        (
            "apps/Deployment",
            r#"{"spec":{"replicas":"x"}}"#,
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "apps/Deployment",
            r#"{"spec":{"replicas":1.5}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "apps/Deployment",
            r#"{"spec":{"replicas":3000000000}}"#,
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            "Pod",
            r#"{"spec":{"containers":[{"env":[{"value":1}]}]}}"#,
            "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string",
        ),
        (
            "Pod",
            r#"{"spec":{"containers":{}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            "Pod",
            r#"{"metadata":{"labels":{"a":1}}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            "Pod",
            r#"{"spec":[]}"#,
            "json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec",
        ),
        ("Pod", "[]", "json: cannot unmarshal array into Go value of type v1.Pod"),
        ("Secret", r#"{"data":{"a":"%%%"}}"#, "illegal base64 data at input byte 0 (data.a)"),
        (
            "Pod",
            r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"1K"}}}]}}"#,
            "unable to parse quantity's suffix (spec.containers[0].resources.limits.cpu)",
        ),
        (
            "Service",
            r#"{"spec":{"ports":[{"targetPort":1.5}]}}"#,
            "json: cannot unmarshal number 1.5 into Go value of type int32 (spec.ports[0].targetPort)",
        ),
        ("Pod", r#"{"spec":"#, "unexpected end of JSON input"),
    ];
    for (kind, text, message) in cases {
        assert_eq!(read(kind, text).unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn values_are_as_go_prints_them_again() {
    let text = r#"{"metadata":{"name":"a","creationTimestamp":null,"labels":{},"annotations":{"x":null}},"spec":{
        "nodeName":"","hostNetwork":false,"terminationGracePeriodSeconds":0,"automountServiceAccountToken":false,
        "volumes":[{"name":"v","emptyDir":{"sizeLimit":"1024Mi"}},null],"containers":[{"name":"c","command":[],
        "resources":{"limits":{"cpu":"1000m","memory":1.5,"x":null}},"env":[{"name":"A","value":""}]}]},
        "status":{"startTime":"2026-01-01T01:00:00+01:00","conditions":[]}}"#;
    let wanted = value!({"metadata": {"name": "a", "annotations": {"x": ""}}, "spec": {
        "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
        "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": ""}],
        "containers": [{"name": "c", "resources": {"limits": {"cpu": "1", "memory": "1500m", "x": "0"}}, "env": [{"name": "A"}]}]},
        "status": {"startTime": "2026-01-01T00:00:00Z"}});
    let decoded = read("Pod", text).unwrap();
    assert_eq!(decoded.object, wanted);
    assert_eq!(typed(decoded.object.clone(), kind("Pod")).unwrap().object, wanted);
}

/// What Go prints without being told, as kubectl 1.37's `set image --local -o json` shows.
#[test]
fn fields_that_are_always_printed_are_there() {
    let text = r#"{"spec":{"template":{"spec":{"containers":[{"livenessProbe":{"httpGet":{}},"resources":{"claims":[{}]}}]}}},
        "status":{}}"#;
    let found = read("apps/StatefulSet", text).unwrap().object;
    assert_eq!(found["spec"]["serviceName"], "");
    assert_eq!(found["status"], value!({"replicas": 0, "availableReplicas": 0}));
    let container = value!({"name": "", "livenessProbe": {"httpGet": {"port": 0}}, "resources": {"claims": [{"name": ""}]}});
    assert_eq!(found["spec"]["template"]["spec"]["containers"][0], container);
}

#[test]
fn yaml_is_the_same_walk() {
    let text = b"apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  name: b\nspec:\n  nope: 1\n  containers:\n  - name: c\n    image: x:1.0\n";
    let decoded = yaml(text, kind("Pod"), &Limits::default()).unwrap();
    assert_eq!(decoded.strict, ["duplicate field \"metadata.name\"", "unknown field \"spec.nope\""]);
    assert_eq!(decoded.object["metadata"]["name"], "b");
    let error = yaml(b"spec:\n  replicas: x\n", kind("apps/Deployment"), &Limits::default()).unwrap_err();
    assert!(error.message.ends_with("Go struct field DeploymentSpec.spec.replicas of type int32"), "{error}");
    let volume = b"spec:\n  volumes:\n  - name: '1'\n    secret: {defaultMode: 0644}\n";
    let decoded = yaml(volume, kind("Pod"), &Limits::default()).unwrap().object;
    assert_eq!(decoded["spec"]["volumes"], value!([{"name": "1", "secret": {"defaultMode": 420}}]));
    assert!(yaml(b"a: [", kind("Pod"), &Limits::default()).is_err());
    assert_eq!(type_meta(Form::Yaml, text).unwrap().kind, "Pod");
}

#[test]
fn depth_and_length_are_limited() {
    let deep = format!(
        r#"{{"metadata":{{"managedFields":[{{"fieldsV1":{}1{}}}]}}}}"#,
        "[".repeat(110),
        "]".repeat(110)
    );
    assert_eq!(read("Pod", &deep).unwrap_err().kind, BodyErrorKind::TooDeep);
    let deep = "[".repeat(100_000);
    assert!(read("Pod", &format!(r#"{{"nope":{deep}"#)).is_err());
    let limits = Limits { bytes: 10, ..Limits::default() };
    assert_eq!(json(b"{        }", kind("Pod"), &limits).unwrap().object, value!({}));
    assert_eq!(json(b"{         }", kind("Pod"), &limits).unwrap_err().kind, BodyErrorKind::TooLarge);
}

/// A field of a message, by hand.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut bytes);
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

fn varint(number: u32, content: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::Varint, &mut bytes);
    prost::encoding::encode_varint(content, &mut bytes);
    bytes
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), field(1, &meta), field(2, raw), field(3, b""), field(4, b"")].concat()
}

#[test]
fn protobuf_gives_what_json_gives() {
    let metadata = [
        field(1, b"web"),
        field(2, b""),
        field(8, b""),
        varint(7, 0),
        field(11, &[field(1, b"app"), field(2, b"x")].concat()),
        field(11, &[field(1, b"tier"), field(2, b"")].concat()),
    ]
    .concat();
    let config_map = field(19, &[field(1, &field(1, b"settings")), varint(3, 420)].concat());
    let probe = [
        field(
            1,
            &field(
                2,
                &[field(1, b"/"), field(2, &[varint(1, 1), varint(2, 0), field(3, b"http")].concat())]
                    .concat(),
            ),
        ),
        varint(2, 0),
    ]
    .concat();
    let limits = field(1, &[field(1, b"cpu"), field(2, &field(1, b"1000m"))].concat());
    let container = [
        field(1, b"c"),
        field(2, b"nginx"),
        field(5, b""),
        field(8, &limits),
        field(10, &probe),
        varint(16, 0),
    ]
    .concat();
    let spec = [
        field(1, &[field(1, b"v"), field(2, &config_map)].concat()),
        field(2, &container),
        varint(4, 0),
        varint(11, 0),
    ]
    .concat();
    let pod = [field(1, &metadata), field(2, &spec), field(3, b""), field(99, b"later")].concat();
    let decoded = protobuf(&body("v1", "Pod", &pod), kind("Pod"), &Limits::default()).unwrap();
    let wanted = value!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "labels": {"app": "x", "tier": ""}},
        "spec": {"terminationGracePeriodSeconds": 0, "volumes": [{"name": "v", "configMap": {"name": "settings", "defaultMode": 420}}],
        "containers": [{"name": "c", "image": "nginx", "resources": {"limits": {"cpu": "1"}},
        "livenessProbe": {"httpGet": {"path": "/", "port": "http"}}}]}, "status": {}});
    assert_eq!(decoded.object, wanted);
    assert_eq!(type_meta(Form::Protobuf, &body("apps/v1", "X", b"")).unwrap().api_version, "apps/v1");
}

/// `extra` is a map of messages in protobuf, of lists in JSON; CSR's request is bytes, its times may be zero.
#[test]
fn protobufs_special_types() {
    let extra = |item: &[u8]| field(6, &[field(1, b"k"), field(2, &field(1, item))].concat());
    let two = field(6, &[field(1, b"l"), field(2, &[field(1, b"a"), field(1, b"b")].concat())].concat());
    let condition =
        [field(1, b"Approved"), field(4, &[varint(1, 60), varint(2, 0)].concat()), field(5, b"")].concat();
    let raw = [
        field(2, &[field(1, b"\0\xff"), field(2, b"user"), extra(b"a"), two].concat()),
        field(3, &field(1, &condition)),
    ]
    .concat();
    let body = body("certificates.k8s.io/v1", "CertificateSigningRequest", &raw);
    let kind = schema().kind("certificates.k8s.io", "v1", "CertificateSigningRequest").unwrap();
    let decoded = protobuf(&body, kind, &Limits::default()).unwrap().object;
    assert_eq!(
        decoded["spec"],
        value!({"request": "AP8=", "signerName": "", "username": "user", "extra": {"k": ["a"], "l": ["a", "b"]}})
    );
    let conditions = value!([{"type": "Approved", "status": "", "lastUpdateTime": "1970-01-01T00:01:00Z"}]);
    assert_eq!(decoded["status"]["conditions"], conditions);
}

#[test]
fn what_is_no_protobuf_is_refused() {
    for bytes in [&b""[..], b"k8s", b"{}", b"k8s\0\x0a\xff", b"k8s\0\x12\x02\x0a\x05"] {
        assert!(protobuf(bytes, kind("Pod"), &Limits::default()).is_err(), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for form in [Form::Json, Form::Yaml, Form::Protobuf] {
            let _ = decode(form, &bytes, kind("Pod"), &Limits::default());
            let _ = type_meta(form, &bytes);
        }
        let _ = protobuf(&body("v1", "Pod", &bytes), kind("Pod"), &Limits::default());
        let nested = field(2, &field(2, &bytes));
        let _ = protobuf(&body("v1", "Pod", &nested), kind("Pod"), &Limits::default());
    }

    #[test]
    fn any_value_in_a_field_is_answered(text in r#"(\{"[a-z]{1,4}":|\[|"[a-z0-9]{0,5}"|[0-9.e-]{1,6}|null|true|\}|\]|,){0,12}"#) {
        let _ = read("Pod", &format!(r#"{{"spec":{text}}}"#));
        let _ = read("Pod", &format!(r#"{{"metadata":{{"labels":{text}}}}}"#));
    }

    #[test]
    fn decoding_again_changes_nothing(cpu in "[0-9]{1,6}[mkMG]?", count in any::<i32>(), name in "[a-z]{0,5}") {
        let text = format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"priority":{count},"overhead":{{"cpu":"{cpu}"}}}}}}"#);
        let once = read("Pod", &text).unwrap().object;
        prop_assert_eq!(&typed(once.clone(), kind("Pod")).unwrap().object, &once);
    }
}
