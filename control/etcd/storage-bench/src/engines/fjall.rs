//! fjall: a log-structured merge tree, several files, pure Rust.

use super::{CACHE_BYTES, Engine, Key, Outcome};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use std::path::Path;

/// A batch over two keyspaces; the journal is synced with fdatasync.
pub struct Fjall {
    database: Database,
    keys: Keyspace,
    meta: Keyspace,
}

impl Engine for Fjall {
    fn open(folder: &Path) -> Outcome<Self> {
        let database = Database::builder(folder).cache_size(CACHE_BYTES as u64).open()?;
        let keys = database.keyspace("key", KeyspaceCreateOptions::default)?;
        let meta = database.keyspace("meta", KeyspaceCreateOptions::default)?;
        Ok(Fjall { database, keys, meta })
    }

    fn commit(&mut self, entries: &[(Key, &[u8])]) -> Outcome<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for (key, value) in entries {
            batch.insert(&self.keys, *key, *value);
        }
        if let Some((key, _)) = entries.last() {
            batch.insert(&self.meta, "index", *key);
        }
        Ok(batch.commit()?)
    }

    fn get(&self, key: &Key) -> Outcome<Option<usize>> {
        Ok(self.keys.get(key)?.map(|value| value.len()))
    }
}
