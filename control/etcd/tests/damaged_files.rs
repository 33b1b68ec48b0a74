//! Whatever has happened to the data file, opening it gives an error that names the file, or a store that
//! works: what a disk or a careless hand does to a file must not become a crash without a word.

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
use weft_etcd::storage::FILE_NAME;
use wire::{assert_alive, framed, open, send};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A file with history, deletions, leases and a large value: as it is while the server runs, which a kill
/// leaves behind, and as it is once the server has ended.
struct Files {
    killed: Vec<u8>,
    closed: Vec<u8>,
}

static FILES: LazyLock<Files> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
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
        let killed = std::fs::read(&file).unwrap();
        drop(client);
        etcd.stop().await;
        drop(etcd);
        Files { killed, closed: std::fs::read(&file).unwrap() }
    })
});

/// Opens a file with these bytes and works with it; or an error says which file it is.
fn survives(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE_NAME);
    std::fs::write(&file, bytes).unwrap();
    panics::none_during(|| RUNTIME.block_on(opened(folder.path(), &file)));
}

async fn opened(folder: &Path, file: &Path) {
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
            let text = why.to_string();
            assert!(text.contains(&file.display().to_string()), "the message does not name the file: {text}");
        }
    }
}

/// Damage of a whole file, as disks do it: of pages, of the header that the first page is, and cuts.
#[derive(Debug, Clone)]
enum PageDamage {
    Bytes(Vec<Damage>),
    /// The first bytes, where redb's header is.
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

/// One test, so that panics are counted for it alone.
#[test]
fn any_file_is_refused_by_name_or_served() {
    survives(&FILES.killed);
    survives(&FILES.closed);
    let config = ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(bytes in prop::collection::vec(any::<u8>(), 1..20_000))| survives(&bytes));
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(damage in page_damage())| survives(&damage.done_to(FILES.killed.clone())));
}

/// The same for a file that was closed: its pages redb believes when it opens it.
#[test]
fn a_closed_file_is_refused_by_name_or_served() {
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(damage in page_damage())| survives(&damage.done_to(FILES.closed.clone())));
}
