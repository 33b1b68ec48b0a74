//! The verbs of one kind, by dynamic objects.

use super::{NAMESPACE, until};
use futures_util::StreamExt as _;
use kube::api::{
    DeleteParams, DynamicObject, GetParams, ListParams, Patch, PatchParams, PostParams, WatchEvent,
    WatchParams,
};
use kube::discovery::{ApiCapabilities, ApiResource, Scope};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use std::time::Duration;

/// A kind's walk through its verbs.
pub struct Walk<'a> {
    client: Client,
    api: Api<DynamicObject>,
    kind: String,
    capabilities: ApiCapabilities,
    sample: &'a Value,
    name: String,
}

impl Walk<'_> {
    pub fn of<'a>(
        client: &Client,
        resource: ApiResource,
        capabilities: ApiCapabilities,
        sample: &'a Value,
    ) -> Walk<'a> {
        let api = match capabilities.scope {
            Scope::Cluster => Api::all_with(client.clone(), &resource),
            Scope::Namespaced => Api::namespaced_with(client.clone(), NAMESPACE, &resource),
        };
        let name = sample["object"]["metadata"]["name"].as_str().unwrap_or("sample").to_owned();
        let kind = format!("{} of {}", resource.kind, resource.api_version);
        Walk { client: client.clone(), api, kind, capabilities, sample, name }
    }

    pub async fn take(&self) {
        let made = self.create().await;
        let version = made.resource_version().unwrap();
        self.reads(&made).await;
        let patches = self.patches().await;
        let replaces = self.replaces().await;
        let statuses = self.statuses().await;
        self.deletes(&made).await;
        self.watched(&version, patches + replaces + statuses).await;
        if self.capabilities.supports_operation("deletecollection") {
            self.deletes_all().await;
        }
    }

    /// What a call gave, or a panic that says of what kind.
    fn good<T>(&self, call: &str, outcome: kube::Result<T>) -> T {
        outcome.unwrap_or_else(|error| panic!("{call} of {}: {error:?}", self.kind))
    }

    fn object(&self) -> DynamicObject {
        let mut object = self.sample["object"].clone();
        object["metadata"]["name"] = self.name.clone().into();
        object["metadata"]["labels"] = json!({"made": "here"});
        serde_json::from_value(object).unwrap()
    }

    async fn create(&self) -> DynamicObject {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        self.good("dry create", self.api.create(&dry, &self.object()).await);
        assert!(self.good("get", self.api.get_opt(&self.name).await).is_none(), "{}: dry run", self.kind);
        let made = self.good("create", self.api.create(&PostParams::default(), &self.object()).await);
        assert!(made.uid().is_some() && made.creation_timestamp().is_some(), "{made:?}");
        let again = self.api.create(&PostParams::default(), &self.object()).await.unwrap_err();
        let kube::Error::Api(status) = again else { panic!("{}: {again}", self.kind) };
        assert!(status.is_already_exists(), "{}: {status:?}", self.kind);
        made
    }

    async fn reads(&self, made: &DynamicObject) {
        let got = self.good("get", self.api.get(&self.name).await);
        assert_eq!(got.uid(), made.uid(), "{}", self.kind);
        assert_eq!(got.types, made.types, "{}", self.kind);
        // Any state will do: also the one before.
        let any = async || {
            self.api.get_with(&self.name, &GetParams::any()).await.is_ok_and(|any| any.uid() == made.uid())
        };
        until(&format!("what any read of {} tells", self.kind), any).await;
        let part = self.good("metadata", self.api.get_metadata(&self.name).await);
        assert_eq!(part.metadata, got.metadata, "{}", self.kind);
        let by_label = ListParams::default().labels("made=here");
        let listed = self.good("list", self.api.list(&by_label).await);
        let names: Vec<String> = listed.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, std::slice::from_ref(&self.name), "{}", self.kind);
        let by_name = ListParams::default().fields(&format!("metadata.name={}", self.name));
        assert_eq!(self.good("list", self.api.list(&by_name).await).items.len(), 1, "{}", self.kind);
        let parts = self.good("list of metadata", self.api.list_metadata(&by_label).await);
        assert_eq!(parts.items[0].metadata.uid, made.uid(), "{}", self.kind);
    }

    /// Every sort of patch; how many changes they made.
    async fn patches(&self) -> usize {
        let parameters = PatchParams::default();
        let merge = Patch::Merge(json!({"metadata": {"labels": {"merge": "x"}}}));
        self.good("merge patch", self.api.patch(&self.name, &parameters, &merge).await);
        let strategic = Patch::Strategic(json!({"metadata": {"labels": {"strategic": "x"}}}));
        self.good("strategic patch", self.api.patch(&self.name, &parameters, &strategic).await);
        let json = json!([{"op": "add", "path": "/metadata/labels/json", "value": "x"}]);
        let request = http::Request::patch(format!("{}/{}", self.api.resource_url(), self.name))
            .header("content-type", "application/json-patch+json")
            .body(json.to_string().into_bytes())
            .unwrap();
        let patched: DynamicObject = self.good("JSON patch", self.client.request(request).await);
        for label in ["merge", "strategic", "json"] {
            assert_eq!(patched.labels().get(label).map(String::as_str), Some("x"), "{}: {label}", self.kind);
        }
        // What changes nothing is no change.
        let same = self.good("same patch", self.api.patch(&self.name, &parameters, &merge).await);
        assert_eq!(same.resource_version(), patched.resource_version(), "{}", self.kind);
        3
    }

    /// A replacement, and one of what is not there any more.
    async fn replaces(&self) -> usize {
        let old = self.good("get", self.api.get(&self.name).await);
        let mut new = old.clone();
        new.labels_mut().insert("replaced".into(), "x".into());
        let put = self.api.replace(&self.name, &PostParams::default(), &new).await;
        assert!(self.good("replace", put).labels().contains_key("replaced"), "{}", self.kind);
        let mut stale = old;
        stale.labels_mut().insert("stale".into(), "x".into());
        let refused = self.api.replace(&self.name, &PostParams::default(), &stale).await.unwrap_err();
        let kube::Error::Api(status) = refused else { panic!("{}: {refused}", self.kind) };
        assert!(status.is_conflict(), "{}: {status:?}", self.kind);
        1
    }

    /// The status, where there is one; how many changes were made.
    async fn statuses(&self) -> usize {
        let has = self.capabilities.subresources.iter().any(|(sub, _)| sub.plural == "status");
        assert_eq!(has, self.sample["status"].is_object(), "{}: tests/data/objects.json", self.kind);
        if !has {
            return 0;
        }
        let wanted = json!({"status": self.sample["status"]});
        let patch = Patch::Merge(wanted.clone());
        let parameters = PatchParams::default();
        self.good("status patch", self.api.patch_status(&self.name, &parameters, &patch).await);
        let got = self.good("status", self.api.get_status(&self.name).await);
        assert!(contains(&got.data["status"], &wanted["status"]), "{}: {}", self.kind, got.data);
        let mut next = got.clone();
        next.labels_mut().insert("unrelated".into(), "x".into());
        self.good(
            "replace of status",
            self.api.replace_status(&self.name, &PostParams::default(), &next).await,
        );
        // Whoever writes the object does not write its status.
        let mut without = self.good("get", self.api.get(&self.name).await);
        without.labels_mut().insert("statusless".into(), "x".into());
        without.data["status"] = json!({});
        let put = self.good("replace", self.api.replace(&self.name, &PostParams::default(), &without).await);
        assert!(contains(&put.data["status"], &wanted["status"]), "{}: {}", self.kind, put.data);
        2
    }

    async fn deletes(&self, made: &DynamicObject) {
        let other = kube::api::Preconditions { uid: Some("another".into()), resource_version: None };
        let refused = self.api.delete(&self.name, &DeleteParams::default().preconditions(other)).await;
        let Err(kube::Error::Api(status)) = refused else { panic!("{}: {refused:?}", self.kind) };
        assert!(status.is_conflict(), "{}: {status:?}", self.kind);
        let uid = kube::api::Preconditions { uid: made.uid(), resource_version: None };
        let parameters = DeleteParams::background().preconditions(uid);
        self.good("delete", self.api.delete(&self.name, &parameters).await);
        self.gone().await;
    }

    /// Waits until it is gone: some have finalizers.
    async fn gone(&self) {
        let what = format!("the end of {}", self.kind);
        until(&what, async || self.good("get", self.api.get_opt(&self.name).await).is_none()).await;
    }

    /// What a watch since then tells: at least so many changes, and the end.
    async fn watched(&self, version: &str, changes: usize) {
        let parameters = WatchParams::default().fields(&format!("metadata.name={}", self.name));
        let mut events = Box::pin(self.good("watch", self.api.watch(&parameters, version).await));
        let mut modified = 0;
        loop {
            let event = tokio::time::timeout(Duration::from_secs(60), events.next()).await;
            match event.unwrap_or_else(|_| panic!("the watch of {} tells no end", self.kind)) {
                Some(Ok(WatchEvent::Modified(_))) => modified += 1,
                Some(Ok(WatchEvent::Deleted(object))) => {
                    assert_eq!(object.name_any(), self.name);
                    break;
                }
                other => panic!("watch of {}: {other:?}", self.kind),
            }
        }
        assert!(modified >= changes, "{}: {modified} of {changes} changes were told", self.kind);
    }

    async fn deletes_all(&self) {
        self.good("create", self.api.create(&PostParams::default(), &self.object()).await);
        let none = ListParams::default().labels("made=nowhere");
        self.good("delete of none", self.api.delete_collection(&DeleteParams::default(), &none).await);
        assert!(self.good("get", self.api.get_opt(&self.name).await).is_some(), "{}", self.kind);
        let here = ListParams::default().labels("made=here");
        self.good("delete of all", self.api.delete_collection(&DeleteParams::background(), &here).await);
        self.gone().await;
    }
}

/// Whether a value has all that another one has.
fn contains(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::Object(value), Value::Object(part)) => {
            part.iter().all(|(key, part)| value.get(key).is_some_and(|value| contains(value, part)))
        }
        (Value::Array(value), Value::Array(part)) => {
            part.iter().all(|part| value.iter().any(|value| contains(value, part)))
        }
        (value, part) => value == part,
    }
}
