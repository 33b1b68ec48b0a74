//! What a namespace on its way out says about itself: the conditions that `kubectl describe ns` shows.
//!
//! Upstream: `pkg/controller/namespace/deletion/status_condition_utils.go`.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a pass over a namespace's content found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Why not all kinds are known.
    pub discovery: Option<String>,
    /// What could not be removed.
    pub failures: Vec<String>,
    /// How many objects are left, by `resource.group`.
    pub left: BTreeMap<String, usize>,
    /// How many of them wait for a finalizer.
    pub finalizers: BTreeMap<String, usize>,
}

/// A condition's type, and its reason and message while nothing is wrong.
const TYPES: [(&str, &str, &str); 5] = [
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentRemoved", "All content successfully removed"),
];

impl Found {
    /// Reason and message of what is wrong.
    fn wrong(&self, kind: &str) -> Option<(&'static str, String)> {
        match kind {
            "NamespaceDeletionDiscoveryFailure" => {
                self.discovery.clone().map(|message| ("DiscoveryFailed", message))
            }
            "NamespaceDeletionContentFailure" if !self.failures.is_empty() => {
                let mut all = self.failures.clone();
                all.sort();
                let message = format!(
                    "Failed to delete all resource types, {} remaining: {}",
                    all.len(),
                    all.join(", ")
                );
                Some(("ContentDeletionFailed", message))
            }
            "NamespaceContentRemaining" if !self.left.is_empty() => {
                let all = counted(&self.left, "has", "resource instances");
                Some(("SomeResourcesRemain", format!("Some resources are remaining: {all}")))
            }
            "NamespaceFinalizersRemaining" if !self.finalizers.is_empty() => {
                let all = counted(&self.finalizers, "in", "resource instances");
                Some(("SomeFinalizerRemain", format!("Some finalizers are remaining: {all}")))
            }
            _ => None,
        }
    }

    /// The conditions as they shall be, where they are not; others than these are left alone.
    pub fn conditions(&self, there: &[Value], now: &str) -> Option<Vec<Value>> {
        let mut all = there.to_vec();
        for (kind, reason, message) in TYPES {
            let wrong = self.wrong(kind);
            let status = if wrong.is_some() { "True" } else { "False" };
            let (reason, message) = wrong.unwrap_or((reason, message.to_owned()));
            let mut wanted = json!({
                "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": now,
            });
            match all.iter_mut().find(|one| one["type"] == kind) {
                None => all.push(wanted),
                Some(one) => {
                    if one["status"] == status {
                        wanted["lastTransitionTime"] = one["lastTransitionTime"].clone();
                    }
                    *one = wanted;
                }
            }
        }
        (all != there).then_some(all)
    }
}

fn counted(counts: &BTreeMap<String, usize>, verb: &str, what: &str) -> String {
    let all: Vec<String> =
        counts.iter().map(|(name, count)| format!("{name} {verb} {count} {what}")).collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn of<'a>(all: &'a [Value], kind: &str) -> &'a Value {
        all.iter().find(|one| one["type"] == kind).unwrap()
    }

    /// `status_condition_utils_test.go`: all five are there, "False" where nothing is wrong; times change with the
    /// status only.
    #[test]
    fn all_five_and_only_changes_are_written() {
        let first = Found::default().conditions(&[], "t1").unwrap();
        assert_eq!(first.len(), 5);
        assert!(first.iter().all(|one| one["status"] == "False"));
        assert_eq!(Found::default().conditions(&first, "t2"), None);
        let found = Found {
            left: [("pods.".to_owned(), 2)].into(),
            finalizers: [("x.io/y".to_owned(), 1)].into(),
            ..Found::default()
        };
        let second = found.conditions(&first, "t2").unwrap();
        let left = of(&second, "NamespaceContentRemaining");
        assert_eq!(left["message"], "Some resources are remaining: pods. has 2 resource instances");
        assert_eq!(
            (left["status"].as_str(), left["lastTransitionTime"].as_str()),
            (Some("True"), Some("t2"))
        );
        let finalizers = of(&second, "NamespaceFinalizersRemaining");
        assert_eq!(finalizers["message"], "Some finalizers are remaining: x.io/y in 1 resource instances");
        assert_eq!(of(&second, "NamespaceDeletionContentFailure")["lastTransitionTime"], "t1");
        let less = Found { left: [("pods.".to_owned(), 1)].into(), ..found };
        let third = less.conditions(&second, "t3").unwrap();
        assert_eq!(of(&third, "NamespaceContentRemaining")["lastTransitionTime"], "t2");
    }

    #[test]
    fn failures_are_told_together_and_other_conditions_stay() {
        let mine = json!({"type": "Mine", "status": "True"});
        let found = Found {
            failures: vec!["b".into(), "a".into()],
            discovery: Some("x.io/v1 does not answer".into()),
            ..Found::default()
        };
        let all = found.conditions(std::slice::from_ref(&mine), "t").unwrap();
        assert_eq!(all[0], mine);
        let failure = of(&all, "NamespaceDeletionContentFailure");
        assert_eq!(failure["message"], "Failed to delete all resource types, 2 remaining: a, b");
        assert_eq!(of(&all, "NamespaceDeletionDiscoveryFailure")["message"], "x.io/v1 does not answer");
    }
}
