//! The engines behind one small trait, each set up for the same promise: what `commit` returned for is on
//! disk, as etcd's clients expect it, and takes part in one commit with a second table.

mod fjall;
mod lmdb;
mod log;
mod redb;

pub use self::fjall::Fjall;
pub use self::lmdb::Lmdb;
pub use self::log::Log;
pub use self::redb::Redb;

use std::error::Error;
use std::path::Path;

/// Memory for cached pages that those who have such a setting get: as much as Weft gives redb.
pub const CACHE_BYTES: usize = 4 << 20;

/// Whatever an engine says.
pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// A key of etcd's table of revisions: `main '_' sub`, big endian.
pub type Key = [u8; 17];

/// The key of a revision.
pub fn key(main: u64) -> Key {
    let mut key = [0; 17];
    key[..8].copy_from_slice(&main.to_be_bytes());
    key[8] = b'_';
    key
}

/// A store of revisions.
pub trait Engine: Sized {
    /// Opens or creates a store in a folder.
    fn open(folder: &Path) -> Outcome<Self>;

    /// Puts all entries, and the number of the last one in a second table, by one durable commit.
    fn commit(&mut self, entries: &[(Key, &[u8])]) -> Outcome<()>;

    /// The length of a value.
    fn get(&self, key: &Key) -> Outcome<Option<usize>>;
}
