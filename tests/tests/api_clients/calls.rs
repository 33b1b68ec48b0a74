//! Calls that only some kinds have: scale, eviction, tokens, reviews; pages of lists; watches that begin with what is
//! there.

use super::{NAMESPACE, until};
use futures_util::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec, TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SelfSubjectRulesReview,
    SelfSubjectRulesReviewSpec,
};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{
    DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams, VersionMatch, WatchEvent,
    WatchParams,
};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;
use weft_tests::client::config_map;

pub async fn all(client: Client) {
    pages(&client).await;
    scale(&client).await;
    eviction(&client).await;
    tokens(&client).await;
    access(&client).await;
    initial_events(&client).await;
}

fn read<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

/// The status of a refusal: its code and reason.
fn refused<T: std::fmt::Debug>(outcome: kube::Result<T>) -> (u16, String) {
    match outcome {
        Err(kube::Error::Api(status)) => (status.code, status.reason),
        other => panic!("{other:?}"),
    }
}

/// A list by pages is of one revision, whatever is made, changed and deleted between them.
async fn pages(client: &Client) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    for number in 0..25 {
        let mut map = config_map(&format!("page-{number:02}"), "one");
        map.labels_mut().insert("paged".into(), "yes".into());
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    let mut parameters = ListParams::default().labels("paged=yes").limit(10);
    let (mut names, mut versions, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let page = maps.list(&parameters).await.unwrap();
        sizes.push(page.items.len());
        versions.push(page.metadata.resource_version.clone().unwrap());
        names.extend(page.items.iter().map(ResourceExt::name_any));
        assert!(page.items.iter().all(|map| map.data.as_ref().unwrap()["value"] == "one"));
        if names.len() == 10 {
            maps.delete("page-20", &DeleteParams::default()).await.unwrap();
            let changed = Patch::Merge(json!({"data": {"value": "two"}}));
            maps.patch("page-21", &PatchParams::default(), &changed).await.unwrap();
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => break,
        }
    }
    assert_eq!(sizes, [10, 10, 5]);
    assert_eq!(names, (0..25).map(|number| format!("page-{number:02}")).collect::<Vec<_>>());
    assert!(versions.iter().all(|version| *version == versions[0]), "{versions:?}");
    // The same revision by name.
    let exact = ListParams::default().labels("paged=yes").at(&versions[0]).matching(VersionMatch::Exact);
    assert_eq!(maps.list(&exact).await.unwrap().items.len(), 25);
    let now = ListParams::default().labels("paged=yes");
    assert_eq!(maps.list(&now).await.unwrap().items.len(), 24);
    maps.delete_collection(&DeleteParams::default(), &now).await.unwrap();
    assert_eq!(maps.list(&now).await.unwrap().items.len(), 0);
}

async fn scale(client: &Client) {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let deployment: Deployment = read(json!({"metadata": {"name": "scaled"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
            "containers": [{"name": "c", "image": "busybox"}]}}}}));
    deployments.create(&PostParams::default(), &deployment).await.unwrap();
    let mut scale = deployments.get_scale("scaled").await.unwrap();
    assert_eq!(scale.spec.as_ref().unwrap().replicas, Some(1));
    assert_eq!(scale.status.as_ref().unwrap().selector.as_deref(), Some("a=b"));
    let stale = scale.clone();
    scale.spec.as_mut().unwrap().replicas = Some(3);
    let put = deployments.replace_scale("scaled", &PostParams::default(), &scale).await.unwrap();
    assert_eq!(put.spec.unwrap().replicas, Some(3));
    let again = deployments.replace_scale("scaled", &PostParams::default(), &stale).await;
    assert_eq!(refused(again), (409, "Conflict".into()));
    let patch = Patch::Merge(json!({"spec": {"replicas": 5}}));
    deployments.patch_scale("scaled", &PatchParams::default(), &patch).await.unwrap();
    let now = deployments.get("scaled").await.unwrap();
    assert_eq!(now.spec.unwrap().replicas, Some(5));
    let negative = Patch::Merge(json!({"spec": {"replicas": -1}}));
    let outcome = deployments.patch_scale("scaled", &PatchParams::default(), &negative).await;
    assert_eq!(refused(outcome), (422, "Invalid".into()));
}

