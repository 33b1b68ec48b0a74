//! redb: a copy-on-write B-tree in one file, checksummed, pure Rust.

use super::{CACHE_BYTES, Engine, Key, Outcome};
use redb::{Builder, Database, ReadableDatabase, TableDefinition};
use std::path::Path;

const KEYS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("key");
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// With its default: one fsync per commit.
pub struct Redb(Database);

impl Engine for Redb {
    fn open(folder: &Path) -> Outcome<Self> {
        Ok(Redb(Builder::new().set_cache_size(CACHE_BYTES).create(folder.join("db"))?))
    }

    fn commit(&mut self, entries: &[(Key, &[u8])]) -> Outcome<()> {
        let transaction = self.0.begin_write()?;
        {
            let mut keys = transaction.open_table(KEYS)?;
            for (key, value) in entries {
                keys.insert(&key[..], *value)?;
            }
            if let Some((key, _)) = entries.last() {
                transaction.open_table(META)?.insert("index", &key[..])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &Key) -> Outcome<Option<usize>> {
        let table = self.0.begin_read()?.open_table(KEYS)?;
        Ok(table.get(&key[..])?.map(|value| value.value().len()))
    }
}
