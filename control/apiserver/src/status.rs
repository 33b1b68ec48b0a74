//! `Status`: how the API says that something failed, with the reasons, codes, details and causes that clients switch on.
//!
//! Source: `k8s.io/apimachinery/pkg/api/errors/errors.go` and `metav1.Status`.

use http::StatusCode;
use serde_json::{Map, Value, json};
use weft_objects::Faults;

use crate::kinds::Kind;

/// A request that failed. Small, as every handler's result carries one.
#[derive(Clone, Debug)]
pub struct Failure(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: StatusCode,
    reason: &'static str,
    message: String,
    details: Map<String, Value>,
    /// A token with which a list can go on.
    go_on: Option<String>,
}

/// What a handler gives.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// A failure of a code and a reason (`metav1.StatusReason`).
    pub fn of(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Failure {
        Failure(Box::new(Inner { code, reason, message: message.into(), details: Map::new(), go_on: None }))
    }

    fn about(self, kind: &Kind, name: &str) -> Failure {
        self.named(kind.group, kind.plural, name)
    }

    /// Says what it is about: a resource, except where upstream names the kind (`invalid_of`).
    pub fn named(mut self, group: &str, kind: &str, name: &str) -> Failure {
        let details = &mut self.0.details;
        for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                details.insert(key.into(), value.into());
            }
        }
        self
    }

    /// 404, of an object.
    pub fn not_found(kind: &Kind, name: &str) -> Failure {
        let message = format!("{} {name:?} not found", kind.qualified());
        Failure::of(StatusCode::NOT_FOUND, "NotFound", message).about(kind, name)
    }

    /// 404, of a path.
    pub fn no_such_path() -> Failure {
        Failure::of(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource")
    }

    /// 409 with the reason AlreadyExists.
    pub fn already_exists(kind: &Kind, name: &str) -> Failure {
        let message = format!("{} {name:?} already exists", kind.qualified());
        Failure::of(StatusCode::CONFLICT, "AlreadyExists", message).about(kind, name)
    }

    /// 409: the object is another one than was meant.
    pub fn conflict(kind: &Kind, name: &str, why: &str) -> Failure {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.qualified());
        Failure::of(StatusCode::CONFLICT, "Conflict", message).about(kind, name)
    }

    /// 409: somebody was faster.
    pub fn modified(kind: &Kind, name: &str) -> Failure {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        Failure::conflict(kind, name, why)
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Failure {
        Failure::of(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 403.
    pub fn forbidden(kind: &Kind, name: &str, why: impl std::fmt::Display) -> Failure {
        let object =
            if name.is_empty() { kind.qualified() } else { format!("{} {name:?}", kind.qualified()) };
        Failure::of(StatusCode::FORBIDDEN, "Forbidden", format!("{object} is forbidden: {why}"))
            .about(kind, name)
    }

    /// 422, with a cause for each fault.
    pub fn invalid(kind: &Kind, name: &str, faults: &Faults) -> Failure {
        Failure::invalid_of(kind.group, kind.kind, name, faults)
    }

    /// 422, of a kind by its name. The details name the kind where others name the resource.
    pub fn invalid_of(group: &str, kind: &str, name: &str, faults: &Faults) -> Failure {
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let all: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
        let told = match &all[..] {
            [one] => one.clone(),
            _ => format!("[{}]", all.join(", ")),
        };
        let message = format!("{qualified} {name:?} is invalid: {told}");
        let failure = Failure::of(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message);
        let mut failure = failure.named(group, kind, name);
        let causes = faults.0.iter().map(
            |fault| json!({"reason": fault.kind.reason(), "message": fault.message(), "field": fault.field}),
        );
        failure.0.details.insert("causes".into(), causes.collect());
        failure
    }

    /// 410: a revision that is no longer kept.
    pub fn expired(message: impl Into<String>) -> Failure {
        Failure::of(StatusCode::GONE, "Expired", message)
    }

    /// 405.
    pub fn method_not_allowed() -> Failure {
        let message = "the server does not allow this method on the requested resource";
        Failure::of(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// 406.
    pub fn not_acceptable(types: &str) -> Failure {
        let message = format!("only the following media types are accepted: {types}");
        Failure::of(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// 413.
    pub fn too_large(limit: usize) -> Failure {
        let message = format!("Request entity is too large: limit is {limit}");
        Failure::of(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// 415.
    pub fn unsupported_media_type(message: impl Into<String>) -> Failure {
        Failure::of(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// 429, with the seconds after which to try again.
    pub fn too_many_requests(message: impl Into<String>, seconds: u32) -> Failure {
        Failure::of(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message).after(seconds)
    }

    /// 503: the state does not answer.
    pub fn unavailable(why: impl std::fmt::Display) -> Failure {
        let message =
            format!("the state is not reachable, so nothing was changed that was not acknowledged: {why}");
        Failure::of(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message).after(1)
    }

    /// 504.
    pub fn timeout(message: impl Into<String>) -> Failure {
        Failure::of(StatusCode::GATEWAY_TIMEOUT, "Timeout", message).after(1)
    }

    /// 500. Upstream's words; for what a request cannot bring about.
    pub fn internal(why: impl std::fmt::Display) -> Failure {
        let message = format!("Internal error occurred: {why}");
        Failure::of(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    /// Tells the client when to try again.
    pub fn after(mut self, seconds: u32) -> Failure {
        self.0.details.insert("retryAfterSeconds".into(), seconds.into());
        self
    }

    /// Gives the client a token with which its list can go on.
    pub fn with_continue(mut self, token: String) -> Failure {
        self.0.go_on = Some(token);
        self
    }

    /// With other words.
    pub fn with_message(mut self, words: impl FnOnce(&str) -> String) -> Failure {
        self.0.message = words(&self.0.message);
        self
    }

    /// A cause more.
    pub fn because(self, reason: &str, message: impl Into<String>) -> Failure {
        self.because_of("", reason, message)
    }

    /// A cause more, of a field.
    pub fn because_of(mut self, field: &str, reason: &str, message: impl Into<String>) -> Failure {
        let mut cause = json!({"reason": reason, "message": message.into()});
        if !field.is_empty() {
            cause["field"] = field.into();
        }
        let causes = self.0.details.entry("causes").or_insert_with(|| json!([]));
        if let Some(causes) = causes.as_array_mut() {
            causes.push(cause);
        }
        self
    }

    /// The code.
    pub fn code(&self) -> StatusCode {
        self.0.code
    }

    /// The reason.
    pub fn reason(&self) -> &'static str {
        self.0.reason
    }

    /// The message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Seconds after which to try again, where that is known.
    pub fn retry_after(&self) -> Option<u64> {
        self.0.details.get("retryAfterSeconds")?.as_u64()
    }

    /// The `Status` object.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.0.message, "reason": self.0.reason, "code": self.0.code.as_u16(),
        });
        if let Some(token) = &self.0.go_on {
            status["metadata"]["continue"] = token.as_str().into();
        }
        if !self.0.details.is_empty() {
            status["details"] = Value::Object(self.0.details.clone());
        }
        status
    }
}

/// The `Status` of a deletion that is done.
pub fn deleted(kind: &Kind, name: &str, uid: &str) -> Value {
    let mut details = json!({"name": name, "kind": kind.plural, "uid": uid});
    if !kind.group.is_empty() {
        details["group"] = kind.group.into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
