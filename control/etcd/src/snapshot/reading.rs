//! The reader against the writer, against layouts that only bbolt makes, and against damage of every kind.

use super::page::{LeafPage, MetaPage, PAGE_SIZE, empty_free_list};
use super::strict::Entries;
use super::tests::{file_of, numbered};
use super::{Bucket, Item, ReadError, Reader};
use proptest::prelude::*;

/// The values of a bucket and of all buckets in it, under their path; of buckets in buckets, two levels, since damaged
/// ones may lie in each other for ever.
fn all(reader: &Reader<'_, [u8]>, bucket: Bucket, path: &[u8], into: &mut Entries) -> Result<(), ReadError> {
    for entry in reader.entries(bucket) {
        let entry = entry?;
        let path = [path, b"/", &entry.key].concat();
        match entry.item {
            Item::Value(value) => into.push((path, value)),
            Item::Bucket(bucket) if path.iter().filter(|byte| **byte == b'/').count() < 3 => {
                all(reader, bucket, &path, into)?
            }
            Item::Bucket(_) => {}
        }
    }
    Ok(())
}

fn read(file: &[u8]) -> Result<Entries, ReadError> {
    let reader = Reader::open(file, file.len() as u64)?;
    let mut entries = Vec::new();
    all(&reader, reader.root(), b"", &mut entries)?;
    Ok(entries)
}

fn under(name: &str, entries: &Entries) -> Entries {
    let path = |key: &[u8]| [b"/", name.as_bytes(), b"/", key].concat();
    entries.iter().map(|(key, value)| (path(key), value.clone())).collect()
}

fn refused(file: &[u8]) -> String {
    read(file).unwrap_err().to_string()
}

/// With new checksums, so that what is behind them is reached.
fn seal(file: &mut [u8]) {
    for page in [0, PAGE_SIZE] {
        let sum = super::page::fnv1a(&file[page + 16..page + 72]);
        file[page + 72..page + 80].copy_from_slice(&sum.to_le_bytes());
    }
}

#[test]
fn what_is_written_is_read() {
    for count in [0, 1, 20, 700, 30_000] {
        let (first, second) = (numbered(count, 90), numbered(count / 100, 5_000));
        let file = file_of(&[("a", first.clone()), ("b", second.clone())]);
        assert_eq!(read(&file).unwrap(), [under("a", &first), under("b", &second)].concat());
    }
}

/// A bucket within a bucket, both inline or not, and pages of another size.
#[test]
fn buckets_lie_in_buckets() {
    let mut inner = LeafPage::default();
    inner.push(0, b"k", b"v");
    let inline = [&[0; 16][..], &inner.inline()].concat();
    let mut outer = LeafPage::default();
    outer.push(1, b"inner", &inline);
    outer.push(0, b"plain", b"1");
    let mut root = LeafPage::default();
    root.push(1, b"outer", &[4u64.to_le_bytes(), [0; 8]].concat());
    let meta = |id| MetaPage { root: 3, free_list: 2, next: 5, txid: id }.encode(id);
    let file = [meta(0), meta(1), empty_free_list(2), root.encode(3), outer.encode(4)].concat();
    let expected = [(b"/outer/inner/k".to_vec(), b"v".to_vec()), (b"/outer/plain".to_vec(), b"1".to_vec())];
    assert_eq!(read(&file).unwrap(), expected);
}

#[test]
fn the_newer_whole_meta_page_counts() {
    let entries = numbered(300, 100);
    let file = file_of(&[("a", entries.clone())]);
    for page in [0, PAGE_SIZE] {
        let mut damaged = file.clone();
        damaged[page + 40] ^= 1;
        assert_eq!(read(&damaged).unwrap(), under("a", &entries), "without meta page at {page}");
        let mut older = file.clone();
        // A root that is not there, in the older of both.
        older[page + 32] = 0xFF;
        older[page + 64..page + 72].fill(0);
        let other = PAGE_SIZE - page;
        older[other + 64..other + 72].copy_from_slice(&7u64.to_le_bytes());
        seal(&mut older);
        assert_eq!(read(&older).unwrap(), under("a", &entries), "older meta page at {page}");
    }
}

#[test]
fn damage_is_named() {
    let file = file_of(&[("a", numbered(3_000, 100))]);
    assert!(refused(&[]).contains("neither of its two first pages"));
    assert!(refused(&file[..file.len() - PAGE_SIZE]).contains("it should have"));
    let with = |at: usize, bytes: &[u8]| {
        let mut file = file.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        seal(&mut file);
        refused(&file)
    };
    let first_leaf = 3 * PAGE_SIZE;
    assert!(with(first_leaf, &[9]).contains("says that it is page 9"));
    assert!(with(first_leaf + 8, &[4]).contains("of the kind 0x4"));
    assert!(with(first_leaf + 10, &[0, 0]).contains("is empty"));
    assert!(with(first_leaf + 10, &[0xFF, 0xFF]).contains("no room"));
    assert!(with(first_leaf + 16 + 12, &[0xFF; 4]).contains("outside of its room"));
    assert!(with(first_leaf + 16 + 20, &[0; 4]).contains("outside of its room"));
    assert!(with(PAGE_SIZE + 32, &[0; 8]).contains("names page 0"));
    // The branch above the leaves, made to name one of them twice.
    let branch = (4..file.len() / PAGE_SIZE).find(|page| file[page * PAGE_SIZE + 8] == 1).unwrap();
    assert!(with(branch * PAGE_SIZE + 16 + 16 + 8, &[3]).contains("do not ascend"));
}

proptest! {
    /// Any bytes in a file that was whole: an error or entries, never a panic, never without end.
    #[test]
    fn no_damage_makes_it_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        aimed in prop::collection::vec((0usize..12, 0usize..96, any::<u8>()), 0..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut file = file_of(&[("a", numbered(150, 100)), ("b", numbered(4, 6_000)), ("c", numbered(3, 3))]);
        let length = file.len();
        changes.iter().for_each(|(at, byte)| file[at.index(length)] = *byte);
        // Where headers and elements are.
        for (page, at, byte) in aimed {
            file[(page * PAGE_SIZE + at) % length] = byte;
        }
        seal(&mut file);
        file.truncate(cut.map_or(length, |cut| cut.index(length)));
        let _ = read(&file);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..9_000)) {
        let _ = read(&bytes);
    }
}
