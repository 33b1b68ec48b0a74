//! Objects from a Kubernetes API: three watches, of Services, of EndpointSlices and of this node's Node.
//!
//! ```text
//! list ─► Init … InitApply … InitDone ─► Apply, Delete …         lost, 410: from the beginning, after a pause
//! ```
//!
//! A list that comes again tells which objects are gone by leaving them out. What is known stays in force while the API
//! is away. Scales with the objects: each is decoded once a change.

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use std::collections::HashSet;
use std::pin::Pin;
use std::time::Duration;

use super::{Batch, Problem, Source};
use crate::{Object, ObjectKey, Update};

/// Objects that no proxy of this kind serves are not sent at all, as kube-proxy has it.
const SERVED: &str = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name";
/// How long the first batch waits for the lists.
const FIRST: Duration = Duration::from_secs(5);
/// How many changes are taken at one go.
const BATCH: usize = 4_096;

type Events = Pin<Box<dyn Stream<Item = Result<watcher::Event<Object>, watcher::Error>> + Send>>;

/// Objects from an API.
pub struct ApiSource {
    parts: Vec<Part>,
    first: bool,
}

impl std::fmt::Debug for ApiSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiSource").field("first", &self.first).finish_non_exhaustive()
    }
}

/// One watch.
struct Part {
    what: &'static str,
    events: Events,
    known: HashSet<ObjectKey>,
    /// What the list so far has, while one is read.
    listed: Option<HashSet<ObjectKey>>,
    /// Whether a list was read to its end.
    complete: bool,
    /// The problem that was told last.
    told: String,
}

impl ApiSource {
    /// Watches by a client. The Node is the one of this name.
    pub fn open(client: &Client, node: &str) -> ApiSource {
        let served = || watcher::Config::default().labels(SERVED);
        let own = watcher::Config::default().fields(&format!("metadata.name={node}"));
        let parts = vec![
            Part::of("services", watcher(Api::<Service>::all(client.clone()), served())),
            Part::of(
                "endpointslices.discovery.k8s.io",
                watcher(Api::<EndpointSlice>::all(client.clone()), served()),
            ),
            Part::of("nodes", watcher(Api::<Node>::all(client.clone()), own)),
        ];
        ApiSource { parts, first: true }
    }

    fn complete(&self) -> bool {
        self.parts.iter().all(|part| part.complete)
    }

    /// Waits for an event of any part, and takes it in.
    async fn one(&mut self, batch: &mut Batch) {
        let waiting = self.parts.iter_mut().map(|part| {
            Box::pin(async move {
                let event = part.events.next().await;
                (part, event)
            })
        });
        let ((part, event), ..) = futures_util::future::select_all(waiting).await;
        part.take(event, batch);
    }
}

impl Source for ApiSource {
    async fn next(&mut self) -> Batch {
        let mut batch = Batch::default();
        if std::mem::take(&mut self.first) {
            let lists = async {
                while !self.complete() {
                    self.one(&mut batch).await;
                }
            };
            // The API may be away; what an earlier run programmed stays then.
            let _ = tokio::time::timeout(FIRST, lists).await;
        } else {
            self.one(&mut batch).await;
            // What is there already comes along.
            while batch.updates.len() < BATCH {
                let more = self.one(&mut batch);
                if tokio::time::timeout(Duration::ZERO, more).await.is_err() {
                    break;
                }
            }
        }
        batch.updates = last_of_each(batch.updates);
        batch.complete = self.complete();
        batch
    }
}

impl Part {
    fn of<T>(
        what: &'static str,
        events: impl Stream<Item = Result<watcher::Event<T>, watcher::Error>> + Send + 'static,
    ) -> Part
    where
        T: Into<Object> + 'static,
    {
        let events = events.default_backoff().map(|event| event.map(converted));
        Part {
            what,
            events: Box::pin(events),
            known: HashSet::new(),
            listed: None,
            complete: false,
            told: String::new(),
        }
    }

    fn take(&mut self, event: Option<Result<watcher::Event<Object>, watcher::Error>>, batch: &mut Batch) {
        use watcher::Event;
        match event {
            Some(Ok(event)) => {
                self.told.clear();
                match event {
                    Event::Init => self.listed = Some(HashSet::new()),
                    Event::InitApply(object) => {
                        if let Some(listed) = &mut self.listed {
                            listed.insert(object.key());
                        }
                        self.applied(object, batch);
                    }
                    Event::InitDone => self.list_done(batch),
                    Event::Apply(object) => self.applied(object, batch),
                    Event::Delete(object) => self.deleted(object.key(), batch),
                }
            }
            Some(Err(error)) => {
                let reason = error.to_string();
                if reason != self.told {
                    self.told.clone_from(&reason);
                    batch.problems.push(Problem::Api { what: self.what, reason });
                }
            }
            // The watcher goes on for ever.
            None => self.complete = false,
        }
    }

    fn applied(&mut self, object: Object, batch: &mut Batch) {
        self.known.insert(object.key());
        batch.updates.push(object.into());
    }

    fn deleted(&mut self, key: ObjectKey, batch: &mut Batch) {
        self.known.remove(&key);
        batch.updates.push(Update { key, object: None });
    }

    fn list_done(&mut self, batch: &mut Batch) {
        let Some(listed) = self.listed.take() else { return };
        let gone: Vec<ObjectKey> = self.known.difference(&listed).cloned().collect();
        gone.into_iter().for_each(|key| self.deleted(key, batch));
        self.complete = true;
    }
}

/// Each object once, as it is last.
fn last_of_each(updates: Vec<Update>) -> Vec<Update> {
    let mut seen = HashSet::new();
    let mut last: Vec<Update> =
        updates.into_iter().rev().filter(|one| seen.insert(one.key.clone())).collect();
    last.reverse();
    last
}

fn converted<T: Into<Object>>(event: watcher::Event<T>) -> watcher::Event<Object> {
    use watcher::Event;
    match event {
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(object.into()),
        Event::InitDone => Event::InitDone,
        Event::Apply(object) => Event::Apply(object.into()),
        Event::Delete(object) => Event::Delete(object.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use watcher::Event;

    fn service(name: &str) -> Object {
        let mut service = Service::default();
        service.metadata.name = Some(name.to_owned());
        service.into()
    }

    #[tokio::test]
    async fn a_list_that_comes_again_tells_what_is_gone() {
        let events = futures_util::stream::iter(
            [
                Event::Init,
                Event::InitApply(service("a")),
                Event::InitApply(service("b")),
                Event::InitDone,
                Event::Apply(service("c")),
                Event::Init,
                Event::InitApply(service("b")),
                Event::InitDone,
            ]
            .map(Ok),
        );
        let mut part = Part {
            what: "services",
            events: Box::pin(events),
            known: HashSet::new(),
            listed: None,
            complete: false,
            told: String::new(),
        };
        let mut batch = Batch::default();
        for _ in 0..8 {
            let event = part.events.next().await;
            part.take(event, &mut batch);
        }
        let last = last_of_each(batch.updates);
        let mut left: Vec<(&str, bool)> =
            last.iter().map(|update| (&*update.key.name, update.object.is_some())).collect();
        left.sort_unstable();
        assert_eq!(left, [("a", false), ("b", true), ("c", false)]);
        assert!(part.complete && part.known.len() == 1);
    }
}
