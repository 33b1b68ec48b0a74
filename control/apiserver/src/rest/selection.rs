//! Which objects a list or a watch is of.

use weft_objects::selector::{FieldSelector, LabelSelector};

use super::options::Query;
use super::target::Target;
use crate::cache::{Entry, Scope};
use crate::kinds::Kind;
use crate::status::{Failure, Outcome};

/// How long a selector may be, in bytes.
const LONGEST: usize = 64 << 10;

/// The objects of a request.
#[derive(Clone, Debug)]
pub struct Selection {
    kind: &'static Kind,
    namespace: String,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    /// Of a target and a query.
    pub fn read(target: &Target, query: &Query) -> Outcome<Selection> {
        let kind = target.kind;
        let (labels, fields) = (query.text("labelSelector"), query.text("fieldSelector"));
        if labels.len() + fields.len() > LONGEST {
            return Err(Failure::bad_request(format!("selectors may have {LONGEST} bytes")));
        }
        let refuse = |why: &dyn std::fmt::Display| Failure::bad_request(why.to_string());
        let labels: LabelSelector = labels.parse().map_err(|why| refuse(&why))?;
        let fields = match target.name.as_str() {
            "" => fields.to_owned(),
            // A watch of one object by its path.
            name => format!("{fields},metadata.name={}", name.replace([',', '=', '\\'], "\\$0")),
        };
        let fields: FieldSelector = fields.parse().map_err(|why| refuse(&why))?;
        for path in fields.requirements().iter().map(|one| one.field.as_str()) {
            let known = ["metadata.name", "metadata.namespace"].contains(&path)
                || kind.fields.iter().any(|field| field.path == path);
            if !known {
                // Upstream's words differ between kinds with selectable fields and those without.
                return Err(Failure::bad_request(match kind.fields {
                    [] => format!(
                        "{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
                    ),
                    _ => format!("field label not supported: {path}"),
                }));
            }
        }
        let namespace = if kind.namespaced { target.namespace.clone() } else { String::new() };
        Ok(Selection { kind, namespace, labels, fields })
    }

    /// Whether everything of the namespace is in it.
    pub fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The namespace; empty for all.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Whether an object is in it.
    pub fn has(&self, entry: &Entry) -> bool {
        let here = self.namespace.is_empty() || entry.is_in(&self.namespace);
        here && self.labels.matches(|key| entry.label(key))
            && self.fields.matches(|path| entry.field(self.kind, path).unwrap_or_default())
    }

    /// The one object that can be in it, by its key.
    pub fn one(&self) -> Option<String> {
        let name = self.fields.exact("metadata.name")?;
        match (self.kind.namespaced, self.namespace.as_str()) {
            (false, _) => Some(name.to_owned()),
            (true, "") => None,
            (true, namespace) => Some(format!("{namespace}/{name}")),
        }
    }

    /// Of which changes a watcher is told; it asks [`Selection::has`] of each.
    pub fn scope(&self) -> Scope {
        if let Some(key) = self.one() {
            return Scope::Object(key.into());
        }
        let first = self.kind.fields.first().and_then(|field| self.fields.exact(field.path));
        match (first, self.namespace.as_str()) {
            (Some(value), _) => Scope::Field(value.into()),
            (None, "") => Scope::All,
            (None, namespace) => Scope::Namespace(namespace.into()),
        }
    }
}
