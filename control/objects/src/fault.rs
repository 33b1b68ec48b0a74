//! What is wrong with an object, field by field, in the words of Kubernetes.
//!
//! Source: `k8s.io/apimachinery/pkg/util/validation/field/errors.go`. A `Status` carries one cause for each.

use serde_json::Value;
use std::fmt;

/// Which sort of fault; the names of `metav1.CauseType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Something that is named does not exist.
    NotFound,
    /// It is missing.
    Required,
    /// The same is there twice.
    Duplicate,
    /// It has a wrong form.
    Invalid,
    /// It is none of the supported values.
    NotSupported,
    /// It may not be there, or not change.
    Forbidden,
    /// It is longer than it may be.
    TooLong,
    /// There are more than there may be.
    TooMany,
    /// It has a wrong type.
    TypeInvalid,
}

/// A fault of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Which sort.
    pub kind: FaultKind,
    /// Where: `spec.containers[0].name`.
    pub field: String,
    /// What was there, where the message tells it.
    pub value: Value,
    /// What is wrong.
    pub detail: String,
}

impl FaultKind {
    /// The cause's reason in a `Status`.
    pub fn reason(self) -> &'static str {
        match self {
            FaultKind::NotFound => "FieldValueNotFound",
            FaultKind::Required => "FieldValueRequired",
            FaultKind::Duplicate => "FieldValueDuplicate",
            FaultKind::Invalid => "FieldValueInvalid",
            FaultKind::NotSupported => "FieldValueNotSupported",
            FaultKind::Forbidden => "FieldValueForbidden",
            FaultKind::TooLong => "FieldValueTooLong",
            FaultKind::TooMany => "FieldValueTooMany",
            FaultKind::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            FaultKind::NotFound => "Not found",
            FaultKind::Required => "Required value",
            FaultKind::Duplicate => "Duplicate value",
            FaultKind::Invalid | FaultKind::TypeInvalid => "Invalid value",
            FaultKind::NotSupported => "Unsupported value",
            FaultKind::Forbidden => "Forbidden",
            FaultKind::TooLong => "Too long",
            FaultKind::TooMany => "Too many",
        }
    }

    fn tells_value(self) -> bool {
        !matches!(self, FaultKind::Required | FaultKind::Forbidden | FaultKind::TooLong | FaultKind::TooMany)
    }
}

impl Fault {
    /// The message of its cause: all but the field.
    pub fn message(&self) -> String {
        let mut text = self.kind.words().to_owned();
        if self.kind.tells_value() {
            text.push_str(&format!(": {}", self.value));
        }
        if !self.detail.is_empty() {
            text.push_str(&format!(": {}", self.detail));
        }
        text
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message())
    }
}

/// All that is wrong with an object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a fault that tells a value.
    pub fn add(
        &mut self,
        kind: FaultKind,
        field: impl Into<String>,
        value: impl Into<Value>,
        detail: impl Into<String>,
    ) {
        self.0.push(Fault { kind, field: field.into(), value: value.into(), detail: detail.into() });
    }

    /// A value of a wrong form.
    pub fn invalid(&mut self, field: impl Into<String>, value: impl Into<Value>, detail: impl Into<String>) {
        self.add(FaultKind::Invalid, field, value, detail);
    }

    /// A missing value.
    pub fn required(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        self.add(FaultKind::Required, field, Value::Null, detail);
    }

    /// Something that may not be.
    pub fn forbidden(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        self.add(FaultKind::Forbidden, field, Value::Null, detail);
    }

    /// The same twice.
    pub fn duplicate(&mut self, field: impl Into<String>, value: impl Into<Value>) {
        self.add(FaultKind::Duplicate, field, value, "");
    }

    /// None of the supported values.
    pub fn not_supported(&mut self, field: impl Into<String>, value: impl Into<Value>, supported: &[&str]) {
        let list: Vec<String> = supported.iter().map(|one| format!("{one:?}")).collect();
        self.add(FaultKind::NotSupported, field, value, format!("supported values: {}", list.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_upstreams() {
        let mut faults = Faults::default();
        faults.invalid("spec.replicas", -1, "must be greater than or equal to 0");
        faults.required("spec.selector", "");
        faults.not_supported("spec.type", "X", &["ClusterIP", "NodePort"]);
        let text: Vec<String> = faults.0.iter().map(Fault::to_string).collect();
        assert_eq!(
            text,
            [
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.selector: Required value",
                "spec.type: Unsupported value: \"X\": supported values: \"ClusterIP\", \"NodePort\"",
            ]
        );
    }
}
