use super::*;
use crate::pki::{Names, Pki, TlsFlags};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::json;
use std::collections::HashMap;
use std::time::Duration;
use tokio_rustls::rustls::pki_types::pem::PemObject;

#[derive(Default)]
struct Objects(HashMap<String, Arc<Value>>);

impl Lookup for Objects {
    fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.0.get(&format!("{resource}/{namespace}/{name}")).cloned()
    }
}

impl Objects {
    fn with(mut self, key: &str, object: Value) -> Objects {
        self.0.insert(key.to_owned(), Arc::new(object));
        self
    }
}

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

fn objects() -> Objects {
    Objects::default()
        .with("serviceaccounts/default/web", json!({"metadata": {"name": "web", "uid": "sa-1"}}))
        .with("pods/default/p", json!({"metadata": {"name": "p", "uid": "pod-1"}, "spec": {"serviceAccountName": "web", "nodeName": "n"}}))
        .with("nodes//n", json!({"metadata": {"name": "n", "uid": "node-1"}}))
}

fn accounts(key: &std::path::Path) -> ServiceAccounts {
    let flags = ServiceAccountFlags {
        key_files: vec![key.to_owned()],
        signing_key_file: key.to_owned(),
        issuers: vec![ISSUER.into()],
        audiences: Vec::new(),
        longest: None,
        extend: true,
    };
    ServiceAccounts::open(&flags).unwrap()
}

fn own() -> (tempfile::TempDir, Pki, Authenticators) {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::open(&dir.path().join("pki"), &Names::default()).unwrap();
    let own = Authenticators {
        certificates: Some(pki.client_trust(&TlsFlags::default()).unwrap()),
        tokens: Some(StaticTokens::of("secret,jane,u1,dev\n").unwrap()),
        accounts: Some(Arc::new(accounts(&pki.path("sa.key")))),
        bootstrap: true,
        anonymous: true,
        proved: Cache::default(),
    };
    (dir, pki, own)
}

fn bearing(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    headers
}

fn request(own: &Authenticators, spec: Value, objects: &Objects) -> Result<Value, crate::refusal::Refusal> {
    let accounts = own.accounts.as_ref().unwrap();
    accounts.token_request("default", "web", &json!({"spec": spec}), objects, SystemTime::now())
}

