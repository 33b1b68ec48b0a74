//! Watches: what a client is sent, line by line.
//!
//! A line that goes out unchanged is made once for all watchers; tables and single metadata are made for each.

use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

use super::form::{self, Form};
use super::options::Query;
use super::selection::Selection;
use crate::cache::{Cache, Change, Entry, Message, Told, Watching, line};
use crate::convert;
use crate::kinds::Kind;
use crate::object::metadata;
use crate::status::{Failure, Outcome};

/// How many bytes go out at one go.
const FRAME: usize = 64 << 10;
/// Without a time-out of the client's: between this and its double, by chance.
const SHORTEST: u64 = 1_800;
/// The annotation of the bookmark that ends the initial events.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// A watch that is under way.
#[derive(Debug)]
pub struct WatchStream {
    kind: &'static Kind,
    selection: Selection,
    form: Form,
    bookmarks: bool,
    /// What is there at the start, and what happened before it was connected.
    first: VecDeque<First>,
    messages: tokio::sync::mpsc::Receiver<Message>,
    /// Changes up to here were in the start.
    after: i64,
    end: Pin<Box<Sleep>>,
    columns_sent: bool,
    ended: bool,
}

#[derive(Debug)]
enum First {
    Object(Arc<Entry>),
    Change(Arc<Change>),
    /// The end of the initial events.
    End(i64),
    /// A line that is made already.
    Line(Bytes),
}

/// What goes out at one go: a single line as it is, shared with all who are told the same, or several joined.
#[derive(Default)]
struct Frame {
    one: Option<Bytes>,
    several: Vec<u8>,
}

impl Frame {
    fn len(&self) -> usize {
        self.several.len() + self.one.as_ref().map_or(0, Bytes::len)
    }

    fn push(&mut self, line: Option<Bytes>) {
        let Some(line) = line.filter(|line| !line.is_empty()) else { return };
        if self.len() == 0 {
            self.one = Some(line);
            return;
        }
        if let Some(first) = self.one.take() {
            self.several.extend_from_slice(&first);
        }
        self.several.extend_from_slice(&line);
    }
}

/// After whatever revision there is.
const FROM_NOW: i64 = i64::MAX;

/// How a watch begins.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// With what is there now.
    Now,
    /// The same, and a bookmark after it: `sendInitialEvents`.
    InitialEvents,
    /// With what came after a revision.
    After(i64),
}

impl WatchStream {
    /// Begins a watch.
    pub fn begin(
        cache: &Cache,
        selection: Selection,
        query: &Query,
        form: Form,
        start: Start,
    ) -> Outcome<WatchStream> {
        let scope = selection.scope();
        let mut refused = None;
        let (objects, watching, end) = match start {
            Start::After(revision) => {
                let revision = if revision == FROM_NOW { cache.revision() } else { revision };
                let watching = cache.watch(scope, revision).unwrap_or_else(|too_old| {
                    refused = Some(First::Line(too_old_line(revision, too_old.oldest)));
                    nothing()
                });
                (Vec::new(), Watching { revision, ..watching }, None)
            }
            Start::Now | Start::InitialEvents => {
                let (objects, watching) = cache.watch_all(scope, selection.namespace());
                let end = matches!(start, Start::InitialEvents).then_some(watching.revision);
                (objects, watching, end)
            }
        };
        let objects = objects.into_iter().filter(|entry| selection.has(entry)).map(First::Object);
        let changes = watching.backlog.into_iter().map(First::Change);
        let first = objects.chain(changes).chain(end.map(First::End)).chain(refused).collect();
        let seconds = match query.number("timeoutSeconds")? {
            Some(seconds) if seconds > 0 => seconds as u64,
            _ => SHORTEST + rand::random::<u64>() % SHORTEST,
        };
        Ok(WatchStream {
            kind: cache.kind,
            selection,
            form,
            bookmarks: query.flag("allowWatchBookmarks"),
            first,
            messages: watching.messages,
            after: watching.revision,
            end: Box::pin(tokio::time::sleep_until(
                Instant::now() + Duration::from_secs(seconds.min(86_400 * 365)),
            )),
            columns_sent: false,
            ended: false,
        })
    }

    /// The kind whose objects are told: one of several versions of what is stored.
    pub fn told_as(self, kind: &'static Kind) -> WatchStream {
        WatchStream { kind, ..self }
    }

    /// What goes out next; `None` at the end.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        // A watch that always has something to tell ends in time as well.
        if self.first.is_empty() && self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        let mut frame = Frame::default();
        while !self.ended && frame.len() < FRAME {
            if let Some(first) = self.first.pop_front() {
                if self.first.is_empty() {
                    // Its room is that of every object there was: more than the rest of a watch.
                    self.first = VecDeque::new();
                }
                let line = self.first_line(first);
                frame.push(line);
                continue;
            }
            match self.messages.poll_recv(context) {
                Poll::Ready(Some(message)) => {
                    let line = self.message_line(message);
                    frame.push(line);
                }
                // It was cut as it did not read, or the server ends.
                Poll::Ready(None) => self.ended = true,
                Poll::Pending => break,
            }
        }
        match frame {
            Frame { one: Some(line), .. } => Poll::Ready(Some(line)),
            Frame { several, .. } if !several.is_empty() => Poll::Ready(Some(several.into())),
            _ if self.ended => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }

