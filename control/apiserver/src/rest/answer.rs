//! An answer: status, headers, body.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

use super::content::Body;
use super::form::Form;
use crate::status::{Failure, Outcome};

/// An answer on its way out.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The content's type.
    pub content_type: &'static str,
    /// The content.
    pub body: Body,
    /// What the client is warned of.
    pub warnings: Vec<String>,
    /// Seconds after which to try again.
    pub retry_after: Option<u64>,
    /// What tells this content from another.
    pub etag: Option<String>,
    /// How the body is packed, where it is.
    pub encoding: Option<HeaderValue>,
}

impl Answer {
    /// An answer of a type.
    pub fn of(status: StatusCode, content_type: &'static str, body: Body) -> Answer {
        Answer {
            status,
            content_type,
            body,
            warnings: Vec::new(),
            retry_after: None,
            etag: None,
            encoding: None,
        }
    }

    /// An answer that is encoded already.
    pub fn json(status: StatusCode, body: Bytes) -> Answer {
        Answer::of(status, "application/json", Body::of(body))
    }

    /// A value, as JSON.
    pub fn value(status: StatusCode, value: &Value) -> Answer {
        Answer::json(status, value.to_string().into())
    }

    /// An object, as JSON or YAML.
    pub fn object(status: StatusCode, object: Value, form: Form) -> Outcome<Answer> {
        match form {
            Form::Yaml => {
                let text = serde_saphyr::to_string(&object).map_err(Failure::internal)?;
                Ok(Answer::of(status, "application/yaml", Body::of(text)))
            }
            _ => Ok(Answer::value(status, &object)),
        }
    }

    /// Plain text.
    pub fn text(status: StatusCode, text: impl Into<String>) -> Answer {
        Answer::of(status, "text/plain; charset=utf-8", Body::of(text.into()))
    }

    /// With warnings.
    pub fn warning(mut self, warnings: Vec<String>) -> Answer {
        self.warnings.extend(warnings);
        self
    }

    /// The response.
    pub fn into_response(self) -> Response<Body> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        for warning in self.warnings {
            let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
                headers.append(header::WARNING, value);
            }
        }
        if let Some(encoding) = self.encoding {
            headers.insert(header::CONTENT_ENCODING, encoding);
        }
        if let Some(etag) = self.etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
            headers.insert(header::ETAG, etag);
            headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Answer {
        let mut answer = Answer::value(failure.code(), &failure.status());
        answer.retry_after = failure.retry_after();
        answer
    }
}