fn token(answer: &Value) -> String {
    answer["status"]["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_certificate_is_a_user_with_groups_and_comes_before_a_token() {
    let (_dir, pki, own) = own();
    let (pem, _) = pki.client_certificate("joe", &["system:masters", "ops"]).unwrap();
    let chain = [CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
    for _ in 0..2 {
        let user = own.authenticate(&bearing("wrong"), Some(&chain), "/api", &objects()).unwrap();
        assert_eq!((user.name.as_str(), user.groups.len()), ("joe", 3));
        assert!(user.is_in("system:masters") && user.is_in("ops") && user.is_in(AUTHENTICATED));
    }
    let (_dir2, other, _) = self::own();
    let (pem, _) = other.client_certificate("joe", &["system:masters"]).unwrap();
    let chain = [CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
    let by_token = own.authenticate(&bearing("secret"), Some(&chain), "/api", &objects()).unwrap();
    assert_eq!(by_token.name, "jane", "another CA's certificate does not stand in a token's way");
    assert!(own.authenticate(&HeaderMap::new(), Some(&chain), "/healthz", &objects()).is_err());
}

#[test]
fn a_wrong_credential_is_never_anonymous() {
    let (_dir, _pki, own) = own();
    let nobody = own.authenticate(&HeaderMap::new(), None, "/healthz", &objects()).unwrap();
    assert_eq!(
        (nobody.name.as_str(), nobody.groups.as_slice()),
        (ANONYMOUS, &[UNAUTHENTICATED.to_owned()][..])
    );
    assert!(own.authenticate(&bearing("wrong"), None, "/healthz", &objects()).is_err());
    assert!(own.authenticate(&HeaderMap::new(), None, "/api/v1/pods", &objects()).is_err());
    let mut basic = HeaderMap::new();
    basic.insert("authorization", "Basic amFuZTpzZWNyZXQ=".parse().unwrap());
    assert!(own.authenticate(&basic, None, "/healthz", &objects()).is_err());
    let long = "x".repeat(LONGEST_TOKEN + 1);
    assert!(own.authenticate(&bearing(&long), None, "/api", &objects()).is_err());
}

/// pkg/serviceaccount/claims.go: the user and its extras.
#[test]
fn a_bound_token_is_its_account_until_its_pod_ends() {
    let (_dir, _pki, mut own) = own();
    let spec = json!({"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "pod-1"}});
    let token = token(&request(&own, spec, &objects()).unwrap());
    let user = own.authenticate(&bearing(&token), None, "/api", &objects()).unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("system:serviceaccount:default:web", "sa-1"));
    assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:default", AUTHENTICATED]);
    assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], ["p"]);
    assert_eq!(user.extra["authentication.kubernetes.io/node-uid"], ["node-1"]);
    assert!(user.extra["authentication.kubernetes.io/credential-id"][0].starts_with("JTI="));

    own.proved = Cache::default();
    let changed = |key: &str, metadata: Value| {
        let objects = objects().with(key, json!({ "metadata": metadata }));
        own.token(&token, &objects).map(|user| user.name).map_err(|e| e.0)
    };
    assert!(changed("pods/default/p", json!({"uid": "pod-2"})).unwrap_err().contains("another UID"));
    assert!(changed("serviceaccounts/default/web", json!({"uid": "sa-2"})).is_err());
    let gone = json!({"uid": "pod-1", "deletionTimestamp": "2020-01-01T00:00:00Z"});
    assert!(changed("pods/default/p", gone).unwrap_err().contains("deleted"));
    assert!(own.token(&token, &Objects::default()).is_err());
}

#[test]
fn forged_tokens_are_refused() {
    let (_dir, _pki, own) = own();
    let token = token(&request(&own, json!({}), &objects()).unwrap());
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    let mut other: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    other["exp"] = 99_999_999_999_u64.into();
    let encoded = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let none = encoded(&json!({"alg": "none"}));
    let hmac = encoded(&json!({"alg": "HS256"}));
    for forged in [
        format!("{header}.{}.{signature}", encoded(&other)),
        format!("{none}.{claims}."),
        format!("{hmac}.{claims}.{signature}"),
        format!("{header}.{claims}.{}", &signature[2..]),
    ] {
        assert!(own.token(&forged, &objects()).is_err(), "{forged}");
    }
    own.token(&token, &objects()).unwrap();
}

/// token.go: ValidateTokenRequest, the bound object's checks, and the year of a kubelet's token.
#[test]
fn token_requests_are_checked() {
    let (_dir, _pki, own) = own();
    let refused = |spec: Value| request(&own, spec, &objects()).unwrap_err();
    assert!(refused(json!({"expirationSeconds": 599})).message.contains("less than 10 minutes"));
    assert_eq!(refused(json!({"expirationSeconds": 1u64 << 33})).code, 422);
    let to = |kind: &str, uid: &str| json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": "p", "uid": uid}});
    assert_eq!(refused(to("Pod", "pod-2")).code, 409);
    assert_eq!(refused(to("Secret", "")).code, 404);
    assert_eq!(refused(to("Service", "")).message, "cannot bind token to object of type /v1, Kind=Service");

    let claims = |spec: Value| -> Value {
        let token = token(&request(&own, spec, &objects()).unwrap());
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap())
            .unwrap()
    };
    let mut kubelets = to("Pod", "pod-1");
    kubelets["expirationSeconds"] = 3607.into();
    let year = claims(kubelets);
    let life = |claims: &Value| claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(life(&year), 365 * 24 * 3600);
    assert_eq!(year["kubernetes.io"]["warnafter"].as_i64().unwrap() - year["iat"].as_i64().unwrap(), 3607);
    assert_eq!(life(&claims(json!({"expirationSeconds": 3607}))), 3607);
    assert_eq!(claims(json!({"audiences": ["vault"]}))["aud"], json!(["vault"]));
}

#[test]
fn tokens_are_for_their_audiences() {
    let (_dir, _pki, own) = own();
    let vaults = token(&request(&own, json!({"audiences": ["vault"]}), &objects()).unwrap());
    assert!(own.token(&vaults, &objects()).is_err());
    let review = |token: &str, audiences: &[&str]| {
        let review = json!({"spec": {"token": token, "audiences": audiences}});
        token_review(&own, &review, &objects()).unwrap()["status"].clone()
    };
    assert_eq!(review(&vaults, &["vault", "x"])["audiences"], json!(["vault"]));
    assert_eq!(review(&vaults, &[]).get("authenticated"), None);
    let status = review("secret", &[]);
    assert_eq!(status["user"], json!({"username": "jane", "uid": "u1", "groups": ["dev", AUTHENTICATED]}));
    assert_eq!(review("secret", &["vault"]).get("authenticated"), None);
    assert!(token_review(&own, &json!({"spec": {}}), &objects()).is_err());
}

/// plugin/pkg/auth/authenticator/token/bootstrap/bootstrap_test.go.
#[test]
fn bootstrap_tokens_are_secrets() {
    let (_dir, _pki, own) = own();
    let secret = |change: &dyn Fn(&mut Value)| {
        let text = |text: &str| BASE64_STANDARD.encode(text);
        let mut secret = json!({"type": "bootstrap.kubernetes.io/token", "metadata": {}, "data": {
            "token-id": text("abcdef"), "token-secret": text("0123456789abcdef"),
            "usage-bootstrap-authentication": text("true"),
            "auth-extra-groups": text("system:bootstrappers:kubeadm:default-node-token"),
        }});
        change(&mut secret);
        let objects = Objects::default().with("secrets/kube-system/bootstrap-token-abcdef", secret);
        own.token_for("abcdef.0123456789abcdef", &[], &objects).map(|(user, _)| user)
    };
    let user = secret(&|_| ()).unwrap();
    assert_eq!(user.name, "system:bootstrap:abcdef");
    assert!(
        user.is_in("system:bootstrappers") && user.is_in("system:bootstrappers:kubeadm:default-node-token")
    );
    let changes: [&dyn Fn(&mut Value); 6] = [
        &|secret| secret["type"] = "Opaque".into(),
        &|secret| secret["metadata"]["deletionTimestamp"] = "2020-01-01T00:00:00Z".into(),
        &|secret| secret["data"]["token-secret"] = BASE64_STANDARD.encode("0123456789abcdeg").into(),
        &|secret| secret["data"]["expiration"] = BASE64_STANDARD.encode("2020-01-01T00:00:00Z").into(),
        &|secret| secret["data"]["usage-bootstrap-authentication"] = Value::Null,
        &|secret| secret["data"]["auth-extra-groups"] = BASE64_STANDARD.encode("system:masters").into(),
    ];
    for change in changes {
        assert!(secret(change).is_err());
    }
}

#[test]
fn discovery_tells_the_keys_and_each_form_of_key_is_read() {
    let (dir, pki, own) = own();
    let accounts = own.accounts.as_ref().unwrap();
    let keys = discovery::keys(accounts);
    assert_eq!(
        (keys["keys"][0]["kty"].as_str(), keys["keys"][0]["alg"].as_str()),
        (Some("EC"), Some("ES256"))
    );
    assert_eq!(
        discovery::configuration(accounts, "u")["id_token_signing_alg_values_supported"],
        json!(["ES256"])
    );
    let public = keys::public_keys(&pki.path("sa.pub")).unwrap();
    assert_eq!(public[0].id, accounts.keys()[0].id);
    // The same RSA and ECDSA keys in each form that openssl writes.
    for (form, text) in [("pkcs1", RSA_KEY), ("sec1", SEC1_KEY)] {
        let path = dir.path().join(form);
        std::fs::write(&path, text).unwrap();
        let accounts = self::accounts(&path);
        let now = SystemTime::now();
        let answer = accounts.token_request("default", "web", &json!({}), &objects(), now).unwrap();
        let audiences = accounts.audiences().to_vec();
        accounts.verify(&token(&answer), &audiences, &objects(), now).unwrap().unwrap();
        let later = now + Duration::from_secs(3700);
        assert!(accounts.verify(&token(&answer), &audiences, &objects(), later).unwrap().is_err());
    }
}

proptest::proptest! {
    /// Whatever is sent as a token is refused, and nothing panics over it.
    #[test]
    fn any_token_is_refused(parts in proptest::collection::vec("[ -~]{0,40}", 0..5), json in "[{}\\[\\]\",:a-z0-9]{0,60}") {
        let own = Authenticators {
            tokens: Some(StaticTokens::of("secret,jane,u1\n").unwrap()),
            bootstrap: true,
            ..Authenticators::default()
        };
        let encoded = BASE64_URL_SAFE_NO_PAD.encode(&json);
        for token in [parts.join("."), format!("{encoded}.{encoded}.{encoded}"), format!("{encoded}.{json}.")] {
            assert!(own.token(&token, &objects()).is_err());
            drop(jwt::parts(&token));
        }
    }
}

#[test]
fn a_websockets_token_is_among_its_protocols() {
    let mut headers = HeaderMap::new();
    let encoded = BASE64_URL_SAFE_NO_PAD.encode("secret");
    let value = format!("v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{encoded}");
    headers.insert("sec-websocket-protocol", value.parse().unwrap());
    assert_eq!(websocket_token(&headers).unwrap().unwrap(), "secret");
    assert!(websocket_token(&HeaderMap::new()).is_none());
}

/// Made for tests; signs nothing else.
pub(crate) const RSA_KEY: &str = "\
-----BEGIN RSA PRIVATE KEY-----\n\
MIIEowIBAAKCAQEAzORsTA0JlWFsHZqFrvCIuoB0rUtvadUm/j9ix1jln7ywds9b\n\
78Y/ZAvqmNoH/hOyVCgVMmxEwrL9f2lnxy4gzauZyS7jQTmJvvjATH39xO0YYIdN\n\
RtBD8tbMNmVJTVUMmwKvwJBZqMEa2hME8t2AWntJKWVEdjDwzlvVfKTq9O5NFt2M\n\
Yc1gK7X7+Bl+CdWnOjdyE6YPEqP1zytYiaRo0p/sPfHBSdzllGcTMtLX2wsOgVBh\n\
XcIeK9JP4jfHCgYvVNdmlAsVfkm87h0PVSm0p4E5r7F1/rGRqDkH/oGseOBSB2wU\n\
rf99ljCWpLwOkDLg9m4cOcGIFntPu6bglHkb1wIDAQABAoIBAEzrxKyYiGyIcqp6\n\
hI20x+AcsbENjPpSh50T9uWYPjzF/gnct0tBRjMtNhnEYRPGGUD2+14+v2HJCNp4\n\
m/lvG+ma7tVUwQSPsWL8yFTvSAJScMBsi1p2fcwBUBFr3SUnNOBNFeZZSw/Lz2Tn\n\
lwgGmFVfy4u69QTaQs12NKPi1kK1ODmgrpDBBLpK/WxshNYu+Fy2v13Wr0NFpW51\n\
73YegiU6mJi5BJFhu42pdMFVALtDwDr0EkwOAjT9raRF06sauTLS5p0DM2ZJwDWq\n\
sNtSfGz9xOmQZnmgG9CeypQi4DefnC4B5IvHKrojnVb4eh4J7M5dooLJlgn1f99Q\n\
WrvyscECgYEA6+cOUEau7tC/g3Qt8BUV0E257dVmMI1A8IgarqIXoUGepqLccVws\n\
ab8bP9RPVdEA2vbQBGTOdoknSPcsKji8oR3Islz/JscHtma/+Edde3li9LhjFnsO\n\
m+xglVHyCdMKAOYLcwnWao5wG+qO/NX1zf6s5ey3UZg0G0cNu55RtA8CgYEA3lkL\n\
dLFztIk0ZzUyqy+vKlUBaDow6pykevnI5GEEGWSBm06R/XStpNWeX4OJWtTDHvP2\n\
IfR+zloLLoT1eMP8Y+nvmXRqh1wZi6y/yN87jraQnomgMjYdWNz9Khnr3CO8uR67\n\
4Dger2FVcKuMfalh4KWn+1JzCwwpuCwDC0eBM7kCgYB71MQcu53kWsvNU1Ux67+R\n\
ottwz05fOibWnHt1JD1HNszzKBaToxDlSZ4iOW6T26yZRGoZhFkkvAZVNPqIB1Rt\n\
Ntc9WbfOQTf5NaKbz8pwoF2jnI7XJC2dB84DVAq7wX5Ezn1AG+/j63VKEiyQ6Dep\n\
tIBKCaKJQF5J21iIHilBXQKBgQCNGkkw1uQsr923mYT8KhipbqSj9jnQyXOAL0AT\n\
3pVxX9z4KFZxWDhSINaOmrTyFY919zA9wCEw5uetr+bvqsBiz7Sj18M6/3GeuBRF\n\
b5UmLil80q3872aUXDm1HBoX6/36JMzpr/OZLNXB2Lwhivp4S+hcj6g+XIulOxj7\n\
cXdG0QKBgGGLVTGH11tsbALfwyFkImiM53AJDcaCr483+O/XytCzMgAx8MnMc0A0\n\
lOgFLb9hXYA7Luti29uFH3ybKtY+PYMmQF8FH++7NAyCRObOns2NnvAw0IPhlne/\n\
uxK0WsWAJRgW3JaukZKK4QhHzUn8e4QzgoLQjCDFE1fXoq3kqMkB\n\
-----END RSA PRIVATE KEY-----\n";

/// Made for tests; signs nothing else.
pub(crate) const SEC1_KEY: &str = "\
-----BEGIN EC PARAMETERS-----\n\
BggqhkjOPQMBBw==\n\
-----END EC PARAMETERS-----\n\
-----BEGIN EC PRIVATE KEY-----\n\
MHcCAQEEIE18552wGGYhmual8zEVSoGCcsgmZfSMzukzaJZwR5AuoAoGCCqGSM49\n\
AwEHoUQDQgAEm9FsVFm2GvQeooNXSgUoOKZlM2hzjBItzyJ0ho+Bdn1NFZmmv9Xi\n\
ZMy4J18UwZQ85K6Ro0tg8C1ubXOgoiBjzQ==\n\
-----END EC PRIVATE KEY-----\n";
