//! What concurrent clients did and were told, and what revisions alone say about it.

use std::collections::{BTreeMap, HashMap};

/// What a client asked of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// To read it.
    Get,
    /// To write a value that nobody else writes.
    Put(u64),
    /// To delete it.
    Delete,
    /// To write the second if it is the first.
    Swap(Option<u64>, u64),
}

/// What it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The value, if it is there.
    Got(Option<u64>),
    /// Written.
    Done,
    /// Whether it was there.
    Deleted(bool),
    /// Whether it was written.
    Swapped(bool),
    /// Nothing: it may or may not have happened.
    Unknown,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The number of the key.
    pub key: usize,
    /// When it was made, in nanoseconds since a common start.
    pub called: u64,
    /// When its answer came, or the news that there is none; never for what may still happen.
    pub returned: Option<u64>,
    /// What was asked.
    pub action: Action,
    /// What was told.
    pub outcome: Outcome,
    /// The revision in the header of the answer.
    pub revision: Option<i64>,
}

impl Call {
    /// Whether it has certainly changed something, so that its revision is its own.
    fn wrote(&self) -> bool {
        matches!(self.outcome, Outcome::Done | Outcome::Deleted(true) | Outcome::Swapped(true))
    }
}

/// Calls by key, without reads that were not answered, which say nothing.
pub fn by_key(calls: &[Call]) -> BTreeMap<usize, Vec<Call>> {
    let matters = |call: &&Call| call.action != Action::Get || call.outcome != Outcome::Unknown;
    let mut keys: BTreeMap<usize, Vec<Call>> = BTreeMap::new();
    calls.iter().filter(matters).for_each(|call| keys.entry(call.key).or_default().push(call.clone()));
    keys
}

/// What is wrong with the revisions, if anything: a call that begins after another was answered must not be told an
/// older one, and each write has one of its own.
pub fn revisions_broken(calls: &[Call]) -> Option<String> {
    let mut owners: HashMap<i64, &Call> = HashMap::new();
    for call in calls.iter().filter(|call| call.wrote()) {
        if let Some(other) = owners.insert(call.revision?, call) {
            return Some(format!("one revision for two writes: {other:?} and {call:?}"));
        }
    }
    let answered = || calls.iter().filter(|call| call.returned.is_some() && call.revision.is_some());
    let mut by_return: Vec<&Call> = answered().collect();
    by_return.sort_by_key(|call| call.returned);
    let mut by_call: Vec<&Call> = answered().collect();
    by_call.sort_by_key(|call| call.called);
    let mut newest: Option<&Call> = None;
    let mut ended = by_return.into_iter().peekable();
    for call in by_call {
        while let Some(before) = ended.next_if(|before| before.returned < Some(call.called)) {
            if newest.is_none_or(|newest| newest.revision < before.revision) {
                newest = Some(before);
            }
        }
        let Some(newest) = newest else { continue };
        let older = call.revision < newest.revision || (call.wrote() && call.revision == newest.revision);
        if older {
            return Some(format!("back in time: {newest:?} and then {call:?}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(called: u64, returned: u64, action: Action, outcome: Outcome, revision: i64) -> Call {
        Call { key: 0, called, returned: Some(returned), action, outcome, revision: Some(revision) }
    }

    #[test]
    fn revisions_never_go_back() {
        let write =
            |times: (u64, u64), revision| call(times.0, times.1, Action::Put(1), Outcome::Done, revision);
        let read =
            |times: (u64, u64), revision| call(times.0, times.1, Action::Get, Outcome::Got(None), revision);
        assert_eq!(revisions_broken(&[write((1, 2), 5), write((3, 4), 6), read((5, 6), 6)]), None);
        assert_eq!(revisions_broken(&[write((1, 4), 6), write((2, 3), 5)]), None, "they overlap");
        assert!(revisions_broken(&[write((1, 2), 5), read((3, 4), 4)]).is_some());
        assert!(revisions_broken(&[write((1, 2), 6), write((3, 4), 5)]).is_some());
        assert!(revisions_broken(&[read((1, 2), 6), write((3, 4), 6)]).is_some());
        assert!(revisions_broken(&[write((1, 4), 6), write((2, 3), 6)]).is_some(), "one for two");
    }
}
