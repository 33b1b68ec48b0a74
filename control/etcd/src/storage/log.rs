//! The log: each batch of writes, appended and synced, until the database has it.
//!
//! A commit of the database writes some seven pages all over the file and syncs them; an append writes one piece and
//! syncs that, in half the time. So a batch is durable once it is here. In the database it is committed without a
//! sync, and a later durable commit takes all of them along; then the log begins anew. If that commit's pages are ever
//! found damaged, redb goes back to the one before, and the log tells that something is missing.
//!
//! ```text
//! weft-etcd.log, CAPACITY bytes, written over with zeros when it is made (a huge batch makes it longer)
//! ┌───────┬────────┬─────┬────────┬────────────────────────────┬─────────
//! │ magic │ length │ seq │ crc32c │ changes ...         (pad 8)│ next ...      all numbers little endian
//! └───────┴────────┴─────┴────────┴────────────────────────────┴─────────
//!    4        4       8      4+4     length                        checksum over seq and changes
//! ```
//!
//! Sequence numbers count batches for good. The database holds the number of the last batch in its last durable commit
//! (`meta` seq): at a start the records after it are applied again, from the file's beginning, as long as numbers
//! follow each other and checksums are right. Where they stop there is either the batch that nobody was told of, torn,
//! or what an earlier round left, with lower numbers. A later number after that place means that an acknowledged batch
//! was damaged: then the server does not start.

use super::change::Changes;
use crate::error::StartError;
use redb::StorageBackend;
use std::io;
use std::path::Path;

/// Size of the file.
pub const CAPACITY: u64 = 2 << 20;

const MAGIC: u32 = 0x4c54_4657;
const HEADER: usize = 24;
const ALIGN: usize = 8;

/// The log, as the writer appends to it.
#[derive(Debug)]
pub struct Log {
    file: Box<dyn StorageBackend>,
    at: u64,
    seq: u64,
}

/// What was found in it at a start.
#[derive(Debug)]
pub struct Found {
    /// The changes of batches that the database may lack, oldest first.
    pub batches: Vec<Changes>,
    /// The number of the last one.
    pub seq: u64,
}

/// Makes room, if the file is new.
pub fn prepare(file: &dyn StorageBackend) -> io::Result<()> {
    if file.len()? < CAPACITY {
        file.set_len(CAPACITY)?;
        file.sync_data()?;
    }
    Ok(())
}

/// Reads the batches after one.
pub fn read(file: &dyn StorageBackend, path: &Path, after: u64) -> Result<Found, StartError> {
    let unreadable = |source| StartError::File { what: "read", path: path.to_owned(), source };
    let mut bytes = vec![0; file.len().map_err(unreadable)? as usize];
    file.read(0, &mut bytes).map_err(unreadable)?;
    let mut found = Found { batches: Vec::new(), seq: after };
    let mut at = 0;
    let mut expected = None;
    while let Some((seq, changes, end)) = record(&bytes, at) {
        if expected.is_some_and(|expected| seq != expected) || seq > found.seq + 1 {
            break;
        }
        expected = Some(seq + 1);
        if seq > after {
            let changes = Changes::read(changes).ok_or_else(|| damaged(path, seq))?;
            found.batches.push(changes);
            found.seq = seq;
        }
        at = end;
    }
    match later_record(&bytes, at, found.seq) {
        Some(_) => Err(damaged(path, found.seq + 1)),
        None => Ok(found),
    }
}

fn damaged(path: &Path, seq: u64) -> StartError {
    StartError::Damaged {
        path: path.to_owned(),
        why: format!("batch {seq} of the log is not what was written"),
    }
}

/// The record at a place: its number, its changes, and where it ends.
fn record(bytes: &[u8], at: usize) -> Option<(u64, &[u8], usize)> {
    let (header, rest) = bytes.get(at..)?.split_at_checked(HEADER)?;
    let word = |from: usize| header[from..from + 4].first_chunk::<4>().map(|b| u32::from_le_bytes(*b));
    let seq = u64::from_le_bytes(*header[8..16].first_chunk::<8>()?);
    let changes = rest.get(..usize::try_from(word(4)?).ok()?)?;
    let valid = word(0)? == MAGIC && word(16)? == checksum(seq, changes);
    valid.then(|| (seq, changes, at + (HEADER + changes.len()).next_multiple_of(ALIGN)))
}

/// A whole record with a later number, anywhere behind a place.
fn later_record(bytes: &[u8], from: usize, seq: u64) -> Option<u64> {
    let places = (from.next_multiple_of(ALIGN)..bytes.len().saturating_sub(HEADER)).step_by(ALIGN);
    places.filter(|at| bytes[*at..].starts_with(&MAGIC.to_le_bytes())).find_map(|at| {
        let (found, ..) = record(bytes, at)?;
        (found > seq).then_some(found)
    })
}

fn checksum(seq: u64, changes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&seq.to_le_bytes()), changes)
}

