//! A reader of bbolt files that checks the writer: what bbolt relies on, and that no page is lost.
//!
//! The production reader takes what any bbolt wrote, with free pages for one; this one is stricter. Written from
//! bbolt's page.go, not from `page.rs`: offsets are spelled out, so that a slip in one of them does not hide in a shared
//! constant.

use super::page::fnv1a;
use std::collections::BTreeMap;

/// Entries of a bucket in the order of the file.
pub(super) type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// A database in memory.
pub(super) struct Reader<'a> {
    file: &'a [u8],
    /// How often each page is used.
    used: Vec<u32>,
    /// Greatest number of levels of a bucket.
    pub(super) depth: usize,
}

fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    bytes[at..at + size].iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

/// All buckets of a file, whose every page must be in use exactly once; and the depth of the deepest tree.
pub(super) fn read(file: &[u8]) -> (BTreeMap<Vec<u8>, Entries>, usize) {
    let meta = [0, 4096].map(|at| &file[at + 16..at + 80]).into_iter().inspect(|meta| check_meta(meta));
    let meta = meta.max_by_key(|meta| number(meta, 48, 8)).unwrap();
    assert_eq!(number(meta, 40, 8) * 4096, file.len() as u64, "the file ends with its last page");
    let mut reader = Reader { file, used: vec![0; file.len() / 4096], depth: 0 };
    let free_list = reader.page(number(meta, 32, 8));
    assert_eq!((number(free_list, 8, 2), number(free_list, 10, 2)), (0x10, 0));
    let mut root = Vec::new();
    reader.walk(number(meta, 16, 8), 1, &mut root);
    reader.depth = 0;
    let mut buckets = BTreeMap::new();
    for (flags, name, value) in root {
        assert_eq!(flags, 1, "the root bucket holds buckets only");
        let mut entries = Vec::new();
        match number(&value, 0, 8) {
            0 => leaf(&value[16..], &mut entries),
            page => reader.walk(page, 1, &mut entries),
        }
        assert!(entries.iter().all(|(flags, ..)| *flags == 0));
        buckets.insert(name, entries.into_iter().map(|(_, key, value)| (key, value)).collect());
    }
    assert!(reader.used[2..].iter().all(|times| *times == 1), "a page is lost, or in use twice");
    (buckets, reader.depth)
}

fn check_meta(meta: &[u8]) {
    assert_eq!((number(meta, 0, 4), number(meta, 4, 4), number(meta, 8, 4)), (0xED0CDAED, 2, 4096));
    assert_eq!(number(meta, 56, 8), fnv1a(&meta[..56]));
}

type Flagged = Vec<(u64, Vec<u8>, Vec<u8>)>;

impl Reader<'_> {
    /// A page with those behind it that it runs on over.
    fn page(&mut self, id: u64) -> &[u8] {
        let at = id as usize * 4096;
        assert_eq!(number(self.file, at, 8), id, "a page knows its id");
        let overflow = number(self.file, at + 12, 4) as usize;
        self.used[id as usize..=id as usize + overflow].iter_mut().for_each(|times| *times += 1);
        &self.file[at..at + (1 + overflow) * 4096]
    }

    fn walk(&mut self, id: u64, level: usize, into: &mut Flagged) {
        self.depth = self.depth.max(level);
        let page = self.page(id).to_vec();
        if number(&page, 8, 2) == 2 {
            return leaf(&page, into);
        }
        assert_eq!(number(&page, 8, 2), 1, "a branch page");
        let count = number(&page, 10, 2) as usize;
        assert!(count >= 2, "bbolt panics when the only child of a branch page becomes empty");
        for at in (0..count).map(|number| 16 + 16 * number) {
            let key = at + number(&page, at, 4) as usize;
            let key = &page[key..key + number(&page, at + 4, 4) as usize];
            let before = into.len();
            self.walk(number(&page, at + 8, 8), level + 1, into);
            assert_eq!(into[before].1, key, "a branch's key is its child's first");
        }
    }
}

fn leaf(page: &[u8], into: &mut Flagged) {
    assert_eq!(number(page, 8, 2), 2, "a leaf page");
    for at in (0..number(page, 10, 2) as usize).map(|number| 16 + 16 * number) {
        let [flags, pos, key, value] = [0, 4, 8, 12].map(|offset| number(page, at + offset, 4) as usize);
        let data = &page[at + pos..at + pos + key + value];
        into.push((flags as u64, data[..key].to_vec(), data[key..].to_vec()));
    }
}
