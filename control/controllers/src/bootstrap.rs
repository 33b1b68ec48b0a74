//! Tokens by which nodes join: `cluster-info` is signed with each, so that who knows a token can trust what anybody may
//! read; and those that have run out are removed.
//!
//! Upstream: `pkg/controller/bootstrap` (`bootstrapsigner.go`, `jws.go`, `tokencleaner.go`) and
//! `k8s.io/cluster-bootstrap/token`. The signature is a detached JWS: clients compute it anew and compare the texts, so
//! that every byte of it is fixed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams, Preconditions};
use ring::hmac;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::Error;
use crate::error::On as _;
use crate::kinds::known;

/// The namespace of the secrets.
pub const SECRETS: &str = "kube-system";
/// Which secrets are tokens.
pub const TYPE: &str = "type=bootstrap.kubernetes.io/token";
/// The namespace of the config map.
pub const PUBLIC: &str = "kube-public";
/// The config map's name.
pub const NAME: &str = "cluster-info";
const KUBECONFIG: &str = "kubeconfig";
const SIGNATURE: &str = "jws-kubeconfig-";

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    id: String,
    secret: String,
    signs: bool,
    /// When it runs out; unreadable is as good as run out.
    until: Option<Timestamp>,
}

fn text(secret: &DynamicObject, key: &str) -> Option<String> {
    let bytes: k8s_openapi::ByteString =
        serde_json::from_value(secret.data["data"].get(key)?.clone()).ok()?;
    String::from_utf8(bytes.0).ok().filter(|text| !text.is_empty())
}

/// A secret's token, if it is one (`validateSecretForSigning`).
fn token(secret: &DynamicObject) -> Option<Token> {
    let (id, key) = (text(secret, "token-id")?, text(secret, "token-secret")?);
    let is_of = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let named = secret.metadata.name.as_deref() == Some(format!("bootstrap-token-{id}").as_str());
    if !is_of(&id, 6) || !is_of(&key, 16) || !named {
        return None;
    }
    let until = text(secret, "expiration").map(|text| text.parse().unwrap_or(Timestamp::UNIX_EPOCH));
    Some(Token {
        id,
        secret: key,
        signs: text(secret, "usage-bootstrap-signing").as_deref() == Some("true"),
        until,
    })
}

/// How long something is good; `None` if it is no longer.
fn left(until: Timestamp, now: Timestamp) -> Option<Duration> {
    Duration::try_from(until.duration_since(now)).ok().filter(|left| !left.is_zero())
}

/// The detached signature of a text (`DetachedTokenIsValid` compares it).
fn sign(content: &str, token: &Token) -> String {
    let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS256","kid":"{}"}}"#, token.id));
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.secret.as_bytes());
    let signed = hmac::sign(&key, format!("{header}.{}", URL_SAFE_NO_PAD.encode(content)).as_bytes());
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(signed))
}

/// The config map's data with the signatures of these tokens, and no others.
fn signed(data: &BTreeMap<String, String>, tokens: &[Token], now: Timestamp) -> BTreeMap<String, String> {
    let mut wanted: BTreeMap<String, String> = data
        .iter()
        .filter(|(key, _)| !key.starts_with(SIGNATURE))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    let Some(content) = data.get(KUBECONFIG) else { return data.clone() };
    let good = |token: &&Token| token.signs && token.until.is_none_or(|until| left(until, now).is_some());
    for token in tokens.iter().filter(good) {
        wanted.insert(format!("{SIGNATURE}{}", token.id), sign(content, token));
    }
    wanted
}

/// Looks at the config map. When the next token runs out, if any does.
pub async fn look(client: &kube::Client) -> Result<Option<Duration>, Error> {
    let maps: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), PUBLIC, &known("", "v1", "ConfigMap", "configmaps"));
    let what = |what: &str| format!("cannot {what} the config map {PUBLIC}/{NAME}");
    let Some(mut map) = maps.get_opt(NAME).await.on(|| what("read"))? else { return Ok(None) };
    let tokens: Vec<Token> = secrets(client).await?.iter().filter_map(token).collect();
    let now = Timestamp::now();
    let there: BTreeMap<String, String> = match map.data.get("data") {
        Some(data @ Value::Object(_)) => serde_json::from_value(data.clone())
            .map_err(|error| Error::Other(format!("{}: {error}", what("read"))))?,
        _ => BTreeMap::new(),
    };
    let wanted = signed(&there, &tokens, now);
    if wanted != there {
        map.data["data"] = serde_json::json!(wanted);
        maps.replace(NAME, &PostParams::default(), &map).await.on(|| what("sign"))?;
    }
    Ok(tokens.iter().filter_map(|token| left(token.until?, now)).min())
}

