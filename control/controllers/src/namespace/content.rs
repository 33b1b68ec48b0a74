//! Removing what is in a namespace: pods first, and when none is left everything else, kind by kind.
//!
//! Upstream: `pkg/controller/namespace/deletion/namespaced_resources_deleter.go`; the order is KEP-5080's
//! (`OrderedNamespaceDeletion`, always on since 1.34), so that no pod outlives the network policy that bounds it.
//! An empty kind costs one list and no write.

use futures_util::{StreamExt as _, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Request};
use kube::core::Resource as _;
use std::collections::BTreeMap;
use std::time::Duration;

use super::conditions::Found;
use crate::Error;
use crate::error::{On as _, code, said};
use crate::kinds::{self, Kind};

/// How many kinds are at work at once.
const AT_ONCE: usize = 4;
/// How many objects a list brings at once.
const PAGE: u32 = 500;
/// How long finalizers are thought to take (upstream's `finalizerEstimateSeconds`).
const FINALIZERS: Duration = Duration::from_secs(15);

/// What a pass came to.
#[derive(Debug, Default)]
pub struct Content {
    /// For the conditions.
    pub found: Found,
    /// What failed: nothing of it means that all is well, as far as it went.
    pub errors: Vec<Error>,
    /// How long what is left is thought to take; zero means that nothing is left.
    pub estimate: Duration,
}

/// What is left of a kind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    count: usize,
    finalizers: BTreeMap<String, usize>,
    /// The longest grace that a pod was given.
    grace: Duration,
}

/// Removes what can be removed of a namespace that is on its way out for so long.
pub async fn clear(client: &kube::Client, namespace: &str, since: Duration) -> Content {
    let mut content = Content::default();
    let all = match kinds::discover(client).await {
        Ok(all) => all,
        Err(error) => {
            content.found.discovery = Some(said(&error));
            content.errors.extend(Err::<(), _>(error).on(|| "cannot ask which kinds there are".into()).err());
            return content;
        }
    };
    if !all.stale.is_empty() {
        let groups = all.stale.join(", ");
        let why = format!("Discovery failed for some groups, {} failing: {groups}", all.stale.len());
        content.errors.push(Error::Other(why.clone()));
        content.found.discovery = Some(why);
    }
    let (pods, others): (Vec<Kind>, Vec<Kind>) = all.in_namespaces().cloned().partition(is_pods);
    for part in [pods, others] {
        let cleared = part.into_iter().map(|kind| async move {
            let left = clear_kind(client, &kind, namespace).await;
            (kind, left)
        });
        let mut cleared = stream::iter(cleared).buffer_unordered(AT_ONCE);
        while let Some((kind, left)) = cleared.next().await {
            content.add(&kind, left, namespace, since);
        }
        if !content.found.left.is_empty() {
            return content;
        }
    }
    content
}

fn is_pods(kind: &Kind) -> bool {
    kind.resource.group.is_empty() && kind.resource.plural == "pods"
}

impl Content {
    fn add(&mut self, kind: &Kind, left: Result<Left, Error>, namespace: &str, since: Duration) {
        let resource = &kind.resource;
        let named = format!("{}.{}", resource.plural, resource.group);
        let left = match left {
            Ok(left) if left.count == 0 => return,
            Ok(left) => left,
            Err(error) => {
                self.found.failures.push(error.to_string());
                self.errors.push(error);
                return;
            }
        };
        match left.estimate(since) {
            Some(estimate) => self.estimate = self.estimate.max(estimate),
            None => {
                let of = format!("{}/{}, Resource={}", resource.group, resource.version, resource.plural);
                let why = format!("unexpected items still remain in namespace: {namespace} for gvr: {of}");
                self.found.failures.push(why.clone());
                self.errors.push(Error::Other(why));
            }
        }
        for (finalizer, count) in left.finalizers {
            *self.found.finalizers.entry(finalizer).or_default() += count;
        }
        self.found.left.insert(named, left.count);
    }
}

