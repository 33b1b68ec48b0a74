//! Ours to a snapshot to ours: the second server is the first one again, with its past and its leases.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use etcd_client::{
    Client, CompactionOptions, GetOptions, LeaseTimeToLiveOptions, PutOptions, Txn, TxnOp, WatchOptions,
};
use prometheus_client::registry::Registry;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use weft_etcd::snapshot::{self, Auth, Meta, trailer};
use weft_etcd::{AutoCompaction, Config, Etcd, Restored, StartError, restore};

/// Up to which the first server is compacted.
const COMPACTED: i64 = 40;

struct Folder(tempfile::TempDir);

impl Folder {
    fn empty() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("snapshot.db")
    }

    fn start(&self) -> Result<Etcd, StartError> {
        let config = Config { auto_compaction: AutoCompaction::Off, ..Config::of(self.data()) };
        Etcd::open(config, &mut Registry::default())
    }

    fn refused(&self) -> String {
        restore(&self.data(), &self.file()).unwrap_err().to_string()
    }
}

/// Keys with history, deletions, transactions, a compaction, and two leases.
async fn fill(client: &mut Client) {
    for (id, ttl) in [(7, 1_000), (-9, 5_000)] {
        let options = etcd_client::LeaseGrantOptions::new().with_id(id);
        client.lease_grant(ttl, Some(options)).await.unwrap();
    }
    for round in 0..100 {
        let (key, value) = (format!("key{}", round % 13), vec![b'x'; round * 97 % 9_000]);
        let lease = [0, 7, 0, -9][round % 4];
        let options = PutOptions::new().with_lease(lease);
        client.put(key.as_str(), value, Some(options)).await.unwrap();
        if round % 9 == 0 {
            client.delete(key.as_str(), None).await.unwrap();
        }
        if round % 10 == 0 {
            let steps = [TxnOp::put("t/1", key.as_str(), None), TxnOp::put("t/2", key, None)];
            client.txn(Txn::new().and_then(steps)).await.unwrap();
        }
    }
    client.compact(COMPACTED, Some(CompactionOptions::new().with_physical())).await.unwrap();
}

async fn save(client: &mut Client, file: &Path) {
    let mut stream = client.snapshot().await.unwrap();
    let mut file = File::create(file).unwrap();
    while let Some(message) = stream.message().await.unwrap() {
        file.write_all(message.blob()).unwrap();
    }
}

/// What clients see: hash, revision, keys at each revision, leases; and every event of history.
#[derive(Debug, PartialEq)]
struct Seen {
    hash: u32,
    revision: i64,
    keys: Vec<String>,
    leases: Vec<(i64, i64, Vec<Vec<u8>>)>,
    events: Vec<String>,
}

async fn see(client: &mut Client) -> (Seen, Vec<i64>) {
    let hash = client.hash_kv(0).await.unwrap();
    let revision = hash.header().unwrap().revision();
    let mut keys = Vec::new();
    for at in COMPACTED..=revision {
        let options = GetOptions::new().with_all_keys().with_revision(at);
        keys.push(format!("{:?}", client.get("", Some(options)).await.unwrap().kvs()));
    }
    let old = GetOptions::new().with_revision(COMPACTED - 1);
    assert!(client.get("a", Some(old)).await.unwrap_err().to_string().contains("has been compacted"));
    let (mut leases, mut left) = (Vec::new(), Vec::new());
    for id in [-9, 7] {
        let options = LeaseTimeToLiveOptions::new().with_keys();
        let lease = client.lease_time_to_live(id, Some(options)).await.unwrap();
        leases.push((id, lease.granted_ttl(), lease.keys().to_vec()));
        left.push(lease.ttl());
    }
    let events = events(client, revision).await;
    (Seen { hash: hash.hash(), revision, keys, leases, events }, left)
}

