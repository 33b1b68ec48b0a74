//! Which kinds there are, as owners are named: by version and kind, not by resource.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::graph::Owner;
use crate::kinds::Kind;

/// The kinds.
#[derive(Debug, Default)]
pub struct Kinds {
    /// By group and kind.
    by_kind: Mutex<HashMap<(String, String), Arc<Kind>>>,
}

/// Whether objects of a kind are watched: they can be deleted, and are no events, which have no owners and are many
/// (`DefaultIgnoredResources`).
pub fn is_collected(kind: &Kind) -> bool {
    let events = kind.resource.plural == "events" && ["", "events.k8s.io"].contains(&&*kind.resource.group);
    !events && kind.can(&["list", "watch", "delete"])
}

impl Kinds {
    /// Takes up the kinds that there are now.
    pub fn set(&self, kinds: &[Arc<Kind>]) {
        let named =
            |kind: &Arc<Kind>| ((kind.resource.group.clone(), kind.resource.kind.clone()), kind.clone());
        *self.by_kind.lock().unwrap_or_else(PoisonError::into_inner) = kinds.iter().map(named).collect();
    }

    /// The kind that a reference names; of whatever version, as one object is served in all of them.
    pub fn of_reference(&self, owner: &Owner) -> Option<Arc<Kind>> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let key = (group.to_owned(), owner.kind.to_string());
        self.by_kind.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }
}
