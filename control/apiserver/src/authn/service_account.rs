//! Service accounts' tokens: what is in them, and whether one is good now.
//!
//! Source: `pkg/serviceaccount/claims.go` and `jwt.go`. A token is bound to its account and, as asked, to a pod, a secret
//! or a node: it ends with the first of them, which is looked up at each verification.

use super::Lookup;
use super::jwt::{self, Parts};
use super::keys::{KeyError, SigningKey, VerifyingKey, public_keys};
use crate::request::User;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Clocks differ (`jwt.DefaultLeeway`).
const LEEWAY: i64 = 60;

/// The flags, named as the API server's.
#[derive(Clone, Debug)]
pub struct ServiceAccountFlags {
    /// `--service-account-key-file`: tokens of these keys are good.
    pub key_files: Vec<PathBuf>,
    /// `--service-account-signing-key-file`: signs new ones, whose key is good too.
    pub signing_key_file: PathBuf,
    /// `--service-account-issuer`: the first is named in new tokens, each is good.
    pub issuers: Vec<String>,
    /// `--api-audiences`: whom a token must be for to be good here; the issuers if empty.
    pub audiences: Vec<String>,
    /// `--service-account-max-token-expiration`.
    pub longest: Option<Duration>,
    /// `--service-account-extend-token-expiration`.
    pub extend: bool,
}

/// Issues and verifies.
pub struct ServiceAccounts {
    issuers: Vec<String>,
    audiences: Vec<String>,
    keys: Vec<VerifyingKey>,
    pub(super) signer: SigningKey,
    pub(super) longest: Option<Duration>,
    pub(super) extend: bool,
}

impl std::fmt::Debug for ServiceAccounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceAccounts").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}

impl ServiceAccounts {
    /// Reads the keys. The server gives at least one issuer.
    pub fn open(flags: &ServiceAccountFlags) -> Result<ServiceAccounts, KeyError> {
        let signer = SigningKey::open(&flags.signing_key_file)?;
        let mut keys = vec![signer.public.clone()];
        for path in &flags.key_files {
            for key in public_keys(path)? {
                if keys.iter().all(|known| known.id != key.id) {
                    keys.push(key);
                }
            }
        }
        let issuers = flags.issuers.clone();
        let audiences = if flags.audiences.is_empty() { &issuers } else { &flags.audiences }.clone();
        Ok(ServiceAccounts { issuers, audiences, keys, signer, longest: flags.longest, extend: flags.extend })
    }

    /// Whom a token must be for to be good here.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Who is named in new tokens.
    pub fn issuer(&self) -> &str {
        self.issuers.first().map_or("", String::as_str)
    }

    /// The keys whose tokens are good.
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }

    /// Whose token it is, and for which of the audiences; `None` if it is not of an issuer of ours, and so perhaps
    /// something else.
    pub fn verify(
        &self,
        token: &str,
        audiences: &[String],
        lookup: &dyn Lookup,
        now: SystemTime,
    ) -> Option<Result<(User, Vec<String>), String>> {
        let parts = jwt::parts(token)?;
        let issuer = parts.claims["iss"].as_str()?;
        if !self.issuers.iter().any(|own| own == issuer) {
            return None;
        }
        Some(self.judged(&parts, audiences, lookup, seconds(now)))
    }

    fn judged(
        &self,
        parts: &Parts<'_>,
        audiences: &[String],
        lookup: &dyn Lookup,
        now: i64,
    ) -> Result<(User, Vec<String>), String> {
        if !parts.is_signed_by(&self.keys) {
            return Err("service account token: no key of ours has signed it".into());
        }
        let claims = &parts.claims;
        let told: Vec<&str> = match &claims["aud"] {
            Value::String(one) => vec![one],
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let good: Vec<String> =
            audiences.iter().filter(|one| told.contains(&one.as_str())).cloned().collect();
        if good.is_empty() {
            return Err(format!(
                "token audiences {told:?} is invalid for the target audiences {audiences:?}"
            ));
        }
        let time = |claim: &str| claims[claim].as_i64();
        // Each token of ours ends; one that does not is no token of ours.
        if time("exp").is_none_or(|end| end.saturating_add(LEEWAY) < now) {
            return Err("service account token has expired".into());
        }
        if time("nbf").is_some_and(|begin| begin.saturating_sub(LEEWAY) > now) {
            return Err("service account token is not valid yet".into());
        }
        Ok((bound(claims, lookup, now)?, good))
    }
}

/// The user, if what the token is bound to is still there.
fn bound(claims: &Value, lookup: &dyn Lookup, now: i64) -> Result<User, String> {
    let private = &claims["kubernetes.io"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let namespace = text(&private["namespace"]);
    let (name, uid) = named(&private["serviceaccount"]).ok_or("service account token names no account")?;
    let user = format!("system:serviceaccount:{namespace}:{name}");
    if claims["sub"] != user.as_str() {
        return Err("service account token has another subject than its account".into());
    }
    lives(lookup, "serviceaccounts", &namespace, &name, &uid, now)?;
    if let Some((name, uid)) = named(&private["secret"]) {
        lives(lookup, "secrets", &namespace, &name, &uid, now)?;
    }
    let pod = named(&private["pod"]);
    let node = named(&private["node"]);
    if let Some((name, uid)) = &pod {
        lives(lookup, "pods", &namespace, name, uid, now)?;
    } else if let Some((name, uid)) = &node {
        // With a pod the node is only told of: the pod's end is the token's.
        lives(lookup, "nodes", "", name, uid, now)?;
    }
    let mut extra = BTreeMap::new();
    let mut tell = |key: &str, value: String| {
        extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
    };
    for (what, bound) in [("pod", pod), ("node", node)] {
        if let Some((name, uid)) = bound {
            tell(&format!("{what}-name"), name);
            tell(&format!("{what}-uid"), uid);
        }
    }
    if let Some(id) = claims["jti"].as_str().filter(|id| !id.is_empty()) {
        tell("credential-id", format!("JTI={id}"));
    }
    let groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    Ok(User { name: user, uid, groups, extra })
}

fn named(reference: &Value) -> Option<(String, String)> {
    let name = reference["name"].as_str().filter(|name| !name.is_empty())?;
    Some((name.to_owned(), reference["uid"].as_str().unwrap_or_default().to_owned()))
}

/// An object with its uid, not deleted, or so lately that it is still in its grace.
fn lives(
    lookup: &dyn Lookup,
    resource: &str,
    namespace: &str,
    name: &str,
    uid: &str,
    now: i64,
) -> Result<(), String> {
    let gone = |why: &str| Err(format!("service account token: {resource} {namespace}/{name} {why}"));
    let Some(object) = lookup.object(resource, namespace, name) else { return gone("does not exist") };
    let metadata = &object["metadata"];
    if let Some(at) = metadata["deletionTimestamp"].as_str() {
        let at = at.parse::<jiff::Timestamp>().map_or(i64::MIN, jiff::Timestamp::as_second);
        if at < now - LEEWAY {
            return gone("has been deleted");
        }
    }
    if metadata["uid"].as_str() == Some(uid) { Ok(()) } else { gone("has another UID than the token's") }
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(since).unwrap_or(i64::MAX)
}
