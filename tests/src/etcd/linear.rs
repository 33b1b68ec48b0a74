//! Whether a history of one key can be explained by operations that happened one after the other.
//!
//! Wing and Gong's search with Lowe's memory: an operation whose call comes before every open return is tried next;
//! a set of operations that led to a state once is not tried again. Each key is a register of its own, so keys are
//! searched one by one (a history of independent registers is linearizable when each of them is). What was not
//! answered may have happened between its call and its end, or not at all. The search is exponential in the operations open at
//! a time, which is the number of clients, and memory grows with the square of the operations of a key.

use super::history::{Action, Call, Outcome};
use std::collections::HashSet;

/// The value of a key, or that it is not there.
type State = Option<u64>;

/// What the state is after a call, if it can give this outcome in this state.
fn step(state: State, call: &Call) -> Option<State> {
    match (&call.action, &call.outcome) {
        (Action::Get, Outcome::Got(value)) => (*value == state).then_some(state),
        (Action::Get, _) => Some(state),
        (Action::Put(value), _) => Some(Some(*value)),
        (Action::Delete, Outcome::Deleted(there)) => (*there == state.is_some()).then_some(None),
        (Action::Delete, _) => Some(None),
        (Action::Swap(from, to), Outcome::Swapped(done)) => {
            let next = if *done { Some(*to) } else { state };
            (*done == (state == *from)).then_some(next)
        }
        (Action::Swap(from, to), _) => Some(if state == *from { Some(*to) } else { state }),
    }
}

/// One end of a call in the order of time, as a doubly linked list: calls that were placed are taken out.
#[derive(Clone, Copy)]
struct Event {
    call: usize,
    /// Where its return is; none for a return itself.
    matching: Option<usize>,
    previous: usize,
    next: usize,
}

/// The events, between a head at 0 and a tail at the last place.
struct Events {
    list: Vec<Event>,
    /// Where each call begins.
    starts: Vec<usize>,
}

impl Events {
    fn of(calls: &[Call]) -> Events {
        let mut order: Vec<(u64, bool, usize)> = Vec::new();
        for (at, call) in calls.iter().enumerate() {
            order.push((call.called, false, at));
            order.push((call.returned.unwrap_or(u64::MAX), true, at));
        }
        // At one time calls come first: the two are taken as overlapping.
        order.sort_unstable();
        let last = order.len() + 1;
        let mut events: Vec<Event> = Vec::with_capacity(last + 1);
        let mut starts = vec![0; calls.len()];
        events.push(Event { call: usize::MAX, matching: None, previous: 0, next: 1 });
        for (at, (_, is_return, call)) in order.into_iter().enumerate() {
            let at = at + 1;
            if is_return {
                let start: usize = starts[call];
                events[start].matching = Some(at);
            } else {
                starts[call] = at;
            }
            events.push(Event { call, matching: None, previous: at - 1, next: at + 1 });
        }
        events.push(Event { call: usize::MAX, matching: None, previous: last - 1, next: last });
        Events { list: events, starts }
    }

    fn first(&self) -> usize {
        self.list[0].next
    }

    fn is_empty(&self) -> bool {
        self.first() == self.list.len() - 1
    }

    fn unlink(&mut self, at: usize) {
        let (previous, next) = (self.list[at].previous, self.list[at].next);
        self.list[previous].next = next;
        self.list[next].previous = previous;
    }

    fn link(&mut self, at: usize) {
        let (previous, next) = (self.list[at].previous, self.list[at].next);
        self.list[previous].next = at;
        self.list[next].previous = at;
    }

    /// Takes a call and its return out.
    fn lift(&mut self, call: usize) {
        let at = self.starts[call];
        self.unlink(at);
        self.list[at].matching.into_iter().for_each(|end| self.unlink(end));
    }

    /// Puts them back, in the reverse order.
    fn unlift(&mut self, call: usize) {
        let at = self.starts[call];
        self.list[at].matching.into_iter().for_each(|end| self.link(end));
        self.link(at);
    }
}

/// Which calls are placed.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Placed(Vec<u64>);

impl Placed {
    fn toggle(&mut self, call: usize) {
        self.0[call / 64] ^= 1 << (call % 64);
    }
}

