//! A request refused: what its `Status` will say.

use weft_objects::Faults;

/// A refusal by authentication's, authorization's or admission's rules. The server makes the `Status` of it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The HTTP code.
    pub code: u16,
    /// The `Status`' reason (`Forbidden`, `Invalid`, …).
    pub reason: &'static str,
    /// What is told.
    pub message: String,
    /// The fields that are wrong, for `Invalid`.
    pub faults: Faults,
}

impl Refusal {
    fn of(code: u16, reason: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, reason, message: message.into(), faults: Faults::default() }
    }

    /// 403, of an object (`pods "x" is forbidden: …`), as `errors.NewForbidden` words it.
    pub fn forbidden(resource: &str, name: &str, why: impl std::fmt::Display) -> Refusal {
        let message = match (resource, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{resource} is forbidden: {why}"),
            _ => format!("{resource} {name:?} is forbidden: {why}"),
        };
        Refusal::of(403, "Forbidden", message)
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::of(400, "BadRequest", message)
    }

    /// 404, of an object.
    pub fn not_found(resource: &str, name: &str) -> Refusal {
        Refusal::of(404, "NotFound", format!("{resource} {name:?} not found"))
    }

    /// 409, of an object.
    pub fn conflict(resource: &str, name: &str, why: impl std::fmt::Display) -> Refusal {
        let message = format!("Operation cannot be fulfilled on {resource} {name:?}: {why}");
        Refusal::of(409, "Conflict", message)
    }

    /// 422, with what is wrong field by field.
    pub fn invalid(kind: &str, name: &str, faults: Faults) -> Refusal {
        let all: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
        let list = if all.len() == 1 { all.concat() } else { format!("[{}]", all.join(", ")) };
        let message = format!("{kind} {name:?} is invalid: {list}");
        Refusal { code: 422, reason: "Invalid", message, faults }
    }

    /// 500: the request is in order, and something that it stands on is not.
    pub fn internal(why: impl std::fmt::Display) -> Refusal {
        Refusal::of(500, "InternalError", format!("Internal error occurred: {why}"))
    }
}
