//! The floor: a log in a file written with zeroes before, and an index in memory.
//!
//! ```text
//! │ length: u32 │ key: 17 │ value │ length │ key │ value │ … │ 0 0 0 …
//! ```
//!
//! No store that survives the machine can commit by less than one write and one fdatasync that has no
//! length to record; no tree, no checksum, no room given back. Not a store to be used.

use super::{Engine, Key, Outcome};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const FILE_BYTES: usize = 64 << 20;

/// The log, and where each value is.
pub struct Log {
    file: File,
    end: u64,
    index: BTreeMap<Key, (u64, usize)>,
}

impl Engine for Log {
    fn open(folder: &Path) -> Outcome<Self> {
        let path = folder.join("log");
        if !path.exists() {
            std::fs::write(&path, vec![0; FILE_BYTES])?;
            File::open(&path)?.sync_all()?;
        }
        let file = File::options().read(true).write(true).open(&path)?;
        let mut log = Log { file, end: 0, index: BTreeMap::new() };
        log.replay()?;
        Ok(log)
    }

    fn commit(&mut self, entries: &[(Key, &[u8])]) -> Outcome<()> {
        let mut bytes = Vec::new();
        for (key, value) in entries {
            bytes.extend((value.len() as u32).to_le_bytes());
            bytes.extend(key);
            self.index.insert(*key, (self.end + bytes.len() as u64, value.len()));
            bytes.extend_from_slice(value);
        }
        self.file.write_all_at(&bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(self.file.sync_data()?)
    }

    fn get(&self, key: &Key) -> Outcome<Option<usize>> {
        let Some((at, length)) = self.index.get(key) else { return Ok(None) };
        let mut value = vec![0; *length];
        self.file.read_exact_at(&mut value, *at)?;
        Ok(Some(value.len()))
    }
}

impl Log {
    fn replay(&mut self) -> Outcome<()> {
        let mut head = [0; 4 + size_of::<Key>()];
        loop {
            self.file.read_exact_at(&mut head, self.end)?;
            let (length, key) = head.split_at(4);
            let length = u32::from_le_bytes(length.try_into()?);
            if length == 0 {
                return Ok(());
            }
            self.end += head.len() as u64;
            self.index.insert(key.try_into()?, (self.end, length as usize));
            self.end += u64::from(length);
        }
    }
}
