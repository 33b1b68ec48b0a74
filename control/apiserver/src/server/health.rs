//! Whether the server lives and is ready, check by check.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::api::Api;

/// What must be done before it is ready.
#[derive(Debug, Default)]
pub struct Health {
    bootstrapped: AtomicBool,
    ending: AtomicBool,
}

/// A check: its name, and what is wrong.
pub type Check = (&'static str, Option<String>);

impl Health {
    /// The default objects are there.
    pub fn bootstrapped(&self) {
        self.bootstrapped.store(true, Ordering::Release);
    }

    /// The server is about to end.
    pub fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// The checks of `/livez`.
    pub fn live(&self) -> Vec<Check> {
        vec![("ping", None), ("log", None)]
    }

    /// The checks of `/readyz`.
    pub async fn ready(&self, api: &Api) -> Vec<Check> {
        let state = api.store.revision().await.err().map(|error| error.to_string());
        let synced = (api.caches.revision() == 0).then(|| "the first list is not done".to_owned());
        let made = self.bootstrapped.load(Ordering::Acquire);
        let made = (!made).then(|| "the default objects are not made yet".to_owned());
        let ending = self.ending.load(Ordering::Acquire).then(|| "process is shutting down".to_owned());
        vec![
            ("ping", None),
            ("log", None),
            ("etcd", state),
            ("informer-sync", synced),
            ("poststarthook/rbac/bootstrap-roles", made.clone()),
            ("poststarthook/start-system-namespaces-controller", made),
            ("shutdown", ending),
        ]
    }
}
