//! What a body says that it is, before it is decoded as that.

use super::error::{self, BodyError};
use super::{Form, protobuf, yaml_options};
use serde::Deserialize;

/// `apiVersion` and `kind`; empty where the body does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TypeMeta {
    /// `apps/v1`.
    #[serde(rename = "apiVersion")]
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
}

/// Reads only what the body says that it is.
pub fn type_meta(form: Form, bytes: &[u8]) -> Result<TypeMeta, BodyError> {
    match form {
        Form::Json => serde_json::from_slice(bytes).map_err(|error| interpreting(error::of_json(&error))),
        Form::Yaml => {
            let read = |reader: serde_saphyr::Deserializer<'_, '_>| TypeMeta::deserialize(reader);
            serde_saphyr::with_deserializer_from_slice_with_options(bytes, yaml_options(), read)
                .map_err(|error| interpreting(error::of_yaml(&error.render())))
        }
        Form::Protobuf => protobuf::unknown(bytes).map(|unknown| unknown.type_meta),
    }
}

/// The words of upstream's `SimpleMetaFactory.Interpret`.
fn interpreting(error: BodyError) -> BodyError {
    BodyError { message: format!("couldn't get version/kind; json parse error: {}", error.message), ..error }
}
