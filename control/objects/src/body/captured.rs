//! Bodies as kubectl 1.37 sends them, taken from the wire: every field that is no pointer is there, empty or not.
#![allow(clippy::unwrap_used)]

use super::{Form, Limits, protobuf, type_meta};
use crate::schema::schema;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

fn decoded(text: &str) -> Value {
    let bytes = BASE64_STANDARD.decode(text).unwrap();
    let meta = type_meta(Form::Protobuf, &bytes).unwrap();
    let (group, version) = meta.api_version.split_once('/').unwrap_or(("", &meta.api_version));
    let kind = schema().kind(group, version, &meta.kind).unwrap();
    protobuf(&bytes, kind, &Limits::default()).unwrap().object
}

/// `kubectl create deployment w --image=nginx --replicas=3 --port=80`
#[test]
fn a_deployment() {
    let found = decoded(
        "azhzAAoVCgdhcHBzL3YxEgpEZXBsb3ltZW50ErABChsKAXcSABoAIgAqADIAOABCAFoICgNhcHASAXcSggEIAxIKCggKA2FwcBIBdxpqChoKABIAGg\
         AiACoAMgA4AEIAWggKA2FwcBIBdxJMEi4KBW5naW54EgVuZ2lueCoAMgoKABAAGFAiACoAQgBqAHIAgAEAiAEAkAEAogEAGgAyAEIASgBSAFgAYABo\
         AIIBAIoBAJoBAMIBACICCgAoADgAGgwIABAAGAAgACgAOAAaACIA",
    );
    let wanted = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "w", "labels": {"app": "w"}},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "w"}}, "strategy": {}, "template": {
            "metadata": {"labels": {"app": "w"}}, "spec": {"containers": [{"name": "nginx", "image": "nginx",
            "ports": [{"containerPort": 80}], "resources": {}}]}}}, "status": {}});
    assert_eq!(found, wanted);
}

/// `kubectl create ingress i --rule=foo.com/bar=svc:8080`: a struct that Go has inline.
#[test]
fn an_ingress() {
    let found = decoded(
        "azhzAAofChRuZXR3b3JraW5nLms4cy5pby92MRIHSW5ncmVzcxJHChEKAWkSABoAIgAqADIAOABCABIuGiwKB2Zvby5jb20SIQofCh0KBC9iYXISDi\
         IMCgNzdmMSBQoAEJA/GgVFeGFjdBoCCgAaACIA",
    );
    let path = json!({"path": "/bar", "pathType": "Exact", "backend": {"service": {"name": "svc", "port": {"number": 8080}}}});
    assert_eq!(found["spec"], json!({"rules": [{"host": "foo.com", "http": {"paths": [path]}}]}));
}

/// `kubectl create pdb p --min-available=50% --selector=a=b`: an integer or a string; numbers that are always printed.
#[test]
fn a_disruption_budget() {
    let found = decoded(
        "azhzAAogCglwb2xpY3kvdjESE1BvZERpc3J1cHRpb25CdWRnZXQSNgoRCgFwEgAaACIAKgAyADgAQgASFQoJCAEQABoDNTAlEggKBgoBYRIBYhoKCA\
         AYACAAKAAwABoAIgA=",
    );
    assert_eq!(found["spec"], json!({"minAvailable": "50%", "selector": {"matchLabels": {"a": "b"}}}));
    let numbers =
        json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0});
    assert_eq!(found["status"], numbers);
}

/// `kubectl create quota q --hard=cpu=1000m,memory=1024Mi`: a map of quantities.
#[test]
fn a_quota() {
    let found = decoded(
        "azhzAAoTCgJ2MRINUmVzb3VyY2VRdW90YRI0ChEKAXESABoAIgAqADIAOABCABIdCgoKA2NwdRIDCgExCg8KBm1lbW9yeRIFCgMxR2kaABoAIgA=",
    );
    assert_eq!(found["spec"], json!({"hard": {"cpu": "1", "memory": "1Gi"}}));
}
