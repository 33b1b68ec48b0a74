//! The same operations on Debian's etcd, etcd 3.5 and ours: every answer and every event must be alike.
//!
//! `WEFT_ETCD_SEED` repeats a run, `WEFT_ETCD_OPERATIONS` makes it longer, `WEFT_ETCD_SERVERS` chooses the servers.

#![allow(clippy::unwrap_used, reason = "the file is a test")]

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use weft_tests::etcd::generate::Generator;
use weft_tests::etcd::operation::{Operation, Sequence};
use weft_tests::etcd::replay::replay;
use weft_tests::etcd::shorten::{compare, fail};
use weft_tests::etcd::{Ctl, Kind, Server};

/// Operations of a run where nothing else is said.
const OPERATIONS: u64 = 10_000;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

#[test]
fn random_operations_are_answered_alike() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = variable("WEFT_ETCD_SEED").unwrap_or(now.as_secs());
    let number = variable("WEFT_ETCD_OPERATIONS").unwrap_or(OPERATIONS);
    let kinds = Kind::wanted();
    let operations: Vec<Operation> = Generator::seeded(seed).take(number.try_into().unwrap()).collect();
    match compare(&kinds, &operations) {
        Ok(tally) => println!("seed {seed}, {kinds:?}: {tally:?}"),
        Err(mismatch) => fail(seed, &kinds, operations, *mismatch),
    }
}

/// Sequences that differed once.
#[test]
fn kept_sequences_are_answered_alike() {
    let kinds = Kind::wanted();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/etcd");
    let mut kept = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let sequence: Sequence = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        kept += 1;
        if let Err(mismatch) = compare(&kinds, &sequence.operations) {
            panic!("{} ({}):\n{mismatch}", path.display(), sequence.about);
        }
    }
    assert!(kept > 0, "no sequences are kept");
}

/// The comparison itself must be able to fail: one of two equal servers gets a write more.
#[test]
fn a_server_that_differs_is_found() {
    let servers = [Kind::Debian, Kind::Debian].map(|kind| Server::start(kind, &[]));
    let operations: Vec<Operation> = Generator::seeded(1).take(20).collect();
    Ctl::debian(&servers[1]).ok(&["put", "one", "more"]);
    let mismatch = replay(&servers, &operations).unwrap_err();
    assert!(mismatch.to_string().contains("! Debian"), "{mismatch}");
}