impl Log {
    /// Goes on after a batch that the database has for good.
    pub fn after(file: Box<dyn StorageBackend>, seq: u64) -> Log {
        Log { file, at: 0, seq }
    }

    /// The number of the last batch.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Whether it is time that the database takes what is in it.
    pub fn is_full(&self) -> bool {
        self.at >= CAPACITY / 2
    }

    /// Appends a batch, and syncs it.
    pub fn append(&mut self, changes: &Changes) -> io::Result<()> {
        let changes = changes.bytes();
        let seq = self.seq + 1;
        let mut record = Vec::with_capacity((HEADER + changes.len()).next_multiple_of(ALIGN));
        record.extend(MAGIC.to_le_bytes());
        record.extend(u32::try_from(changes.len()).map_err(io::Error::other)?.to_le_bytes());
        record.extend(seq.to_le_bytes());
        record.extend(checksum(seq, changes).to_le_bytes());
        record.extend([0; 4]);
        record.extend(changes);
        record.resize(record.len().next_multiple_of(ALIGN), 0);
        let end = self.at + record.len() as u64;
        if end > CAPACITY && end > self.file.len()? {
            self.file.set_len(end)?;
        }
        self.file.write(self.at, &record)?;
        self.file.sync_data()?;
        self.at += record.len() as u64;
        self.seq = seq;
        Ok(())
    }

    /// After the database took everything: begins anew.
    pub fn restart(&mut self) {
        self.at = 0;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panic")]

    use super::*;
    use redb::backends::InMemoryBackend;
    use std::sync::Arc;

    /// A file that a test can look into.
    #[derive(Clone, Debug)]
    struct Shared(Arc<InMemoryBackend>);

    impl StorageBackend for Shared {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }
        fn sync_data(&self) -> io::Result<()> {
            self.0.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.write(offset, data)
        }
    }

    fn empty() -> Shared {
        let file = Shared(Arc::new(InMemoryBackend::new()));
        prepare(&file).unwrap();
        file
    }

    fn batch(value: &[u8]) -> Changes {
        let mut changes = Changes::default();
        changes.put_row(b"row", value);
        changes
    }

    fn append(file: &Shared, after: u64, values: &[&[u8]]) {
        let mut log = Log::after(Box::new(file.clone()), after);
        values.iter().for_each(|value| log.append(&batch(value)).unwrap());
    }

    fn found(file: &Shared, after: u64) -> Result<(usize, u64), StartError> {
        read(file, Path::new("log"), after).map(|found| (found.batches.len(), found.seq))
    }

    #[test]
    fn batches_after_what_the_database_has_are_found() {
        let file = empty();
        assert_eq!(found(&file, 0).unwrap(), (0, 0));
        append(&file, 0, &[b"one", b"two", b"three"]);
        assert_eq!(found(&file, 0).unwrap(), (3, 3));
        assert_eq!(found(&file, 2).unwrap(), (1, 3));
        assert_eq!(found(&file, 3).unwrap(), (0, 3));
    }

    #[test]
    fn an_earlier_round_counts_no_more() {
        let file = empty();
        append(&file, 0, &[b"one", b"two", b"three"]);
        append(&file, 3, &[b"four"]);
        assert_eq!(found(&file, 3).unwrap(), (1, 4));
    }

    #[test]
    fn a_torn_end_is_passed_over_and_a_damaged_middle_is_named() {
        let file = empty();
        append(&file, 0, &[b"one", b"two", b"three"]);
        let length = (HEADER + batch(b"one").bytes().len()).next_multiple_of(ALIGN) as u64;
        file.write(2 * length + 30, b"?").unwrap();
        assert_eq!(found(&file, 0).unwrap(), (2, 2));
        file.write(30, b"?").unwrap();
        let told = found(&file, 0).unwrap_err().to_string();
        assert!(told.contains("batch 1 of the log"), "{told}");
    }

    #[test]
    fn it_says_when_it_is_full() {
        let file = empty();
        let mut log = Log::after(Box::new(file.clone()), 0);
        let large = batch(&vec![7; CAPACITY as usize / 2]);
        assert!(!log.is_full());
        log.append(&large).unwrap();
        assert!(log.is_full());
        log.restart();
        assert!(!log.is_full() && log.seq() == 1);
    }

    #[test]
    fn a_huge_batch_makes_it_longer() {
        let file = empty();
        append(&file, 0, &[&vec![7; 2 * CAPACITY as usize]]);
        append(&file, 1, &[b"small"]);
        assert_eq!(found(&file, 1).unwrap(), (1, 2));
    }

    #[test]
    fn a_database_that_went_back_is_found_out() {
        let file = empty();
        append(&file, 0, &[b"one", b"two"]);
        append(&file, 2, &[b"three"]);
        let told = found(&file, 0).unwrap_err().to_string();
        assert!(told.contains("batch 1 of the log"), "{told}");
    }
}
