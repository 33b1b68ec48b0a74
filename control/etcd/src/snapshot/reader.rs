//! Reads a bbolt file: its buckets, and their entries in the order of their keys.
//!
//! Pages are read where they are asked for, so memory is one path down a tree and one entry, whatever the file's size.
//! Nothing in the file is believed: every number is checked against the file before it is used, and no bytes make it
//! panic or run for ever. The forms are drawn in `page.rs`, from bbolt's page.go, bucket.go and db.go.
//!
//! ```text
//! meta 0, meta 1 ─ the newer whole one ─> root bucket ─ entries ─┬─> value
//!                                                                └─> bucket: a tree of pages, or an inline page
//! ```
//!
//! A page may be any piece of the file: an inline bucket is a page within its parent's value, and is read as one.

use super::page::fnv1a;
use super::walk::Entries;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;

/// Length of a page's header, of an element, and of what stands before a bucket's inline page.
pub(super) const HEADER: u64 = 16;

/// A meta page's content, behind the header.
const META: usize = 64;

/// bbolt takes the size of the machine's pages.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 512..=65_536;

/// The first page that is no meta page.
const FIRST: u64 = 2;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system does not give its bytes.
    #[error("it cannot be read: {0}")]
    File(#[from] io::Error),
    /// It is not what bbolt writes.
    #[error("it is no bbolt file, or a damaged one: {0}")]
    Form(String),
    /// Its length is not one with a hash.
    #[error(
        "no SHA-256 is behind it, so that nothing says whether it is whole; take a file that `etcdctl snapshot save` \
         made, not a copy of member/snap/db"
    )]
    NoHash,
    /// It was changed, or is not whole.
    #[error("its SHA-256 is not the one behind it: it was changed or cut off; take the snapshot again")]
    WrongHash,
}

/// Bytes that are read from any place.
pub trait ReadAt {
    /// Fills the buffer from a place on.
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()>;
}

impl ReadAt for File {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(out, at)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        let from = usize::try_from(at).ok().and_then(|at| self.get(at..)?.get(..out.len()));
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// An open file.
#[derive(Debug)]
pub struct Reader<'a, F: ?Sized> {
    file: &'a F,
    page_size: u64,
    /// How many pages are in use.
    pages: u64,
    root: u64,
}

/// A bucket of it.
#[derive(Clone, Copy, Debug)]
pub struct Bucket(pub(super) Root);

#[derive(Clone, Copy, Debug)]
pub(super) enum Root {
    Page(u64),
    Inline { at: u64, length: u64 },
}

/// A page of a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    /// For messages; 0 for an inline one.
    pub(super) id: u64,
    pub(super) at: u64,
    pub(super) length: u64,
    pub(super) kind: Kind,
    pub(super) count: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Branch,
    Leaf,
}

impl<'a, F: ReadAt + ?Sized> Reader<'a, F> {
    /// Opens the first `length` bytes of a file as a bbolt file.
    pub fn open(file: &'a F, length: u64) -> Result<Self, ReadError> {
        let meta = newest(file, length)?;
        let page_size = u64::from(meta.page_size);
        let whole = meta.pages.checked_mul(page_size).is_some_and(|bytes| bytes <= length);
        if !whole {
            let (pages, size) = (meta.pages, meta.page_size);
            return Err(form(format!(
                "it should have {pages} pages of {size} bytes, and has {length} bytes"
            )));
        }
        Ok(Reader { file, page_size, pages: meta.pages, root: meta.root })
    }

    /// The bucket that holds all others.
    pub fn root(&self) -> Bucket {
        Bucket(Root::Page(self.root))
    }

    /// A bucket's entries. Ends behind an error.
    pub fn entries(&self, bucket: Bucket) -> Entries<'_, 'a, F> {
        Entries::of(self, bucket)
    }

    pub(super) fn bytes(&self, at: u64, length: u64) -> Result<Vec<u8>, ReadError> {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_at(&mut bytes, at)?;
        Ok(bytes)
    }

