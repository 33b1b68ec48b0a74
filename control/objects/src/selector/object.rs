//! Selectors of labels as objects: `matchLabels` and `matchExpressions`, or a map of labels.

use super::{LabelSelector, Operator, SelectorError, parse};
use crate::names;
use serde_json::Value;

impl LabelSelector {
    /// Of a `metav1.LabelSelector`: null selects nothing, an empty object everything.
    pub fn of_object(object: &Value) -> Result<LabelSelector, SelectorError> {
        if object.is_null() {
            return Ok(LabelSelector::nothing());
        }
        let mut selector = LabelSelector::of_map(&object["matchLabels"])?;
        for expression in object["matchExpressions"].as_array().into_iter().flatten() {
            let word = |key: &str| expression[key].as_str().unwrap_or_default();
            let operator = match word("operator") {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    return Err(SelectorError(format!("{other:?} is not a valid label selector operator")));
                }
            };
            let values = expression["values"].as_array().into_iter().flatten();
            let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
            selector.requirements.push(parse::new(key(word("key"))?, operator, values)?);
        }
        selector.requirements.sort_by(|left, right| left.key.cmp(&right.key));
        Ok(selector)
    }

    /// Of a map of labels, as services have it; null or an empty map selects everything.
    pub fn of_map(labels: &Value) -> Result<LabelSelector, SelectorError> {
        let mut requirements = Vec::new();
        for (name, value) in labels.as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements.push(parse::new(key(name)?, Operator::Equals, vec![value])?);
        }
        Ok(LabelSelector { requirements, nothing: false })
    }
}

fn key(text: &str) -> Result<String, SelectorError> {
    let wrong = names::qualified_name(text);
    if wrong.is_empty() {
        return Ok(text.to_owned());
    }
    Err(SelectorError(format!("key: Invalid value: {text:?}: {}", wrong.join("; "))))
}
