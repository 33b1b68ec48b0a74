//! Whatever bytes a client sends to whatever method, it gets a gRPC answer or error, and the server goes on:
//! it reads and writes, ends, and opens its data again.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod damage;
mod panics;
mod soup;
mod wire;

use proptest::prelude::*;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use weft_etcd::{Etcd, StartError};
use wire::{METHODS, assert_alive, open, send};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// Sends all to one server, and looks whether it lives.
fn survives(requests: &[(&str, Vec<u8>)]) {
    let folder = tempfile::tempdir().unwrap();
    let life = async {
        let etcd = open(folder.path()).unwrap();
        for (method, body) in requests {
            send(&etcd, method, body.clone()).await;
        }
        assert_alive(&etcd).await;
        etcd.stop().await;
        drop(etcd);
        let again = opened_again(folder.path()).await;
        assert_alive(&again).await;
        again.stop().await;
    };
    panics::none_during(|| RUNTIME.block_on(life));
}

/// Answers that are still being written hold the store a moment longer than its end.
async fn opened_again(folder: &Path) -> Etcd {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match open(folder) {
            Err(StartError::InUse { .. }) if Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            opened => return opened.unwrap(),
        }
    }
}

/// Methods that change something come more often: the others are asked about what these have left.
fn request() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let method =
        prop_oneof![2 => prop::sample::select(&METHODS[..12]), 1 => prop::sample::select(&METHODS[..])];
    method.prop_flat_map(|method| (Just(method), soup::body(method)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_requests_are_survived(requests in prop::collection::vec(request(), 1..20)) {
        survives(&requests);
    }
}

#[test]
fn every_method_takes_an_empty_body_an_empty_message_and_a_frame_that_lies() {
    let bodies =
        [vec![], wire::framed(b""), vec![0, 0xff, 0xff, 0xff, 0xff], vec![1, 0, 0, 0, 1, 7], vec![0, 0]];
    let requests: Vec<_> =
        METHODS.iter().flat_map(|method| bodies.iter().map(|body| (*method, body.clone()))).collect();
    survives(&requests);
}
