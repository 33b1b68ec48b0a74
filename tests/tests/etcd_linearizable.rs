//! Concurrent clients see one order of all operations, also when the server is killed in between.

#![allow(clippy::unwrap_used, reason = "the file is a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;
use weft_tests::etcd::contend::contend;
use weft_tests::etcd::history::{Call, Outcome, by_key, revisions_broken};
use weft_tests::etcd::linear::is_linearizable;
use weft_tests::etcd::{Kind, Server};

const CLIENTS: u64 = 8;

/// Lets clients contend while something is done with the server; what they wrote down.
fn recorded(server: &mut Server, meanwhile: impl FnOnce(&mut Server)) -> Vec<Call> {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let runtime = Runtime::new().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let clients = runtime.block_on(async { contend(&server.url(), CLIENTS, seed, &stop) });
    meanwhile(server);
    stop.store(true, Ordering::Relaxed);
    let mut calls = Vec::new();
    for client in clients {
        calls.extend(runtime.block_on(client).unwrap());
    }
    calls
}

fn check(calls: &[Call], at_least: usize) {
    let answered = calls.iter().filter(|call| call.outcome != Outcome::Unknown).count();
    println!("{answered} of {} calls answered", calls.len());
    assert!(answered >= at_least, "only {answered} calls were answered");
    if let Some(broken) = revisions_broken(calls) {
        panic!("{broken}");
    }
    for (key, calls) in by_key(calls) {
        assert!(is_linearizable(&calls), "key {key} is not linearizable: {calls:#?}");
    }
}

#[test]
fn concurrent_clients_see_one_order() {
    for kind in Kind::wanted() {
        println!("on {kind:?}");
        let mut server = Server::start(kind, &[]);
        check(&recorded(&mut server, |_| thread::sleep(Duration::from_secs(2))), 500);
    }
}

#[test]
fn there_is_one_order_over_kills_too() {
    for kind in Kind::wanted() {
        println!("on {kind:?}");
        let mut server = Server::start(kind, &[]);
        // A start of the real etcd takes seconds.
        let kills = if kind == Kind::Weft { 20 } else { 2 };
        let calls = recorded(&mut server, |server| {
            for _ in 0..kills {
                thread::sleep(Duration::from_millis(150));
                server.crash();
                server.restart();
            }
            thread::sleep(Duration::from_millis(300));
        });
        check(&calls, 100);
    }
}
