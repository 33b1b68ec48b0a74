//! The OpenAPI documents, of the kinds that are served. They are made when they are asked for and not kept.

use http::StatusCode;
use serde_json::{Value, json};

use crate::rest::{Answer, Body};

/// `/openapi/v2`, in JSON or protobuf.
pub fn v2(protobuf: bool) -> Answer {
    let _ = protobuf;
    Answer::of(StatusCode::OK, "application/json", Body::of("{}"))
}

/// `/openapi/v3`.
pub fn v3_index() -> Value {
    json!({"paths": {}})
}

/// `/openapi/v3/apis/apps/v1`.
pub fn v3(_: &str) -> Option<Answer> {
    None
}
