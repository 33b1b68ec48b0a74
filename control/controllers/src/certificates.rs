//! Certificate signing requests: those that are approved are signed, and old ones are removed.
//!
//! Upstream: `pkg/controller/certificates/signer/signer.go` and `cleaner/cleaner.go`. The keys are not here: whoever runs
//! the controllers gives a [`Sign`]; without one nothing is signed. Nothing is polled: a look tells when the next is due.

use jiff::Timestamp;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

use crate::Error;
use crate::error::On as _;
use crate::kinds::known;

/// The signers of a cluster's own.
const SIGNERS: [&str; 4] = [
    "kubernetes.io/kube-apiserver-client",
    "kubernetes.io/kube-apiserver-client-kubelet",
    "kubernetes.io/kubelet-serving",
    "kubernetes.io/legacy-unknown",
];
/// How long a request is kept that was signed, denied or has failed.
const ENDED: Duration = Duration::from_secs(3_600);
/// How long one is kept that nobody has answered.
const PENDING: Duration = Duration::from_secs(24 * 3_600);

/// What is to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The request in PEM.
    pub request: Vec<u8>,
    /// `kubernetes.io/kubelet-serving`, …
    pub signer: String,
    /// `client auth`, …
    pub usages: Vec<String>,
    /// How long it shall be good.
    pub expiration: Option<Duration>,
}

/// Why something is not signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsigned {
    /// The signer's rules forbid it: it never will be.
    Refused(String),
    /// It failed: it is tried again.
    Failed(String),
}

/// Signs: the certificate in PEM.
pub type Sign = Arc<dyn Fn(&Asked) -> Result<String, Unsigned> + Send + Sync>;

/// What is to be done about a request.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Sign,
    Remove,
    /// Nothing now; it is removed after this.
    Wait(Duration),
}

/// A condition that is true.
fn condition<'a>(request: &'a Value, kind: &str) -> Option<&'a Value> {
    let all = request.pointer("/status/conditions").and_then(Value::as_array)?;
    all.iter().find(|one| one["type"] == kind && one["status"].as_str().is_none_or(|status| status == "True"))
}

fn is_signed(request: &Value) -> bool {
    request.pointer("/status/certificate").and_then(Value::as_str).is_some_and(|text| !text.is_empty())
}

/// Decides. A request both approved and denied is denied (`IsCertificateRequestApproved`).
fn next(request: &Value, created: Timestamp, now: Timestamp) -> Next {
    let approved = condition(request, "Approved");
    let denied = condition(request, "Denied").or_else(|| condition(request, "Failed"));
    let signer = request["spec"]["signerName"].as_str().unwrap_or_default();
    let (since, kept) = match (denied, approved) {
        (Some(denied), _) => (Some(denied), ENDED),
        (None, Some(approved)) if is_signed(request) => (Some(approved), ENDED),
        (None, Some(_)) if SIGNERS.contains(&signer) => return Next::Sign,
        // Another's signer may take its time; upstream never removes these.
        (None, Some(_)) => return Next::Wait(PENDING),
        (None, None) => (None, PENDING),
    };
    let since = since.and_then(|one| one["lastUpdateTime"].as_str()).and_then(|text| text.parse().ok());
    let age = now.duration_since(since.unwrap_or(created));
    match kept.checked_sub(Duration::try_from(age).unwrap_or_default()) {
        Some(left) if !left.is_zero() => Next::Wait(left),
        _ => Next::Remove,
    }
}

/// Reads what is to be signed.
fn asked(request: &DynamicObject) -> Result<Asked, Error> {
    let spec = &request.data["spec"];
    let usages = spec["usages"].as_array().into_iter().flatten();
    let wrong = |why: String| Error::Other(format!("spec.request is no base64: {why}"));
    let bytes: k8s_openapi::ByteString =
        serde_json::from_value(spec["request"].clone()).map_err(|error| wrong(error.to_string()))?;
    Ok(Asked {
        request: bytes.0,
        signer: spec["signerName"].as_str().unwrap_or_default().to_owned(),
        usages: usages.filter_map(Value::as_str).map(str::to_owned).collect(),
        expiration: spec["expirationSeconds"].as_u64().map(Duration::from_secs),
    })
}

