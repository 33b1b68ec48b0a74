//! Steps of the API server's wall clock: only what is told in wall time (tokens, times of objects) knows of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panic")]

use futures_util::StreamExt as _;
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use weft_tests::apiserver::{Apiserver, State};
use weft_tests::client::{bearer, config_map, runtime, settle};
use weft_tests::clock::Clock;

/// The administrator's token: certificates are good for some time only, and are tested elsewhere.
const ADMIN: &str = "the-admins-token";
/// A wait that takes longer hangs. Tokens are good for ten seconds more than they should, as upstream's.
const PATIENCE: Duration = Duration::from_secs(60);

fn read<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

/// Who a token's bearer is; the code of the refusal if it is nobody.
async fn whoami(server: &Apiserver, token: &str) -> Result<String, u16> {
    let reviews: Api<SelfSubjectReview> = Api::all(bearer(server, token).await);
    match reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await {
        Ok(review) => Ok(review.status.unwrap().user_info.unwrap().username.unwrap()),
        Err(kube::Error::Api(status)) => Err(status.code),
        Err(other) => panic!("{other}"),
    }
}

async fn until_whoami(server: &Apiserver, token: &str, wanted: Result<&str, u16>) {
    let start = Instant::now();
    while whoami(server, token).await.as_deref().map_err(|code| *code) != wanted {
        assert!(start.elapsed() < PATIENCE, "{:?}, not {wanted:?}", whoami(server, token).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn token(client: &Client) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let spec = Some(TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() });
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let made: TokenRequest =
        accounts.create_subresource("token", "default", &PostParams::default(), &request).await.unwrap();
    made.status.unwrap().token.unwrap()
}

/// A namespace comes and goes: the controllers work.
async fn namespace_goes(client: &Client, name: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = read(json!({"metadata": {"name": name}}));
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), name);
    let start = Instant::now();
    while accounts.get_opt("default").await.unwrap().is_none() {
        assert!(start.elapsed() < PATIENCE, "no account in {name}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    namespaces.delete(name, &DeleteParams::default()).await.unwrap();
    while namespaces.get_opt(name).await.unwrap().is_some() {
        assert!(start.elapsed() < PATIENCE, "{name} does not go");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What is there before the clock is stepped.
struct Before {
    /// Of the first object, as it is told.
    created: String,
    token: String,
}

fn created(map: &ConfigMap) -> String {
    serde_json::to_value(map.creation_timestamp()).unwrap().as_str().unwrap().to_owned()
}

async fn before(client: &Client) -> Before {
    settle(client).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let made = maps.create(&PostParams::default(), &config_map("before", "x")).await.unwrap();
    let lease = read(
        json!({"metadata": {"name": "lease"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}}),
    );
    Api::<Lease>::namespaced(client.clone(), "default").create(&PostParams::default(), &lease).await.unwrap();
    let event = read(json!({"metadata": {"name": "event"}, "involvedObject": {"namespace": "default"},
        "reason": "Tested", "message": "kept for an hour", "type": "Normal"}));
    Api::<Event>::namespaced(client.clone(), "default").create(&PostParams::default(), &event).await.unwrap();
    Before { created: created(&made), token: token(client).await }
}

/// What has to be so at each time.
async fn at(server: &Apiserver, client: &Client, before: &Before, clock: &str, name: &str) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let made = maps.create(&PostParams::default(), &config_map(name, "x")).await.unwrap();
    let told = created(&made);
    let order = if clock.starts_with('-') { told < before.created } else { told >= before.created };
    assert!(order, "made at {told} with the clock at {clock}; before it was {}", before.created);
    assert_eq!(
        maps.list(&ListParams::default().fields("metadata.name=before")).await.unwrap().items.len(),
        1
    );
    let renewed = json!({"spec": {"renewTime": "2026-01-01T00:00:00.000000Z", "holderIdentity": name}});
    let leases: Api<Lease> = Api::namespaced(client.clone(), "default");
    leases.patch("lease", &PatchParams::default(), &Patch::Merge(renewed)).await.unwrap();
    // An hour has not gone by.
    let events: Api<Event> = Api::namespaced(client.clone(), "default");
    assert!(events.get_opt("event").await.unwrap().is_some(), "the event is gone with the clock at {clock}");
    namespace_goes(client, name).await;
    let account = Ok("system:serviceaccount:default:default");
    assert_eq!(whoami(server, &token(client).await).await.as_deref().map_err(|code| *code), account);
    // The one of before is not good yet, or not any more.
    let wanted = if clock == "+0" { account } else { Err(401) };
    until_whoami(server, &before.token, wanted).await;
}

#[test]
fn steps_of_the_clock_end_no_watch_and_no_event_and_only_tokens_that_are_of_another_time() {
    let (runtime, mut server) = (runtime(), Apiserver::unstarted(State::Within, &[]));
    let tokens = server.dir().join("tokens.csv");
    std::fs::write(&tokens, format!("{ADMIN},admin,1,\"system:masters\"\n")).unwrap();
    server.set_flags(&["--token-auth-file", tokens.to_str().unwrap()]);
    let clock = Clock::within(server.dir());
    clock.environment().iter().for_each(|(name, value)| server.set(name, value));
    server.restart();
    let client = runtime.block_on(bearer(&server, ADMIN));
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    let then = runtime.block_on(before(&client));
    let mut watch = runtime.block_on(async {
        let version = maps.get("before").await.unwrap().resource_version().unwrap();
        Box::pin(maps.watch(&WatchParams::default(), &version).await.unwrap())
    });
    let steps = [("+400d", "late"), ("-400d", "early"), ("+0", "now")];
    for (to, name) in steps {
        clock.step(to);
        runtime.block_on(at(&server, &client, &then, to, name));
    }
    for (_, name) in steps {
        let event = runtime.block_on(async { tokio::time::timeout(PATIENCE, watch.next()).await.unwrap() });
        assert!(
            matches!(&event, Some(Ok(WatchEvent::Added(map))) if map.name_any() == name),
            "{name}: {event:?}"
        );
    }
    // And over starts at other times; the certificates that it makes then are good for clients of today.
    for (to, name) in [("-5d", "earlier"), ("+0", "again")] {
        clock.step(to);
        server.kill();
        server.restart();
        runtime.block_on(at(&server, &client, &then, to, name));
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
    server.kill();
}
