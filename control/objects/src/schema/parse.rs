//! Reads the table: one line for each type and, with a space in front, for each of its fields.
//!
//! A type: `NAME [group/version/Kind ...] [atomic]`. A field: ` NAME SHAPE NUMBERS [words]`, where the shape is a
//! word, `@TYPE`, `[]SHAPE` or `{}SHAPE`, the numbers are protobuf's (`2.19` for a struct that Go has inline, `-` for
//! none), and the words are `required` (for OpenAPI, and printed when empty unless `omitempty`), `always` (printed
//! when empty), `pointer` (printed when it is there), `list=`, `keys=`, `map=`, `merge=`, `patch=`. The table is part
//! of the program and tested; a line that is none of these is left out.

use super::{Field, Schema, Shape, Strategy, Type, TypeId};
use std::collections::HashMap;

/// The table as it is in the program.
pub const TABLE: &str = include_str!("../../data/kubernetes-1.36.schema");

/// Reads the table.
pub fn table(text: &'static str) -> Schema {
    let lines = || text.lines().filter(|line| !line.starts_with('#')).enumerate();
    let names: HashMap<&str, usize> = lines()
        .filter(|(_, line)| !line.starts_with(' '))
        .enumerate()
        .map(|(at, (_, line))| (line.split(' ').next().unwrap_or(line), at))
        .collect();
    let mut types: Vec<Type> = Vec::with_capacity(names.len());
    for (index, line) in lines() {
        match (line.strip_prefix(' '), types.last_mut()) {
            (Some(line), Some(owner)) => owner.fields.extend(field(line, index, &names)),
            _ => types.push(type_line(line, index)),
        }
    }
    let kinds = types
        .iter()
        .enumerate()
        .flat_map(|(at, one)| one.kinds.iter().map(move |kind| (*kind, at)))
        .collect();
    Schema { types, kinds }
}

fn type_line(line: &'static str, index: usize) -> Type {
    let mut words = line.split(' ');
    let mut found = Type {
        name: words.next().unwrap_or(line),
        kinds: Vec::new(),
        fields: Vec::new(),
        atomic: false,
        index,
    };
    for word in words {
        let mut parts = word.splitn(3, '/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(group), Some(version), Some(kind)) => found.kinds.push((group, version, kind)),
            _ => found.atomic |= word == "atomic",
        }
    }
    found
}

fn field(line: &'static str, index: usize, names: &HashMap<&str, usize>) -> Option<Field> {
    let mut words = line.split(' ');
    let (name, shape, numbers) = (words.next()?, words.next()?, words.next()?);
    let mut field = Field {
        name,
        shape: self::shape(shape, names)?,
        required: false,
        always: false,
        pointer: false,
        list: None,
        keys: Vec::new(),
        map: None,
        merge_key: None,
        strategy: Strategy::default(),
        numbers: numbers.split('.').filter_map(|number| number.parse().ok()).collect(),
        index,
    };
    for word in words {
        match word.split_once('=') {
            None => {
                field.required |= word == "required";
                field.always = (field.always || matches!(word, "required" | "always")) && word != "omitempty";
                field.pointer |= word == "pointer";
            }
            Some(("list", value)) => field.list = Some(value),
            Some(("keys", value)) => field.keys = value.split(',').collect(),
            Some(("map", value)) => field.map = Some(value),
            Some(("merge", value)) => field.merge_key = Some(value),
            Some(("patch", value)) => field.strategy = strategy(value),
            Some(_) => {}
        }
    }
    Some(field)
}

fn strategy(words: &'static str) -> Strategy {
    let has = |name| words.split(',').any(|word| word == name);
    Strategy {
        merge: has("merge"),
        retain_keys: has("retainKeys"),
        replace: has("replace"),
        words: Some(words),
    }
}

fn shape(word: &str, names: &HashMap<&str, usize>) -> Option<Shape> {
    if let Some(inner) = word.strip_prefix("[]") {
        return Some(Shape::List(Box::new(shape(inner, names)?)));
    }
    if let Some(inner) = word.strip_prefix("{}") {
        return Some(Shape::Map(Box::new(shape(inner, names)?)));
    }
    if let Some(name) = word.strip_prefix('@') {
        return names.get(name).map(|at| Shape::Object(TypeId(*at)));
    }
    Some(match word {
        "str" => Shape::Text,
        "bool" => Shape::Bool,
        "i32" => Shape::Int32,
        "i64" => Shape::Int64,
        "f64" => Shape::Float,
        "bytes" => Shape::Bytes,
        "time" => Shape::Time,
        "microtime" => Shape::MicroTime,
        "quantity" => Shape::Quantity,
        "intstr" => Shape::IntOrString,
        "raw" => Shape::Raw,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_the_table_is_left_out() {
        let schema = table(TABLE);
        let fields: usize = schema.types.iter().map(|one| one.fields.len()).sum();
        let lines = TABLE.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(schema.types.len() + fields, lines);
        let sorted = |names: Vec<&str>| names.is_sorted();
        assert!(sorted(schema.types.iter().map(|one| one.name).collect()));
        assert!(schema.types.iter().all(|one| sorted(one.fields.iter().map(|field| field.name).collect())));
    }
}
