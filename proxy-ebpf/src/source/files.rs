//! The files' objects together: each object counts once, from the first file by name that has it.

use super::{Parsed, Problem};
use crate::{Object, ObjectKey, Update};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What tells that a file is another one than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: (i64, i64),
    size: u64,
    inode: (u64, u64),
}

/// All files, by name.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    files: BTreeMap<Arc<str>, File>,
    /// The files that have an object, in order: one, unless somebody made a mistake.
    owners: HashMap<ObjectKey, Vec<Arc<str>>>,
    /// What counted before the changes that nobody was told of yet.
    before: BTreeMap<ObjectKey, Option<Object>>,
}

#[derive(Debug)]
struct File {
    stamp: Stamp,
    /// The objects of its last good version; `None` where there was none.
    objects: Option<HashMap<ObjectKey, Object>>,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            size: metadata.size(),
            inode: (metadata.dev(), metadata.ino()),
        }
    }
}

impl Files {
    /// No files yet, in a folder.
    pub(super) fn new(folder: &Path) -> Files {
        let (files, owners, before) = Default::default();
        Files { folder: folder.to_owned(), files, owners, before }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.files.keys().map(ToString::to_string).collect()
    }

    pub(super) fn stamp(&self, name: &str) -> Option<Stamp> {
        self.files.get(name).map(|file| file.stamp)
    }

    /// Whether each file has been good at some time.
    pub(super) fn all_good(&self) -> bool {
        self.files.values().all(|file| file.objects.is_some())
    }

    /// Takes what was read of a file: a broken version leaves the objects of the last good one.
    pub(super) fn put(
        &mut self,
        name: &str,
        stamp: Stamp,
        read: Result<Parsed, Problem>,
        problems: &mut Vec<Problem>,
    ) {
        let file = self.files.entry(name.into()).or_insert(File { stamp, objects: None });
        file.stamp = stamp;
        let parsed = match read {
            Ok(parsed) => parsed,
            Err(problem) => {
                problems.push(problem);
                return;
            }
        };
        problems.extend(parsed.ignored);
        let mut objects = HashMap::new();
        for object in parsed.objects {
            let key = object.key();
            match objects.entry(key) {
                Entry::Occupied(other) => problems.push(twice(&self.folder, name, other.key(), name)),
                Entry::Vacant(place) => drop(place.insert(object)),
            }
        }
        self.replace(name, Some(objects), problems);
    }

    /// Takes a file away, and its objects with it.
    pub(super) fn remove(&mut self, name: &str, problems: &mut Vec<Problem>) {
        self.replace(name, None, problems);
        self.files.remove(name);
    }

    /// The objects that are not what they were when this was last asked.
    pub(super) fn updates(&mut self) -> Vec<Update> {
        let before = std::mem::take(&mut self.before);
        let after = |(key, before): (ObjectKey, Option<Object>)| {
            let object = self.counting(&key).cloned();
            (before != object).then_some(Update { key, object })
        };
        before.into_iter().filter_map(after).collect()
    }

    fn replace(
        &mut self,
        name: &str,
        objects: Option<HashMap<ObjectKey, Object>>,
        problems: &mut Vec<Problem>,
    ) {
        let Some((name, file)) = self.files.get_key_value(name) else { return };
        let name = name.clone();
        let old: BTreeSet<&ObjectKey> = file.objects.iter().flat_map(HashMap::keys).collect();
        let new: BTreeSet<&ObjectKey> = objects.iter().flat_map(HashMap::keys).collect();
        let changing: Vec<(ObjectKey, Option<Object>)> =
            old.union(&new).map(|key| ((*key).clone(), self.counting(key).cloned())).collect();
        let gone: Vec<ObjectKey> = old.difference(&new).map(|key| (*key).clone()).collect();
        let come: Vec<ObjectKey> = new.difference(&old).map(|key| (*key).clone()).collect();
        for key in gone {
            let Some(owners) = self.owners.get_mut(&key) else { continue };
            owners.retain(|owner| *owner != name);
            if owners.is_empty() {
                self.owners.remove(&key);
            }
        }
        for key in come {
            let owners = self.owners.entry(key.clone()).or_insert_with(|| Vec::with_capacity(1));
            owners.insert(owners.partition_point(|owner| *owner < name), name.clone());
            let (Some(first), Some(last)) = (owners.first(), owners.last()) else { continue };
            if first != last {
                problems.push(twice(&self.folder, if *first == name { last } else { &name }, &key, first));
            }
        }
        if let Some(file) = self.files.get_mut(&name) {
            file.objects = objects;
        }
        for (key, object) in changing {
            self.before.entry(key).or_insert(object);
        }
    }

    /// The object that counts.
    fn counting(&self, key: &ObjectKey) -> Option<&Object> {
        let first = self.owners.get(key)?.first()?;
        self.files.get(first)?.objects.as_ref()?.get(key)
    }
}

fn twice(folder: &Path, file: &str, object: &ObjectKey, first: &str) -> Problem {
    let path = |name| folder.join(name).display().to_string();
    Problem::Twice { file: path(file), object: object.to_string(), first: path(first) }
}
