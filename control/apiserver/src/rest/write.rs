//! CREATE and UPDATE: from a body to a revision.

use http::StatusCode;
use serde_json::Value;
use std::sync::Arc;
use weft_objects::Faults;

use super::answer::Answer;
use super::{Call, prepare};
use crate::cache::Entry;
use crate::convert;
use crate::kinds::{Kind, Subresource};
use crate::object::{at, finalizers, is_going, metadata, name, number, text};
use crate::services::released;
use crate::status::{Failure, Outcome};
use crate::store::Written;

/// How many names are tried for a `generateName`.
const NAMES: usize = 8;
/// How often an update that names no revision is tried again over somebody else's.
const TRIES: usize = 16;
/// How long events are kept, in seconds (`--event-ttl`).
const EVENT_TTL: i64 = 3_600;

/// The time to live of a kind's objects, in seconds; 0 for ever.
pub(super) fn ttl(kind: &Kind) -> i64 {
    if kind.stored == "events" { EVENT_TTL } else { 0 }
}

/// An object as it is stored: without what its revision says.
pub(super) fn stored_bytes(object: &Value) -> Vec<u8> {
    let mut object = object.clone();
    metadata(&mut object).remove("resourceVersion");
    metadata(&mut object).remove("managedFields");
    metadata(&mut object).remove("selfLink");
    object.to_string().into_bytes()
}

/// 422 if anything is wrong. What is wrong twice, as by the rules of an object and by those of its change, is told once.
pub(super) fn valid(kind: &Kind, object: &Value, faults: &Faults) -> Outcome<()> {
    if faults.is_empty() {
        return Ok(());
    }
    let mut seen = std::collections::HashSet::new();
    let once = faults.0.iter().filter(|fault| seen.insert(fault.to_string())).cloned().collect();
    Err(Failure::invalid(kind, name(object), &Faults(once)))
}

