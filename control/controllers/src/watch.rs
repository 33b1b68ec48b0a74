//! Follows the metadata of one resource's objects, and nothing of the rest of them.

use futures_util::StreamExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use std::pin::pin;
use std::time::Duration;

/// How many objects a list brings at once.
const PAGE: u32 = 500;

/// After so many failures in a row it is said aloud: a server that starts fails once or twice.
const FAILURES: u32 = 3;

/// What is told of a resource's objects.
#[derive(Debug)]
pub enum Told {
    /// All objects are told from here on; those that are not are gone.
    Begin,
    /// It is there, as it is now.
    There(Box<ObjectMeta>),
    /// It is gone.
    Gone(Box<ObjectMeta>),
    /// All that are there were told.
    Complete,
}

/// Which objects.
#[derive(Clone, Debug, Default)]
pub struct Which {
    /// The namespace; all without.
    pub namespace: Option<String>,
    /// A selector of fields; all without.
    pub fields: Option<String>,
    /// How often everything is told anew; never, but for a lost watch, without.
    pub resync: Option<Duration>,
}

/// Follows until the future is dropped. What fails is tried again, later and later.
pub async fn follow(
    client: kube::Client,
    resource: ApiResource,
    which: Which,
    mut tell: impl FnMut(Told) + Send,
) {
    let api: Api<PartialObjectMeta<DynamicObject>> = match &which.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let config =
        watcher::Config { field_selector: which.fields, page_size: Some(PAGE), ..Default::default() };
    let mut failed = 0;
    loop {
        let mut events = pin!(watcher(api.clone(), config.clone()).default_backoff());
        let end = which.resync.map(|resync| tokio::time::Instant::now() + resync);
        loop {
            let next = match end {
                Some(end) => tokio::time::timeout_at(end, events.next()).await,
                None => Ok(events.next().await),
            };
            match next {
                Ok(Some(Ok(event))) => {
                    failed = 0;
                    tell(told(event));
                }
                Ok(Some(Err(error))) => {
                    failed += 1;
                    let resource = &resource.plural;
                    match failed == FAILURES {
                        true => tracing::warn!(resource, %error, "the watch fails again and again"),
                        false => tracing::debug!(resource, %error, "the watch is begun again"),
                    }
                }
                // It is time to tell everything anew.
                Ok(None) | Err(_) => break,
            }
        }
    }
}

fn told(event: watcher::Event<PartialObjectMeta<DynamicObject>>) -> Told {
    match event {
        watcher::Event::Init => Told::Begin,
        watcher::Event::InitApply(object) | watcher::Event::Apply(object) => {
            Told::There(Box::new(object.metadata))
        }
        watcher::Event::Delete(object) => Told::Gone(Box::new(object.metadata)),
        watcher::Event::InitDone => Told::Complete,
    }
}
