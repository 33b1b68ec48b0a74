//! Makes redb check every page when it opens a file, whatever the file says about itself.
//!
//! A file that was closed in order is believed: redb loads its allocator from pages that it has not checked, and
//! panics if they are not what they were. A file that a crash left is read from the root down with every checksum
//! verified before a page is used, and one that does not verify is an error. So while it is opened, the header is shown
//! as a crash would have left it.
//!
//! ```text
//! byte 9 of the file: │ … │ two-phase commit (4) │ recovery required (2) │ primary slot (1) │
//!                           shown as 0             shown as 1
//! ```
//!
//! Source: `src/tree_store/page_store/header.rs` of redb 4.4.

use redb::{BackendError, StorageBackend};
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const FLAGS_AT: u64 = 9;
const RECOVERY_REQUIRED: u8 = 2;
const TWO_PHASE_COMMIT: u8 = 4;

/// A backend that is not believed until its switch says so.
#[derive(Debug)]
pub struct Distrusted<B> {
    below: B,
    believed: Arc<AtomicBool>,
}

impl<B> Distrusted<B> {
    /// Around a backend, with the switch to set once it is open.
    pub fn of(below: B) -> (Distrusted<B>, Arc<AtomicBool>) {
        let believed = Arc::new(AtomicBool::new(false));
        (Distrusted { below, believed: believed.clone() }, believed)
    }
}

impl<B: StorageBackend> StorageBackend for Distrusted<B> {
    fn len(&self) -> io::Result<u64> {
        self.below.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.below.read(offset, out)?;
        if !self.believed.load(Ordering::Relaxed)
            && let Some(flags) = FLAGS_AT.checked_sub(offset).and_then(|at| out.get_mut(at as usize))
        {
            *flags = *flags & !TWO_PHASE_COMMIT | RECOVERY_REQUIRED;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.below.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.below.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.below.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.below.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.below.try_lock_range(start, end)
    }
}
