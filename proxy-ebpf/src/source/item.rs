//! One manifest: decoded straight into its type, once its kind is known.
//!
//! The kind may come after other fields (`kubectl` sorts them), and those are held back as values until then. This
//! works the same on YAML, on JSON and on the items of a `List`, in one pass over the text. `items` are not held
//! back: nothing but a list has them.

use crate::Object;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, IgnoredAny, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_path_to_error::Track;
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
        let (mut kind, mut api_version, mut items) = (None, None, None);
        let mut held = Vec::new();
        while api_version.is_none() || kind.is_none() {
            match map.next_key::<String>()?.as_deref() {
                Some("apiVersion") => api_version = Some(map.next_value::<String>()?),
                Some("kind") => kind = Some(map.next_value::<String>()?),
                Some("items") => items = Some(map.next_value::<Vec<Item>>()?),
                Some(other) => held.push((other.to_owned(), map.next_value()?)),
                None => break,
            }
        }
        held.reverse();
        let kind = kind.ok_or_else(|| A::Error::custom("kind is missing"))?;
        let api_version = api_version.ok_or_else(|| A::Error::custom("apiVersion is missing"))?;
        let rest = Rest { held, now: None, map };
        match kind.as_str() {
            "Service" => object::<Service, A>(&kind, &api_version, "v1", rest),
            "Node" => object::<Node, A>(&kind, &api_version, "v1", rest),
            "EndpointSlice" => object::<EndpointSlice, A>(&kind, &api_version, "discovery.k8s.io/v1", rest),
            "List" if api_version == "v1" => list(items, rest),
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

fn list<'de, A: MapAccess<'de>>(items: Option<Vec<Item>>, rest: Rest<A>) -> Result<Item, A::Error> {
    let rest = MapAccessDeserializer::new(rest);
    match items {
        Some(items) => IgnoredAny::deserialize(rest).map(|_| Item::List(items)),
        None => List::deserialize(rest).map(|list| Item::List(list.items)),
    }
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
        Object::EndpointSlice(slice) if slice.family == Err("".into()) => {
            Err(A::Error::custom(format!("addressType of {} is missing", object.key())))
        }
        _ => Ok(Item::Object(object)),
    }
}

/// The fields held back, then those still to be read.
struct Rest<A> {
    /// Held back, the last first.
    held: Vec<(String, Value)>,
    /// The held field whose key was given last.
    now: Option<(String, Value)>,
    map: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.now = self.held.pop();
        match &self.now {
            Some((key, _)) => seed.deserialize(key.as_str().into_deserializer()).map(Some),
            None => self.map.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        let Some((key, value)) = self.now.take() else { return self.map.next_value_seed(seed) };
        let mut track = Track::new();
        let decoded = seed.deserialize(serde_path_to_error::Deserializer::new(value, &mut track));
        decoded.map_err(|error| {
            let path = track.path().to_string();
            let dot = if path.starts_with(['.', '[']) { "" } else { "." };
            A::Error::custom(format!("{key}{dot}{path}: {error}"))
        })
    }
}
