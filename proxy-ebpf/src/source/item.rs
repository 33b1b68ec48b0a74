//! One manifest: decoded straight into its type, once its kind is known.
//!
//! The kind may come after other fields (`kubectl` sorts them), and those are held back as values until then. This
//! works the same on YAML, on JSON and on the items of a `List`, in one pass over the text.

use crate::Object;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::fmt;

/// A document, or an item of a list.
#[derive(Debug)]
pub(super) enum Item {
    /// An object that the proxy uses.
    Object(Object),
    /// A `v1` List.
    List(Vec<Item>),
    /// An object of another kind.
    Other { api_version: String, kind: String },
    /// Nothing: a document of comments.
    Empty,
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Item, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with apiVersion and kind")
    }

    fn visit_unit<E: Error>(self) -> Result<Item, E> {
        Ok(Item::Empty)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
        let mut fields = Fields { held: Vec::new(), value: None, api_version: None, kind: None };
        while fields.api_version.is_none() || fields.kind.is_none() {
            match map.next_key::<String>()?.as_deref() {
                Some("apiVersion") => fields.api_version = Some(map.next_value()?),
                Some("kind") => fields.kind = Some(map.next_value()?),
                Some(other) => fields.held.push((other.to_owned(), map.next_value()?)),
                None => break,
            }
        }
        fields.held.reverse();
        let kind = fields.kind.take().ok_or_else(|| A::Error::custom("kind is missing"))?;
        let api_version =
            fields.api_version.take().ok_or_else(|| A::Error::custom("apiVersion is missing"))?;
        let rest = Rest { fields, map };
        match kind.as_str() {
            "Service" => object::<Service, A>(&kind, &api_version, "v1", rest),
            "Node" => object::<Node, A>(&kind, &api_version, "v1", rest),
            "EndpointSlice" => object::<EndpointSlice, A>(&kind, &api_version, "discovery.k8s.io/v1", rest),
            "List" if api_version == "v1" => list(rest),
            _ => {
                IgnoredAny::deserialize(MapAccessDeserializer::new(rest))?;
                Ok(Item::Other { api_version, kind })
            }
        }
    }
}

#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

fn list<'de, A: MapAccess<'de>>(rest: Rest<A>) -> Result<Item, A::Error> {
    List::deserialize(MapAccessDeserializer::new(rest)).map(|list| Item::List(list.items))
}

fn object<'de, T, A>(kind: &str, api_version: &str, wanted: &str, rest: Rest<A>) -> Result<Item, A::Error>
where
    T: DeserializeOwned + Into<Object>,
    A: MapAccess<'de>,
{
    if api_version != wanted {
        let reason = format!("apiVersion {api_version} of a {kind} is not known, use {wanted}");
        return Err(A::Error::custom(reason));
    }
    let object: Object = T::deserialize(MapAccessDeserializer::new(rest))?.into();
    if object.key().name.is_empty() {
        return Err(A::Error::custom(format!("metadata.name of the {kind} is missing")));
    }
    match &object {
        Object::EndpointSlice(slice) if slice.address_type.is_empty() => {
            Err(A::Error::custom(format!("addressType of {} is missing", object.key())))
        }
        _ => Ok(Item::Object(object)),
    }
}

struct Fields {
    /// Held back, the last first.
    held: Vec<(String, Value)>,
    /// The value of the held key that was given last.
    value: Option<Value>,
    api_version: Option<String>,
    kind: Option<String>,
}

/// The fields held back, then those still to be read.
struct Rest<A> {
    fields: Fields,
    map: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        match self.fields.held.pop() {
            Some((key, value)) => {
                self.fields.value = Some(value);
                seed.deserialize(key.into_deserializer()).map(Some)
            }
            None => self.map.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        match self.fields.value.take() {
            Some(value) => seed.deserialize(value).map_err(A::Error::custom),
            None => self.map.next_value_seed(seed),
        }
    }
}
