//! One case: who dials what, how, and what must come of it.

use super::bed::Bed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

/// How to dial, as the load tool knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// TCP.
    Tcp,
    /// Connected UDP.
    Udp,
    /// UDP by `sendto`.
    UdpUnconnected,
    /// Bind a TCP socket instead.
    Bind,
    /// Bind a UDP socket instead.
    BindUdp,
}

/// What the load tool is to do.
#[derive(Clone, Debug, Serialize)]
pub struct Dial {
    /// The address.
    pub to: SocketAddr,
    /// How.
    pub way: Way,
    /// How many times.
    pub times: u32,
    /// How long an answer is waited for.
    pub patience_ms: u64,
    /// The local port; 0 for any.
    pub from_port: u16,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialled {
    /// Somebody answered.
    Answer {
        /// Who.
        host: String,
        /// The client as it sees it.
        seen: SocketAddr,
        /// The peer as the client sees it.
        peer: SocketAddr,
    },
    /// Nobody did.
    Failed {
        /// The system's error number, where there is one.
        errno: Option<i32>,
        /// It in words.
        error: String,
        /// How long it took.
        after_ms: u64,
    },
}

/// What must come of a case.
#[derive(Clone, Debug)]
pub enum Expect {
    /// Every dial is answered, by these alone, and by each of them.
    Spread(BTreeSet<String>),
    /// Every dial is answered, and all by the same one of these.
    Same(BTreeSet<String>),
    /// Every dial ends with this error, within 100 ms.
    Error(i32),
    /// No dial is answered, and each ends within 100 ms.
    FailsAtOnce,
    /// No dial is answered, neither by an error of the service's.
    Silence,
}

/// The client's address as the server must see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Whatever it is.
    Any,
    /// This one.
    Is(IpAddr),
    /// One of this node's own.
    Node(String),
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Case {
    /// The rule.
    pub name: String,
    /// Who dials.
    pub from: String,
    /// What.
    pub dial: Dial,
    /// What must come of it.
    pub expect: Expect,
    /// And as whom the server sees the client.
    pub seen: Seen,
}

impl Dialled {
    /// Who answered.
    pub fn host(&self) -> Option<&str> {
        match self {
            Dialled::Answer { host, .. } => Some(host),
            Dialled::Failed { .. } => None,
        }
    }
}

impl Case {
    /// The load tool's answers, judged: `Err` says what is wrong.
    pub fn judge(&self, bed: &Bed, done: &[Dialled]) -> Result<(), String> {
        if done.len() != self.dial.times as usize {
            return Err(format!("{} of {} dials were made", done.len(), self.dial.times));
        }
        match &self.expect {
            Expect::Spread(who) => {
                let answered = self.answers(bed, done)?;
                (answered == *who).then_some(()).ok_or(format!("{answered:?} answered, not {who:?}"))
            }
            Expect::Same(who) => {
                let answered = self.answers(bed, done)?;
                let fits = answered.len() == 1 && answered.is_subset(who);
                fits.then_some(()).ok_or(format!("{answered:?} answered, not one of {who:?}"))
            }
            Expect::Error(number) => at_once(done, each(done, |errno| errno == Some(*number))),
            Expect::FailsAtOnce => at_once(done, each(done, |_| true)),
            Expect::Silence => each(done, |errno| errno != Some(ECONNREFUSED)),
        }
    }

    /// Who answered; a wrong peer or source is an error.
    fn answers(&self, bed: &Bed, done: &[Dialled]) -> Result<BTreeSet<String>, String> {
        let mut who = BTreeSet::new();
        for one in done {
            let Dialled::Answer { host, seen, peer } = one else { return Err(format!("{one:?}")) };
            if *peer != self.dial.to {
                return Err(format!("the client's peer is {peer}, not {}", self.dial.to));
            }
            let fits = match &self.seen {
                Seen::Any => true,
                Seen::Is(ip) => seen.ip() == *ip,
                Seen::Node(node) => bed.is_nodes(node, seen.ip()),
            };
            if !fits {
                return Err(format!("{host} saw {seen}, not {:?}", self.seen));
            }
            who.insert(host.clone());
        }
        Ok(who)
    }
}

/// No answer from anybody.
pub const ECONNREFUSED: i32 = 111;
/// The port is taken.
pub const EADDRINUSE: i32 = 98;

/// A SYN that nobody answers is sent again after a second.
const SENT_AGAIN_MS: u64 = 1000;

fn each(done: &[Dialled], fits: impl Fn(Option<i32>) -> bool) -> Result<(), String> {
    let wrong = done.iter().find(|one| match one {
        Dialled::Answer { .. } => true,
        Dialled::Failed { errno, .. } => !fits(*errno),
    });
    wrong.map_or(Ok(()), |one| Err(format!("{one:?}")))
}

/// The first attempt was answered. One dial of several shows it, as a busy machine can hold up any of them.
fn at_once(done: &[Dialled], fits: Result<(), String>) -> Result<(), String> {
    let soon = |one: &Dialled| matches!(one, Dialled::Failed { after_ms: 0..SENT_AGAIN_MS, .. });
    fits.and_then(|()| done.iter().any(soon).then_some(()).ok_or(format!("none failed at once: {done:?}")))
}

/// Names, as a set.
pub fn names(who: &[&str]) -> BTreeSet<String> {
    who.iter().map(|name| (*name).to_owned()).collect()
}
