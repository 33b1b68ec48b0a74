//! The server's parts, as handlers see them.

use std::sync::Arc;

use crate::cache::Caches;
use crate::services::Services;
use crate::store::Store;

/// The API: what every request works with.
pub struct Api {
    /// The state.
    pub store: Store,
    /// The watch caches.
    pub caches: Arc<Caches>,
    /// Cluster IPs and node ports.
    pub services: Services,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}
