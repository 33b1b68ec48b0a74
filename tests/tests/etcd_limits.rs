//! Limits and odd requests that random sequences do not come to, on a real etcd and ours alike.

#![allow(clippy::unwrap_used, reason = "the file is a test")]

use etcd_client::proto::*;
use tokio::runtime::Runtime;
use tonic::Code;
use weft_tests::etcd::wire::{WatchAsk, WatchCreate, WatchRequest};
use weft_tests::etcd::{Client, Kind, Server};

const LARGE: usize = 500_000;

/// Runs a test on a fresh server of each kind.
fn on_each(test: impl AsyncFn(Client)) {
    for kind in Kind::wanted() {
        println!("on {kind:?}");
        let server = Server::start(kind, &["--max-request-bytes", "3000000"]);
        Runtime::new().unwrap().block_on(async { test(server.client()).await });
    }
}

fn put(key: &str, bytes: usize) -> PbPutRequest {
    PbPutRequest { key: key.as_bytes().to_vec(), value: vec![b'x'; bytes], ..Default::default() }
}

fn txn(puts: Vec<PbPutRequest>) -> PbTxnRequest {
    let step = |put| PbTxnRequestOp { request: Some(PbTxnOpRequest::RequestPut(put)) };
    PbTxnRequest { success: puts.into_iter().map(step).collect(), ..Default::default() }
}

#[test]
fn a_request_that_is_too_large_is_refused() {
    for kind in Kind::wanted() {
        println!("on {kind:?}");
        let server = Server::start(kind, &[]);
        Runtime::new().unwrap().block_on(async {
            let client = server.client();
            assert!(client.put(put("fits", 1_500_000)).await.is_ok());
            let refused = client.put(put("too large", 1_600_000)).await.unwrap_err();
            assert_eq!(
                (refused.code(), refused.message()),
                (Code::InvalidArgument, "etcdserver: request is too large")
            );
            let refused = client.put(put("much too large", 4_000_000)).await.unwrap_err();
            assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
            let found =
                client.range(PbRangeRequest { key: vec![0], range_end: vec![0], ..Default::default() }).await;
            assert_eq!(found.unwrap().count, 1);
        });
    }
}

/// The responses to a watch of everything until three events have come.
async fn watched(client: &Client, start_revision: i64, fragment: bool) -> Vec<PbWatchResponse> {
    let (sender, mut incoming) = client.watch().await.unwrap();
    let create =
        WatchCreate { key: vec![0], range_end: vec![0], start_revision, fragment, ..WatchCreate::default() };
    sender.send(WatchRequest::of(WatchAsk::Create(create))).await.unwrap();
    assert!(incoming.next().await.unwrap().created);
    let mut responses: Vec<PbWatchResponse> = Vec::new();
    while responses.iter().map(|response| response.events.len()).sum::<usize>() < 5 {
        responses.push(incoming.next().await.unwrap());
    }
    responses
}

#[test]
fn a_large_revision_comes_in_fragments_only_when_asked_for() {
    on_each(async |client| {
        let keys = ["a", "b", "c", "d", "e"];
        let written = client.txn(txn(keys.iter().map(|key| put(key, LARGE)).collect())).await.unwrap();
        let revision = written.header.unwrap().revision;
        let whole = watched(&client, revision, false).await;
        assert_eq!(whole.len(), 1);
        let fragments = watched(&client, revision, true).await;
        let marks: Vec<bool> = fragments.iter().map(|response| response.fragment).collect();
        // One fits: 2.5 MB are below the largest request.
        assert_eq!(marks, [false]);
        for key in ["f", "g", "h", "i", "j"] {
            client.put(put(key, 2 * LARGE)).await.unwrap();
        }
        let fragments = watched(&client, revision + 1, true).await;
        let (last, before) = fragments.split_last().unwrap();
        assert!(!last.fragment && !before.is_empty(), "{} responses", fragments.len());
        let events = |all: &[PbWatchResponse]| all.iter().flat_map(|r| r.events.clone()).collect::<Vec<_>>();
        assert_eq!(events(&fragments), events(&watched(&client, revision + 1, false).await));
    });
}

/// What stops both etcds for good (they panic): a deletion from a key on, which they do not see to overlap a put that
/// then finds no key. Ours has to answer and to live on.
#[test]
fn what_kills_etcd_does_not_kill_ours() {
    let server = Server::start(Kind::Weft, &[]);
    Runtime::new().unwrap().block_on(async {
        let client = server.client();
        client.put(put("c", 1)).await.unwrap();
        let delete = PbDeleteRequest { key: b"ab".to_vec(), range_end: vec![0], ..Default::default() };
        let mut deadly = txn(vec![PbPutRequest { ignore_value: true, ..put("c", 0) }]);
        let delete = PbTxnRequestOp { request: Some(PbTxnOpRequest::RequestDeleteRange(delete)) };
        deadly.success.insert(0, delete);
        let answer = client.txn(deadly).await;
        assert!(answer.as_ref().is_err_and(|e| e.code() == Code::InvalidArgument), "{answer:?}");
        let found = client.range(PbRangeRequest { key: b"c".to_vec(), ..Default::default() }).await.unwrap();
        assert_eq!(found.count, 1, "nothing of a refused transaction happened");
        assert!(client.put(put("c", 2)).await.is_ok());
    });
}
