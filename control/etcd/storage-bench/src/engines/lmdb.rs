//! LMDB through heed: a copy-on-write B-tree in a memory-mapped file, C.

use super::{Engine, Key, Outcome};
use heed::types::Bytes;
use heed::{Database, Env, EnvOpenOptions};
use std::path::Path;

/// The map's length: an upper bound of the file that has to be known when it is opened.
const MAP_BYTES: usize = 1 << 30;

/// With its default: data and meta page synced at each commit.
pub struct Lmdb {
    environment: Env,
    keys: Database<Bytes, Bytes>,
    meta: Database<Bytes, Bytes>,
}

impl Engine for Lmdb {
    fn open(folder: &Path) -> Outcome<Self> {
        // SAFETY: nobody else opens or changes the file while it is mapped; the folder is this process's own.
        let environment = unsafe { EnvOpenOptions::new().map_size(MAP_BYTES).max_dbs(2).open(folder)? };
        let mut transaction = environment.write_txn()?;
        let keys = environment.create_database(&mut transaction, Some("key"))?;
        let meta = environment.create_database(&mut transaction, Some("meta"))?;
        transaction.commit()?;
        Ok(Lmdb { environment, keys, meta })
    }

    fn commit(&mut self, entries: &[(Key, &[u8])]) -> Outcome<()> {
        let mut transaction = self.environment.write_txn()?;
        for (key, value) in entries {
            self.keys.put(&mut transaction, key, value)?;
        }
        if let Some((key, _)) = entries.last() {
            self.meta.put(&mut transaction, b"index", key)?;
        }
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &Key) -> Outcome<Option<usize>> {
        let transaction = self.environment.read_txn()?;
        Ok(self.keys.get(&transaction, key)?.map(<[u8]>::len))
    }
}
