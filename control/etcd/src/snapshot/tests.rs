//! What is written is read again by a reader of its own, for any entries; etcd's own tools are asked in
//! tests/snapshot_twin.rs.

use super::strict::{Entries, read};
use super::{Auth, BoltWriter, Error, Member, Meta, page, trailer, write};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::Cursor;

pub(super) fn file_of(buckets: &[(&str, Entries)]) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let mut bolt = BoltWriter::create(&mut file).unwrap();
    for (name, entries) in buckets {
        let mut bucket = bolt.bucket(name.as_bytes()).unwrap();
        for (key, value) in entries {
            bucket.push(key, value).unwrap();
        }
        bucket.finish().unwrap();
    }
    let length = bolt.finish().unwrap();
    assert_eq!(length, file.get_ref().len() as u64);
    file.into_inner()
}

pub(super) fn numbered(count: u64, value: usize) -> Entries {
    (0..count).map(|n| (n.to_be_bytes().to_vec(), vec![n as u8; value])).collect()
}

#[test]
fn fnv1a_has_the_published_vectors() {
    assert_eq!(page::fnv1a(b""), 0xcbf2_9ce4_8422_2325);
    assert_eq!(page::fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    assert_eq!(page::fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
}

#[test]
fn no_bucket_and_empty_buckets() {
    assert!(read(&file_of(&[])).0.is_empty());
    let (buckets, _) = read(&file_of(&[("b", Vec::new()), ("a", Vec::new())]));
    assert_eq!(buckets.keys().collect::<Vec<_>>(), [b"a", b"b"]);
}

/// Around each size at which a page, a level or the place of a bucket changes.
#[test]
fn every_number_of_entries_around_the_borders() {
    for (value, counts) in [(8, 0..700), (1000, 0..40), (900, 400..440), (4000, 120..180)] {
        for count in counts {
            let entries = numbered(count, value);
            let (buckets, _) = read(&file_of(&[("key", entries.clone())]));
            assert_eq!(buckets[&b"key"[..]], entries, "{count} entries of {value} bytes");
        }
    }
}

#[test]
fn three_levels_and_large_values() {
    let mut entries = numbered(100_000, 100);
    for (n, size) in [(0, 5_000), (50_000, 1_500_000), (99_999, 4_096)] {
        entries[n].1 = vec![7; size];
    }
    let (buckets, depth) = read(&file_of(&[("small", numbered(3, 3)), ("key", entries.clone())]));
    assert_eq!(buckets[&b"key"[..]], entries);
    assert_eq!(buckets[&b"small"[..]], numbered(3, 3));
    assert_eq!(depth, 3);
}

/// Keys of any length: branch pages run over as well.
#[test]
fn the_longest_keys() {
    let entries: Entries = (0..60u8).map(|n| ([&[n][..], &[0; 32_767]].concat(), vec![n])).collect();
    assert_eq!(read(&file_of(&[("key", entries.clone())])).0[&b"key"[..]], entries);
}

#[test]
fn hundreds_of_buckets_need_a_tree_of_their_own() {
    let names: Vec<String> = (0..300).map(|n| format!("bucket {n:03}")).collect();
    let buckets: Vec<(&str, Entries)> =
        names.iter().rev().map(|name| (name.as_str(), numbered(5, 50))).collect();
    let (read, _) = read(&file_of(&buckets));
    assert_eq!(read.len(), 300);
    assert!(read.values().all(|entries| *entries == numbered(5, 50)));
}

#[test]
fn misuse_is_named() {
    let mut bolt = BoltWriter::create(Cursor::new(Vec::new())).unwrap();
    let mut bucket = bolt.bucket(b"key").unwrap();
    bucket.push(b"b", b"").unwrap();
    assert!(matches!(bucket.push(b"b", b""), Err(Error::Order { .. })));
    assert!(matches!(bucket.push(b"a", b""), Err(Error::Order { .. })));
    assert!(matches!(bucket.push(b"", b""), Err(Error::Size { key: 0, .. })));
    assert!(matches!(bucket.push(&[9; 32_769], b""), Err(Error::Size { key: 32_769, .. })));
    assert!(matches!(bolt.bucket(b"key"), Err(Error::Bucket { how: "begun twice", .. })));
    assert!(matches!(bolt.finish(), Err(Error::Bucket { how: "not finished", .. })));
}

#[test]
fn a_file_that_was_broken_off_has_no_meta_page() {
    let mut file = Cursor::new(Vec::new());
    let broken = [Ok((vec![1], vec![1])), Err("gone")];
    let error = write(&mut file, broken, std::iter::empty(), &Meta::default()).unwrap_err();
    assert_eq!(error.to_string(), "bucket \"key\" of the snapshot: the store yields no next entry: gone");
    assert!(file.into_inner().iter().take(8192).all(|byte| *byte == 0));
}

#[test]
fn etcds_buckets() {
    let member =
        Member { id: 0xabc, name: "n".into(), peer_urls: vec!["http://p".into()], client_urls: vec![] };
    let meta = Meta {
        consistent_index: 5,
        term: 1,
        finished_compact_rev: 2,
        cluster_version: Some("3.4.0".into()),
        members: vec![member],
        auth: Auth { users: vec![("z".into(), vec![1]), ("a".into(), vec![2])], ..Auth::default() },
        ..Meta::default()
    };
    let mut file = Cursor::new(Vec::new());
    let none = || std::iter::empty::<Result<_, Error>>();
    write(&mut file, none(), none(), &meta).unwrap();
    let (buckets, _) = read(file.get_ref());
    let text = |bucket: &str| -> Vec<(String, String)> {
        let text = |bytes: &Vec<u8>| bytes.escape_ascii().to_string();
        buckets[bucket.as_bytes()].iter().map(|(key, value)| (text(key), text(value))).collect()
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let names: Vec<_> = buckets.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    assert_eq!(
        names.join(" "),
        "alarm auth authRoles authUsers cluster key lease members members_removed meta"
    );
    assert_eq!(text("auth"), [pair("authRevision", r"\x00\x00\x00\x00\x00\x00\x00\x01")]);
    assert_eq!(text("authUsers"), [pair("a", r"\x02"), pair("z", r"\x01")]);
    assert_eq!(text("cluster"), [pair("clusterVersion", "3.4.0")]);
    assert_eq!(text("members"), [pair("abc", r#"{\"id\":2748,\"name\":\"n\",\"peerURLs\":[\"http://p\"]}"#)]);
    let zeroes = r"\x00\x00\x00\x00\x00\x00\x00";
    let expected = [
        pair("confState", r#"{\"auto_leave\":false,\"voters\":[2748]}"#),
        pair("consistent_index", &format!(r"{zeroes}\x05")),
        pair("finishedCompactRev", &format!(r"{zeroes}\x02_{zeroes}\x00")),
        pair("term", &format!(r"{zeroes}\x01")),
    ];
    assert_eq!(text("meta"), expected);
}

#[test]
fn the_hash_is_behind_the_file_and_in_the_last_chunk() {
    let file = file_of(&[("key", numbered(2_000, 100))]);
    let expected = ring::digest::digest(&ring::digest::SHA256, &file);
    let mut saved = Cursor::new(file.clone());
    assert_eq!(trailer::append(&mut saved).unwrap() % 512, trailer::LEN as u64);
    assert_eq!(&saved.get_ref()[file.len()..], expected.as_ref());
    let chunks: Vec<_> =
        trailer::Chunks::of(Cursor::new(&file), file.len() as u64).map(Result::unwrap).collect();
    assert_eq!(chunks.iter().flat_map(|chunk| &chunk.blob).copied().collect::<Vec<u8>>(), *saved.get_ref());
    assert_eq!(chunks[0].remaining_bytes, file.len() as u64 - chunks[0].blob.len() as u64);
    assert_eq!(chunks[chunks.len() - 1].blob.len(), trailer::LEN);
    let mut cut = trailer::Chunks::of(Cursor::new(&file[1..]), file.len() as u64);
    assert!(cut.by_ref().any(|chunk| chunk.is_err()));
    assert!(cut.next().is_none());
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        first in prop::collection::btree_map(prop::collection::vec(any::<u8>(), 1..40), value(), 0..400),
        second in prop::collection::btree_map(prop::collection::vec(any::<u8>(), 1..3000), value(), 0..60),
    ) {
        let entries = |map: &BTreeMap<Vec<u8>, Vec<u8>>| map.clone().into_iter().collect::<Entries>();
        let (buckets, _) = read(&file_of(&[("second", entries(&second)), ("first", entries(&first))]));
        prop_assert_eq!(&buckets[&b"first"[..]], &entries(&first));
        prop_assert_eq!(&buckets[&b"second"[..]], &entries(&second));
    }
}

/// Mostly small, some beyond one page, some beyond several.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![8 => 0..300usize, 2 => 3_900..4_300usize, 1 => 8_000..20_000usize];
    (any::<u8>(), length).prop_map(|(byte, length)| vec![byte; length])
}
