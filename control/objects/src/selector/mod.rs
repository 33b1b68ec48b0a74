//! Selectors: of labels, as text and as objects, and of fields.
//!
//! A selector is a list of requirements that all must hold. Matching costs a lookup for each; `exact` tells what an
//! index can be asked for. Source: `k8s.io/apimachinery/pkg/labels/selector.go`, `fields/selector.go`,
//! `meta/v1/helpers.go`.

mod fields;
mod object;
mod parse;

pub use fields::{FieldRequirement, FieldSelector};

use std::fmt;

/// Why a selector was not read, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);

/// What a requirement asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The label has the value.
    Equals,
    /// The label is not there or has another value.
    NotEquals,
    /// The label has one of the values.
    In,
    /// The label is not there or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
    /// The label is a larger integer.
    GreaterThan,
    /// The label is a smaller integer.
    LessThan,
}

/// One requirement on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What is asked.
    pub operator: Operator,
    /// The values, sorted.
    pub values: Vec<String>,
}

/// A selector of labels: all requirements must hold; without any, everything is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    /// Selects nothing at all.
    pub fn nothing() -> LabelSelector {
        LabelSelector { requirements: Vec::new(), nothing: true }
    }

    /// The requirements, by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// The only value that this label may have, if there is one: what an index is asked for.
    pub fn exact(&self, key: &str) -> Option<&str> {
        let of_key =
            |one: &&Requirement| one.key == key && matches!(one.operator, Operator::Equals | Operator::In);
        match self.requirements.iter().find(of_key)?.values.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether an object with these labels is selected; `label` looks one up.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|one| one.matches(label(&one.key)))
    }

    /// Whether an object with these labels (`metadata.labels`, or null) is selected.
    pub fn matches_value(&self, labels: &serde_json::Value) -> bool {
        self.matches(|key| labels.get(key).and_then(serde_json::Value::as_str))
    }
}

impl Requirement {
    fn matches(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|one| one == value);
        match self.operator {
            Operator::Equals | Operator::In => value.is_some_and(listed),
            Operator::NotEquals | Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.integers(value).is_some_and(|(label, bound)| label > bound),
            Operator::LessThan => self.integers(value).is_some_and(|(label, bound)| label < bound),
        }
    }

    fn integers(&self, value: Option<&str>) -> Option<(i64, i64)> {
        Some((value?.parse().ok()?, self.values.first()?.parse().ok()?))
    }
}

impl fmt::Display for LabelSelector {
    /// As upstream prints it: what a scale's `status.selector` has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.requirements.iter().map(Requirement::to_string).collect();
        f.write_str(&texts.join(","))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

#[cfg(test)]
mod tests;
