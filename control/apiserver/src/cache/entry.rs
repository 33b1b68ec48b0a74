//! One object as the cache keeps it: its encoded bytes, and the little that selectors ask for.

use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::{Arc, OnceLock};

use crate::kinds::Kind;
use crate::object::{at, metadata};

/// An object at a revision.
#[derive(Debug)]
pub struct Entry {
    /// The key behind the kind's prefix: `namespace/name`, or `name`.
    pub key: Box<str>,
    /// The revision that wrote it.
    pub revision: i64,
    /// JSON as clients get it, with its resourceVersion.
    pub body: Bytes,
    /// Labels by key, sorted.
    pub labels: Box<[(Box<str>, Box<str>)]>,
    /// The kind's selectable fields, in the descriptor's order.
    pub fields: Box<[Box<str>]>,
}

impl Entry {
    /// Reads stored bytes.
    pub fn read(kind: &Kind, key: &str, revision: i64, bytes: &[u8]) -> Result<Entry, String> {
        let mut object: Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        Ok(Entry::of(kind, key, revision, &mut object))
    }

    /// An object that was just written, or is as it is stored; it gets its resourceVersion.
    pub fn of(kind: &Kind, key: &str, revision: i64, object: &mut Value) -> Entry {
        metadata(object).insert("resourceVersion".into(), revision.to_string().into());
        let labels = at(object, "metadata.labels").as_object();
        let label = |(key, value): (&String, &Value)| -> (Box<str>, Box<str>) {
            (key.as_str().into(), value.as_str().unwrap_or_default().into())
        };
        let mut labels: Vec<_> = labels.into_iter().flatten().map(label).collect();
        labels.sort_unstable();
        Entry {
            key: key.into(),
            revision,
            body: object.to_string().into(),
            labels: labels.into(),
            fields: kind.fields.iter().map(|field| (field.of)(object).into()).collect(),
        }
    }

    /// The same object as it was last, at the revision that removed it.
    pub fn removed(&self, revision: i64) -> Entry {
        let mut object: Value = self.object();
        metadata(&mut object).insert("resourceVersion".into(), revision.to_string().into());
        Entry {
            key: self.key.clone(),
            revision,
            body: object.to_string().into(),
            labels: self.labels.clone(),
            fields: self.fields.clone(),
        }
    }

    /// The object, decoded.
    pub fn object(&self) -> Value {
        // It was encoded here.
        serde_json::from_slice(&self.body).unwrap_or_else(|_| json!({}))
    }

    /// The namespace; empty for what is in none.
    pub fn namespace(&self) -> &str {
        self.key.rsplit_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.key.rsplit_once('/').map_or(&self.key, |(_, name)| name)
    }

    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        let at = self.labels.binary_search_by(|(own, _)| (**own).cmp(key)).ok()?;
        Some(&self.labels[at].1)
    }

    /// Whether it is in a namespace.
    pub fn is_in(&self, namespace: &str) -> bool {
        // Asked of each object of a list: the name's end is not looked for.
        self.key.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('/'))
    }

    /// A selectable field's value.
    pub fn field(&self, kind: &Kind, path: &str) -> Option<&str> {
        match path {
            "metadata.name" => Some(self.name()),
            "metadata.namespace" => Some(self.namespace()),
            path => {
                let at = kind.fields.iter().position(|field| field.path == path)?;
                self.fields.get(at).map(|value| &**value)
            }
        }
    }
}

/// What a watcher is told of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is new to the watcher.
    Added,
    /// It is another.
    Modified,
    /// It is gone, or does not concern the watcher any more.
    Deleted,
}

/// A change of one object.
#[derive(Debug)]
pub struct Change {
    /// The revision that made it.
    pub revision: i64,
    /// The object after it; the last state at this revision, where it was removed.
    pub entry: Arc<Entry>,
    /// The object before it.
    pub previous: Option<Arc<Entry>>,
    /// Whether it was removed.
    pub removed: bool,
    lines: [OnceLock<Bytes>; 3],
}

impl Told {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Told::Added => "ADDED",
            Told::Modified => "MODIFIED",
            Told::Deleted => "DELETED",
        }
    }

    /// One line of a watch.
    pub fn line(self, object: &[u8]) -> Bytes {
        line(self.name(), object)
    }
}

/// One line of a watch.
pub fn line(name: &str, object: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(object.len() + 32);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(name.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line.into()
}

impl Change {
    /// A change.
    pub fn of(entry: Arc<Entry>, previous: Option<Arc<Entry>>, removed: bool) -> Change {
        Change { revision: entry.revision, entry, previous, removed, lines: Default::default() }
    }

    /// What a watcher is told that sees the objects for which `matches` holds.
    pub fn told(&self, matches: impl Fn(&Entry) -> bool) -> Option<Told> {
        let before = self.previous.as_ref().is_some_and(|previous| matches(previous));
        let after = !self.removed && matches(&self.entry);
        match (before, after) {
            (false, true) => Some(Told::Added),
            (true, true) => Some(Told::Modified),
            (true, false) => Some(Told::Deleted),
            (false, false) => None,
        }
    }

    /// Its line, made once for all watchers. An object that leaves a selection is told as it was before, at the new
    /// revision.
    pub fn line(&self, told: Told) -> Bytes {
        let place = &self.lines[told as usize];
        place
            .get_or_init(|| match (told, self.removed, &self.previous) {
                (Told::Deleted, false, Some(previous)) => told.line(&previous.removed(self.revision).body),
                _ => told.line(&self.entry.body),
            })
            .clone()
    }

    /// The object that is told.
    pub fn object(&self, told: Told) -> Value {
        match (told, self.removed, &self.previous) {
            (Told::Deleted, false, Some(previous)) => previous.removed(self.revision).object(),
            _ => self.entry.object(),
        }
    }
}