/// Writes a signer's answer into a request. Only what may change later is an error.
fn answer(request: &mut DynamicObject, signed: Result<String, Unsigned>, now: &str) -> Result<(), Error> {
    match signed {
        Ok(pem) => {
            let bytes = k8s_openapi::ByteString(pem.into_bytes());
            request.data["status"]["certificate"] = json!(bytes);
        }
        Err(Unsigned::Refused(why)) => {
            let failed = json!({
                "type": "Failed", "status": "True", "reason": "SignerValidationFailure", "message": why,
                "lastUpdateTime": now, "lastTransitionTime": now,
            });
            match request.data["status"]["conditions"].as_array_mut() {
                Some(all) => all.push(failed),
                None => request.data["status"]["conditions"] = json!([failed]),
            }
        }
        Err(Unsigned::Failed(why)) => return Err(Error::Other(why)),
    }
    Ok(())
}

/// Which of the two controllers run.
#[derive(Clone)]
pub struct Duties {
    /// Signs.
    pub sign: Option<Sign>,
    /// Removes old ones.
    pub clean: bool,
}

/// Looks at a request. When to look again, if ever.
pub async fn look(client: &kube::Client, duties: &Duties, name: &str) -> Result<Option<Duration>, Error> {
    let kind = known("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
    let what = |what: &str| format!("cannot {what} the certificate signing request {name}");
    let Some(mut request) = api.get_opt(name).await.on(|| what("read"))? else { return Ok(None) };
    let created = request.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    match (next(&request.data, created, Timestamp::now()), &duties.sign) {
        (Next::Sign, Some(sign)) => {
            let signed = sign(&asked(&request)?);
            answer(&mut request, signed, &crate::namespace::now())?;
            api.replace_status(name, &PostParams::default(), &request).await.on(|| what("write"))?;
            // The change is told, and looked at.
            Ok(None)
        }
        (Next::Remove, _) if duties.clean => {
            let removed = api.delete(name, &DeleteParams::default()).await.on(|| what("remove"));
            match removed {
                Err(error) if error.code() != 404 => Err(error),
                _ => Ok(None),
            }
        }
        (Next::Wait(left), _) if duties.clean => Ok(Some(left)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn request(conditions: &[(&str, i64)], certificate: &str, signer: &str) -> Value {
        let all: Vec<Value> = conditions
            .iter()
            .map(|(kind, when)| {
                json!({"type": kind, "status": "True", "lastUpdateTime": at(*when).to_string()})
            })
            .collect();
        json!({"spec": {"signerName": signer}, "status": {"conditions": all, "certificate": certificate}})
    }

    /// `signer.go`, `handle`; `cleaner.go`: 1 h after the answer, 24 h without one.
    #[test]
    fn what_is_approved_is_signed_and_what_is_old_removed() {
        let own = "kubernetes.io/kubelet-serving";
        let hours = |hours: i64| at(hours * 3_600);
        let of = |conditions: &[(&str, i64)], certificate: &str, now| {
            next(&request(conditions, certificate, own), at(0), now)
        };
        assert_eq!(of(&[], "", hours(23)), Next::Wait(Duration::from_secs(3_600)));
        assert_eq!(of(&[], "", hours(24)), Next::Remove);
        assert_eq!(of(&[("Approved", 0)], "", hours(30)), Next::Sign);
        assert_eq!(of(&[("Approved", 3_600)], "x", hours(1)), Next::Wait(ENDED));
        assert_eq!(of(&[("Approved", 3_600)], "x", hours(2)), Next::Remove);
        assert_eq!(of(&[("Approved", 0), ("Denied", 0)], "", at(0)), Next::Wait(ENDED));
        assert_eq!(of(&[("Approved", 0), ("Failed", 0)], "", hours(1)), Next::Remove);
        let other = request(&[("Approved", 0)], "", "example.com/mine");
        assert_eq!(next(&other, at(0), hours(99)), Next::Wait(PENDING));
    }

    #[test]
    fn a_refusal_is_told_and_a_failure_tried_again() {
        let kind =
            known("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests");
        let data = json!({"spec": {"request": "YQ==", "usages": ["client auth"], "signerName": "x/y"}});
        let mut object = DynamicObject::new("a", &kind).data(data);
        let read = asked(&object).unwrap();
        assert_eq!((read.request.as_slice(), read.usages.len(), read.expiration), (b"a".as_slice(), 1, None));
        assert!(answer(&mut object, Err(Unsigned::Failed("x".into())), "t").is_err());
        answer(&mut object, Err(Unsigned::Refused("usages".into())), "t").unwrap();
        assert_eq!(object.data["status"]["conditions"][0]["reason"], "SignerValidationFailure");
        answer(&mut object, Ok("pem".into()), "t").unwrap();
        assert_eq!(object.data["status"]["certificate"], "cGVt");
    }
}
