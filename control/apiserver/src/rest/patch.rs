//! PATCH: JSON patch, merge patch, strategic merge patch, applied to what is there and written like an update.

use http::{StatusCode, header::CONTENT_TYPE};
use serde_json::Value;
use weft_objects::body::{self as bodies, Decoded};
use weft_objects::patch::{self, PatchError};
use weft_objects::schema::Type;

use super::Call;
use super::answer::Answer;
use super::body::judged;
use super::options::FieldValidation;
use crate::convert;
use crate::object::name;
use crate::status::{Failure, Outcome};

/// What patches there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PatchKind {
    Json,
    Merge,
    Strategic,
}

impl PatchKind {
    fn read(call: &Call<'_>) -> Outcome<PatchKind> {
        let text = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match text.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Ok(PatchKind::Json),
            "application/merge-patch+json" => Ok(PatchKind::Merge),
            "application/strategic-merge-patch+json" => Ok(PatchKind::Strategic),
            other => Err(Failure::unsupported_media_type(format!(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json \
                 (it was {other:?}; server-side apply is not served)"
            ))),
        }
    }
}

fn failed(kind: PatchKind, error: &PatchError) -> Failure {
    match error {
        PatchError::TooLarge(text) => {
            Failure::of(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", text.clone())
        }
        PatchError::Malformed(text) => Failure::bad_request(text.clone()),
        PatchError::Rejected(why) => {
            let failure = Failure::of(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", error.to_string());
            match kind {
                // Upstream gives no cause (`NewGenericServerResponse`), and kubectl would show it in place of the message.
                PatchKind::Json => failure,
                PatchKind::Merge | PatchKind::Strategic => failure.because("Invalid", why.clone()),
            }
        }
    }
}

/// 422: what comes of the patch is no object of its type.
fn unfit(body: &[u8], why: &str) -> Failure {
    let mut faults = weft_objects::Faults::default();
    let shown: String = String::from_utf8_lossy(body).chars().take(200).collect();
    faults.invalid("patch", shown, why);
    Failure::invalid_of("", "", "", &faults).with_message(|message| message.trim_start().to_owned())
}

impl Call<'_> {
    /// PATCH of an object or of a subresource that has its form.
    pub(super) async fn patch(&self) -> Outcome<Answer> {
        let (target, dry) = (&self.target, self.dry_run()?);
        let validation = self.field_validation()?;
        let kind = PatchKind::read(self)?;
        if self.body.is_empty() {
            return Err(Failure::bad_request("the request has no body, and needs a patch"));
        }
        let there = self.current(&target.namespace, &target.name).await?;
        let warnings = std::sync::Mutex::new(Vec::new());
        let entry = self
            .change(there, dry, |old| {
                let (object, told) = self.patched(kind, old, validation)?;
                if let Ok(mut warnings) = warnings.lock() {
                    *warnings = told;
                }
                Ok(object)
            })
            .await?;
        let warnings = warnings.into_inner().unwrap_or_default();
        Ok(self.answer_entry(StatusCode::OK, &entry)?.warning(warnings))
    }

    fn patched(
        &self,
        kind: PatchKind,
        old: &Value,
        validation: FieldValidation,
    ) -> Outcome<(Value, Vec<String>)> {
        let before = convert::outgoing(self.target.kind, old.clone());
        let (object, told) = apply(kind, before, &self.body, self.body_type()?, validation)?;
        let mut object = object;
        if name(&object) != self.target.name {
            return Err(Failure::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                name(&object),
                self.target.name
            )));
        }
        self.check_place(&mut object)?;
        Ok((convert::incoming(self.target.kind, object), told))
    }
}

/// The patched object, and what the client is warned of.
pub(super) fn apply(
    kind: PatchKind,
    before: Value,
    body: &[u8],
    of: &Type,
    validation: FieldValidation,
) -> Outcome<(Value, Vec<String>)> {
    let (api_version, own_kind) = (before["apiVersion"].clone(), before["kind"].clone());
    let patched = match kind {
        PatchKind::Json => patch::json_patch(before, body),
        PatchKind::Merge => patch::merge(before, body),
        PatchKind::Strategic => patch::strategic(before, body, of),
    };
    let patched: Decoded = patched.map_err(|error| failed(kind, &error))?;
    let typed = bodies::typed(patched.object, of).map_err(|error| unfit(body, &error.to_string()))?;
    let mut object = typed.object;
    if !object.is_object() {
        return Err(Failure::bad_request("the patch leaves no object"));
    }
    for (key, own) in [("apiVersion", api_version), ("kind", own_kind)] {
        if object.get(key).is_some_and(|said| *said != own) {
            return Err(Failure::bad_request(format!(
                "a patch may not change {key} from {own} to {}",
                object[key]
            )));
        }
        object[key] = own;
    }
    let strict = patched.strict.into_iter().chain(typed.strict).collect();
    Ok((object, judged(strict, validation).map_err(|why| unfit(body, &why))?))
}

/// A patch of a body that is no stored object's: a `Scale`.
pub(super) fn apply_to(call: &Call<'_>, before: Value) -> Outcome<(Value, Vec<String>)> {
    apply(PatchKind::read(call)?, before, &call.body, call.body_type()?, call.field_validation()?)
}