/// All that a watch from the compaction on is told.
async fn events(client: &mut Client, until: i64) -> Vec<String> {
    let options = WatchOptions::new().with_all_keys().with_start_revision(COMPACTED);
    let mut watch = client.watch("", Some(options)).await.unwrap();
    let mut events = Vec::new();
    let mut newest = 0;
    while newest < until {
        let message = tokio::time::timeout(Duration::from_secs(20), watch.message()).await.unwrap();
        for event in message.unwrap().unwrap().events() {
            newest = event.kv().unwrap().mod_revision();
            events.push(format!("{event:?}"));
        }
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_what_its_snapshot_was() {
    let (first, second) = (Folder::empty(), Folder::empty());
    let etcd = first.start().unwrap();
    let mut client = etcd.client().await.unwrap();
    fill(&mut client).await;
    let (before, left_before) = see(&mut client).await;
    save(&mut client, &second.file()).await;
    let all = client.get("", Some(GetOptions::new().with_all_keys())).await.unwrap();
    let keys = usize::try_from(all.count()).unwrap();
    etcd.stop().await;

    let restored = restore(&second.data(), &second.file()).unwrap();
    assert_eq!(restored, Restored { revision: before.revision, keys, leases: 2, users: 0 });
    let mut names: Vec<_> =
        fs::read_dir(second.data()).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["weft-etcd.log", "weft-etcd.redb"]);

    let mut etcd = second.start().unwrap();
    for start in 0..2 {
        let mut client = etcd.client().await.unwrap();
        let (after, left) = see(&mut client).await;
        assert_eq!(after, before, "start {start}");
        for (left, before) in left.iter().zip(&left_before) {
            assert!((before - 1..=before + 1).contains(left), "{left} of {before} s are left");
        }
        etcd.stop().await;
        drop((etcd, client));
        etcd = second.start().unwrap();
    }
    goes_on(&mut etcd.client().await.unwrap(), before.revision).await;
    etcd.stop().await;
}

async fn goes_on(client: &mut Client, revision: i64) {
    let put = client.put("after", "1", None).await.unwrap();
    assert_eq!(put.header().unwrap().revision(), revision + 1);
    client.lease_revoke(7).await.unwrap();
    client.compact(revision + 1, Some(CompactionOptions::new().with_physical())).await.unwrap();
    assert_eq!(client.get("after", None).await.unwrap().kvs().len(), 1);
}

/// A snapshot without a server: rows, leases, and the rest.
fn write(file: &Path, rows: &[(Vec<u8>, Vec<u8>)], leases: &[(Vec<u8>, Vec<u8>)], meta: &Meta) {
    let mut open = File::options().create(true).truncate(true).read(true).write(true).open(file).unwrap();
    let fine = |entries: &[(Vec<u8>, Vec<u8>)]| {
        entries.iter().cloned().map(Ok::<_, snapshot::Error>).collect::<Vec<_>>()
    };
    snapshot::write(&mut open, fine(rows), fine(leases), meta).unwrap();
    trailer::append(&mut open).unwrap();
}

fn row(main: u64, mark: &[u8], kv: &[u8]) -> (Vec<u8>, Vec<u8>) {
    ([&main.to_be_bytes()[..], b"_", &[0; 8], mark].concat(), kv.to_vec())
}

/// A put of "a" to "b", as mvccpb.KeyValue.
const PUT: &[u8] = &[10, 1, b'a', 16, 2, 24, 2, 32, 1, 42, 1, b'b'];

#[test]
fn an_empty_snapshot_and_a_compacted_one() {
    for (compacted, revision) in [(0, 1), (5, 5)] {
        let folder = Folder::empty();
        let meta = Meta { scheduled_compact_rev: compacted, ..Meta::default() };
        write(&folder.file(), &[], &[], &meta);
        let restored = restore(&folder.data(), &folder.file()).unwrap();
        assert_eq!(restored, Restored { revision, keys: 0, leases: 0, users: 0 });
    }
}

#[test]
fn a_lease_without_checkpoint_has_its_whole_time() {
    let folder = Folder::empty();
    let lease = (5i64.to_be_bytes().to_vec(), vec![8, 5, 16, 60]);
    write(&folder.file(), &[row(2, b"", PUT), row(3, b"t", &[10, 1, b'a'])], &[lease], &Meta::default());
    let restored = restore(&folder.data(), &folder.file()).unwrap();
    assert_eq!(restored, Restored { revision: 3, keys: 0, leases: 1, users: 0 });
}

#[test]
fn a_folder_with_data_is_left_alone() {
    let folder = Folder::empty();
    write(&folder.file(), &[row(2, b"", PUT)], &[], &Meta::default());
    for name in ["weft-etcd.redb", "weft-etcd.log"] {
        let _ = fs::remove_dir_all(folder.data());
        fs::create_dir(folder.data()).unwrap();
        fs::write(folder.data().join(name), "mine").unwrap();
        let told = folder.refused();
        assert!(told.contains(name) && told.contains("leave --restore-from away"), "{told}");
        assert_eq!(fs::read(folder.data().join(name)).unwrap(), b"mine");
        assert_eq!(fs::read_dir(folder.data()).unwrap().count(), 1);
    }
    fs::create_dir(folder.data().join("member")).unwrap();
    assert!(folder.refused().contains("the data of an etcd server"));
}

#[tokio::test]
async fn a_restore_that_was_broken_off_is_no_data() {
    let folder = Folder::empty();
    fs::create_dir(folder.data()).unwrap();
    let half = folder.data().join("weft-etcd.redb.restoring");
    fs::write(folder.data().join("weft-etcd.log"), [0; 4096]).unwrap();
    fs::write(&half, vec![7; 100_000]).unwrap();
    let told = folder.start().unwrap_err().to_string();
    assert!(told.contains("broken off") && told.contains("--restore-from"), "{told}");
    write(&folder.file(), &[row(2, b"", PUT)], &[], &Meta::default());
    assert_eq!(restore(&folder.data(), &folder.file()).unwrap().keys, 1);
    assert!(!half.exists());
    let etcd = folder.start().unwrap();
    assert_eq!(etcd.client().await.unwrap().get("a", None).await.unwrap().kvs()[0].value(), b"b");
    etcd.stop().await;
}

#[test]
fn a_file_that_is_not_whole_is_refused_before_anything_is_made() {
    let folder = Folder::empty();
    write(&folder.file(), &[row(2, b"", PUT)], &[], &Meta::default());
    let whole = fs::read(folder.file()).unwrap();
    let mut flipped = whole.clone();
    flipped[3 * 4096 + 20] ^= 1;
    let cases = [
        (&whole[..whole.len() - 32], "no SHA-256 is behind it"),
        (&whole[..whole.len() - 512], "its SHA-256 is not the one"),
        (&flipped[..], "its SHA-256 is not the one"),
        (b"", "no SHA-256 is behind it"),
    ];
    for (bytes, expected) in cases {
        fs::write(folder.file(), bytes).unwrap();
        let told = folder.refused();
        assert!(told.contains(expected) && told.contains("snapshot.db is not restored"), "{told}");
    }
    let mut other = std::io::Cursor::new(vec![7; 4096]);
    trailer::append(&mut other).unwrap();
    fs::write(folder.file(), other.into_inner()).unwrap();
    assert!(folder.refused().contains("no bbolt file"));
    fs::remove_file(folder.file()).unwrap();
    assert!(folder.refused().contains("cannot read"));
    assert!(!folder.data().exists());
}

#[test]
fn what_etcd_does_not_write_is_refused() {
    let folder = Folder::empty();
    let lease = |key: i64, row: &[u8]| (key.to_be_bytes().to_vec(), row.to_vec());
    let cases = [
        (vec![(b"short".to_vec(), PUT.to_vec())], vec![], "is no revision"),
        (vec![row(1 << 63, b"", PUT)], vec![], "cannot come here"),
        (vec![row(2, b"", PUT), row(2, b"t", &[10, 1, b'a'])], vec![], "cannot come here"),
        (vec![row(2, b"", &[0xFF])], vec![], "the row of revision 2.0"),
        (vec![row(2, b"", &[16, 2])], vec![], "is a change of no key"),
        (vec![], vec![lease(5, &[8, 6, 16, 60])], "is of lease 6"),
        (vec![], vec![lease(5, &[0xFF])], "bucket \"lease\""),
    ];
    for (rows, leases, expected) in cases {
        write(&folder.file(), &rows, &leases, &Meta::default());
        let told = folder.refused();
        assert!(told.contains(expected), "{told}");
    }
    assert!(!folder.data().exists());
}

#[test]
fn users_in_force_are_refused_and_others_are_told_of() {
    let folder = Folder::empty();
    let users = vec![("root".to_owned(), vec![1])];
    let mut auth = Auth { enabled: true, revision: 3, users, roles: Vec::new() };
    let meta = |auth: &Auth| Meta { auth: auth.clone(), ..Meta::default() };
    write(&folder.file(), &[], &[], &meta(&auth));
    let told = folder.refused();
    assert!(told.contains("authentication is on in it (1 users and roles)"), "{told}");
    assert!(!folder.data().exists());
    auth.enabled = false;
    write(&folder.file(), &[], &[], &meta(&auth));
    assert_eq!(restore(&folder.data(), &folder.file()).unwrap().users, 1);
}
