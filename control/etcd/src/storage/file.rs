//! The data file as redb uses it: positioned reads and writes on one descriptor, locked against other processes.
//!
//! redb's own backend seeks under a mutex; this one lets readers read side by side. When the disk refuses a write (it
//! is full, or has become read-only), redb gives the database up for good; the store then opens it anew through
//! [`Held`], which keeps what would be written in memory, so that reads go on. What was acknowledged is in the file:
//! redb never overwrites pages of the last commit.

use redb::{BackendError, StorageBackend};
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How much of new room is written over at once: what takes some 10 ms.
const MOST_ZEROED: u64 = 16 << 20;

/// The file itself.
#[derive(Clone, Debug)]
pub struct DataFile {
    file: Arc<File>,
    /// After a sync that failed the kernel may take pages for written that are not: no later sync can be believed.
    doubted: Arc<AtomicBool>,
}

impl DataFile {
    /// Takes the file, and its lock. `None`: another process has it.
    pub fn lock(file: File) -> io::Result<Option<DataFile>> {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(DataFile { file: Arc::new(file), doubted: Arc::default() })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Whether a sync has failed, so that it is not to be written to until it has been read from the disk again.
    pub fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Acquire)
    }

    /// Makes room one that was written before: else each commit that reaches a new block would also have to sync the
    /// file's map of blocks.
    fn write_zeros(&self, mut from: u64, until: u64) -> io::Result<()> {
        let zeros = vec![0; 256 << 10];
        while from < until {
            let some = &zeros[..zeros.len().min((until - from) as usize)];
            self.file.write_all_at(some, from)?;
            from += some.len() as u64;
        }
        Ok(())
    }

    /// Its size on disk, in bytes.
    pub fn size(&self) -> u64 {
        self.file.metadata().map_or(0, |m| m.len())
    }
}

/// The lock is on the descriptor, for as long as it is open.
fn locked(start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
    match (start, end) {
        (Bound::Unbounded | Bound::Included(0), Bound::Unbounded) => Ok(true),
        _ => Err(BackendError::Unsupported),
    }
}

impl StorageBackend for DataFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let old = self.file.metadata()?.len();
        if len > old {
            // Room is taken now, so that a full disk is told before anything is written.
            rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), old, len - old)?;
            return self.write_zeros(old, len.min(old + MOST_ZEROED));
        }
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data().inspect_err(|_| self.doubted.store(true, Ordering::Release))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        locked(start, end)
    }
}

#[derive(Debug, Default)]
struct Overlay {
    length: Option<u64>,
    /// What was written, by offset; of two that overlap the later one counts, so pieces are cut.
    pieces: BTreeMap<u64, Vec<u8>>,
}

/// A backend whose writes stay in memory.
#[derive(Debug)]
pub struct Held<B> {
    below: B,
    overlay: Mutex<Overlay>,
}

impl<B: StorageBackend> Held<B> {
    /// Over a backend that is only read from now on.
    pub fn over(below: B) -> Held<B> {
        Held { below, overlay: Mutex::default() }
    }

    fn length(&self, overlay: &Overlay) -> io::Result<u64> {
        overlay.length.map_or_else(|| self.below.len(), Ok)
    }
}

impl<B: StorageBackend> StorageBackend for Held<B> {
    fn len(&self) -> io::Result<u64> {
        self.length(&self.overlay.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let overlay = self.overlay.lock().unwrap_or_else(PoisonError::into_inner);
        let end = offset + out.len() as u64;
        if end > self.length(&overlay)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let below = self.below.len()?.clamp(offset, end) - offset;
        let (from_below, beyond) = out.split_at_mut(below as usize);
        self.below.read(offset, from_below)?;
        beyond.fill(0);
        overlay.copy_to(offset, out);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner).length = Some(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner).write(offset, data);
        Ok(())
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        locked(start, end)
    }
}

impl Overlay {
    fn write(&mut self, offset: u64, data: &[u8]) {
        let end = offset + data.len() as u64;
        let touched: Vec<u64> = self
            .pieces
            .range(..end)
            .rev()
            .take_while(|(at, piece)| **at + piece.len() as u64 > offset)
            .map(|(at, _)| *at)
            .collect();
        for at in touched {
            let Some(piece) = self.pieces.remove(&at) else { continue };
            let piece_end = at + piece.len() as u64;
            if at < offset {
                self.pieces.insert(at, piece[..(offset - at) as usize].to_vec());
            }
            if piece_end > end {
                self.pieces.insert(end, piece[(end - at) as usize..].to_vec());
            }
        }
        self.pieces.insert(offset, data.to_vec());
    }

    fn copy_to(&self, offset: u64, out: &mut [u8]) {
        let end = offset + out.len() as u64;
        let pieces = self.pieces.range(..end).rev();
        for (&at, piece) in pieces.take_while(|(at, piece)| **at + piece.len() as u64 > offset) {
            let (from, to) = (at.max(offset), (at + piece.len() as u64).min(end));
            out[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&piece[(from - at) as usize..(to - at) as usize]);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panic")]

    use super::*;
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    proptest! {
        #[test]
        fn held_writes_read_as_if_written(writes in prop::collection::vec((0u64..200, prop::collection::vec(any::<u8>(), 1..60)), 0..20)) {
            let below = InMemoryBackend::new();
            below.set_len(100).unwrap();
            below.write(0, &[9; 100]).unwrap();
            let held = Held::over(below);
            let mut model = vec![9u8; 100];
            model.resize(300, 0);
            held.set_len(300).unwrap();
            for (offset, data) in writes {
                held.write(offset, &data).unwrap();
                model[offset as usize..offset as usize + data.len()].copy_from_slice(&data);
            }
            let mut out = vec![1; 300];
            held.read(0, &mut out).unwrap();
            prop_assert_eq!(&out, &model);
            let mut middle = vec![1; 50];
            held.read(77, &mut middle).unwrap();
            prop_assert_eq!(&middle[..], &model[77..127]);
            prop_assert!(held.read(290, &mut [0; 11]).is_err());
        }
    }

    #[test]
    fn a_file_is_locked_against_others() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            File::options()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(dir.path().join("f"))
                .unwrap()
        };
        let first = DataFile::lock(open()).unwrap();
        assert!(first.is_some());
        assert!(DataFile::lock(open()).unwrap().is_none());
        drop(first);
        assert!(DataFile::lock(open()).unwrap().is_some());
    }
}
