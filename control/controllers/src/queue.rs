//! A queue of names to look at: each once however often it is asked for, never by two workers at the same time, later
//! again where it failed.
//!
//! What client-go's `util/workqueue` is to upstream's controllers. It holds only what waits and what failed: memory
//! and time go with the work at hand, not with the cluster.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Error;

/// The first pause after a failure.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause after many failures (upstream's is 1,000 s; what is stuck here is looked at more often).
const LONGEST: Duration = Duration::from_secs(120);
/// So many failures in a row are not said aloud: most are over by then.
const FEW: u32 = 3;
/// The first pause of a name that waits for something.
const WAIT: Duration = Duration::from_millis(250);

/// What a look at a name came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is as it shall be.
    Done,
    /// It waits for somebody else: look again, at longer and longer intervals up to this one.
    Wait(Duration),
}

/// Names to look at.
#[derive(Debug)]
pub struct Queue<K> {
    state: Mutex<State<K>>,
    wake: Notify,
}

#[derive(Debug)]
struct State<K> {
    /// In order of when they are due; the number tells apart what is due at the same moment.
    order: BTreeMap<(Instant, u64), K>,
    due: HashMap<K, (Instant, u64)>,
    /// At work, and when to look again if it was asked for meanwhile.
    running: HashMap<K, Option<Instant>>,
    /// How often in a row it was not done.
    tries: HashMap<K, u32>,
    count: u64,
}

