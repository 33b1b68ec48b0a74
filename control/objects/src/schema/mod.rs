//! The types of Kubernetes 1.36 as data: what fields an object may have, of what type, and how lists merge.
//!
//! The table is a text of some 90 KB that is part of the program (`data/`, written by `cargo xtask schema`). It is
//! read once, and its words stay where they are: names in here point into the program, so that the whole table costs
//! less than 1 MB of heap and about a millisecond. Lookups are binary searches.

mod describe;
mod parse;

pub use describe::Descriptions;
pub use parse::TABLE;

use std::collections::HashMap;
use std::sync::OnceLock;

/// All types.
#[derive(Debug)]
pub struct Schema {
    types: Vec<Type>,
    kinds: HashMap<(&'static str, &'static str, &'static str), usize>,
}

/// One type: `io.k8s.api.core.v1.Pod`.
#[derive(Debug)]
pub struct Type {
    /// The whole name, as in OpenAPI documents.
    pub name: &'static str,
    /// Group, version and kind of those that can be a body.
    pub kinds: Vec<(&'static str, &'static str, &'static str)>,
    /// By JSON name, in order.
    pub fields: Vec<Field>,
    /// Whether server-side apply and OpenAPI treat it as a whole.
    pub atomic: bool,
    /// Position in the table.
    pub index: usize,
}

/// One field.
#[derive(Debug)]
pub struct Field {
    /// JSON's name.
    pub name: &'static str,
    /// What its values are.
    pub shape: Shape,
    /// Whether the OpenAPI documents call it required.
    pub required: bool,
    /// Whether it is printed even when it is empty or not there: no `omitempty` in Go.
    pub always: bool,
    /// Whether an empty value is told apart from none: a pointer in Go.
    pub pointer: bool,
    /// How its list behaves: `atomic`, `set`, `map`.
    pub list: Option<&'static str>,
    /// The keys of a list that is a map.
    pub keys: Vec<&'static str>,
    /// `atomic` or `granular`, where it is told.
    pub map: Option<&'static str>,
    /// The key that a strategic merge patch goes by.
    pub merge_key: Option<&'static str>,
    /// What a strategic merge patch does with it.
    pub strategy: Strategy,
    /// Protobuf's number; two where Go has the struct inline that protobuf nests.
    pub numbers: Vec<u32>,
    /// Position in the table of descriptions.
    pub index: usize,
}

/// What `x-kubernetes-patch-strategy` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strategy {
    /// Lists merge, by key or by value.
    pub merge: bool,
    /// Keys of the object that the patch does not have are cleared if it says so.
    pub retain_keys: bool,
    /// Objects are replaced.
    pub replace: bool,
    /// The words as they stand in the OpenAPI documents.
    pub words: Option<&'static str>,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// Text.
    Text,
    /// True or false.
    Bool,
    /// An integer of 32 bits.
    Int32,
    /// An integer of 64 bits.
    Int64,
    /// A floating point number.
    Float,
    /// Bytes: base64 in JSON.
    Bytes,
    /// A time, to the second.
    Time,
    /// A time, to the microsecond.
    MicroTime,
    /// A quantity.
    Quantity,
    /// An integer of 32 bits or text.
    IntOrString,
    /// Anything.
    Raw,
    /// An object of a type of the table.
    Object(TypeId),
    /// A list.
    List(Box<Shape>),
    /// An object with free keys.
    Map(Box<Shape>),
}

/// A type of the table, by position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeId(usize);

/// The table.
pub fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| parse::table(parse::TABLE))
}

impl Schema {
    /// The type of a kind; the core group's name is empty.
    pub fn kind(&self, group: &str, version: &str, kind: &str) -> Option<&Type> {
        self.kinds.get(&(group, version, kind)).map(|at| &self.types[*at])
    }

    /// The type with this whole name.
    pub fn named(&self, name: &str) -> Option<&Type> {
        let at = self.types.binary_search_by(|one| one.name.cmp(name)).ok()?;
        self.types.get(at)
    }

