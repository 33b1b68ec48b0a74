//! Watches that come back: each change is seen exactly once while its revision is remembered, and a revision that is not
//! is told as an ERROR event of 410 (`k8s.io/apiserver/pkg/storage/cacher`, `getAllEventsSinceLocked`).

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

#[allow(dead_code, reason = "each table of tests uses a part of it")]
mod common;

use common::Api;
use serde_json::Value;
use std::sync::Arc;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const CHANGES: usize = 400;

async fn make(api: &Api, name: &str) -> String {
    let body = format!("{{\"metadata\":{{\"name\":\"{name}\"}}}}");
    let made = api.send("admin", "POST", MAPS, "application/json", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    revision(&made.body)
}

async fn change(api: &Api, name: &str, value: &str) -> String {
    let body = format!("{{\"data\":{{\"v\":\"{value}\"}}}}");
    let path = format!("{MAPS}/{name}");
    let got = api.send("admin", "PATCH", &path, "application/merge-patch+json", body).await;
    assert_eq!(got.status, 200, "{}", got.text);
    revision(&got.body)
}

fn revision(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

async fn watched(api: &Api, after: &str) -> Vec<Value> {
    let path = format!("{MAPS}?watch=true&resourceVersion={after}&timeoutSeconds=1");
    let got = api.send("admin", "GET", &path, "", "").await;
    assert_eq!(got.status, 200, "{}", got.text);
    assert_eq!(got.headers["content-type"], "application/json;stream=watch");
    got.body.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_comes_back_sees_each_change_once() {
    let api = Arc::new(Api::start().await);
    let start = make(&api, "a").await;
    let writer = tokio::spawn({
        let api = Arc::clone(&api);
        async move {
            let mut written = Vec::new();
            for value in 0..CHANGES {
                written.push(change(&api, "a", &value.to_string()).await);
                // So that several watches see some of it.
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            written
        }
    });
    let (mut seen, mut at) = (Vec::new(), start);
    while seen.len() < CHANGES {
        for event in watched(&api, &at).await {
            assert_eq!(event["type"], "MODIFIED", "{event}");
            at = revision(&event["object"]);
            seen.push(at.clone());
        }
    }
    assert_eq!(seen, writer.await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_that_is_gone_is_an_error_event_of_410() {
    let api = Api::start().await;
    let start = make(&api, "a").await;
    // The history keeps 16 MiB of earlier objects.
    let large = "x".repeat(900_000);
    for value in 0..24 {
        change(&api, "a", &format!("{value}{large}")).await;
    }
    let last = change(&api, "a", "end").await;
    let events = watched(&api, &start).await;
    assert_eq!((events.len(), &events[0]["type"]), (1, &Value::from("ERROR")));
    assert_eq!(
        (&events[0]["object"]["code"], &events[0]["object"]["reason"]),
        (&410.into(), &"Expired".into())
    );
    // What is still remembered goes on.
    assert!(watched(&api, &last).await.is_empty());
}
