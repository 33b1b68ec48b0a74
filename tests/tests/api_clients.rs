//! kube-rs's calls: each verb of each kind that is served, and the calls that only some kinds have, against the state
//! within and against Debian's etcd.
//!
//! Which kinds and verbs there are is what discovery says; the objects are in `tests/data/objects.json`, and a kind
//! without one fails.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

#[path = "api_clients/calls.rs"]
mod calls;
#[path = "api_clients/verbs.rs"]
mod verbs;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::PostParams;
use kube::discovery::{ApiCapabilities, ApiResource, Discovery};
use kube::{Api, Client};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use weft_tests::apiserver::{Apiserver, State};
use weft_tests::client::{admin, runtime};

/// Where the objects are that have a namespace.
const NAMESPACE: &str = "clients";

#[test]
fn kube_rs_has_each_verb_of_each_kind_with_state_within() {
    on(State::Within, every_kind);
}

#[test]
fn kube_rs_has_each_verb_of_each_kind_with_debians_etcd() {
    on(State::Debian, every_kind);
}

#[test]
fn kube_rs_has_the_calls_of_some_kinds_with_state_within() {
    on(State::Within, calls::all);
}

#[test]
fn kube_rs_has_the_calls_of_some_kinds_with_debians_etcd() {
    on(State::Debian, calls::all);
}

/// Runs a test on a server with a namespace.
fn on(state: State, test: impl AsyncFnOnce(Client)) {
    let (runtime, server) = (runtime(), Apiserver::start(state, &[]));
    runtime.block_on(async {
        let client = admin(&server).await;
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(NAMESPACE.into());
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        // Pods name its default account.
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
            Api::namespaced(client.clone(), NAMESPACE);
        until("the default account is made", async || accounts.get_opt("default").await.unwrap().is_some())
            .await;
        test(client).await;
    });
}

/// Waits until something is so.
async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !is().await {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} is not so");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// All kinds, by both ways of asking.
async fn discovered(client: &Client) -> Vec<(ApiResource, ApiCapabilities)> {
    let each = Discovery::new(client.clone()).run().await.unwrap();
    let at_once = Discovery::new(client.clone()).run_aggregated().await.unwrap();
    let kinds = |found: &Discovery| -> BTreeMap<String, (ApiResource, ApiCapabilities)> {
        let groups = found.groups();
        let versions = groups.flat_map(|group| group.versions().map(move |version| (group, version)));
        let kinds = versions.flat_map(|(group, version)| group.versioned_resources(version));
        kinds.map(|kind| (format!("{}/{}", kind.0.api_version, kind.0.plural), kind)).collect()
    };
    let (each, at_once) = (kinds(&each), kinds(&at_once));
    let names = |kinds: &BTreeMap<String, _>| kinds.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&each), names(&at_once), "discovery and aggregated discovery differ");
    each.into_values().collect()
}

async fn every_kind(client: Client) {
    let text = include_str!("../data/objects.json").replace("NS", NAMESPACE);
    let samples: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut walked = 0;
    for (resource, capabilities) in discovered(&client).await {
        if !["create", "get", "delete"].iter().all(|verb| capabilities.supports_operation(verb)) {
            continue;
        }
        let is_of = |sample: &&Value| {
            sample["object"]["apiVersion"] == resource.api_version.as_str()
                && sample["object"]["kind"] == resource.kind.as_str()
        };
        let sample = samples.iter().find(is_of);
        let sample = sample.unwrap_or_else(|| {
            panic!("tests/data/objects.json has no {} of {}", resource.kind, resource.api_version)
        });
        verbs::Walk::of(&client, resource, capabilities, sample).take().await;
        walked += 1;
    }
    assert_eq!(walked, samples.len(), "discovery has not all kinds of tests/data/objects.json");
}