    /// The type at a position.
    pub fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0]
    }

    /// All types, by name.
    pub fn types(&self) -> impl Iterator<Item = &Type> {
        self.types.iter()
    }
}

impl Type {
    /// The field of this JSON name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let at = self.fields.binary_search_by(|one| one.name.cmp(name)).ok()?;
        self.fields.get(at)
    }

    /// Go's name of it, without the package.
    pub fn short(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// Go's name of it with the package: `v1.PodSpec`.
    pub fn in_go(&self) -> &'static str {
        let dots = self.name.rmatch_indices('.').nth(1);
        dots.map_or(self.name, |(at, _)| &self.name[at + 1..])
    }
}

impl Shape {
    /// The type of the objects, where it is one of the table.
    pub fn object(&self) -> Option<&'static Type> {
        match self {
            Shape::Object(id) => Some(schema().get(*id)),
            _ => None,
        }
    }

    /// What a list's items or a map's values are.
    pub fn inner(&self) -> Option<&Shape> {
        match self {
            Shape::List(inner) | Shape::Map(inner) => Some(inner),
            _ => None,
        }
    }

    /// The name of its type in Go, as error messages have it.
    pub fn in_go(&self) -> String {
        match self {
            Shape::Text => "string".into(),
            Shape::Bool => "bool".into(),
            Shape::Int32 => "int32".into(),
            Shape::Int64 => "int64".into(),
            Shape::Float => "float64".into(),
            Shape::Bytes => "[]uint8".into(),
            Shape::Time => "v1.Time".into(),
            Shape::MicroTime => "v1.MicroTime".into(),
            Shape::Quantity => "resource.Quantity".into(),
            Shape::IntOrString => "intstr.IntOrString".into(),
            Shape::Raw => "runtime.RawExtension".into(),
            Shape::Object(id) => schema().get(*id).in_go().into(),
            Shape::List(inner) => format!("[]{}", inner.in_go()),
            Shape::Map(inner) => format!("map[string]{}", inner.in_go()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn kinds_are_found() {
        let pod = schema().kind("", "v1", "Pod").unwrap();
        assert_eq!(pod.name, "io.k8s.api.core.v1.Pod");
        assert_eq!(pod.in_go(), "v1.Pod");
        let spec = pod.field("spec").unwrap().shape.object().unwrap();
        let containers = spec.field("containers").unwrap();
        assert!(containers.required && containers.strategy.merge);
        assert_eq!((containers.list, containers.merge_key), (Some("map"), Some("name")));
        assert_eq!(containers.shape.in_go(), "[]v1.Container");
        assert!(schema().kind("apps", "v1", "Pod").is_none());
        for (group, kind) in
            [("policy", "Eviction"), ("autoscaling", "Scale"), ("authentication.k8s.io", "TokenRequest")]
        {
            assert!(schema().kind(group, "v1", kind).is_some(), "{kind}");
        }
        for kind in ["Binding", "DeleteOptions", "Status", "PodList", "ComponentStatus"] {
            assert!(schema().kind("", "v1", kind).is_some(), "{kind}");
        }
    }

    #[test]
    fn inline_structs_have_two_numbers() {
        let volume = schema().named("io.k8s.api.core.v1.Volume").unwrap();
        assert_eq!(volume.field("configMap").unwrap().numbers, [2, 19]);
        assert_eq!(volume.field("name").unwrap().numbers, [1]);
    }

    #[test]
    fn every_type_and_field_is_described_in_its_place() {
        let text = Descriptions::unpack();
        let pod = schema().kind("", "v1", "Pod").unwrap();
        assert!(text.of_type(pod).starts_with("Pod is a collection of containers"));
        assert!(
            text.of_field(pod.field("spec").unwrap()).starts_with("Specification of the desired behavior")
        );
    }
}
