//! Bodies of requests: their form, decoding, and whether they are of the kind that the path names.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;
use weft_objects::body::{self as bodies, BodyErrorKind, Form, Limits};
use weft_objects::schema::{Type, schema};

use super::options::FieldValidation;
use super::{Call, MAX_BODY};
use crate::convert;
use crate::kinds::Subresource;
use crate::status::{Failure, Outcome};

/// A decoded body, and what the client is warned of.
pub(super) struct Read {
    pub object: Value,
    pub warnings: Vec<String>,
}

/// The form of a body by its type.
pub(super) fn form(headers: &HeaderMap) -> Outcome<Form> {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("application/json");
    match text.split(';').next().unwrap_or_default().trim() {
        "application/json" | "" => Ok(Form::Json),
        "application/yaml" => Ok(Form::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Form::Protobuf),
        other => Err(Failure::unsupported_media_type(format!(
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml, application/vnd.kubernetes.protobuf (it was {other:?})"
        ))),
    }
}

/// A body that was not decoded.
pub(super) fn refused(error: bodies::BodyError) -> Failure {
    match error.kind {
        BodyErrorKind::TooLarge => Failure::too_large(MAX_BODY),
        _ => Failure::bad_request(error.to_string()),
    }
}

/// What strict decoding complains about, as the client wants it judged.
pub(super) fn judged(strict: Vec<String>, validation: FieldValidation) -> Result<Vec<String>, String> {
    match validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(strict),
        FieldValidation::Strict if strict.is_empty() => Ok(strict),
        FieldValidation::Strict => Err(format!("strict decoding error: {}", strict.join(", "))),
    }
}

impl Call<'_> {
    /// The group, version and kind that bodies must have.
    pub(super) fn body_kind(&self) -> (&'static str, &'static str, &'static str) {
        let kind = self.target.kind;
        let own = (kind.group, kind.version, kind.kind);
        self.target.subresource.and_then(Subresource::body).unwrap_or(own)
    }

    /// The type of a kind's fields.
    pub(super) fn body_type(&self) -> Outcome<&'static Type> {
        let (group, version, kind) = self.body_kind();
        let found = schema().kind(group, version, kind);
        found.ok_or_else(|| {
            Failure::internal(format!("the table of types has no {kind} of {group}/{version}"))
        })
    }

    /// The body as an object of the path's kind, as it is stored.
    pub(super) fn read_object(&self) -> Outcome<Read> {
        let form = form(self.headers)?;
        if self.body.is_empty() {
            return Err(Failure::bad_request("the request has no body, and needs an object"));
        }
        let limits = Limits { bytes: MAX_BODY, ..Limits::default() };
        self.check_kind(form)?;
        let (_, version, kind) = self.body_kind();
        let told = |why: &str| format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}");
        let decoded = bodies::decode(form, &self.body, self.body_type()?, &limits)
            .map_err(|error| refused(error).with_message(told))?;
        let warnings = judged(decoded.strict, self.field_validation()?)
            .map_err(|why| Failure::bad_request(told(&why)))?;
        let mut object = decoded.object;
        self.name_kind(&mut object);
        Ok(Read { object: convert::incoming(self.target.kind, object), warnings })
    }

    /// Upstream fills in the kind where a body leaves it out, and refuses another.
    fn check_kind(&self, form: Form) -> Outcome<()> {
        let said = bodies::type_meta(form, &self.body).map_err(refused)?;
        let (group, version, kind) = self.body_kind();
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        if !said.kind.is_empty() && said.kind != kind {
            return Err(Failure::bad_request(format!(
                "{} in version {:?} cannot be handled as a {kind}: no kind {:?} is served at this path",
                said.kind, said.api_version, said.kind
            )));
        }
        if !said.api_version.is_empty() && said.api_version != api_version {
            return Err(Failure::bad_request(format!(
                "the API version in the data ({}) does not match the expected API version ({api_version})",
                said.api_version
            )));
        }
        Ok(())
    }

    fn name_kind(&self, object: &mut Value) {
        let (group, version, kind) = self.body_kind();
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        object["apiVersion"] = api_version.into();
        object["kind"] = kind.into();
    }

    /// The options that a body of DELETE may carry; null for none.
    pub(super) fn read_delete_options(&self) -> Outcome<Value> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        let kind = schema()
            .kind("", "v1", "DeleteOptions")
            .or_else(|| schema().kind("meta.k8s.io", "v1", "DeleteOptions"));
        let kind = kind.ok_or_else(|| Failure::internal("the table of types has no DeleteOptions"))?;
        let limits = Limits { bytes: MAX_BODY, ..Limits::default() };
        Ok(bodies::decode(form(self.headers)?, &self.body, kind, &limits).map_err(refused)?.object)
    }
}
