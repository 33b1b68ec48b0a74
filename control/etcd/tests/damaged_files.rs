//! Whatever has happened to the data file or its log, opening gives an error that names the file, or a store
//! that works: what a disk or a careless hand does to a file must not become a crash without a word.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod damage;
mod panics;
mod wire;

use damage::{Damage, damage};
use proptest::prelude::*;
use std::path::Path;
use std::sync::LazyLock;
use tokio::runtime::Runtime;
use weft_etcd::StartError;
use weft_etcd::storage::{FILE_NAME, LOG_NAME};
use wire::{assert_alive, framed, open, send};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// The data file and the log.
#[derive(Clone)]
struct Files {
    data: Vec<u8>,
    log: Vec<u8>,
}

impl Files {
    fn read(folder: &Path) -> Files {
        let read = |name| std::fs::read(folder.join(name)).unwrap();
        Files { data: read(FILE_NAME), log: read(LOG_NAME) }
    }

    fn write(&self, folder: &Path) {
        std::fs::write(folder.join(FILE_NAME), &self.data).unwrap();
        std::fs::write(folder.join(LOG_NAME), &self.log).unwrap();
    }
}

/// Files with history, deletions, leases and a large value: as they are while the server runs, which a kill
/// leaves behind, and as they are once it has ended.
static KILLED_AND_CLOSED: LazyLock<[Files; 2]> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    RUNTIME.block_on(async {
        let etcd = open(folder.path()).unwrap();
        let mut client = etcd.client().await.unwrap();
        for n in 0..300 {
            let size = if n == 100 { 100_000 } else { n };
            client.put(format!("{:03}", n % 200), vec![n as u8; size], None).await.unwrap();
        }
        client.delete("001", None).await.unwrap();
        client.lease_grant(1_000, None).await.unwrap();
        client.compact(50, None).await.unwrap();
        client.put("last", "in the log", None).await.unwrap();
        let killed = Files::read(folder.path());
        drop(client);
        etcd.stop().await;
        drop(etcd);
        [killed, Files::read(folder.path())]
    })
});

/// Opens files and works with them; or an error says which file it is.
fn survives(files: &Files) {
    let folder = tempfile::tempdir().unwrap();
    files.write(folder.path());
    panics::none_during(|| RUNTIME.block_on(opened(folder.path())));
}

async fn opened(folder: &Path) {
    match open(folder) {
        Ok(etcd) => {
            assert_alive(&etcd).await;
            // All keys; and their history, which reads every row.
            send(&etcd, "etcdserverpb.KV/Range", framed(b"\x0a\x01\0\x12\x01\0")).await;
            send(&etcd, "etcdserverpb.Maintenance/HashKV", framed(b"")).await;
            etcd.stop().await;
        }
        Err(why) => {
            assert!(matches!(&why, StartError::Damaged { .. } | StartError::File { .. }), "{why:?}");
            let (text, folder) = (why.to_string(), folder.display());
            let named = [FILE_NAME, LOG_NAME].iter().any(|name| text.contains(&format!("{folder}/{name}")));
            assert!(named, "the message names no file: {text}");
        }
    }
}

/// Damage of a whole file, as disks do it: of pages, of the header that the first page is, and cuts.
#[derive(Debug, Clone)]
enum PageDamage {
    Bytes(Vec<Damage>),
    /// The first bytes: redb's header, or the log's first records.
    Header(Vec<Damage>),
    /// A page of zeroes, which file systems leave when a write is lost.
    Lost(prop::sample::Index),
    /// A page that was written to another one's place.
    Strayed(prop::sample::Index, prop::sample::Index),
}

const PAGE: usize = 4096;

fn page_damage() -> impl Strategy<Value = PageDamage> {
    let index = any::<prop::sample::Index>;
    let some = || prop::collection::vec(damage(), 1..4);
    prop_oneof![
        some().prop_map(PageDamage::Bytes),
        some().prop_map(PageDamage::Header),
        index().prop_map(PageDamage::Lost),
        (index(), index()).prop_map(|(from, to)| PageDamage::Strayed(from, to)),
    ]
}

impl PageDamage {
    fn done_to(&self, mut file: Vec<u8>) -> Vec<u8> {
        let pages = file.len() / PAGE;
        match self {
            PageDamage::Bytes(damage) => damage.iter().fold(file, |file, damage| damage.done_to(file)),
            PageDamage::Header(damage) => {
                let header = file[..320].to_vec();
                let damaged = damage.iter().fold(header, |header, damage| damage.done_to(header));
                file.splice(..320, damaged);
                file
            }
            PageDamage::Lost(page) => {
                let at = page.index(pages) * PAGE;
                file[at..at + PAGE].fill(0);
                file
            }
            PageDamage::Strayed(from, to) => {
                let (from, to) = (from.index(pages) * PAGE, to.index(pages) * PAGE);
                file.copy_within(from..from + PAGE, to);
                file
            }
        }
    }
}

/// Runs a property; one that fails shows the damage, not the file.
fn whatever_happens(cases: u32, check: impl Fn(PageDamage)) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(damage in page_damage())| check(damage));
}

/// One test, so that panics are counted for it alone.
#[test]
fn any_file_is_refused_by_name_or_served() {
    let [killed, closed] = &*KILLED_AND_CLOSED;
    survives(killed);
    survives(closed);
    let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(data in prop::collection::vec(any::<u8>(), 1..20_000))| {
        survives(&Files { data, ..killed.clone() });
    });
    whatever_happens(100, |damage| {
        survives(&Files { log: damage.done_to(killed.log.clone()), ..killed.clone() });
    });
}

/// Damage of the data file itself, of one that was closed and one that was not.
#[test]
fn a_damaged_data_file_is_refused_by_name_or_served() {
    for files in &*KILLED_AND_CLOSED {
        whatever_happens(300, |damage| {
            survives(&Files { data: damage.done_to(files.data.clone()), ..files.clone() });
        });
    }
}
