//! What holds for the rules of every kind.

use super::*;
use crate::body;
use crate::schema::{Shape, Type, schema};
use proptest::prelude::*;
use serde_json::{Map, json};

/// What is wrong with an object once its defaults are filled in.
pub(super) fn wrong(rules: &Rules, mut object: Value) -> Vec<String> {
    (rules.default)(&mut object);
    let mut faults = Faults::default();
    (rules.validate)(&object, &mut faults);
    faults.0.iter().map(ToString::to_string).collect()
}

fn kinds() -> Vec<(&'static str, &'static Type)> {
    let all = schema().types().flat_map(|one| one.kinds.iter().map(move |(group, ..)| (*group, one)));
    all.filter(|(_, one)| one.field("metadata").is_some() && !one.name.ends_with("List")).collect()
}

/// An object of a kind with everything in it, `depth` levels deep; `pick` decides what is there and what it is.
fn filled(shape: &Shape, depth: usize, pick: &mut dyn FnMut(usize) -> usize) -> Value {
    match shape {
        Shape::Text => ["", "a", "Always", "-", "1"][pick(5)].into(),
        Shape::Bool => (pick(2) == 0).into(),
        Shape::Int32 | Shape::Int64 | Shape::Float => [0, 1, -1, 80][pick(4)].into(),
        Shape::Bytes => "eA==".into(),
        Shape::Time => "2026-01-01T00:00:00Z".into(),
        Shape::MicroTime => "2026-01-01T00:00:00.000000Z".into(),
        Shape::Quantity => ["0", "1", "100u", "-5"][pick(4)].into(),
        Shape::IntOrString => [json!(1), json!("50%"), json!("x")][pick(3)].clone(),
        Shape::Raw => json!({}),
        Shape::List(inner) if depth > 0 => (0..pick(3)).map(|_| filled(inner, depth - 1, pick)).collect(),
        Shape::Map(inner) if depth > 0 => json!({ "a": filled(inner, depth - 1, pick) }),
        Shape::List(_) => json!([]),
        Shape::Map(_) => json!({}),
        Shape::Object(_) => {
            let fields = shape.object().map(|one| one.fields.as_slice()).unwrap_or_default();
            let mut object = Map::new();
            for field in fields.iter().filter(|_| depth > 0) {
                if pick(3) > 0 {
                    object.insert(field.name.to_owned(), filled(&field.shape, depth - 1, pick));
                }
            }
            object.into()
        }
    }
}

fn any_object(kind: &Type, seed: u64) -> Value {
    let mut state = seed | 1;
    let mut pick = |most: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % most
    };
    let mut object = Map::new();
    for field in &kind.fields {
        object.insert(field.name.to_owned(), filled(&field.shape, 7, &mut pick));
    }
    if let Some((group, version, name)) = kind.kinds.first() {
        let slash = if group.is_empty() { "" } else { "/" };
        object.insert("apiVersion".into(), format!("{group}{slash}{version}").into());
        object.insert("kind".into(), (*name).into());
    }
    body::typed(object.into(), kind).map(|decoded| decoded.object).unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Defaults are of the right types, and completing what is complete changes nothing.
    #[test]
    fn every_kind_is_completed_once_and_checked_without_panic(seed in any::<u64>()) {
        for (group, kind) in kinds() {
            let rules = rules(group, kind.short());
            let mut object = any_object(kind, seed);
            let before = object.clone();
            (rules.default)(&mut object);
            let mut twice = object.clone();
            (rules.default)(&mut twice);
            prop_assert_eq!(&twice, &object, "{}", kind.name);
            let decoded = body::typed(object.clone(), kind);
            prop_assert!(decoded.as_ref().is_ok_and(|decoded| decoded.strict.is_empty()), "{}: {:?}", kind.name, decoded);
            let mut faults = Faults::default();
            metadata(&object, true, &mut faults);
            metadata_update(&object, &before, &mut faults);
            (rules.validate)(&object, &mut faults);
            (rules.validate_update)(&object, &before, &mut faults);
            (rules.validate)(&Value::Null, &mut faults);
            (rules.validate)(&before, &mut faults);
        }
    }
}

/// An update that changes nothing has no fault of its own.
#[test]
fn nothing_is_wrong_with_no_change() {
    for (group, kind) in kinds() {
        let rules = rules(group, kind.short());
        for seed in 0..20 {
            let mut object = any_object(kind, seed * 7919);
            (rules.default)(&mut object);
            let (mut plain, mut update) = (Faults::default(), Faults::default());
            (rules.validate)(&object, &mut plain);
            (rules.validate_update)(&object, &object, &mut update);
            for fault in update.0 {
                assert!(
                    plain.0.contains(&fault) || fault.field == "status.conditions",
                    "{}: {fault}",
                    kind.name
                );
            }
        }
    }
}
