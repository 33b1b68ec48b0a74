//! The verbs on resources.
//!
//! ```text
//! path ─ target ─┬ get, list, watch ──────────────────────────────────► read, page, watch
//!                ├ create, update, patch ─ body ─ prepare ─ admit ─ validate ─► write (etcd txn)
//!                ├ delete, deletecollection ──────────────────────────► delete
//!                └ scale, binding, eviction, token, approval, reviews ► subresources, reviews
//! ```

mod admit;
mod answer;
mod base64;
mod body;
mod content;
mod delete;
mod form;
mod options;
mod own;
mod page;
mod patch;
mod prepare;
mod qos;
mod read;
mod reviews;
mod selection;
mod service_type;
mod subresources;
pub mod target;
mod watch;
mod write;

pub use answer::Answer;
pub use content::Body;
pub use form::{Form, negotiate};
pub use options::Query;
pub use own::own_user;
pub(crate) use prepare::random_uid;

use bytes::Bytes;
use http::{HeaderMap, Method};
use std::sync::Arc;

use crate::api::Api;
use crate::cache::Entry;
use crate::kinds::{Kind, Subresource};
use crate::request::User;
use crate::status::{Failure, Outcome};
use target::Target;

/// How many bytes a body may have (upstream's `--max-request-bytes` is 3 MiB).
pub const MAX_BODY: usize = 3 << 20;

/// A request for a resource, authorized.
#[derive(Debug)]
pub struct Call<'a> {
    /// The server.
    pub api: &'a Api,
    /// Who asks.
    pub user: &'a User,
    /// For what.
    pub target: Target,
    /// `get`, `list`, …
    pub verb: &'static str,
    /// The query.
    pub query: Query,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The form of the answer.
    pub form: Form,
}

/// An object's key in the cache of its kind.
pub fn cache_key(kind: &Kind, namespace: &str, name: &str) -> String {
    match kind.namespaced {
        true => format!("{namespace}/{name}"),
        false => name.to_owned(),
    }
}

impl Api {
    /// An object as it is in the state now: from the cache, if etcd says that it is of the same revision.
    pub async fn current(&self, kind: &Kind, namespace: &str, name: &str) -> Outcome<Option<Arc<Entry>>> {
        let key = cache_key(kind, namespace, name);
        let cached = self.caches.of(kind).and_then(|cache| cache.get(&key));
        let path = kind.key(namespace, name);
        let Some(revision) = self.store.revision_of(&path).await? else { return Ok(None) };
        if let Some(entry) = cached.filter(|entry| entry.revision == revision) {
            return Ok(Some(entry));
        }
        let Some(stored) = self.store.get(&path).await? else { return Ok(None) };
        let entry = Entry::read(kind, &key, stored.revision, &stored.bytes);
        let entry =
            entry.map_err(|why| Failure::internal(format!("{path} in etcd cannot be read: {why}")))?;
        Ok(Some(Arc::new(entry)))
    }

    /// Waits until the caches have all that was acknowledged before.
    pub async fn fresh(&self) -> Outcome<()> {
        let revision = self.store.revision().await?;
        self.caches.wait(revision).await
    }
}

impl Call<'_> {
    /// What upstream calls the options of the verb.
    fn options(&self) -> &'static str {
        match self.verb {
            "create" => "CreateOptions",
            "update" => "UpdateOptions",
            "patch" => "PatchOptions",
            "delete" | "deletecollection" => "DeleteOptions",
            _ => "ListOptions",
        }
    }

    /// Whether nothing is to be changed.
    fn dry_run(&self) -> Outcome<bool> {
        self.query.dry_run(self.options())
    }

    /// How unknown fields are judged.
    fn field_validation(&self) -> Outcome<options::FieldValidation> {
        self.query.field_validation(self.options())
    }

    /// Serves it.
    pub async fn serve(self) -> Outcome<Answer> {
        let kind = self.target.kind;
        // Nothing is POSTed to an object's own path.
        let to_object = self.verb == "create" && !self.target.name.is_empty();
        if self.target.subresource.is_none() && (to_object || !kind.verbs.contains(&self.verb)) {
            return Err(Failure::method_not_allowed());
        }
        if kind.stored.is_empty() {
            return self.review().await;
        }
        match (self.target.subresource, self.verb) {
            (Some(sub), verb) if !sub.verbs().contains(&verb) => Err(Failure::method_not_allowed()),
            (Some(Subresource::Scale), _) => self.scale().await,
            (Some(Subresource::Binding), _) => self.bind().await,
            (Some(Subresource::Eviction), _) => self.evict().await,
            (Some(Subresource::Token), _) => self.token().await,
            (_, "get") => self.get().await,
            (_, "list") => self.list().await,
            (_, "watch") => self.watch().await,
            (_, "create") => self.create().await,
            (_, "update") => self.update().await,
            (_, "patch") => self.patch().await,
            (_, "delete") => self.delete().await,
            (_, "deletecollection") => self.delete_collection().await,
            _ => Err(Failure::method_not_allowed()),
        }
    }
}

/// Whether a method changes nothing.
pub fn is_read(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}
