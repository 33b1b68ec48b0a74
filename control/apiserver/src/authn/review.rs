//! `TokenReview` and `SelfSubjectReview`: whose token is it, and who am I.
//!
//! Source: `pkg/registry/authentication/tokenreview/storage.go`, `selfsubjectreview/rest.go`.

use super::{Authenticators, Lookup};
use crate::refusal::Refusal;
use crate::request::User;
use serde_json::{Value, json};

/// A user as `authentication.k8s.io/v1` `UserInfo`.
pub fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.groups.is_empty() {
        info["groups"] = json!(user.groups);
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

/// A `TokenReview` with its status.
pub fn token_review(own: &Authenticators, review: &Value, lookup: &dyn Lookup) -> Result<Value, Refusal> {
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    if token.is_empty() {
        return Err(Refusal::bad_request("token is required for TokenReview in authentication"));
    }
    let asked: Option<Vec<String>> = review["spec"]["audiences"]
        .as_array()
        .filter(|all| !all.is_empty())
        .map(|all| all.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    let default = || own.accounts.as_ref().map(|accounts| accounts.audiences().to_vec()).unwrap_or_default();
    let audiences = asked.clone().unwrap_or_else(default);
    let mut answer = review.clone();
    answer["status"] = match own.token_for(token, &audiences, lookup) {
        Ok((user, good)) => {
            let mut status = json!({"authenticated": true, "user": user_info(&user)});
            if !good.is_empty() {
                status["audiences"] = json!(good);
            }
            status
        }
        Err(refused) => json!({"user": {}, "error": refused.0}),
    };
    Ok(answer)
}

/// A `SelfSubjectReview` with its status.
pub fn self_subject_review(user: &User, review: &Value) -> Value {
    let mut answer = review.clone();
    answer["status"] = json!({ "userInfo": user_info(user) });
    answer
}
