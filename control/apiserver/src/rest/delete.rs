//! DELETE: of one object, of a collection (upstream's `rest.BeforeDelete` and `registry.Store.Delete`).

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;

use super::answer::Answer;
use super::options::{DeleteOptions, Propagation};
use super::selection::Selection;
use super::write::{ends, stored_bytes};
use super::{Call, page};
use crate::cache::Entry;
use crate::convert;
use crate::kinds::Kind;
use crate::object::{at, finalizers, is_going, list, number, put, text, time, uid};
use crate::services::released;
use crate::status::{Failure, Outcome, deleted};
use crate::store::Written;

/// How often a deletion is tried again over somebody else's change.
const TRIES: usize = 16;

/// What a deletion came to.
enum Deleted {
    /// The object is gone.
    Gone(Value),
    /// It waits for its finalizers or its grace.
    Waits(Entry),
}

impl Call<'_> {
    /// DELETE of one object.
    pub(super) async fn delete(&self) -> Outcome<Answer> {
        let options = DeleteOptions::read(&self.query, &self.read_delete_options()?)?;
        let (kind, target) = (self.target.kind, &self.target);
        let there = self.current(&target.namespace, &target.name).await?;
        let entry = there.ok_or_else(|| Failure::not_found(kind, &target.name))?;
        let answer = match self.remove(entry, &options).await? {
            Deleted::Gone(object) if kind.strategy.graceful => self.answer_object(StatusCode::OK, object),
            Deleted::Gone(object) => {
                let status = deleted(kind, &target.name, uid(&object));
                Answer::object(StatusCode::OK, status, self.form)
            }
            Deleted::Waits(entry) => self.answer_entry(StatusCode::OK, &entry),
        };
        Ok(answer?.warning(warnings(kind, &options)))
    }

    /// DELETE of a collection: what a list would show, one by one.
    pub(super) async fn delete_collection(&self) -> Outcome<Answer> {
        let options = DeleteOptions::read(&self.query, &self.read_delete_options()?)?;
        let (kind, selection) = (self.target.kind, Selection::read(&self.target, &self.query)?);
        self.api.fresh().await?;
        let (items, revision) = self.cache()?.list(selection.namespace());
        let limit = self.query.number("limit")?.unwrap_or(0).max(0);
        let read = page::cut(items, revision, &selection, limit);
        let mut removed = Vec::new();
        for entry in read.items {
            match self.remove(entry, &options).await {
                Ok(Deleted::Gone(object)) => removed.push(convert::outgoing(kind, object)),
                Ok(Deleted::Waits(entry)) => removed.push(convert::outgoing(kind, entry.object())),
                Err(failure) if failure.code() == StatusCode::NOT_FOUND => {}
                Err(failure) => return Err(failure),
            }
        }
        let list = json!({
            "kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(),
            "metadata": {"resourceVersion": revision.to_string()}, "items": removed,
        });
        Ok(Answer::object(StatusCode::OK, list, self.form)?.warning(warnings(kind, &options)))
    }

    async fn remove(&self, entry: Arc<Entry>, options: &DeleteOptions) -> Outcome<Deleted> {
        let kind = self.target.kind;
        let mut entry = entry;
        for _ in 0..TRIES {
            let old = entry.object();
            check_preconditions(kind, &entry, &old, options)?;
            self.api.admit_delete(self, &old).await?;
            let mut object = old.clone();
            let grace = grace(kind, &old, options);
            set_finalizers(&mut object, options.propagation.or_else(|| by_default(kind, &old)));
            let remains = begin(kind, &mut object, grace);
            if options.dry_run {
                return Ok(if remains {
                    Deleted::Waits(Entry::of(kind, &entry.key, entry.revision, &mut object))
                } else {
                    Deleted::Gone(old)
                });
            }
            let path = kind.key(entry.namespace(), entry.name());
            let written = match remains {
                true if stored_bytes(&object) == stored_bytes(&old) => Written::At(entry.revision),
                true => {
                    let ttl = super::write::ttl(kind);
                    self.api.store.update_with(&path, stored_bytes(&object), entry.revision, ttl, &[]).await?
                }
                false => {
                    let gone = released(kind, &old, &Value::Null);
                    self.api.store.delete_with(&path, entry.revision, &gone).await?
                }
            };
            match written {
                Written::At(revision) if remains => {
                    // Nothing is made in a namespace after it was said to go.
                    if kind.stored == "namespaces" {
                        self.api.caches.wait(revision).await?;
                    }
                    return Ok(Deleted::Waits(Entry::of(kind, &entry.key, revision, &mut object)));
                }
                Written::At(_) => {
                    return Ok(Deleted::Gone(object));
                }
                Written::Differs(None) => return Err(Failure::not_found(kind, entry.name())),
                Written::Differs(Some(stored)) => {
                    let read = Entry::read(kind, &entry.key, stored.revision, &stored.bytes);
                    entry = Arc::new(read.map_err(Failure::internal)?);
                }
            }
        }
        Err(Failure::modified(kind, entry.name()))
    }
}

