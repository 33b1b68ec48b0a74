//! Which node needs which object: counted when pods come and go, so that a question is two look-ups.
//!
//! Source: `plugin/pkg/auth/authorizer/node/graph.go`, whose edges are secret, config map, claim and account → pod →
//! node, and secret → volume → claim. Here the steps over a pod are kept together, as the number of a node's pods that
//! refer to an object; it grows with the references of the pods that have a node.

use super::references;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Sorts of objects that nodes need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A pod.
    Pod,
    /// A secret.
    Secret,
    /// A config map.
    ConfigMap,
    /// A persistent volume claim.
    Claim,
    /// A persistent volume.
    Volume,
    /// A service account.
    Account,
    /// A volume attachment.
    Attachment,
}

/// An object: its namespace and name.
type Name = (Box<str>, Box<str>);

#[derive(Debug)]
struct Pod {
    node: Box<str>,
    needs: Vec<(Kind, Box<str>)>,
}

#[derive(Debug)]
struct Volume {
    claim: Name,
    secrets: Vec<Name>,
}

/// Who needs what.
#[derive(Debug, Default)]
pub struct Graph {
    pods: HashMap<Name, Pod>,
    /// How many pods of each node need an object.
    needed: HashMap<(Kind, Name), HashMap<Box<str>, u32>>,
    volumes: HashMap<Box<str>, Volume>,
    /// The volumes that need a secret.
    secrets: HashMap<Name, HashSet<Box<str>>>,
    attachments: HashMap<Box<str>, Box<str>>,
}

fn name(namespace: &str, name: &str) -> Name {
    (namespace.into(), name.into())
}

impl Graph {
    /// A pod is as given now, or gone.
    pub fn pod(&mut self, namespace: &str, own: &str, object: Option<&Value>) {
        let key = name(namespace, own);
        if let Some(old) = self.pods.remove(&key) {
            for (kind, needed) in &old.needs {
                self.release(*kind, (key.0.clone(), needed.clone()), &old.node);
            }
        }
        let node = object.and_then(|pod| pod["spec"]["nodeName"].as_str()).filter(|node| !node.is_empty());
        let (Some(object), Some(node)) = (object, node) else { return };
        let mut needs: Vec<(Kind, Box<str>)> = Vec::new();
        // A mirror pod may refer to anything, for its node wrote it: it counts for itself alone.
        if object["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null() {
            let boxed = |kind| move |name: &str| (kind, name.into());
            needs.extend(references::secrets(object).into_iter().map(boxed(Kind::Secret)));
            needs.extend(references::config_maps(object).into_iter().map(boxed(Kind::ConfigMap)));
            needs.extend(references::claims(object).iter().map(String::as_str).map(boxed(Kind::Claim)));
            needs.extend(object["spec"]["serviceAccountName"].as_str().map(boxed(Kind::Account)));
        }
        for (kind, needed) in &needs {
            let of = self.needed.entry((*kind, (key.0.clone(), needed.clone()))).or_default();
            *of.entry(node.into()).or_default() += 1;
        }
        self.pods.insert(key, Pod { node: node.into(), needs });
    }

    fn release(&mut self, kind: Kind, object: Name, node: &str) {
        let key = (kind, object);
        let Some(nodes) = self.needed.get_mut(&key) else { return };
        if let Some(count) = nodes.get_mut(node) {
            *count -= 1;
            if *count == 0 {
                nodes.remove(node);
            }
        }
        if nodes.is_empty() {
            self.needed.remove(&key);
        }
    }

    /// A persistent volume is as given now, or gone.
    pub fn volume(&mut self, own: &str, object: Option<&Value>) {
        if let Some(old) = self.volumes.remove(own) {
            for secret in old.secrets {
                if let Some(volumes) = self.secrets.get_mut(&secret) {
                    volumes.remove(own);
                    if volumes.is_empty() {
                        self.secrets.remove(&secret);
                    }
                }
            }
        }
        let claim = object.map(|volume| &volume["spec"]["claimRef"]).filter(|claim| !claim.is_null());
        let (Some(object), Some(claim)) = (object, claim) else { return };
        let text = |key: &str| claim[key].as_str().unwrap_or_default();
        let secrets: Vec<Name> =
            references::volume_secrets(object).iter().map(|(within, secret)| name(within, secret)).collect();
        for secret in &secrets {
            self.secrets.entry(secret.clone()).or_default().insert(own.into());
        }
        let claim = name(text("namespace"), text("name"));
        self.volumes.insert(own.into(), Volume { claim, secrets });
    }

    /// A volume attachment is as given now, or gone.
    pub fn attachment(&mut self, own: &str, object: Option<&Value>) {
        match object.and_then(|one| one["spec"]["nodeName"].as_str()) {
            Some(node) => drop(self.attachments.insert(own.into(), node.into())),
            None => drop(self.attachments.remove(own)),
        }
    }

    /// Whether a node needs an object.
    pub fn needs(&self, node: &str, kind: Kind, namespace: &str, own: &str) -> bool {
        let direct = |kind, object: Name| {
            self.needed.get(&(kind, object)).is_some_and(|nodes| nodes.contains_key(node))
        };
        let by_volume =
            |own: &str| self.volumes.get(own).is_some_and(|volume| direct(Kind::Claim, volume.claim.clone()));
        match kind {
            Kind::Pod => self.pods.get(&name(namespace, own)).is_some_and(|pod| *pod.node == *node),
            Kind::Volume => by_volume(own),
            Kind::Attachment => self.attachments.get(own).is_some_and(|on| **on == *node),
            Kind::Secret => {
                let object = name(namespace, own);
                let mut volumes = self.secrets.get(&object).into_iter().flatten();
                volumes.any(|volume| by_volume(volume)) || direct(kind, object)
            }
            _ => direct(kind, name(namespace, own)),
        }
    }
}