impl Left {
    fn count(&mut self, object: &ObjectMeta) {
        self.count += 1;
        for finalizer in object.finalizers.iter().flatten() {
            *self.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
        let grace = object.deletion_grace_period_seconds.unwrap_or_default();
        self.grace = self.grace.max(Duration::from_secs(grace.max(0).unsigned_abs()));
    }

    /// How long it is thought to take; `None` if nothing explains why it is still there.
    fn estimate(&self, since: Duration) -> Option<Duration> {
        match () {
            () if self.grace > since => Some(self.grace),
            () if !self.finalizers.is_empty() => Some(FINALIZERS),
            () => None,
        }
    }
}

async fn clear_kind(client: &kube::Client, kind: &Kind, namespace: &str) -> Result<Left, Error> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind.resource);
    let (left, names) = list(&api, kind, namespace).await?;
    if left.count == 0 {
        return Ok(left);
    }
    // No dependent is spared: the whole namespace goes.
    let params = DeleteParams::background();
    let what = || format!("cannot delete the {} of namespace {namespace}", kind.resource.plural);
    if kind.can(&["deletecollection"]) {
        let url = DynamicObject::url_path(&kind.resource, Some(namespace));
        let request = Request::new(url).delete_collection(&params, &ListParams::default());
        let request = request.map_err(kube::Error::BuildRequest).on(what)?;
        // What it answers is not looked at: what is left is.
        client.request_text(request).await.on(what)?;
    } else {
        for name in names {
            match api.delete(&name, &params).await {
                Err(error) if code(&error) != 404 => return Err(error).on(what),
                _ => {}
            }
        }
    }
    Ok(list(&api, kind, namespace).await?.0)
}

/// What is there, and its names where it has to be deleted one by one.
async fn list(api: &Api<DynamicObject>, kind: &Kind, namespace: &str) -> Result<(Left, Vec<String>), Error> {
    let (mut left, mut names) = (Left::default(), Vec::new());
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list_metadata(&params).await;
        let page =
            page.on(|| format!("cannot list the {} of namespace {namespace}", kind.resource.plural))?;
        for object in page.items {
            left.count(&object.metadata);
            if !kind.can(&["deletecollection"]) {
                names.extend(object.metadata.name);
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok((left, names)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(grace: Option<i64>, finalizers: &[&str]) -> Left {
        let mut left = Left::default();
        left.count(&ObjectMeta {
            deletion_grace_period_seconds: grace,
            finalizers: Some(finalizers.iter().map(|one| (*one).to_owned()).collect()),
            ..ObjectMeta::default()
        });
        left
    }

    /// `deleteAllContentForGroupVersionResource`: grace while it lasts, 15 s for finalizers, else an error.
    #[test]
    fn what_is_left_has_a_reason() {
        let seconds = Duration::from_secs;
        assert_eq!(left(Some(30), &[]).estimate(seconds(3)), Some(seconds(30)));
        assert_eq!(left(Some(30), &[]).estimate(seconds(31)), None);
        assert_eq!(left(Some(0), &["x.io/y"]).estimate(seconds(0)), Some(seconds(15)));
        assert_eq!(left(None, &[]).estimate(seconds(0)), None);
    }

    #[test]
    fn what_is_left_is_told() {
        let kind = |group: &str, plural: &str| Kind {
            resource: kinds::known(group, "v1", "X", plural),
            namespaced: true,
            verbs: vec!["list".into(), "delete".into()],
        };
        let mut content = Content::default();
        content.add(&kind("", "pods"), Ok(left(Some(30), &["a/b"])), "ns", Duration::ZERO);
        content.add(&kind("apps", "deployments"), Ok(Left::default()), "ns", Duration::ZERO);
        assert_eq!(content.found.left, BTreeMap::from([("pods.".to_owned(), 1)]));
        assert_eq!(content.found.finalizers, BTreeMap::from([("a/b".to_owned(), 1)]));
        assert!(content.errors.is_empty() && content.estimate == Duration::from_secs(30));
        content.add(&kind("apps", "deployments"), Ok(left(None, &[])), "ns", Duration::ZERO);
        assert_eq!(
            content.found.failures,
            ["unexpected items still remain in namespace: ns for gvr: apps/v1, Resource=deployments"]
        );
    }
}
