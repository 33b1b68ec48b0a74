//! Tells of references that cannot mean what they say: the event `OwnerRefInvalidNamespace`.
//!
//! Upstream: `graph_builder.go`, `reportInvalidNamespaceOwnerRef`. Events of one object are counted, not repeated.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::actions::named;
use super::graph::{Node, Owner, Uid};
use crate::error::said;

const REASON: &str = "OwnerRefInvalidNamespace";

/// What the collector acts with.
#[derive(Clone)]
pub struct Hands {
    /// The account's client.
    pub client: kube::Client,
    recorder: Recorder,
}

impl Hands {
    /// Over the account's client.
    pub fn of(client: kube::Client) -> Hands {
        let reporter = Reporter { controller: "garbage-collector-controller".into(), instance: None };
        Hands { recorder: Recorder::new(client.clone(), reporter), client }
    }

    /// Tells that an owner is not where an owner of the object may be.
    pub async fn report(&self, node: &Node, uid: &Uid, owner: &Owner) {
        let note = note(node, owner);
        tracing::warn!(object = named(node), reason = REASON, note);
        let event = Event {
            type_: EventType::Warning,
            reason: REASON.into(),
            note: Some(note),
            action: "Collect".into(),
            secondary: None,
        };
        let resource = &node.kind.resource;
        let about = ObjectReference {
            api_version: Some(resource.api_version.clone()),
            kind: Some(resource.kind.clone()),
            namespace: Some(node.namespace.to_string()).filter(|namespace| !namespace.is_empty()),
            name: Some(node.name.to_string()),
            uid: Some(uid.to_string()),
            ..ObjectReference::default()
        };
        if let Err(error) = self.recorder.publish(&event, &about).await {
            tracing::debug!(object = named(node), error = said(&error), "the event is not written");
        }
    }
}

fn note(node: &Node, owner: &Owner) -> String {
    let Owner { uid, api_version, kind, name, .. } = owner;
    let namespace = &node.namespace;
    format!(
        "ownerRef [{api_version}/{kind}, namespace: {namespace}, name: {name}, uid: {uid}] does not exist in namespace \
         {namespace:?}"
    )
}
