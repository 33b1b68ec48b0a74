//! Where two real etcds may answer differently, or leave the answer to time: the one place that lists it.
//!
//! What can be levelled is levelled here. What cannot is not asked, each where it would be asked: unknown orders of
//! sorting (`generate`: 3.5.1 takes them, later ones refuse them), watches from a negative revision (`request`), from
//! the compacted one itself (`replay`: whether its deletions are told depends on how far the compaction has got),
//! hashes where no key is alive (`peer`), puts without value after a deletion from a key on (`transaction`: etcd
//! panics). Between 3.4.23 and 3.5.1 nothing else differs.

use super::answer::Answer;
use super::peer::Ask;
use super::ties;

/// An answer without what etcd leaves open.
pub fn levelled(ask: &Ask, answer: Answer) -> Answer {
    ties::in_order(ask, answer)
}