/// Whether the calls of one key can have happened one after the other.
pub fn is_linearizable(calls: &[Call]) -> bool {
    let mut events = Events::of(calls);
    let mut placed = Placed(vec![0; calls.len() / 64 + 1]);
    let mut seen = HashSet::new();
    let mut tried: Vec<(usize, State)> = Vec::new();
    let mut state = None;
    let mut at = events.first();
    while !events.is_empty() {
        let Event { call, matching, next: after, .. } = events.list[at];
        let next = match matching {
            Some(_) => step(state, &calls[call]),
            // It ends, and has changed nothing.
            None => (calls[call].outcome == Outcome::Unknown).then_some(state),
        };
        if let Some(next) = next {
            placed.toggle(call);
            if seen.insert((placed.clone(), next)) {
                tried.push((at, state));
                state = next;
                events.lift(call);
                at = events.first();
                continue;
            }
            placed.toggle(call);
        }
        at = after;
        // A return whose call is not placed: something before it was placed wrongly.
        let mut is_wrong = matching.is_none();
        while is_wrong {
            let Some((back, before)) = tried.pop() else { return false };
            let Event { call, matching, .. } = events.list[back];
            state = before;
            placed.toggle(call);
            events.unlift(call);
            at = events.list[back].next;
            is_wrong = matching.is_none();
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(times: (u64, u64), action: Action, outcome: Outcome) -> Call {
        let returned = (times.1 > 0).then_some(times.1);
        Call { key: 0, called: times.0, returned, action, outcome, revision: None }
    }

    fn put(times: (u64, u64), value: u64) -> Call {
        call(times, Action::Put(value), Outcome::Done)
    }

    fn got(times: (u64, u64), value: Option<u64>) -> Call {
        call(times, Action::Get, Outcome::Got(value))
    }

    #[test]
    fn one_after_the_other() {
        assert!(is_linearizable(&[put((1, 2), 7), got((3, 4), Some(7))]));
        assert!(!is_linearizable(&[put((1, 2), 7), got((3, 4), None)]), "a lost write");
        assert!(!is_linearizable(&[put((1, 2), 7), put((3, 4), 8), got((5, 6), Some(7))]), "a stale read");
    }

    #[test]
    fn overlapping_writes_have_one_order_for_all() {
        let writes = [put((1, 10), 7), put((1, 10), 8)];
        let with = |reads: &[Call]| is_linearizable(&[&writes[..], reads].concat());
        assert!(with(&[got((2, 3), Some(7)), got((4, 5), Some(8))]));
        assert!(with(&[got((2, 3), Some(8)), got((4, 5), Some(7))]));
        assert!(!with(&[got((2, 3), Some(7)), got((4, 5), Some(8)), got((6, 7), Some(7))]), "back again");
        assert!(with(&[got((2, 3), None), got((11, 12), Some(7))]));
        assert!(!with(&[got((11, 12), None)]));
    }

    #[test]
    fn a_swap_is_one_step() {
        let swap = |times, from, to, done| call(times, Action::Swap(from, to), Outcome::Swapped(done));
        let start = put((1, 2), 1);
        let both = |a: bool, b: bool| {
            is_linearizable(&[start.clone(), swap((3, 9), Some(1), 2, a), swap((3, 9), Some(1), 3, b)])
        };
        assert!(both(true, false) && both(false, true));
        assert!(!both(true, true), "two winners");
        assert!(!both(false, false), "no winner");
    }

    #[test]
    fn a_deletion_knows_what_was_there() {
        let delete = |times, there| call(times, Action::Delete, Outcome::Deleted(there));
        assert!(is_linearizable(&[put((1, 2), 1), delete((3, 4), true), delete((5, 6), false)]));
        assert!(!is_linearizable(&[put((1, 2), 1), delete((3, 4), false)]));
        assert!(!is_linearizable(&[put((1, 2), 1), delete((3, 4), true), delete((5, 6), true)]));
    }

    #[test]
    fn what_was_not_answered_may_have_happened_until_its_end() {
        let unknown = call((1, 0), Action::Put(7), Outcome::Unknown);
        assert!(is_linearizable(&[unknown.clone(), got((2, 3), None), got((8, 9), Some(7))]));
        assert!(is_linearizable(&[unknown.clone(), got((2, 3), None)]));
        assert!(
            !is_linearizable(&[got((1, 2), Some(7)), call((3, 0), Action::Put(7), Outcome::Unknown)]),
            "before it"
        );
        assert!(!is_linearizable(&[unknown, got((2, 3), Some(7)), got((4, 5), None)]), "undone");
        let ended = call((1, 4), Action::Put(7), Outcome::Unknown);
        assert!(is_linearizable(&[ended.clone(), got((2, 3), None), got((5, 6), Some(7))]));
        assert!(is_linearizable(&[ended.clone(), got((5, 6), None), got((7, 8), None)]));
        assert!(!is_linearizable(&[ended.clone(), got((5, 6), None), got((7, 8), Some(7))]), "after its end");
        let delete = call((5, 6), Action::Delete, Outcome::Deleted(true));
        assert!(is_linearizable(&[ended, delete]), "seen by who deletes it alone");
    }

    #[test]
    fn a_long_history_of_many_clients_is_searched_in_time() {
        let mut calls = Vec::new();
        for round in 0..500 {
            let t = round * 100;
            // Eight writes at once, of which a read later sees the fifth.
            calls.extend((0..8).map(|client| put((t + client, t + 50), round * 8 + client)));
            calls.push(got((t + 60, t + 70), Some(round * 8 + 4)));
        }
        assert!(is_linearizable(&calls));
        calls.push(got((60_000, 60_001), Some(3)));
        assert!(!is_linearizable(&calls));
    }
}