async fn secrets(client: &kube::Client) -> Result<Vec<DynamicObject>, Error> {
    let all = self::api(client).list(&ListParams::default().fields(TYPE)).await;
    Ok(all.on(|| format!("cannot list the bootstrap tokens of {SECRETS}"))?.items)
}

fn api(client: &kube::Client) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), SECRETS, &known("", "v1", "Secret", "secrets"))
}

/// Removes a token that has run out. When to look again, if it will.
pub async fn clean(client: &kube::Client, name: &str) -> Result<Option<Duration>, Error> {
    let what = |what: &str| format!("cannot {what} the bootstrap token {name}");
    let Some(secret) = api(client).get_opt(name).await.on(|| what("read"))? else { return Ok(None) };
    let until = text(&secret, "expiration").map(|text| text.parse().unwrap_or(Timestamp::UNIX_EPOCH));
    let Some(until) = until else { return Ok(None) };
    if let Some(left) = left(until, Timestamp::now()) {
        return Ok(Some(left));
    }
    let preconditions = Preconditions { uid: secret.metadata.uid, resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match api(client).delete(name, &params).await.on(|| what("remove")) {
        Err(error) if error.code() != 404 => Err(error),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    fn secret(name: &str, data: &[(&str, &str)]) -> DynamicObject {
        let data: BTreeMap<&str, String> =
            data.iter().map(|(key, text)| (*key, STANDARD.encode(text))).collect();
        DynamicObject::new(name, &known("", "v1", "Secret", "secrets")).data(json!({"data": data}))
    }

    /// `k8s.io/cluster-bootstrap/token/jws/jws_test.go`.
    #[test]
    fn the_signature_is_upstreams_to_the_byte() {
        let token =
            Token { id: "joshua".into(), secret: "my voice is my passcode".into(), signs: true, until: None };
        assert_eq!(
            sign("Hello from the other side. I must have called a thousand times.", &token),
            "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8"
        );
    }

    /// `validateSecretForSigning`: name, forms, usage, expiry.
    #[test]
    fn what_is_a_token() {
        let full = [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-signing", "true"),
            ("expiration", "2026-01-01T00:00:00Z"),
        ];
        let read = token(&secret("bootstrap-token-abcdef", &full)).unwrap();
        assert!(read.signs && read.until == Some("2026-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!(token(&secret("bootstrap-token-other1", &full)), None);
        assert_eq!(token(&secret("bootstrap-token-abcdef", &full[..1])), None);
        assert!(!token(&secret("bootstrap-token-abcdef", &full[..2])).unwrap().signs);
        let odd = [full[0], full[1], full[2], ("expiration", "soon")];
        assert_eq!(
            token(&secret("bootstrap-token-abcdef", &odd)).unwrap().until,
            Some(Timestamp::UNIX_EPOCH)
        );
    }

    /// `signConfigMap`: signatures of tokens that are no more are removed, all else stays.
    #[test]
    fn signatures_come_and_go_with_their_tokens() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let of = |id: &str, signs, until: Option<&str>| Token {
            id: id.into(),
            secret: "0123456789abcdef".into(),
            signs,
            until: until.map(|text| text.parse().unwrap()),
        };
        let tokens = [
            of("aaaaaa", true, None),
            of("bbbbbb", false, None),
            of("cccccc", true, Some("2025-12-31T23:59:59Z")),
            of("dddddd", true, Some("2026-01-01T00:00:01Z")),
        ];
        let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).to_owned())).collect()
        };
        let there = pairs(&[("kubeconfig", "x"), ("mine", "y"), ("jws-kubeconfig-cccccc", "old")]);
        let wanted = signed(&there, &tokens, now);
        let keys: Vec<&str> = wanted.keys().map(String::as_str).collect();
        assert_eq!(keys, ["jws-kubeconfig-aaaaaa", "jws-kubeconfig-dddddd", "kubeconfig", "mine"]);
        let empty = pairs(&[("mine", "y")]);
        assert_eq!(signed(&empty, &tokens, now), empty);
    }
}