impl<K> Default for Queue<K> {
    fn default() -> Queue<K> {
        let state = State {
            order: BTreeMap::new(),
            due: HashMap::new(),
            running: HashMap::new(),
            tries: HashMap::new(),
            count: 0,
        };
        Queue { state: Mutex::new(state), wake: Notify::new() }
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    fn add(&mut self, key: K, at: Instant) {
        if let Some(again) = self.running.get_mut(&key) {
            *again = Some(again.map_or(at, |before| before.min(at)));
            return;
        }
        if let Some(before) = self.due.get(&key) {
            if before.0 <= at {
                return;
            }
            self.order.remove(before);
        }
        self.count += 1;
        self.due.insert(key.clone(), (at, self.count));
        self.order.insert((at, self.count), key);
    }

    /// What is due, or when the next one is.
    fn take(&mut self, now: Instant) -> Result<K, Option<Instant>> {
        let Some(first) = self.order.first_entry() else { return Err(None) };
        if first.key().0 > now {
            return Err(Some(first.key().0));
        }
        let key = first.remove();
        self.due.remove(&key);
        self.running.insert(key.clone(), None);
        Ok(key)
    }

    fn end(&mut self, key: K, outcome: Result<Step, ()>, now: Instant) {
        let again = self.running.remove(&key).flatten();
        let pause = match outcome {
            Ok(Step::Done) => None,
            Ok(Step::Wait(longest)) => Some(doubled(WAIT, self.tries.get(&key), longest)),
            Err(()) => Some(doubled(FIRST, self.tries.get(&key), LONGEST)),
        };
        match pause {
            None => drop(self.tries.remove(&key)),
            Some(pause) => {
                let tries = self.tries.entry(key.clone()).or_default();
                *tries = tries.saturating_add(1);
                self.add(key.clone(), now + pause);
            }
        }
        if let Some(at) = again {
            self.add(key, at);
        }
    }
}

/// A pause that doubles with each try.
fn doubled(first: Duration, tries: Option<&u32>, longest: Duration) -> Duration {
    let times = tries.copied().unwrap_or_default().min(16);
    first.saturating_mul(1 << times).min(longest)
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// Asks for a look at once.
    pub fn add(&self, key: K) {
        self.add_after(key, Duration::ZERO);
    }

    /// Asks for a look later; the earliest of several wins.
    pub fn add_after(&self, key: K, pause: Duration) {
        self.with(|state| state.add(key, Instant::now() + pause));
        self.wake.notify_one();
    }

    fn with<R>(&self, change: impl FnOnce(&mut State<K>) -> R) -> R {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn take(&self) -> K {
        loop {
            let next = match self.with(|state| state.take(Instant::now())) {
                Ok(key) => {
                    // Another worker looks whether there is more.
                    self.wake.notify_one();
                    return key;
                }
                Err(next) => next,
            };
            match next {
                Some(at) => drop(tokio::time::timeout_at(at, self.wake.notified()).await),
                None => self.wake.notified().await,
            }
        }
    }
}

/// Has workers look at a queue's names, until the future is dropped.
pub async fn work<K, F, R>(what: &'static str, queue: Arc<Queue<K>>, workers: usize, look: F)
where
    K: Clone + Eq + Hash + std::fmt::Display + Send + 'static,
    F: Fn(K) -> R + Clone + Send + 'static,
    R: Future<Output = Result<Step, Error>> + Send,
{
    let mut all = JoinSet::new();
    for _ in 0..workers {
        let (queue, look) = (queue.clone(), look.clone());
        all.spawn(async move {
            loop {
                let key = queue.take().await;
                let outcome = look(key.clone()).await;
                if let Err(error) = &outcome {
                    let few = queue.with(|state| state.tries.get(&key).is_none_or(|tries| *tries < FEW));
                    match few || error.is_usual() {
                        true => tracing::debug!(controller = what, %key, %error, "tried again"),
                        false => tracing::warn!(controller = what, %key, %error, "failed; tried again"),
                    }
                }
                queue.with(|state| state.end(key, outcome.map_err(drop), Instant::now()));
                queue.wake.notify_one();
            }
        });
    }
    while let Some(ended) = all.join_next().await {
        let Err(error) = ended;
        tracing::error!(controller = what, %error, "a worker broke off; the others go on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_there_once_and_the_earliest_moment_counts() {
        let queue = Queue::default();
        let now = Instant::now();
        queue.with(|state: &mut State<&str>| {
            state.add("a", now + Duration::from_secs(9));
            state.add("a", now + Duration::from_secs(1));
            state.add("a", now + Duration::from_secs(5));
            assert_eq!(state.take(now), Err(Some(now + Duration::from_secs(1))));
            assert_eq!(state.take(now + Duration::from_secs(1)), Ok("a"));
            assert_eq!(state.take(now + Duration::from_secs(99)), Err(None));
        });
    }

    /// client-go `util/workqueue/queue.go`: what is added while it is processed is processed again afterwards.
    #[test]
    fn a_name_at_work_is_not_given_out_but_looked_at_again() {
        let queue = Queue::default();
        let now = Instant::now();
        queue.with(|state: &mut State<&str>| {
            state.add("a", now);
            assert_eq!(state.take(now), Ok("a"));
            state.add("a", now);
            assert_eq!(state.take(now), Err(None));
            state.end("a", Ok(Step::Done), now);
            assert_eq!(state.take(now), Ok("a"));
            state.end("a", Ok(Step::Done), now);
            assert_eq!(state.take(now), Err(None));
        });
    }

    #[test]
    fn what_fails_comes_later_and_later_and_is_forgotten_when_done() {
        let queue = Queue::default();
        let now = Instant::now();
        queue.with(|state: &mut State<&str>| {
            let mut pauses = Vec::new();
            state.add("a", now);
            for _ in 0..14 {
                let later = now + Duration::from_secs(3600);
                assert_eq!(state.take(later), Ok("a"));
                state.end("a", Err(()), now);
                pauses.push(state.due["a"].0 - now);
            }
            assert_eq!(pauses[..3], [50, 100, 200].map(Duration::from_millis));
            assert_eq!(pauses.last(), Some(&LONGEST));
            assert_eq!(state.take(now + LONGEST), Ok("a"));
            state.end("a", Ok(Step::Done), now);
            assert!(state.tries.is_empty() && state.due.is_empty() && state.order.is_empty());
        });
    }
}