/// What whoever deletes jobs is warned of (`pkg/registry/batch/job/storage/storage.go`).
fn warnings(kind: &Kind, options: &DeleteOptions) -> Vec<String> {
    let warns = kind.stored == "jobs" && options.propagation.is_none();
    let text = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove \
                them or set propagationPolicy=Orphan to suppress this warning";
    warns.then(|| text.to_owned()).into_iter().collect()
}

fn check_preconditions(kind: &Kind, entry: &Entry, object: &Value, options: &DeleteOptions) -> Outcome<()> {
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid(object)) {
        let why = format!(
            "Precondition failed: UID in precondition: {wanted}, UID in object meta: {}",
            uid(object)
        );
        return Err(Failure::conflict(kind, entry.name(), &why));
    }
    let now = entry.revision.to_string();
    if let Some(wanted) = options.resource_version.as_deref().filter(|wanted| *wanted != now) {
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {now}"
        );
        return Err(Failure::conflict(kind, entry.name(), &why));
    }
    Ok(())
}

/// Seconds of grace: only pods have any, and only those that run somewhere.
fn grace(kind: &Kind, object: &Value, options: &DeleteOptions) -> i64 {
    let over = ["Succeeded", "Failed"].contains(&text(object, "status.phase"));
    if !kind.strategy.graceful || over || text(object, "spec.nodeName").is_empty() {
        return 0;
    }
    let own = at(object, "spec.terminationGracePeriodSeconds").as_i64().unwrap_or(30);
    match options.grace.unwrap_or(own) {
        // A negative one is upstream's "at once, but gracefully".
        seconds if seconds < 0 => 1,
        seconds => seconds,
    }
}

/// `batch/v1` leaves the pods of a job alone unless it is told otherwise (`pkg/registry/batch/job/strategy.go`).
fn by_default(kind: &Kind, object: &Value) -> Option<Propagation> {
    let treated = finalizers(object).any(|one| one == "foregroundDeletion");
    (kind.stored == "jobs" && !treated).then_some(Propagation::Orphan)
}

/// Dependents are treated by the collector, which acts on these finalizers.
fn set_finalizers(object: &mut Value, propagation: Option<Propagation>) {
    let Some(propagation) = propagation else { return };
    let own = match propagation {
        Propagation::Orphan => Some("orphan"),
        Propagation::Foreground => Some("foregroundDeletion"),
        Propagation::Background => None,
    };
    let kept = finalizers(object).filter(|one| !["orphan", "foregroundDeletion"].contains(one));
    let all: Vec<Value> = kept.chain(own).map(Value::from).collect();
    put(object, "metadata.finalizers", if all.is_empty() { Value::Null } else { all.into() });
}

/// Marks the object as going. Whether it remains for now.
fn begin(kind: &Kind, object: &mut Value, grace: i64) -> bool {
    let of_namespace = kind.stored == "namespaces" && !list(object, "spec.finalizers").is_empty();
    let held = finalizers(object).next().is_some() || of_namespace;
    let was_going = is_going(object);
    let before = number(object, "metadata.deletionGracePeriodSeconds");
    if !held && grace == 0 {
        return false;
    }
    if !was_going || grace < before {
        let started = text(object, "metadata.deletionTimestamp").parse::<Timestamp>();
        let started =
            started.map(|end| end - SignedDuration::from_secs(before)).unwrap_or_else(|_| Timestamp::now());
        let end = if was_going { started } else { Timestamp::now() } + SignedDuration::from_secs(grace);
        put(object, "metadata.deletionTimestamp", time(end).into());
        put(object, "metadata.deletionGracePeriodSeconds", grace.into());
        if kind.strategy.generation && !was_going {
            let generation = number(object, "metadata.generation") + 1;
            put(object, "metadata.generation", generation.into());
        }
    }
    if kind.stored == "namespaces" {
        put(object, "status.phase", "Terminating".into());
    }
    !ends(kind, object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::of_resource;

    fn pod(node: &str) -> Value {
        json!({"metadata": {"name": "a"}, "spec": {"nodeName": node, "terminationGracePeriodSeconds": 30}})
    }

    #[test]
    fn pods_that_run_have_grace_and_it_only_shrinks() {
        let Some(kind) = of_resource("", "v1", "pods") else { panic!("pods are served") };
        let options = DeleteOptions::default();
        assert_eq!((grace(kind, &pod(""), &options), grace(kind, &pod("n"), &options)), (0, 30));
        let mut going = pod("n");
        assert!(begin(kind, &mut going, 30));
        let first = text(&going, "metadata.deletionTimestamp").to_owned();
        assert!(begin(kind, &mut going, 60) && text(&going, "metadata.deletionTimestamp") == first);
        assert!(begin(kind, &mut going, 5) && number(&going, "metadata.deletionGracePeriodSeconds") == 5);
        assert!(!begin(kind, &mut going, 0));
    }

    #[test]
    fn finalizers_hold_whatever_the_grace() {
        let Some(kind) = of_resource("", "v1", "configmaps") else { panic!("config maps are served") };
        let mut object = json!({"metadata": {"name": "a", "finalizers": ["x/y"]}});
        set_finalizers(&mut object, Some(Propagation::Foreground));
        assert_eq!(finalizers(&object).collect::<Vec<_>>(), ["x/y", "foregroundDeletion"]);
        assert!(begin(kind, &mut object, 0) && is_going(&object));
    }
}
