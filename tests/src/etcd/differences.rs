//! Where etcd 3.4 and 3.5 answer differently: the one place that knows, each with its reason.
//!
//! Ours follows 3.5, so only answers of 3.4 are changed here, into what 3.5 says.

use super::answer::Answer;
use super::peer::Ask;
use super::server::Kind;
use super::ties;

/// An answer as 3.5 would have given it.
pub fn as_newest(kind: Kind, ask: &Ask, answer: Answer) -> Answer {
    let answer = ties::in_order(ask, answer);
    match kind {
        Kind::Debian => answer,
        Kind::Distro | Kind::Weft => answer,
    }
}
