//! Our snapshots in the hands of real etcds: their tools show and restore the file, and their servers serve
//! all that was in it and go on working with it.
//!
//! Always with the etcd 3.4 that `cargo xtask setup` installs; with 3.5 as well if `WEFT_ETCD35_DIR` or
//! `target/etcd-3.5.1` has its programs (etcd, etcdctl, etcdutl).

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

#[path = "snapshot_twin/history.rs"]
mod history;
#[path = "snapshot_twin/release.rs"]
mod release;

use etcd_client::{Client, CompactionOptions, Error, GetOptions, KeyValue, PutOptions, proto::PbKeyValue};
use history::History;
use release::{Release, Server, releases};
use std::{fs::File, path::PathBuf};
use weft_etcd::snapshot::{self, Auth, Member, Meta, trailer};

const KEYS: usize = 5_000;

/// Entries of the buckets beside `key` and `lease`: authRevision, clusterVersion, a member, and in `meta`
/// consistent_index, term and confState.
const OTHER_ENTRIES: usize = 6;

struct Snapshot {
    file: PathBuf,
    database_bytes: u64,
    _folder: tempfile::TempDir,
}

/// Writes a history as our server does for Maintenance.Snapshot.
fn snapshot(history: &History, compacted: i64) -> Snapshot {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weft.snapshot");
    let mut open = File::options().create(true).truncate(true).read(true).write(true).open(&file).unwrap();
    let meta = Meta {
        consistent_index: 12_345,
        term: 1,
        scheduled_compact_rev: compacted,
        finished_compact_rev: compacted,
        cluster_version: Some("3.4.0".into()),
        members: vec![Member {
            id: 0x8e9e_05c5_2164_694d,
            name: "weft".into(),
            peer_urls: vec!["http://127.0.0.1:2380".into()],
            client_urls: vec!["http://127.0.0.1:2379".into()],
        }],
        auth: Auth { revision: 1, ..Auth::default() },
        ..Meta::default()
    };
    let fine = Ok::<_, snapshot::Error>;
    let (revisions, leases) = (history.revisions(compacted), history.leases());
    let database_bytes =
        snapshot::write(&mut open, revisions.into_iter().map(fine), leases.into_iter().map(fine), &meta)
            .unwrap();
    assert_eq!(trailer::append(&mut open).unwrap(), database_bytes + trailer::LEN as u64);
    Snapshot { file, database_bytes, _folder: folder }
}

#[test]
fn etcds_tools_show_what_is_in_it() {
    let history = History::of(KEYS);
    let snapshot = snapshot(&history, 0);
    for release in releases() {
        let status = release.snapshot_status(&snapshot.file);
        assert_eq!(status["revision"], history.revision(), "{release}");
        let entries = history.revisions(0).len() + history.leases().len() + OTHER_ENTRIES;
        assert_eq!(status["totalKey"], entries, "{release}");
        assert!(status["hash"].as_u64().unwrap() > 0, "{release}");
        let size = status["totalSize"].as_u64().unwrap();
        assert_eq!(size, snapshot.database_bytes, "{release}");
    }
}

#[tokio::test]
async fn an_etcd_serves_all_of_it_and_goes_on() {
    let history = History::of(KEYS);
    let snapshot = snapshot(&history, 0);
    for release in releases() {
        let server = restored(&release, &snapshot);
        let mut client = server.client().await;
        same_keys(&mut client, &history, 0, &release).await;
        // What was, as well: the past is part of a snapshot.
        for revision in [2, history.revision() / 3, history.revision() - 1] {
            same_keys(&mut client, &history, revision, &release).await;
        }
        same_leases(&mut client, &history).await;
        goes_on(&mut client, &history).await;
        drop(client);
        let server = server.restarted();
        assert_eq!(all(&mut server.client().await, 0).await.unwrap().len(), history.now().len() + 500);
    }
}

#[tokio::test]
async fn a_compacted_past_stays_compacted() {
    let history = History::of(500);
    let compacted = history.revision() / 2;
    let snapshot = snapshot(&history, compacted);
    for release in releases() {
        let server = restored(&release, &snapshot);
        let mut client = server.client().await;
        same_keys(&mut client, &history, 0, &release).await;
        same_keys(&mut client, &history, compacted, &release).await;
        let Err(Error::GRpcStatus(status)) = all(&mut client, compacted - 1).await else {
            panic!("{release} serves what was compacted");
        };
        assert!(status.message().contains("has been compacted"), "{status}");
    }
}

#[test]
fn a_flipped_byte_is_refused() {
    let snapshot = snapshot(&History::of(50), 0);
    let mut bytes = std::fs::read(&snapshot.file).unwrap();
    bytes[5 * 4096 + 100] ^= 1;
    std::fs::write(&snapshot.file, bytes).unwrap();
    for release in releases() {
        let refused = release.restore(&snapshot.file).err().unwrap();
        assert!(refused.contains("expected sha256"), "{release}: {refused}");
    }
}

/// A server on the restored file.
fn restored(release: &Release, snapshot: &Snapshot) -> Server {
    release.restore(&snapshot.file).unwrap_or_else(|why| panic!("{release} does not restore it: {why}"))
}

async fn all(client: &mut Client, revision: i64) -> Result<Vec<PbKeyValue>, Error> {
    let options = GetOptions::new().with_all_keys().with_revision(revision);
    let response = client.get("", Some(options)).await?;
    let plain = |kv: &KeyValue| PbKeyValue {
        key: kv.key().to_vec(),
        value: kv.value().to_vec(),
        create_revision: kv.create_revision(),
        mod_revision: kv.mod_revision(),
        version: kv.version(),
        lease: kv.lease(),
    };
    Ok(response.kvs().iter().map(plain).collect())
}

/// Every key with its value, create and mod revision, version and lease, at a revision (0: the newest).
async fn same_keys(client: &mut Client, history: &History, revision: i64, release: &Release) {
    let found = all(client, revision).await.unwrap();
    let expected = history.at(if revision == 0 { history.revision() } else { revision });
    assert_eq!(found.len(), expected.len(), "{release} at revision {revision}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected, "{release} at revision {revision}");
    }
}

async fn same_leases(client: &mut Client, history: &History) {
    let leases = client.leases().await.unwrap();
    let mut ids: Vec<i64> = leases.leases().iter().map(|lease| lease.id()).collect();
    ids.sort_unstable();
    assert_eq!(ids, history.lease_ids());
    for id in ids {
        let options = etcd_client::LeaseTimeToLiveOptions::new().with_keys();
        let lease = client.lease_time_to_live(id, Some(options)).await.unwrap();
        assert_eq!(lease.granted_ttl(), history.granted_ttl(id));
        let held = history.now().iter().filter(|kv| kv.lease == id).count();
        assert_eq!(lease.keys().len(), held, "keys of lease {id:x}");
    }
}

/// Writing, compacting and defragmenting touch each kind of page, those of branches among them.
async fn goes_on(client: &mut Client, history: &History) {
    let id = history.lease_ids()[0];
    for n in 0..500 {
        client.put(format!("later/{n}"), "x", Some(PutOptions::new().with_lease(id))).await.unwrap();
    }
    let revision = history.revision() + 500;
    client.compact(revision, Some(CompactionOptions::new().with_physical())).await.unwrap();
    client.defragment().await.unwrap();
    let found = all(client, 0).await.unwrap();
    assert_eq!(found.len(), history.now().len() + 500);
    assert!(found.iter().all(|kv| !kv.key.starts_with(b"later") || kv.lease == id));
}
