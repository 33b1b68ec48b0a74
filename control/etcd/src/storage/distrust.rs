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
//!
//! Reading everything three times over, page by page, is most of a start; so a file of moderate size is read at once,
//! and pages are taken from there until the store is loaded.

use redb::{BackendError, StorageBackend};
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Files up to this size are read at once.
const MOST_IMAGE: u64 = 64 << 20;

const FLAGS_AT: u64 = 9;
const RECOVERY_REQUIRED: u8 = 2;
const TWO_PHASE_COMMIT: u8 = 4;

/// A backend that is not believed until its switch says so.
#[derive(Debug)]
pub struct Distrusted<B> {
    below: B,
    start: Arc<Start>,
}

/// What matters while a file is opened and loaded.
#[derive(Debug, Default)]
pub struct Start {
    believed: AtomicBool,
    /// The whole file, for as long as it helps.
    image: RwLock<Option<Vec<u8>>>,
}

impl Start {
    /// From now on the header is shown as it is.
    pub fn believe(&self) {
        self.believed.store(true, Ordering::Relaxed);
    }

    /// All is loaded.
    pub fn end(&self) {
        self.image.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl<B: StorageBackend> Distrusted<B> {
    /// Around a backend, with what to tell once it is open and loaded.
    pub fn of(below: B) -> io::Result<(Distrusted<B>, Arc<Start>)> {
        let length = below.len()?;
        let start = Arc::new(Start::default());
        if length <= MOST_IMAGE {
            let mut image = vec![0; length as usize];
            below.read(0, &mut image)?;
            *start.image.write().unwrap_or_else(PoisonError::into_inner) = Some(image);
        }
        Ok((Distrusted { below, start: start.clone() }, start))
    }

    fn read_page(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if let Some(image) = &*self.start.image.read().unwrap_or_else(PoisonError::into_inner)
            && let Some(page) = image.get(offset as usize..offset as usize + out.len())
        {
            out.copy_from_slice(page);
            return Ok(());
        }
        self.below.read(offset, out)
    }
}

impl<B: StorageBackend> StorageBackend for Distrusted<B> {
    fn len(&self) -> io::Result<u64> {
        self.below.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_page(offset, out)?;
        if !self.start.believed.load(Ordering::Relaxed)
            && let Some(flags) = FLAGS_AT.checked_sub(offset).and_then(|at| out.get_mut(at as usize))
        {
            *flags = *flags & !TWO_PHASE_COMMIT | RECOVERY_REQUIRED;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.below.set_len(len)?;
        if let Some(image) = &mut *self.start.image.write().unwrap_or_else(PoisonError::into_inner) {
            image.resize(len as usize, 0);
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.below.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.below.write(offset, data)?;
        if let Some(image) = &mut *self.start.image.write().unwrap_or_else(PoisonError::into_inner) {
            match image.get_mut(offset as usize..offset as usize + data.len()) {
                Some(page) => page.copy_from_slice(data),
                None => image.truncate(offset as usize),
            }
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.below.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.below.try_lock_range(start, end)
    }
}
