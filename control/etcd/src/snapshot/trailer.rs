//! The hash behind a snapshot, and the chunks in which Maintenance.Snapshot sends both.
//!
//! ```text
//! │ bbolt file, whole pages: a multiple of 512 │ SHA-256 of it: 32 bytes │
//! ```
//!
//! `etcdctl snapshot restore` takes the last 32 bytes for the hash if the length leaves 32 when divided by
//! 512, and refuses a file whose hash is another one or, unless told so, a file without (etcd's
//! v3_snapshot.go). In the stream the hash is a message of its own, the last one (api/v3rpc/maintenance.go).

use super::{Error, ReadError};
use ring::digest::{Context, SHA256};
use std::io::{Read, Seek, SeekFrom, Write};

/// Length of the hash.
pub const LEN: usize = 32;

/// A database's length is a multiple of this.
const BLOCK: u64 = 512;

/// Bytes of the file in one message of the stream; as many as etcd sends.
const CHUNK: usize = 32 * 1024;

/// Appends the hash to a finished database file, as `etcdctl snapshot save` leaves it; the whole length.
pub fn append<F: Read + Write + Seek>(file: &mut F) -> Result<u64, Error> {
    file.seek(SeekFrom::Start(0)).map_err(Error::file("cannot go back to its beginning"))?;
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; CHUNK];
    let mut length = LEN as u64;
    loop {
        let read = file.read(&mut buffer).map_err(Error::file("cannot read it for its hash"))?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        length += read as u64;
    }
    file.write_all(hash.finish().as_ref()).map_err(Error::file("cannot append its hash"))?;
    Ok(length)
}

/// Compares the hash behind a file of `length` bytes, read from its beginning; the length of what is before it.
pub fn verify(mut file: impl Read, length: u64) -> Result<u64, ReadError> {
    if length % BLOCK != LEN as u64 {
        return Err(ReadError::NoHash);
    }
    let mut hash = Context::new(&SHA256);
    let mut buffer = vec![0; CHUNK];
    let mut remaining = length - LEN as u64;
    while remaining > 0 {
        let piece = &mut buffer[..remaining.min(CHUNK as u64) as usize];
        file.read_exact(piece)?;
        hash.update(piece);
        remaining -= piece.len() as u64;
    }
    let mut behind = [0; LEN];
    file.read_exact(&mut behind)?;
    match hash.finish().as_ref() == behind {
        true => Ok(length - LEN as u64),
        false => Err(ReadError::WrongHash),
    }
}

/// One message of Maintenance.Snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes of the database that are still to come; the hash is not counted.
    pub remaining_bytes: u64,
    /// A piece of the database, or in the last message its hash.
    pub blob: Vec<u8>,
}

/// The messages of Maintenance.Snapshot for a file of `length` bytes that has no hash yet.
///
/// Reads as far as it is asked to: a slow client holds one chunk in memory. Ends behind an error.
pub struct Chunks<R: Read> {
    file: R,
    remaining: u64,
    /// None once the hash was given out or reading failed.
    hash: Option<Context>,
}

impl<R: Read> Chunks<R> {
    /// From a file that is read from its beginning.
    pub fn of(file: R, length: u64) -> Self {
        Chunks { file, remaining: length, hash: Some(Context::new(&SHA256)) }
    }
}

impl<R: Read> Iterator for Chunks<R> {
    type Item = Result<Chunk, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut hash = self.hash.take()?;
        if self.remaining == 0 {
            return Some(Ok(Chunk { remaining_bytes: 0, blob: hash.finish().as_ref().to_vec() }));
        }
        let mut blob = vec![0; self.remaining.min(CHUNK as u64) as usize];
        if let Err(source) = self.file.read_exact(&mut blob) {
            return Some(Err(Error::File { doing: "cannot read it for sending", source }));
        }
        hash.update(&blob);
        self.remaining -= blob.len() as u64;
        self.hash = Some(hash);
        Some(Ok(Chunk { remaining_bytes: self.remaining, blob }))
    }
}