    /// Sixteen bytes: a page's header or an element.
    pub(super) fn element(&self, at: u64) -> Result<[u8; HEADER as usize], ReadError> {
        let mut bytes = [0; HEADER as usize];
        self.file.read_at(&mut bytes, at)?;
        Ok(bytes)
    }

    /// The page with an id, and those behind it that it runs on over.
    pub(super) fn page(&self, id: u64) -> Result<Page, ReadError> {
        if !(FIRST..self.pages).contains(&id) {
            return Err(form(format!("a tree names page {id} of {}", self.pages)));
        }
        let at = id * self.page_size;
        let header = self.element(at)?;
        let (named, overflow) = (u64_at(&header, 0), u64::from(u32_at(&header, 12)));
        if named != id || overflow >= self.pages - id {
            return Err(form(format!("page {id} says that it is page {named}, and {overflow} more")));
        }
        page_of(id, at, (1 + overflow) * self.page_size, &header)
    }

    /// The page within a bucket's value.
    pub(super) fn inline(&self, at: u64, length: u64) -> Result<Page, ReadError> {
        if length < HEADER {
            return Err(form(format!("a bucket is {length} bytes long")));
        }
        page_of(0, at, length, &self.element(at)?)
    }
}

fn page_of(id: u64, at: u64, length: u64, header: &[u8; HEADER as usize]) -> Result<Page, ReadError> {
    let kind = match u16_at(header, 8) {
        1 => Kind::Branch,
        2 => Kind::Leaf,
        other => return Err(form(format!("page {id} is of the kind {other:#x}, and not of a tree"))),
    };
    let count = u64::from(u16_at(header, 10));
    if HEADER * (1 + count) > length {
        return Err(form(format!("page {id} has no room for its {count} elements")));
    }
    Ok(Page { id, at, length, kind, count })
}

struct Meta {
    page_size: u32,
    root: u64,
    pages: u64,
    txid: u64,
}

/// The newer of the two meta pages that are whole.
fn newest<F: ReadAt + ?Sized>(file: &F, length: u64) -> Result<Meta, ReadError> {
    let first = meta(file, length, 0)?;
    // Where the second one is, the first one says; without it, each size is tried, as bbolt does.
    let sizes = match &first {
        Some(first) => first.page_size..=first.page_size,
        None => PAGE_SIZES,
    };
    let mut newest = first;
    for size in sizes.filter(|size| size.is_power_of_two()) {
        let second = meta(file, length, u64::from(size))?.filter(|meta| meta.page_size == size);
        let is_newer = |meta: &Meta| newest.as_ref().is_none_or(|newest| meta.txid > newest.txid);
        newest = second.filter(is_newer).or(newest);
    }
    newest.ok_or_else(|| form("neither of its two first pages is a whole meta page".into()))
}

fn meta<F: ReadAt + ?Sized>(file: &F, length: u64, page_at: u64) -> Result<Option<Meta>, ReadError> {
    if page_at + HEADER + META as u64 > length {
        return Ok(None);
    }
    let mut bytes = [0; META];
    file.read_at(&mut bytes, page_at + HEADER)?;
    let page_size = u32_at(&bytes, 8);
    let fits = PAGE_SIZES.contains(&page_size) && page_size.is_power_of_two();
    let known = u32_at(&bytes, 0) == MAGIC && u32_at(&bytes, 4) == VERSION;
    let whole = fnv1a(&bytes[..META - 8]) == u64_at(&bytes, META - 8);
    let [root, pages, txid] = [16, 40, 48].map(|at| u64_at(&bytes, at));
    Ok((known && fits && whole).then_some(Meta { page_size, root, pages, txid }))
}

pub(super) fn form(why: String) -> ReadError {
    ReadError::Form(why)
}

/// Little endian, of any width; the callers' places are constants within their arrays.
fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    bytes.iter().skip(at).take(width).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    number(bytes, at, 2) as u16
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    number(bytes, at, 4) as u32
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    number(bytes, at, 8)
}
