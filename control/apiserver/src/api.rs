//! The server's parts, as handlers see them.

use serde_json::Value;
use std::sync::Arc;

use crate::authn::{Authenticators, Lookup, ServiceAccounts};
use crate::authz::Authorizer;
use crate::cache::{Caches, Entry, Listener};
use crate::kinds::{self, Kind};
use crate::metrics::Metrics;
use crate::plugins::Cluster;
use crate::rest::cache_key;
use crate::services::Services;
use crate::store::Store;

/// The API: what every request works with.
pub struct Api {
    /// The state.
    pub store: Store,
    /// The watch caches.
    pub caches: Arc<Caches>,
    /// Cluster IPs and node ports.
    pub services: Arc<Services>,
    /// Who asks.
    pub authenticators: Authenticators,
    /// Whether they may.
    pub authorizer: Arc<Authorizer>,
    /// Service accounts' tokens.
    pub accounts: Arc<ServiceAccounts>,
    /// What is counted.
    pub metrics: Metrics,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}

impl Lookup for Caches {
    fn object(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        // Resources of one name in several groups are none that authentication or admission asks for.
        let kind = kinds::places().find(|kind| kind.plural == resource)?;
        let entry = self.of(kind)?.get(&cache_key(kind, namespace, name))?;
        Some(Arc::new(entry.object()))
    }
}

impl Cluster for Caches {
    fn all(&self, resource: &str, namespace: &str) -> Vec<Arc<Value>> {
        let cache = kinds::places().find(|kind| kind.plural == resource).and_then(|kind| self.of(kind));
        let entries = cache.map(|cache| cache.list(namespace).0).unwrap_or_default();
        entries.iter().map(|entry| Arc::new(entry.object())).collect()
    }
}

/// Keeps the indexes of authorization and of the services' addresses as the objects are.
pub fn listener(authorizer: Arc<Authorizer>, services: Arc<Services>) -> Listener {
    Box::new(move |kind: &'static Kind, key: &str, entry: Option<&Entry>| {
        let (namespace, name) = key.rsplit_once('/').unwrap_or(("", key));
        let concerns_access = ["rbac.authorization.k8s.io", "storage.k8s.io"].contains(&kind.group)
            || ["pods", "persistentvolumes"].contains(&kind.plural);
        let concerns_services = kind.stored == "services/specs";
        if !concerns_access && !concerns_services {
            return;
        }
        let object = entry.map(Entry::object);
        if concerns_services {
            services.see(key, object.as_ref());
        }
        if concerns_access {
            authorizer.rbac.set(kind.plural, namespace, name, object.as_ref());
            authorizer.node.set(kind.plural, namespace, name, object.as_ref());
        }
    })
}
