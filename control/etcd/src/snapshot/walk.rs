//! The entries of a bucket, one after the other.
//!
//! ```text
//! path:  branch, child 2 of 9 ─> branch, child 0 of 4 ─> leaf, entry 17 of 31       one page of each level
//! ```
//!
//! Two rules of bbolt's make every walk end, even in a file that was made to deceive: keys ascend through the whole
//! bucket, and no page below the root is empty. So a page that is reached twice is found out by its first key. In a
//! leaf, data lie in the order of the elements, so that no byte is read twice.

use super::reader::{Bucket, HEADER, Kind, Page, ReadAt, ReadError, Reader, Root, form, u32_at, u64_at};

/// Most levels of a tree: each branch has two children or more.
const DEPTH: usize = 32;

/// bbolt's MaxKeySize.
const KEY_MAX: u64 = 32_768;

/// The flag of an element that is a bucket.
const BUCKET: u32 = 1;

/// Root id and sequence, before a bucket's inline page.
const BUCKET_HEADER: usize = 16;

/// An entry of a bucket.
#[derive(Debug)]
pub struct Entry {
    /// Its key.
    pub key: Vec<u8>,
    /// What is under it.
    pub item: Item,
}

/// What a bucket holds under a key.
#[derive(Debug)]
pub enum Item {
    /// Bytes.
    Value(Vec<u8>),
    /// A bucket in the bucket.
    Bucket(Bucket),
}

/// A page on the way down.
#[derive(Debug)]
struct Step {
    page: Page,
    next: u64,
    /// Where data of the next element may begin.
    floor: u64,
}

/// See [`Reader::entries`].
#[derive(Debug)]
pub struct Entries<'r, 'a, F: ?Sized> {
    reader: &'r Reader<'a, F>,
    path: Vec<Step>,
    /// Where to begin, until begun.
    root: Option<Root>,
    last: Vec<u8>,
}

impl<'r, 'a, F: ReadAt + ?Sized> Entries<'r, 'a, F> {
    pub(super) fn of(reader: &'r Reader<'a, F>, bucket: Bucket) -> Self {
        Entries { reader, path: Vec::new(), root: Some(bucket.0), last: Vec::new() }
    }

    fn begin(&mut self, root: Root) -> Result<(), ReadError> {
        let page = match root {
            Root::Page(id) => self.reader.page(id)?,
            Root::Inline { at, length } => self.reader.inline(at, length)?,
        };
        self.enter(page);
        Ok(())
    }

    fn enter(&mut self, page: Page) {
        self.path.push(Step { page, next: 0, floor: HEADER * (1 + page.count) });
    }

    fn step(&mut self) -> Result<Option<Entry>, ReadError> {
        while let Some(step) = self.path.last_mut() {
            let (page, at) = (step.page, HEADER * (1 + step.next));
            if step.next == page.count {
                self.path.pop();
                continue;
            }
            step.next += 1;
            let element = self.reader.element(page.at + at)?;
            match page.kind {
                Kind::Leaf => return self.entry(page, at, &element).map(Some),
                Kind::Branch => self.descend(u64_at(&element, 8))?,
            }
        }
        Ok(None)
    }

    fn descend(&mut self, id: u64) -> Result<(), ReadError> {
        let page = self.reader.page(id)?;
        if page.count == 0 {
            return Err(form(format!("page {id} is empty")));
        }
        if self.path.len() == DEPTH {
            return Err(form(format!("page {id} is more than {DEPTH} levels deep")));
        }
        self.enter(page);
        Ok(())
    }

    /// An element of a leaf; `at` counts from the page's beginning.
    fn entry(&mut self, page: Page, at: u64, element: &[u8]) -> Result<Entry, ReadError> {
        let [flags, pos, key_length, length] = [0, 4, 8, 12].map(|field| u32_at(element, field));
        let [pos, key_length, length] = [pos, key_length, length].map(u64::from);
        let (from, end) = (at + pos, at + pos + key_length + length);
        let floor = self.path.last().map_or(0, |step| step.floor);
        if from < floor || end > page.length || !(1..=KEY_MAX).contains(&key_length) {
            return Err(form(format!("an element of page {} lies outside of its room", page.id)));
        }
        if let Some(step) = self.path.last_mut() {
            step.floor = end;
        }
        let mut key = self.reader.bytes(page.at + from, key_length + length)?;
        let value = key.split_off(key_length as usize);
        if key <= self.last {
            return Err(form(format!("the keys of page {} do not ascend", page.id)));
        }
        self.last.clone_from(&key);
        let item = match flags & BUCKET {
            0 => Item::Value(value),
            _ => Item::Bucket(bucket(&value, page.at + from + key_length)?),
        };
        Ok(Entry { key, item })
    }
}

/// The bucket whose entry has such a value, at such a place in the file.
fn bucket(value: &[u8], at: u64) -> Result<Bucket, ReadError> {
    let Some((header, inline)) = value.split_at_checked(BUCKET_HEADER) else {
        return Err(form(format!("a bucket is {} bytes long", value.len())));
    };
    Ok(Bucket(match u64_at(header, 0) {
        0 => Root::Inline { at: at + BUCKET_HEADER as u64, length: inline.len() as u64 },
        page => Root::Page(page),
    }))
}

impl<F: ReadAt + ?Sized> Iterator for Entries<'_, '_, F> {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let begun = self.root.take().map_or(Ok(()), |root| self.begin(root));
        let entry = begun.and_then(|()| self.step());
        if entry.is_err() {
            self.path.clear();
        }
        entry.transpose()
    }
}