    fn first_line(&mut self, first: First) -> Option<Bytes> {
        match first {
            First::Object(entry) if self.is_plain() => Some(Told::Added.line(&entry.body)),
            First::Object(entry) => Some(self.shaped(Told::Added, entry.object())),
            First::Change(change) => self.change_line(&change),
            First::End(revision) => Some(self.bookmark(revision, true)),
            First::Line(line) => Some(line),
        }
    }

    fn message_line(&mut self, message: Message) -> Option<Bytes> {
        match message {
            Message::Change(change) if change.revision > self.after => self.change_line(&change),
            Message::Change(_) => None,
            Message::Bookmark(revision) if self.bookmarks && revision >= self.after => {
                Some(self.bookmark(revision, false))
            }
            Message::Bookmark(_) => None,
            Message::Lost => {
                self.ended = true;
                let failure =
                    Failure::expired("too old resource version: the server has read its state anew");
                Some(line("ERROR", failure.status().to_string().as_bytes()))
            }
        }
    }

    fn change_line(&mut self, change: &Change) -> Option<Bytes> {
        let told = change.told(|entry| self.selection.has(entry))?;
        if self.is_plain() {
            return Some(change.line(told));
        }
        Some(self.shaped(told, change.object(told)))
    }

    fn is_plain(&self) -> bool {
        matches!(self.form, Form::Json | Form::Yaml) && !convert::is_converted(self.kind)
    }

    fn shaped(&mut self, told: Told, object: Value) -> Bytes {
        let object = convert::outgoing(self.kind, object);
        let mut object = form::shaped(self.kind, object, self.form);
        if matches!(self.form, Form::Table(_)) && std::mem::replace(&mut self.columns_sent, true) {
            object["columnDefinitions"] = Value::Null;
        }
        told.line(object.to_string().as_bytes())
    }

    fn bookmark(&self, revision: i64, end: bool) -> Bytes {
        let mut object = match self.form {
            Form::Table(_) => form::table(None, json!({}), Vec::new()),
            Form::Partial => json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1"}),
            Form::Json | Form::Yaml => json!({"kind": self.kind.kind, "apiVersion": self.kind.api_version()}),
        };
        let metadata = metadata(&mut object);
        metadata.insert("resourceVersion".into(), revision.to_string().into());
        metadata.insert("creationTimestamp".into(), Value::Null);
        if end {
            metadata.insert("annotations".into(), json!({INITIAL_EVENTS_END: "true"}));
        }
        line("BOOKMARK", object.to_string().as_bytes())
    }
}

/// A revision that is gone is told as an event, not by the answer's status: once a watch is understood, upstream's cacher
/// fails it by an ERROR event, and there are clients that list again after that alone.
fn too_old_line(revision: i64, oldest: i64) -> Bytes {
    let failure = Failure::expired(format!("too old resource version: {revision} ({oldest})"));
    line("ERROR", failure.status().to_string().as_bytes())
}

/// A watch that has ended before it began.
fn nothing() -> Watching {
    let (_, messages) = tokio::sync::mpsc::channel(1);
    Watching { backlog: Vec::new(), messages, revision: 0 }
}

/// How a watch is to begin, by its query (`k8s.io/apiserver/pkg/storage/cacher`, and the table in the API concepts'
/// "Semantics for watch").
pub fn start(query: &Query) -> Outcome<Start> {
    let revision = match query.text("resourceVersion") {
        "" | "0" => None,
        text => Some(text.parse::<i64>().ok().filter(|revision| *revision > 0).ok_or_else(|| {
            Failure::bad_request(format!(
                "Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        })?),
    };
    let matching = query.text("resourceVersionMatch");
    if query.has("sendInitialEvents") {
        let mut faults = weft_objects::Faults::default();
        if matching != "NotOlderThan" {
            faults.forbidden(
                "resourceVersionMatch",
                "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            );
        }
        if query.flag("sendInitialEvents") && !query.flag("allowWatchBookmarks") {
            faults.forbidden("allowWatchBookmarks", "sendInitialEvents requires allowWatchBookmarks");
        }
        if !faults.is_empty() {
            return Err(super::options::of_options("ListOptions", &faults));
        }
        if query.flag("sendInitialEvents") {
            return Ok(Start::InitialEvents);
        }
    } else if !matching.is_empty() {
        let mut faults = weft_objects::Faults::default();
        faults.forbidden(
            "resourceVersionMatch",
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        );
        return Err(super::options::of_options("ListOptions", &faults));
    }
    match (revision, query.has("sendInitialEvents")) {
        (Some(revision), _) => Ok(Start::After(revision)),
        // Without the events, it begins with what comes.
        (None, true) => Ok(Start::After(FROM_NOW)),
        (None, false) => Ok(Start::Now),
    }
}

/// The revision that a watch needs the cache to have.
pub fn needs(query: &Query) -> i64 {
    text_revision(query.text("resourceVersion"))
}

fn text_revision(text: &str) -> i64 {
    text.parse().unwrap_or_default()
}
