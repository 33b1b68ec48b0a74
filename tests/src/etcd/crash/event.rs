//! Histories as watches tell them, and what the logs of writers must find in them.

use etcd_client::proto::{PbEvent, PbKeyValue};
use std::collections::{BTreeMap, BTreeSet};

/// What one revision did to keys: the value of each, or its deletion.
pub type Effects = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Effects by revision.
pub type History = BTreeMap<i64, Effects>;

/// What a writer did and what it was told.
#[derive(Debug, Default)]
pub struct Log {
    /// Acknowledged, by revision.
    pub acknowledged: History,
    /// Not answered: may be there or not, but wholly. The values are this write's alone, deletions are not.
    pub unanswered: Vec<Effects>,
}

/// Adds an event to a history.
///
/// # Errors
/// That it is there already.
pub fn add(history: &mut History, event: &PbEvent) -> Result<i64, String> {
    let kv: &PbKeyValue = event.kv.as_ref().ok_or("an event of no key")?;
    let value = (event.r#type == 0).then(|| kv.value.clone());
    match history.entry(kv.mod_revision).or_default().insert(kv.key.clone(), value) {
        None => Ok(kv.mod_revision),
        Some(_) => Err(format!("twice: {event:?}")),
    }
}

/// What a history lacks that was acknowledged, or has that nobody asked for.
pub fn contradiction(history: &History, prefix: &[u8], log: &Log) -> Option<String> {
    for (revision, effects) in &log.acknowledged {
        let there = history.get(revision);
        if there != Some(effects) {
            return Some(format!("acknowledged at {revision}: {effects:?}, there is {there:?}"));
        }
    }
    let mut open: BTreeSet<&Effects> = log.unanswered.iter().collect();
    for (revision, effects) in history {
        let mine = effects.keys().any(|key| key.starts_with(prefix));
        if !mine || log.acknowledged.contains_key(revision) {
            continue;
        }
        // Deletions without answer look alike, so that one stands for all of them.
        let deletion = effects.values().all(Option::is_none);
        let known = if deletion { open.contains(effects) } else { open.remove(effects) };
        if !known {
            return Some(format!("nobody wrote, or not so, what is at {revision}: {effects:?}"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effects(of: &[(&str, Option<&str>)]) -> Effects {
        of.iter().map(|(k, v)| (k.as_bytes().to_vec(), v.map(|v| v.as_bytes().to_vec()))).collect()
    }

    fn log() -> Log {
        let acknowledged = History::from([(2, effects(&[("a/1", Some("x"))]))]);
        let unanswered = vec![effects(&[("a/1", Some("y")), ("a/2", Some("y"))]), effects(&[("a/1", None)])];
        Log { acknowledged, unanswered }
    }

    fn says(more: &[(i64, Effects)]) -> Option<String> {
        let mut history = log().acknowledged;
        history.extend(more.iter().cloned());
        contradiction(&history, b"a/", &log())
    }

    #[test]
    fn unanswered_writes_are_there_wholly_or_not_at_all() {
        let whole = effects(&[("a/1", Some("y")), ("a/2", Some("y"))]);
        assert_eq!(says(&[]), None);
        assert_eq!(says(&[(3, whole.clone())]), None);
        assert!(says(&[(3, effects(&[("a/1", Some("y"))]))]).is_some(), "half");
        assert!(says(&[(3, whole.clone()), (4, whole)]).is_some(), "twice");
        assert!(says(&[(3, effects(&[("a/1", Some("z"))]))]).is_some(), "nobody's");
        assert_eq!(says(&[(3, effects(&[("a/1", None)])), (4, effects(&[("b/1", Some("z"))]))]), None);
    }

    #[test]
    fn acknowledged_writes_are_there() {
        assert!(contradiction(&History::new(), b"a/", &log()).is_some(), "lost");
        let other = History::from([(2, effects(&[("a/1", Some("y"))]))]);
        assert!(contradiction(&other, b"a/", &log()).is_some(), "changed");
        let later = History::from([(3, effects(&[("a/1", Some("x"))]))]);
        assert!(contradiction(&later, b"a/", &log()).is_some(), "at another revision");
    }

    #[test]
    fn an_event_comes_once() {
        let kv = PbKeyValue { key: b"k".to_vec(), mod_revision: 5, ..Default::default() };
        let event = PbEvent { kv: Some(kv), ..Default::default() };
        let mut history = History::new();
        assert_eq!(add(&mut history, &event), Ok(5));
        assert!(add(&mut history, &event).is_err());
    }
}