/// A budget that has nothing left refuses, and pays for the next one.
async fn eviction(client: &Client) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(client.clone(), NAMESPACE);
    let budget = read(json!({"metadata": {"name": "budget"}, "spec": {
        "minAvailable": 1, "selector": {"matchLabels": {"evicted": "yes"}}}}));
    let budget = budgets.create(&PostParams::default(), &budget).await.unwrap();
    let pod = read(json!({"metadata": {"name": "evicted", "labels": {"evicted": "yes"}}, "spec": {
        "containers": [{"name": "c", "image": "busybox"}]}}));
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let running =
        json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
    pods.patch_status("evicted", &PatchParams::default(), &Patch::Merge(running)).await.unwrap();
    let allowed = async |number: i32| {
        let status = json!({"status": {"observedGeneration": budget.metadata.generation, "currentHealthy": 1 + number,
            "desiredHealthy": 1, "expectedPods": 2, "disruptionsAllowed": number}});
        budgets.patch_status("budget", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    };
    allowed(0).await;
    let outcome = pods.evict("evicted", &EvictParams::default()).await;
    assert_eq!(refused(outcome), (429, "TooManyRequests".into()));
    assert!(pods.get_opt("evicted").await.unwrap().is_some());
    allowed(1).await;
    pods.evict("evicted", &EvictParams::default()).await.unwrap();
    until("the evicted pod is gone", async || pods.get_opt("evicted").await.unwrap().is_none()).await;
    let paid = budgets.get("budget").await.unwrap().status.unwrap();
    assert_eq!(paid.disruptions_allowed, Some(0));
    assert!(paid.disrupted_pods.unwrap_or_default().contains_key("evicted"));
    let none = pods.evict("evicted", &EvictParams::default()).await;
    assert_eq!(refused(none), (404, "NotFound".into()));
}

async fn tokens(client: &Client) {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    let account = read(json!({"metadata": {"name": "robot"}}));
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let spec = TokenRequestSpec { expiration_seconds: Some(600), ..TokenRequestSpec::default() };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let made: TokenRequest =
        accounts.create_subresource("token", "robot", &PostParams::default(), &request).await.unwrap();
    let status = made.status.unwrap();
    let spec = TokenReviewSpec { token: status.token.unwrap(), ..TokenReviewSpec::default() };
    let review = TokenReview { spec, ..TokenReview::default() };
    let reviews: Api<TokenReview> = Api::all(client.clone());
    let reviewed = reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap();
    assert_eq!(reviewed.authenticated, Some(true));
    let user = reviewed.user.unwrap();
    assert_eq!(user.username, Some(format!("system:serviceaccount:{NAMESPACE}:robot")));
    // With the account goes its token, a moment later as with upstream's informers.
    accounts.delete("robot", &DeleteParams::default()).await.unwrap();
    until("the token is not good any more", async || {
        let reviewed = reviews.create(&PostParams::default(), &review).await.unwrap();
        reviewed.status.unwrap().authenticated != Some(true)
    })
    .await;
}

async fn access(client: &Client) {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let attributes = ResourceAttributes {
        verb: Some("delete".into()),
        resource: Some("pods".into()),
        namespace: Some(NAMESPACE.into()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let reviewed = reviews.create(&PostParams::default(), &review).await.unwrap();
    assert!(reviewed.status.unwrap().allowed);
    let reviews: Api<SelfSubjectRulesReview> = Api::all(client.clone());
    let spec = SelfSubjectRulesReviewSpec { namespace: Some(NAMESPACE.into()) };
    let review = SelfSubjectRulesReview { spec, ..Default::default() };
    let reviewed = reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap();
    let rules = reviewed.resource_rules;
    assert!(
        rules.iter().any(|rule| rule.verbs == ["*"] && rule.resources == Some(vec!["*".into()])),
        "{rules:?}"
    );
}

/// A watch that begins with what is there says where that ends.
async fn initial_events(client: &Client) {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    for name in ["first", "second"] {
        maps.create(&PostParams::default(), &config_map(name, "x")).await.unwrap();
    }
    let parameters = WatchParams::default().initial_events().timeout(60);
    let mut events = Box::pin(maps.watch(&parameters, "").await.unwrap());
    let mut names = Vec::new();
    loop {
        let event = tokio::time::timeout(Duration::from_secs(60), events.next()).await.unwrap();
        match event.unwrap().unwrap() {
            WatchEvent::Added(map) => names.push(map.name_any()),
            WatchEvent::Bookmark(mark) => {
                let annotations = mark.metadata.annotations;
                assert_eq!(annotations.get("k8s.io/initial-events-end").map(String::as_str), Some("true"));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(names.contains(&"first".into()) && names.contains(&"second".into()), "{names:?}");
    maps.delete("first", &DeleteParams::default()).await.unwrap();
    let event = tokio::time::timeout(Duration::from_secs(60), events.next()).await.unwrap();
    assert!(matches!(event, Some(Ok(WatchEvent::Deleted(map))) if map.name_any() == "first"));
}
