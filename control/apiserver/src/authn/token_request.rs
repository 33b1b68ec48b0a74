//! `serviceaccounts/token`: a token for an account, for whom and for how long, bound to what.
//!
//! Source: `pkg/registry/core/serviceaccount/storage/token.go`, and `ValidateTokenRequest`.

use super::service_account::seconds;
use super::{Lookup, ServiceAccounts, jwt};
use crate::refusal::Refusal;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};
use weft_objects::Faults;

/// A pod's token that asks for this long is the kubelet's, which renews it after 80 %.
const PROJECTED: u64 = 3607;
/// Such a token is good for a year, for programs that never read theirs again (`ExpirationExtensionSeconds`).
const EXTENDED: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a token is bound to beside its account.
#[derive(Default)]
struct Binding {
    /// `pod`, `secret` or `node`, with name and UID.
    to: Option<(&'static str, Value)>,
    /// The pod's node.
    node: Option<Value>,
}

impl ServiceAccounts {
    /// Answers a `TokenRequest` (the object, with its status) for an account.
    pub fn token_request(
        &self,
        namespace: &str,
        name: &str,
        request: &Value,
        lookup: &dyn Lookup,
        now: SystemTime,
    ) -> Result<Value, Refusal> {
        let map = |value: &Value| value.is_null() || value.is_object();
        if !request.is_object() || !map(&request["metadata"]) || !map(&request["spec"]) {
            return Err(Refusal::bad_request("the token request's metadata or spec is no object"));
        }
        let account = lookup.object("serviceaccounts", namespace, name);
        let account = account.ok_or_else(|| Refusal::not_found("serviceaccounts", name))?;
        let mut answer = request.clone();
        let metadata = &request["metadata"];
        for (key, own) in [("name", name), ("namespace", namespace)] {
            if metadata[key].as_str().is_some_and(|told| !told.is_empty() && told != own) {
                let what = if key == "name" { "service account name" } else { "namespace" };
                return Err(Refusal::bad_request(format!(
                    "the {key} of the token request does not match the {what} of the URL"
                )));
            }
            answer["metadata"][key] = own.into();
        }
        let asked = self.validated(name, &request["spec"])?;
        let life = self.longest.map_or(asked, |longest| asked.min(longest));
        let mut audiences: Vec<String> = request["spec"]["audiences"]
            .as_array()
            .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default();
        if audiences.is_empty() {
            audiences = self.audiences().to_vec();
        }
        let binding = binding(namespace, name, &request["spec"]["boundObjectRef"], lookup)?;
        let begin = seconds(now);
        let end = |life: Duration| begin.saturating_add_unsigned(life.as_secs());

        let mut private = json!({
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": account["metadata"]["uid"]},
        });
        // For a year, if it is the kubelet's for a pod, and for this API server.
        let extend = self.extend
            && life.as_secs() == PROJECTED
            && matches!(binding.to, Some(("pod", _)))
            && audiences.iter().all(|one| self.audiences().contains(one));
        let mut expires = end(life);
        if extend {
            private["warnafter"] = expires.into();
            expires = end(EXTENDED);
        }
        if let Some((what, reference)) = binding.to {
            private[what] = reference;
        }
        if let Some(node) = binding.node {
            private["node"] = node;
        }
        let claims = json!({
            "iss": self.issuer(), "sub": format!("system:serviceaccount:{namespace}:{name}"), "aud": audiences,
            "iat": begin, "nbf": begin, "exp": expires, "jti": random_id(), "kubernetes.io": private,
        });
        let token = jwt::signed(&claims, &self.signer).map_err(Refusal::internal)?;
        answer["spec"]["audiences"] = json!(audiences);
        answer["spec"]["expirationSeconds"] = life.as_secs().into();
        answer["status"] = json!({"token": token, "expirationTimestamp": rfc3339(end(life))});
        Ok(answer)
    }

    fn validated(&self, name: &str, spec: &Value) -> Result<Duration, Refusal> {
        let asked = &spec["expirationSeconds"];
        if asked.is_null() {
            return Ok(Duration::from_secs(3600));
        }
        let mut faults = Faults::default();
        let field = "spec.expirationSeconds";
        let number = asked.as_i64().unwrap_or(0);
        if number < 600 {
            faults.invalid(field, asked.clone(), "may not specify a duration less than 10 minutes");
        } else if number > 1 << 32 {
            faults.invalid(field, asked.clone(), "may not specify a duration larger than 2^32 seconds");
        }
        match u64::try_from(number) {
            Ok(number) if faults.is_empty() => Ok(Duration::from_secs(number)),
            _ => Err(Refusal::invalid("TokenRequest.authentication.k8s.io", name, faults)),
        }
    }
}

fn binding(namespace: &str, account: &str, wanted: &Value, lookup: &dyn Lookup) -> Result<Binding, Refusal> {
    if wanted.is_null() {
        return Ok(Binding::default());
    }
    let text = |key: &str| wanted[key].as_str().unwrap_or_default();
    let (version, kind, name) = (text("apiVersion"), text("kind"), text("name"));
    let (what, resource, within) = match (version, kind) {
        ("v1", "Pod") => ("pod", "pods", namespace),
        ("v1", "Secret") => ("secret", "secrets", namespace),
        ("v1", "Node") => ("node", "nodes", ""),
        _ => {
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let kind = format!("{group}/{version}, Kind={kind}");
            return Err(Refusal::bad_request(format!("cannot bind token to object of type {kind}")));
        }
    };
    let object = lookup.object(resource, within, name).ok_or_else(|| Refusal::not_found(resource, name))?;
    let mut node = None;
    if what == "pod" {
        if object["spec"]["serviceAccountName"] != account {
            return Err(Refusal::bad_request(format!(
                "cannot bind token for serviceaccount {account:?} to pod running with different serviceaccount name."
            )));
        }
        if let Some(on) = object["spec"]["nodeName"].as_str().filter(|on| !on.is_empty()) {
            // A node that is not there (yet) is told by its name alone.
            let found = lookup.object("nodes", "", on);
            node = Some(match found {
                Some(found) => json!({"name": on, "uid": found["metadata"]["uid"]}),
                None => json!({"name": on}),
            });
        }
    }
    let uid = &object["metadata"]["uid"];
    let told = text("uid");
    if !told.is_empty() && uid != told {
        return Err(Refusal::conflict(
            kind,
            name,
            format!(
                "the UID in the bound object reference ({told}) does not match the UID in record. The object might \
                 have been deleted and then recreated"
            ),
        ));
    }
    Ok(Binding { to: Some((what, json!({"name": name, "uid": uid}))), node })
}

/// A UUID of random bits (RFC 9562, version 4).
fn random_id() -> String {
    let bits = u128::from_be_bytes(rand::random());
    let bits = bits & !(0xf << 76) | 4 << 76;
    let bits = bits & !(3 << 62) | 2 << 62;
    let text = format!("{bits:032x}");
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}
