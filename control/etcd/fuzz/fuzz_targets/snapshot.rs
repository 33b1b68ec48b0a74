//! Entries of a snapshot: pairs of a key and a value, the first two bytes of each saying how long they are.
#![no_main]

use std::collections::BTreeMap;
use std::io::Cursor;
use weft_etcd::snapshot::{Error, Meta, write};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut entries = BTreeMap::new();
    let mut rest = data;
    while let [key, value, more @ ..] = rest {
        // A byte of length stands for up to 16 KB of value: pages overflow.
        let (key, bytes) = more.split_at(usize::from(*key).min(more.len()));
        entries.insert(key.to_vec(), vec![7; usize::from(*value) * 64]);
        rest = bytes;
    }
    let mut file = Cursor::new(Vec::new());
    let leases = std::iter::empty::<Result<_, Error>>();
    let holds_empty_key = entries.contains_key(&b""[..]);
    let written = write(&mut file, entries.into_iter().map(Ok::<_, Error>), leases, &Meta::default());
    match written {
        Ok(length) => assert_eq!((length, length % 4096), (file.get_ref().len() as u64, 0)),
        Err(why) => assert!(holds_empty_key, "{why}"),
    }
});
