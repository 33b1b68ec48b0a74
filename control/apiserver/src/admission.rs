//! Admission's glue: which plugin looks at which kind.

use serde_json::Value;

use crate::api::Api;
use crate::kinds::{Kind, Subresource};
use crate::request::User;
use crate::status::Outcome;

/// What changes a new object.
pub fn create(_: &Api, _: &User, _: &Kind, _: &mut Value) -> Outcome<()> {
    Ok(())
}

/// What changes a changed object.
pub fn update(_: &Api, _: &User, _: &Kind, _: &mut Value, _: &Value) -> Outcome<()> {
    Ok(())
}

/// What is refused of a new object.
pub fn check_create(_: &Api, _: &User, _: &Kind, _: &Value) -> Outcome<()> {
    Ok(())
}

/// What is refused of a changed object.
pub fn check_update(_: &Api, _: &User, _: &Kind, _: Option<Subresource>, _: &Value, _: &Value) -> Outcome<()> {
    Ok(())
}
