//! Cuts a sequence that differs down to a short one that still does.
//!
//! Ever smaller pieces are left out, each time on servers without data, while the time lasts. Starting the servers
//! is what takes time, so the result is short, not shortest.

use super::operation::{Operation, Sequence};
use super::replay::{Mismatch, Tally, replay};
use super::server::{Kind, Server};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Enough for some dozens of starts.
const AT_MOST: Duration = Duration::from_secs(120);

/// Replays a sequence on servers of these kinds, started for it.
///
/// # Errors
/// The first difference.
///
/// # Panics
/// When a server does not start.
pub fn compare(kinds: &[Kind], operations: &[Operation]) -> Result<Tally, Box<Mismatch>> {
    let servers: Vec<Server> = kinds.iter().map(|kind| Server::start(*kind, &[])).collect();
    let compared = replay(&servers, operations);
    if compared.is_err() {
        // A server that died says why.
        servers.into_iter().for_each(Server::report);
    }
    compared
}

/// The shortest part found that `differs`, and how; the sequence must differ as a whole.
pub fn shorten<D>(
    mut operations: Vec<Operation>,
    mut found: D,
    mut differs: impl FnMut(&[Operation]) -> Option<D>,
) -> (Vec<Operation>, D) {
    let start = Instant::now();
    let mut piece = operations.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < operations.len() && start.elapsed() < AT_MOST {
            let mut without = operations.clone();
            without.drain(at..(at + piece).min(operations.len()));
            match differs(&without) {
                Some(difference) => (operations, found) = (without, difference),
                None => at += piece,
            }
        }
        piece /= 2;
    }
    (operations, found)
}

/// Fails the test with everything that is needed to repeat it; the short sequence is written to a file.
///
/// # Panics
/// Always.
pub fn fail(seed: u64, kinds: &[Kind], mut operations: Vec<Operation>, mismatch: Mismatch) -> ! {
    eprintln!("seed {seed}: servers differ; {mismatch}shortening …");
    operations.truncate(mismatch.at + 1);
    let (operations, mismatch) =
        shorten(operations, mismatch, |part| compare(kinds, part).err().map(|mismatch| *mismatch));
    let path: PathBuf = std::env::temp_dir().join(format!("weft-etcd-{seed}.json"));
    let sequence = Sequence { about: format!("seed {seed}"), operations };
    let text = serde_json::to_string_pretty(&sequence).expect("a sequence is JSON");
    let written = std::fs::write(&path, text);
    panic!(
        "seed {seed}, {} operations left in {} ({written:?}; belongs into tests/data/etcd):\n{mismatch}",
        sequence.operations.len(),
        path.display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_matters_is_left() {
        let progress = |n: usize| vec![Operation::Progress; n];
        let mut operations = progress(37);
        operations.insert(5, Operation::Leases);
        operations.insert(30, Operation::Leases);
        let differs = |part: &[Operation]| {
            (part.iter().filter(|o| **o == Operation::Leases).count() == 2).then_some(())
        };
        let (short, ()) = shorten(operations, (), differs);
        assert_eq!(short, [Operation::Leases, Operation::Leases]);
    }
}
