//! A bbolt file, written from front to back.
//!
//! ```text
//! page 0     1     2          3 …                                     next
//!     │ meta │ meta │ free list │ bucket after bucket │ root bucket's tree │
//! ```
//!
//! Nothing but the meta pages is written twice, and those last: a file whose writing was broken off begins
//! with zeroes, which bbolt refuses ("invalid database"). Buckets may come in any order; the root bucket,
//! a tree of their names, is written at the end.

use super::Error;
use super::page::{BUCKET_FLAG, MetaPage, PAGE_SIZE, empty_free_list};
use super::tree::{Root, Tree};
use std::collections::BTreeMap;
use std::io::{BufWriter, Seek, SeekFrom, Write};

const FREE_LIST: u64 = 2;
const FIRST: u64 = 3;

/// bbolt's MaxKeySize and MaxValueSize.
const KEY_MAX: usize = 32_768;
const VALUE_MAX: usize = (1 << 31) - 2;

/// Gives out page ids and writes the pages in that order.
pub(super) struct Pages<F: Write + Seek> {
    file: BufWriter<F>,
    next: u64,
}

impl<F: Write + Seek> Pages<F> {
    /// Writes the page, or pages, that `encode` makes for its id.
    pub(super) fn append(&mut self, encode: impl FnOnce(u64) -> Vec<u8>) -> Result<u64, Error> {
        let id = self.next;
        let bytes = encode(id);
        self.file.write_all(&bytes).map_err(Error::file("cannot write a page"))?;
        self.next += (bytes.len() / PAGE_SIZE) as u64;
        Ok(id)
    }
}

/// Writes a bbolt database of one level of buckets.
pub struct BoltWriter<F: Write + Seek> {
    pages: Pages<F>,
    buckets: BTreeMap<Vec<u8>, Option<Root>>,
}

impl<F: Write + Seek> BoltWriter<F> {
    /// Begins a database in an empty file.
    ///
    /// ```
    /// use weft_etcd::snapshot::BoltWriter;
    /// let mut file = std::io::Cursor::new(Vec::new());
    /// let mut bolt = BoltWriter::create(&mut file)?;
    /// let mut bucket = bolt.bucket(b"key")?;
    /// bucket.push(b"a", b"1")?;
    /// bucket.finish()?;
    /// assert_eq!(bolt.finish()?, file.into_inner().len() as u64);
    /// # Ok::<(), weft_etcd::snapshot::Error>(())
    /// ```
    pub fn create(file: F) -> Result<Self, Error> {
        let mut file = BufWriter::with_capacity(64 * PAGE_SIZE, file);
        let front = vec![0; FREE_LIST as usize * PAGE_SIZE];
        file.write_all(&front).map_err(Error::file("cannot begin it"))?;
        let mut pages = Pages { file, next: FREE_LIST };
        pages.append(empty_free_list)?;
        debug_assert_eq!(pages.next, FIRST);
        Ok(BoltWriter { pages, buckets: BTreeMap::new() })
    }

    /// Begins a bucket; its entries must come in ascending order of their keys.
    pub fn bucket(&mut self, name: &[u8]) -> Result<BucketWriter<'_, F>, Error> {
        let shown = String::from_utf8_lossy(name).into_owned();
        limits(&shown, name, &[])?;
        if self.buckets.insert(name.to_vec(), None).is_some() {
            return Err(Error::Bucket { bucket: shown, how: "begun twice" });
        }
        let tree = Tree::default();
        Ok(BucketWriter { bolt: self, name: name.to_vec(), shown, tree, last: Vec::new() })
    }

    /// Writes the root bucket and the meta pages; the file's length in bytes.
    ///
    /// It is for the caller to sync the file, should it have to survive the machine.
    pub fn finish(mut self) -> Result<u64, Error> {
        let mut tree = Tree::default();
        for (name, root) in &self.buckets {
            let Some(root) = root else {
                let bucket = String::from_utf8_lossy(name).into_owned();
                return Err(Error::Bucket { bucket, how: "not finished" });
            };
            tree.push(&mut self.pages, BUCKET_FLAG, name, &root.bucket_value())?;
        }
        let Root::Page(root) = tree.finish(&mut self.pages, false)? else {
            unreachable!("the root bucket has no parent to lie in");
        };
        let Pages { mut file, next } = self.pages;
        file.seek(SeekFrom::Start(0)).map_err(Error::file("cannot go back to its first page"))?;
        for id in 0..FREE_LIST {
            let meta = MetaPage { root, free_list: FREE_LIST, next, txid: id };
            file.write_all(&meta.encode(id)).map_err(Error::file("cannot write a meta page"))?;
        }
        file.flush().map_err(Error::file("cannot write its last bytes"))?;
        Ok(next * PAGE_SIZE as u64)
    }
}

/// Writes one bucket of a [`BoltWriter`].
#[must_use = "a bucket is part of the file once it is finished"]
pub struct BucketWriter<'a, F: Write + Seek> {
    bolt: &'a mut BoltWriter<F>,
    name: Vec<u8>,
    /// The name for messages.
    shown: String,
    tree: Tree,
    last: Vec<u8>,
}

impl<F: Write + Seek> BucketWriter<'_, F> {
    /// Adds an entry behind all others.
    pub fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        limits(&self.shown, key, value)?;
        if key <= self.last.as_slice() {
            let (bucket, previous) = (self.shown.clone(), self.last.clone());
            return Err(Error::Order { bucket, key: key.to_vec(), previous });
        }
        self.last.clear();
        self.last.extend_from_slice(key);
        self.tree.push(&mut self.bolt.pages, 0, key, value)
    }

    /// Ends the bucket.
    pub fn finish(self) -> Result<(), Error> {
        let root = self.tree.finish(&mut self.bolt.pages, true)?;
        self.bolt.buckets.insert(self.name, Some(root));
        Ok(())
    }
}

fn limits(bucket: &str, key: &[u8], value: &[u8]) -> Result<(), Error> {
    match (1..=KEY_MAX).contains(&key.len()) && value.len() <= VALUE_MAX {
        true => Ok(()),
        false => Err(Error::Size { bucket: bucket.to_owned(), key: key.len(), value: value.len() }),
    }
}
