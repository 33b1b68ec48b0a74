//! GET: one object, a list, a watch.

use serde_json::{Value, json};
use std::sync::Arc;

use super::content::{Body, List};
use super::form::{self, Form};
use super::options::of_options;
use super::page::{self, Token};
use super::selection::Selection;
use super::watch::{self, WatchStream};
use super::{Answer, Call};
use crate::cache::{Cache, Entry};
use crate::convert;
use crate::status::{Failure, Outcome};

impl Call<'_> {
    /// The cache of the target's kind.
    pub(super) fn cache(&self) -> Outcome<&Cache> {
        self.api.caches.of(self.target.kind).ok_or_else(Failure::method_not_allowed)
    }

    /// An object as it is in the state now.
    pub(super) async fn current(&self, namespace: &str, name: &str) -> Outcome<Option<Arc<Entry>>> {
        self.api.current(self.target.kind, namespace, name).await
    }

    /// GET of one object.
    pub(super) async fn get(&self) -> Outcome<Answer> {
        let target = &self.target;
        let key = super::cache_key(target.kind, &target.namespace, &target.name);
        let entry = match self.query.text("resourceVersion") {
            "" => self.current(&target.namespace, &target.name).await?,
            // Any state will do that is not older.
            text => {
                self.api.caches.wait(revision(text)?).await?;
                self.cache()?.get(&key)
            }
        };
        let entry = entry.ok_or_else(|| Failure::not_found(target.kind, &target.name))?;
        self.answer_entry(http::StatusCode::OK, &entry)
    }

    /// An answer of an object that is encoded already.
    pub(super) fn answer_entry(&self, status: http::StatusCode, entry: &Entry) -> Outcome<Answer> {
        if self.form == Form::Json && !convert::is_converted(self.target.kind) {
            return Ok(Answer::json(status, entry.body.clone()));
        }
        self.answer(status, convert::outgoing(self.target.kind, entry.object()))
    }

    /// An answer of an object, in the form that is wanted.
    pub(super) fn answer(&self, status: http::StatusCode, object: Value) -> Outcome<Answer> {
        Answer::object(status, form::shaped(self.target.kind, object, self.form), self.form)
    }

    /// GET of a collection.
    pub(super) async fn list(&self) -> Outcome<Answer> {
        let selection = Selection::read(&self.target, &self.query)?;
        let read = self.read_list(&selection).await?;
        let kind = self.target.kind;
        let mut metadata = json!({"resourceVersion": read.revision.to_string()});
        if let Some(next) = read.next {
            metadata["continue"] = next.into();
            if selection.is_everything() {
                metadata["remainingItemCount"] = read.remaining.into();
            }
        }
        let object = |entry: &Arc<Entry>| convert::outgoing(kind, entry.object());
        let now = jiff::Timestamp::now();
        let whole = match self.form {
            Form::Json if !convert::is_converted(kind) => {
                let head = format!(
                    "{{\"kind\":\"{}List\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[",
                    kind.kind,
                    kind.api_version()
                );
                let list = List::of(head, read.items);
                return Ok(Answer::of(http::StatusCode::OK, "application/json", Body::List(list)));
            }
            Form::Table(include) => {
                let rows =
                    read.items.iter().map(|entry| form::row(kind, &object(entry), include, now)).collect();
                form::table(Some(kind), metadata, rows)
            }
            Form::Partial => json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "items": read.items.iter().map(|entry| form::partial(&object(entry))).collect::<Vec<_>>(),
            }),
            Form::Json | Form::Yaml => json!({
                "kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(), "metadata": metadata,
                "items": read.items.iter().map(object).collect::<Vec<_>>(),
            }),
        };
        Answer::object(http::StatusCode::OK, whole, self.form)
    }

    async fn read_list(&self, selection: &Selection) -> Outcome<page::Read> {
        let (limit, token) = (self.query.number("limit")?.unwrap_or(0).max(0), self.query.text("continue"));
        let wanted = self.query.text("resourceVersion");
        self.check_revision_match(wanted, !token.is_empty())?;
        let cache = self.cache()?;
        if !token.is_empty() {
            let token = Token::read(token, &cache.kind.prefix())?;
            if !wanted.is_empty() && wanted != "0" {
                return Err(Failure::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            return page::go_on(self.api, cache, selection, &token, limit).await;
        }
        if self.query.text("resourceVersionMatch") == "Exact" {
            return page::at(self.api, cache, selection, revision(wanted)?, limit).await;
        }
        match wanted {
            "" => self.api.fresh().await?,
            text => self.api.caches.wait(revision(text)?).await?,
        }
        let (items, revision) = match selection.one() {
            Some(key) => (cache.get(&key).into_iter().collect(), cache.revision()),
            None => cache.list(selection.namespace()),
        };
        Ok(page::cut(items, revision, selection, limit))
    }

    fn check_revision_match(&self, wanted: &str, continued: bool) -> Outcome<()> {
        let matching = self.query.text("resourceVersionMatch");
        let mut faults = weft_objects::Faults::default();
        let field = "resourceVersionMatch";
        if self.query.has("sendInitialEvents") {
            faults.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
        }
        if !matching.is_empty() {
            if continued {
                faults.forbidden(field, "resourceVersionMatch is forbidden when continue is provided");
            } else if wanted.is_empty() {
                faults
                    .forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided");
            } else if !["Exact", "NotOlderThan"].contains(&matching) {
                faults.not_supported(field, matching, &["Exact", "NotOlderThan", ""]);
            } else if matching == "Exact" && wanted == "0" {
                faults.forbidden(
                    field,
                    "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
                );
            }
        }
        match faults.is_empty() {
            true => Ok(()),
            false => Err(of_options("ListOptions", &faults)),
        }
    }

    /// GET with `watch=true`.
    pub(super) async fn watch(&self) -> Outcome<Answer> {
        let selection = Selection::read(&self.target, &self.query)?;
        let start = watch::start(&self.query)?;
        let cache = self.cache()?;
        match start {
            watch::Start::After(_) => self.api.caches.wait(watch::needs(&self.query)).await?,
            // `0` is content with what the cache has.
            _ if self.query.text("resourceVersion") == "0" => {}
            _ => self.api.fresh().await?,
        }
        let stream = WatchStream::begin(cache, selection, &self.query, self.form, start)?;
        let body = Body::Watch(Box::new(stream.told_as(self.target.kind)));
        Ok(Answer::of(http::StatusCode::OK, "application/json;stream=watch", body))
    }
}

/// A revision that a client names.
pub(super) fn revision(text: &str) -> Outcome<i64> {
    text.parse::<i64>().ok().filter(|revision| *revision >= 0).ok_or_else(|| {
        Failure::bad_request(format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        ))
    })
}
