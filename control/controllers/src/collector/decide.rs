//! What becomes of an object, by what became of its owners.
//!
//! Upstream: `pkg/controller/garbagecollector/garbagecollector.go`, `classifyReferences` and `attemptToDeleteItem`.

use kube::api::PropagationPolicy;

use super::graph::Uid;

/// What became of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It is there.
    Solid,
    /// It is not, or not where an owner may be.
    Dangling,
    /// It is there, and waits for its dependents to go first.
    Waiting,
}

/// What is to be done about an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Nothing.
    Keep,
    /// References to these owners are to be taken away; it has others.
    Cut(Vec<Uid>),
    /// It is to be deleted.
    Delete {
        /// What becomes of its own dependents.
        policy: PropagationPolicy,
        /// Whether its owners shall first wait for it no longer: it and a dependent of its wait for each other.
        unblock: bool,
    },
}

/// What is known of an object's dependents and finalizers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own {
    /// It has dependents.
    pub dependents: bool,
    /// One of them waits for its own dependents to go.
    pub circle: bool,
    /// It has the finalizer `orphan`.
    pub orphan: bool,
    /// It has the finalizer `foregroundDeletion`.
    pub foreground: bool,
}

/// Decides.
pub fn decide(owners: &[(Uid, Class)], own: Own) -> Action {
    let has = |class| owners.iter().any(|(_, one)| *one == class);
    if owners.is_empty() {
        return Action::Keep;
    }
    if has(Class::Solid) {
        let lost: Vec<Uid> =
            owners.iter().filter(|(_, class)| *class != Class::Solid).map(|(uid, _)| uid.clone()).collect();
        return if lost.is_empty() { Action::Keep } else { Action::Cut(lost) };
    }
    if has(Class::Waiting) && own.dependents {
        return Action::Delete { policy: PropagationPolicy::Foreground, unblock: own.circle };
    }
    // Whoever asked for its deletion before said what is to become of its dependents.
    let policy = match own {
        Own { orphan: true, .. } => PropagationPolicy::Orphan,
        Own { foreground: true, .. } => PropagationPolicy::Foreground,
        _ => PropagationPolicy::Background,
    };
    Action::Delete { policy, unblock: false }
}
