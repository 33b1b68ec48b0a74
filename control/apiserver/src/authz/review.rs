//! The authorization reviews: may they, may I, and what may I.
//!
//! Source: `pkg/registry/authorization/*/rest.go`, `pkg/apis/authorization/validation/validation.go`.

use super::Authorizer;
use super::rbac::Rule;
use crate::refusal::Refusal;
use crate::request::{Attributes, User};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use weft_objects::Faults;

/// A `SubjectAccessReview` with its status.
pub fn subject_access_review(own: &Authorizer, review: &Value) -> Result<Value, Refusal> {
    let spec = &review["spec"];
    let user = whom(spec);
    let mut faults = wrong(spec);
    if user.name.is_empty() && user.groups.is_empty() {
        faults.invalid("spec.user", "", "at least one of user or group must be specified");
    }
    refuse("SubjectAccessReview", faults)?;
    Ok(answered(own, review, &user))
}

/// A `SelfSubjectAccessReview` with its status.
pub fn self_subject_access_review(own: &Authorizer, user: &User, review: &Value) -> Result<Value, Refusal> {
    refuse("SelfSubjectAccessReview", wrong(&review["spec"]))?;
    Ok(answered(own, review, user))
}

/// A `LocalSubjectAccessReview` with its status, of the namespace in the URL.
pub fn local_subject_access_review(
    own: &Authorizer,
    namespace: &str,
    review: &Value,
) -> Result<Value, Refusal> {
    let spec = &review["spec"];
    let user = whom(spec);
    let mut faults = wrong(spec);
    if user.name.is_empty() && user.groups.is_empty() {
        faults.invalid("spec.user", "", "at least one of user or group must be specified");
    }
    if !spec["nonResourceAttributes"].is_null() {
        faults.invalid("spec.nonResourceAttributes", Value::Null, "disallowed on this kind of request");
    }
    refuse("LocalSubjectAccessReview", faults)?;
    if spec["resourceAttributes"]["namespace"] != namespace {
        return Err(Refusal::bad_request(format!(
            "spec.resourceAttributes.namespace must match namespace: {namespace}"
        )));
    }
    Ok(answered(own, review, &user))
}

/// A `SelfSubjectRulesReview` with its status.
pub fn self_subject_rules_review(own: &Authorizer, user: &User, review: &Value) -> Result<Value, Refusal> {
    let namespace = review["spec"]["namespace"].as_str().unwrap_or_default();
    if namespace.is_empty() {
        return Err(Refusal::bad_request("no namespace on request"));
    }
    let (rules, mut errors) = own.rbac.rules_for(user, namespace);
    let unlisted = own.has_unlisted_rules(user);
    if unlisted {
        errors.push("node authorizer does not support user rule resolution".into());
    }
    // Each list twice over: a rule may have resources and paths.
    let resources = rules.iter().filter(|rule| !rule.resources.is_empty());
    let resources = resources.map(|rule| Rule { urls: Vec::new(), ..rule.clone() }.json());
    let paths = rules.iter().filter(|rule| !rule.urls.is_empty());
    let paths = paths.map(|rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.urls}));
    let mut answer = review.clone();
    answer["status"] = json!({
        "resourceRules": resources.collect::<Vec<_>>(),
        "nonResourceRules": paths.collect::<Vec<_>>(),
        "incomplete": unlisted || !errors.is_empty(),
    });
    if !errors.is_empty() {
        answer["status"]["evaluationError"] = errors.join(", ").into();
    }
    Ok(answer)
}

fn whom(spec: &Value) -> User {
    let text = |key: &str| spec[key].as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let extra = spec["extra"].as_object().into_iter().flatten();
    let extra: BTreeMap<_, _> = extra.map(|(key, values)| (key.to_lowercase(), list(values))).collect();
    User { name: text("user"), uid: text("uid"), groups: list(&spec["groups"]), extra }
}

fn wrong(spec: &Value) -> Faults {
    let mut faults = Faults::default();
    let words = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
    let resource = &spec["resourceAttributes"];
    match (resource.is_null(), spec["nonResourceAttributes"].is_null()) {
        (true, true) => faults.invalid("spec.resourceAttributes", Value::Null, words),
        (false, false) => faults.invalid("spec.nonResourceAttributes", Value::Null, words),
        _ => {}
    }
    faults
}

fn refuse(kind: &str, faults: Faults) -> Result<(), Refusal> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid(&format!("{kind}.authorization.k8s.io"), "", faults))
}

fn answered(own: &Authorizer, review: &Value, user: &User) -> Value {
    let spec = &review["spec"];
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let text = |key: &str| resource[key].as_str().unwrap_or_default();
    let asked = Attributes {
        user,
        verb: path["verb"].as_str().unwrap_or_else(|| text("verb")),
        group: text("group"),
        version: text("version"),
        resource: text("resource"),
        subresource: text("subresource"),
        namespace: text("namespace"),
        name: text("name"),
        path: path["path"].as_str().unwrap_or_default(),
    };
    let decision = own.decide(&asked);
    let mut answer = review.clone();
    answer["status"] = json!({"allowed": decision.allows()});
    if !decision.reason().is_empty() {
        answer["status"]["reason"] = decision.reason().into();
    }
    answer
}