impl Call<'_> {
    /// POST to a collection.
    pub(super) async fn create(&self) -> Outcome<Answer> {
        let read = self.read_object()?;
        let dry = self.dry_run()?;
        let entry = self.create_object(read.object, dry).await?;
        Ok(self.answer_entry(StatusCode::CREATED, &entry)?.warning(read.warnings))
    }

    /// Makes an object.
    pub(super) async fn create_object(&self, mut object: Value, dry: bool) -> Outcome<Arc<Entry>> {
        let kind = self.target.kind;
        self.check_place(&mut object)?;
        if !text(&object, "metadata.resourceVersion").is_empty() {
            return Err(Failure::bad_request("resourceVersion should not be set on objects to be created"));
        }
        let generated = name(&object).is_empty() && !text(&object, "metadata.generateName").is_empty();
        let any_address = kind.stored == "services/specs" && text(&object, "spec.clusterIP").is_empty();
        for attempt in 1.. {
            let mut object = object.clone();
            if generated {
                prepare::generate_name(&mut object);
            }
            let outcome = self.create_named(object, dry).await;
            match &outcome {
                Err(failure) if generated && failure.reason() == "AlreadyExists" && attempt < NAMES => {
                    continue;
                }
                // Another API server over this state was faster to take an address; there are others.
                Err(failure) if any_address && failure.reason() == "Conflict" && attempt < NAMES => continue,
                _ => return outcome,
            }
        }
        Err(Failure::internal(format!("no name was found for a {}", kind.kind)))
    }

    async fn create_named(&self, mut object: Value, dry: bool) -> Outcome<Arc<Entry>> {
        let kind = self.target.kind;
        prepare::metadata_of_new(kind, &mut object);
        (kind.rules().default)(&mut object);
        prepare::for_create(kind, self.user, &mut object)?;
        self.api.admit(self, &mut object, None).await?;
        let mut faults = Faults::default();
        weft_objects::rules::metadata(&object, kind.namespaced, &mut faults);
        (kind.rules().validate)(&object, &mut faults);
        valid(kind, &object, &faults)?;
        let claim = self.api.services.claim(kind, &mut object)?;
        self.api.check(self, &object, None).await?;
        let key = super::cache_key(kind, text(&object, "metadata.namespace"), name(&object));
        if dry {
            return Ok(Arc::new(self.of_dry_run(&key, &mut object).await?));
        }
        let path = kind.key(text(&object, "metadata.namespace"), name(&object));
        match self.api.store.create_with(&path, stored_bytes(&object), ttl(kind), claim.objects()).await? {
            Written::At(revision) => {
                claim.keep();
                Ok(Arc::new(Entry::of(kind, &key, revision, &mut object)))
            }
            Written::Differs(Some(stored)) => self.exists(&object, &stored),
            Written::Differs(None) => Err(Failure::conflict(
                kind,
                name(&object),
                "an address was taken by somebody else; try again",
            )),
        }
    }

    /// 409: the name is taken. By an object that is on its way out the words differ.
    fn exists(&self, object: &Value, stored: &crate::store::Stored) -> Outcome<Arc<Entry>> {
        let kind = self.target.kind;
        let there: Value = serde_json::from_slice(&stored.bytes).unwrap_or_default();
        if is_going(&there) {
            let failure = Failure::already_exists(kind, name(object));
            return Err(failure.with_message(|message| format!("object is being deleted: {message}")));
        }
        Err(Failure::already_exists(kind, name(object)))
    }

    async fn of_dry_run(&self, key: &str, object: &mut Value) -> Outcome<Entry> {
        let kind = self.target.kind;
        let path = kind.key(text(object, "metadata.namespace"), name(object));
        if self.api.store.revision_of(&path).await?.is_some() {
            return Err(Failure::already_exists(kind, name(object)));
        }
        let mut entry = Entry::of(kind, key, 0, object);
        metadata(object).remove("resourceVersion");
        entry.body = object.to_string().into();
        Ok(entry)
    }

    /// The namespace and the name of a body must be those of the path.
    pub(super) fn check_place(&self, object: &mut Value) -> Outcome<()> {
        let kind = self.target.kind;
        if kind.namespaced {
            let said = text(object, "metadata.namespace").to_owned();
            if self.target.namespace.is_empty() {
                return Err(Failure::bad_request(
                    "an object of a namespaced kind needs a namespace in its path",
                ));
            }
            if said.is_empty() {
                metadata(object).insert("namespace".into(), self.target.namespace.as_str().into());
            } else if said != self.target.namespace {
                return Err(Failure::bad_request(format!(
                    "the namespace of the provided object does not match the namespace sent on the request ({said} and {})",
                    self.target.namespace
                )));
            }
        } else if !text(object, "metadata.namespace").is_empty() {
            metadata(object).remove("namespace");
        }
        if !self.target.name.is_empty() {
            let said = name(object).to_owned();
            if said.is_empty() {
                metadata(object).insert("name".into(), self.target.name.as_str().into());
            } else if said != self.target.name {
                return Err(Failure::bad_request(format!(
                    "the name of the object ({said}) does not match the name on the URL ({})",
                    self.target.name
                )));
            }
        }
        Ok(())
    }

    /// PUT of an object or of a subresource that has its form.
    pub(super) async fn update(&self) -> Outcome<Answer> {
        let read = self.read_object()?;
        let mut object = read.object;
        self.check_place(&mut object)?;
        let (kind, dry) = (self.target.kind, self.dry_run()?);
        let there = self.current(&self.target.namespace, &self.target.name).await?;
        if there.is_none() && kind.strategy.create_on_update && self.target.subresource.is_none() {
            let entry = self.create_object(object, dry).await?;
            return Ok(self.answer_entry(StatusCode::CREATED, &entry)?.warning(read.warnings));
        }
        let entry = self.change(there, dry, |_| Ok(object.clone())).await?;
        Ok(self.answer_entry(StatusCode::OK, &entry)?.warning(read.warnings))
    }

    /// Changes an object: `make` tells what it shall be from what it is, and is asked again if somebody was faster,
    /// unless it names the revision it means.
    pub(super) async fn change(
        &self,
        there: Option<Arc<Entry>>,
        dry: bool,
        make: impl Fn(&Value) -> Outcome<Value>,
    ) -> Outcome<Arc<Entry>> {
        let (kind, target) = (self.target.kind, &self.target);
        let mut entry = there.ok_or_else(|| Failure::not_found(kind, &target.name))?;
        for _ in 0..TRIES {
            let old = entry.object();
            let mut object = make(&old)?;
            self.check_revision(&object, &entry)?;
            self.prepare_update(&mut object, &old).await?;
            let unchanged = stored_bytes(&object) == stored_bytes(&old);
            if dry || unchanged {
                let mut shown = object.clone();
                return Ok(Arc::new(Entry::of(kind, &entry.key, entry.revision, &mut shown)));
            }
            match self.write_update(&entry, &mut object).await? {
                Ok(entry) => return Ok(Arc::new(entry)),
                // One that names its revision is a conflict then.
                Err(Some(stored)) => {
                    let read = Entry::read(kind, &entry.key, stored.revision, &stored.bytes);
                    entry = Arc::new(read.map_err(Failure::internal)?);
                }
                Err(None) => return Err(Failure::not_found(kind, &target.name)),
            }
        }
        Err(Failure::modified(kind, &target.name))
    }

    /// A conflict if the object names another revision than it is to replace; a PUT may name the uid as well.
    fn check_revision(&self, object: &Value, entry: &Entry) -> Outcome<()> {
        let kind = self.target.kind;
        let uid = text(object, "metadata.uid");
        if self.verb == "update" && !uid.is_empty() {
            let there = entry.object();
            if uid != text(&there, "metadata.uid") {
                let why = format!(
                    "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                    text(&there, "metadata.uid")
                );
                return Err(Failure::conflict(kind, name(object), &why));
            }
        }
        let said = text(object, "metadata.resourceVersion");
        if said.is_empty() || said == "0" {
            if !kind.strategy.unconditional_update {
                let mut faults = Faults::default();
                faults.invalid("metadata.resourceVersion", 0, "must be specified for an update");
                return Err(Failure::invalid(kind, name(object), &faults));
            }
            return Ok(());
        }
        let revision: i64 = said.parse().map_err(|_| {
            Failure::bad_request(format!("metadata.resourceVersion: Invalid value: {said:?}: it is a number"))
        })?;
        if revision != entry.revision {
            return Err(Failure::modified(kind, name(object)));
        }
        Ok(())
    }

    async fn prepare_update(&self, object: &mut Value, old: &Value) -> Outcome<()> {
        let (kind, sub) = (self.target.kind, self.target.subresource);
        (kind.rules().default)(object);
        prepare::for_update(kind, sub, object, old)?;
        self.api.admit(self, object, Some(old)).await?;
        let mut faults = Faults::default();
        weft_objects::rules::metadata(object, kind.namespaced, &mut faults);
        weft_objects::rules::metadata_update(object, old, &mut faults);
        match sub {
            None => {
                (kind.rules().validate)(object, &mut faults);
                (kind.rules().validate_update)(object, old, &mut faults);
            }
            Some(Subresource::EphemeralContainers) => {
                weft_objects::rules::ephemeral_containers_update(object, old, &mut faults);
            }
            Some(Subresource::Resize | Subresource::Scale) => (kind.rules().validate)(object, &mut faults),
            _ => {}
        }
        valid(kind, object, &faults)?;
        self.api.check(self, object, Some(old)).await
    }

    /// Writes it, or tells what is there instead. An object that was on its way out goes with its last finalizer.
    async fn write_update(
        &self,
        entry: &Entry,
        object: &mut Value,
    ) -> Outcome<Result<Entry, Option<crate::store::Stored>>> {
        let kind = self.target.kind;
        let path = kind.key(entry.namespace(), entry.name());
        let ends = is_going(object) && ends(kind, object);
        let claim = if ends { None } else { Some(self.api.services.claim(kind, object)?) };
        let now = if ends { &Value::Null } else { &*object };
        let mut beside = released(kind, &entry.object(), now);
        let written = match &claim {
            None => self.api.store.delete_with(&path, entry.revision, &beside).await?,
            Some(claim) => {
                beside.extend_from_slice(claim.objects());
                let bytes = stored_bytes(object);
                self.api.store.update_with(&path, bytes, entry.revision, ttl(kind), &beside).await?
            }
        };
        match written {
            Written::At(revision) => {
                if let Some(claim) = claim {
                    claim.keep();
                }
                Ok(Ok(Entry::of(kind, &entry.key, revision, object)))
            }
            Written::Differs(stored) => Ok(Err(stored)),
        }
    }

    /// An object as an answer of this kind.
    pub(super) fn answer_object(&self, status: StatusCode, object: Value) -> Outcome<Answer> {
        self.answer(status, convert::outgoing(self.target.kind, object))
    }
}

/// Whether nothing holds an object that is on its way out.
pub(super) fn ends(kind: &Kind, object: &Value) -> bool {
    let held = finalizers(object).next().is_some();
    let waits = kind.strategy.graceful && number(object, "metadata.deletionGracePeriodSeconds") > 0;
    let of_namespace =
        kind.stored == "namespaces" && !crate::object::list(object, "spec.finalizers").is_empty();
    !held && !waits && !of_namespace
}

/// What of an object is its spec: everything but the metadata and the status.
pub(super) fn spec_differs(one: &Value, other: &Value) -> bool {
    let spec = |object: &Value| {
        let mut object = object.clone();
        if let Some(map) = object.as_object_mut() {
            map.retain(|key, _| !["metadata", "status", "kind", "apiVersion"].contains(&key.as_str()));
        }
        object
    };
    spec(one) != spec(other)
}

/// Takes the status of another object.
pub(super) fn take_status(object: &mut Value, from: &Value) {
    let status = at(from, "status").clone();
    crate::object::put(object, "status", status);
}
