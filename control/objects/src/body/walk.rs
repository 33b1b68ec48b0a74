//! The walk that decodes against the table: one serde visitor for JSON, YAML and values.
//!
//! It keeps two paths, as upstream's decoder does: one with indexes and keys of maps, for strict complaints, and one of
//! field names only, for type errors. Source: `sigs.k8s.io/json`, `decode.go` and `kubernetes_patch.go`.

use super::error::{BodyError, BodyErrorKind};
use super::scalar::{self, Misfit};
use super::{Decoded, Limits};
use crate::schema::{Shape, Type};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Upstream keeps so many complaints.
const MAX_STRICT: usize = 100;

/// The state of a walk.
pub struct Walk {
    strict: Vec<String>,
    path: String,
    fields: Vec<&'static str>,
    owner: Option<&'static str>,
    depth: usize,
    fault: Option<BodyError>,
}

/// A value that is to come, and what it shall be.
pub struct At<'w> {
    walk: &'w mut Walk,
    what: What<'w>,
}

#[derive(Clone, Copy)]
enum What<'w> {
    Shape(&'w Shape),
    Type(&'w Type),
}

impl Walk {
    pub fn new(limits: &Limits) -> Walk {
        Walk {
            strict: Vec::new(),
            path: String::new(),
            fields: Vec::new(),
            owner: None,
            depth: limits.depth,
            fault: None,
        }
    }

    /// The whole body.
    pub fn root<'w>(&'w mut self, kind: &'w Type) -> At<'w> {
        At { walk: self, what: What::Type(kind) }
    }

    /// The whole body, of no type.
    pub fn free_root(&mut self) -> At<'_> {
        At { walk: self, what: What::Shape(&Shape::Raw) }
    }

    /// What came of it: the walk's own fault tells more than the reader's.
    pub fn finish(self, object: Result<Option<Value>, BodyError>) -> Result<Decoded, BodyError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let object = object?.unwrap_or_else(|| Value::Object(Map::new()));
        Ok(Decoded { object, strict: self.strict })
    }

    fn complain(&mut self, what: &str, key: &str) {
        let dot = if self.path.is_empty() { "" } else { "." };
        let text = format!("{what} field {:?}", format!("{}{dot}{key}", self.path));
        if self.strict.len() < MAX_STRICT && !self.strict.contains(&text) {
            self.strict.push(text);
        }
    }

    fn fail<E: Error>(&mut self, misfit: Misfit, what: What<'_>) -> E {
        let message = match misfit {
            Misfit::Says(text) => text,
            Misfit::Within(word, kind) => {
                format!("json: cannot unmarshal {word} into Go value of type {kind}")
            }
            Misfit::Is(word) => {
                let into = match self.owner {
                    Some(owner) => format!("Go struct field {owner}.{}", self.fields.join(".")),
                    None => "Go value".into(),
                };
                let kind = match what {
                    What::Shape(shape) => shape.in_go(),
                    What::Type(kind) => kind.in_go().to_owned(),
                };
                format!("json: cannot unmarshal {word} into {into} of type {kind}")
            }
        };
        self.fault(BodyErrorKind::Type, message)
    }

    fn fault<E: Error>(&mut self, kind: BodyErrorKind, message: String) -> E {
        self.fault.get_or_insert(BodyError { kind, message, path: self.path.clone() });
        E::custom("see the walk's own fault")
    }

    fn enter<E: Error>(&mut self) -> Result<(), E> {
        match self.depth.checked_sub(1) {
            Some(depth) => self.depth = depth,
            None => return Err(self.fault(BodyErrorKind::TooDeep, "exceeded max depth".into())),
        }
        Ok(())
    }

    /// Decodes what a key of an object or an index of a list stands for.
    fn below<T>(&mut self, step: Step<'_>, decode: impl FnOnce(&mut Walk) -> T) -> T {
        let (length, owner) = (self.path.len(), self.owner);
        match step {
            Step::Index(at) => self.path.push_str(&format!("[{at}]")),
            Step::Key(key) => {
                if length > 0 {
                    self.path.push('.');
                }
                self.path.push_str(key);
            }
        }
        let result = decode(self);
        // After a fault the path stays where it was found.
        if self.fault.is_none() {
            self.path.truncate(length);
            self.owner = owner;
        }
        result
    }

    fn object<'de, A: MapAccess<'de>>(&mut self, kind: &Type, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let mut seen = vec![false; kind.fields.len()];
        while let Some(key) = map.next_key::<String>()? {
            let Ok(at) = kind.fields.binary_search_by(|field| field.name.cmp(&key)) else {
                self.complain("unknown", &key);
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let field = &kind.fields[at];
            if std::mem::replace(&mut seen[at], true) {
                self.complain("duplicate", &key);
            }
            let value = self.below(Step::Key(&key), |walk| {
                walk.owner = Some(kind.short());
                walk.fields.push(field.name);
                let value = map.next_value_seed(At { walk, what: What::Shape(&field.shape) });
                if value.is_ok() {
                    walk.fields.pop();
                }
                value
            })?;
            match value {
                Some(value) if scalar::printed(field, &value) => object.insert(key, value),
                Some(_) => object.remove(&key),
                None => None,
            };
        }
        scalar::complete(kind, &mut object);
        Ok(Value::Object(object))
    }

    fn free<'de, A: MapAccess<'de>>(&mut self, inner: &Shape, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.contains_key(&key) {
                self.complain("duplicate", &key);
            }
            let value = self
                .below(Step::Key(&key), |walk| map.next_value_seed(At { walk, what: What::Shape(inner) }))?;
            object.insert(key, value.unwrap_or_else(|| scalar::zero(inner)));
        }
        Ok(Value::Object(object))
    }

    fn list<'de, A: SeqAccess<'de>>(&mut self, inner: &Shape, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let item = self.below(Step::Index(list.len()), |walk| {
                items.next_element_seed(At { walk, what: What::Shape(inner) })
            })?;
            match item {
                Some(item) => list.push(item.unwrap_or_else(|| scalar::zero(inner))),
                None => return Ok(Value::Array(list)),
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl At<'_> {
    fn scalar<E: Error>(
        self,
        value: impl FnOnce(&Shape) -> Result<Value, Misfit>,
        word: &str,
    ) -> Result<Option<Value>, E> {
        let found = match self.what {
            What::Shape(shape) => value(shape),
            What::Type(_) => Err(Misfit::Is(word.into())),
        };
        found.map(Some).map_err(|misfit| self.walk.fail(misfit, self.what))
    }

    fn number<E: Error>(self, number: Option<Number>) -> Result<Option<Value>, E> {
        match number {
            Some(number) => self.scalar(|shape| scalar::number(shape, number), "number"),
            None => Err(self.walk.fail(Misfit::Is("number".into()), self.what)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        self.scalar(|shape| scalar::boolean(shape, value), "bool")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        self.number(Some(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.number(Some(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        self.number(Number::from_f64(value))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.scalar(|shape| scalar::text(shape, text), "string")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        let inner = match self.what {
            What::Shape(Shape::List(inner)) => inner,
            What::Shape(raw @ Shape::Raw) => raw,
            What::Shape(shape) => return Err(self.walk.fail(scalar::misfit(shape, "array"), self.what)),
            What::Type(_) => return Err(self.walk.fail(Misfit::Is("array".into()), self.what)),
        };
        self.walk.enter()?;
        let list = self.walk.list(inner, items)?;
        self.walk.depth += 1;
        Ok(Some(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        if let What::Shape(shape @ (Shape::Quantity | Shape::Time | Shape::MicroTime | Shape::IntOrString)) =
            self.what
        {
            return Err(self.walk.fail(scalar::misfit(shape, "object"), self.what));
        }
        self.walk.enter()?;
        let object = match self.what {
            What::Type(kind) => self.walk.object(kind, map)?,
            What::Shape(Shape::Map(inner)) => self.walk.free(inner, map)?,
            What::Shape(raw @ Shape::Raw) => self.walk.free(raw, map)?,
            What::Shape(shape) => match shape.object() {
                Some(kind) => self.walk.object(kind, map)?,
                None => return Err(self.walk.fail(Misfit::Is("object".into()), self.what)),
            },
        };
        self.walk.depth += 1;
        Ok(Some(object))
    }
}
