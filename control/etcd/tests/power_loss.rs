//! What was acknowledged survives a power cut at any write; a disk that refuses leaves reads going.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod disk;

use disk::{Mood, SimulatedDisk};
use etcd_client::{Client, Compare, CompareOp, PutOptions, Txn, TxnOp};
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::time::Duration;
use weft_etcd::{AutoCompaction, Config, Etcd, StartError};

/// Power cuts, each on what the last one left.
const CUTS: u64 = 200;

fn start(disk: &SimulatedDisk) -> Result<Etcd, StartError> {
    // Nothing is in this folder: the disk is simulated.
    let config =
        Config { auto_compaction: AutoCompaction::Off, history_bytes: 0, ..Config::of("/nonexistent") };
    Etcd::on(Box::new(disk.clone()), config, &mut Registry::default())
}

/// Keys as they were acknowledged, and the one write nobody was told of.
#[derive(Default)]
struct Expected {
    keys: BTreeMap<String, String>,
    unsure: Option<(String, Option<String>)>,
    revision: i64,
}

impl Expected {
    /// Writes until the power goes; always one at a time.
    async fn write(&mut self, client: &mut Client, round: u64) {
        for step in 0u64.. {
            let key = format!("key{}", (round * 31 + step * 7) % 20);
            let value = format!("{round}.{step}.{}", "x".repeat((step as usize * 97) % 3000));
            let delete = step % 11 == 10;
            self.unsure = Some((key.clone(), (!delete).then(|| value.clone())));
            let done = match step % 11 {
                10 => client.delete(key.as_str(), None).await.map(|r| r.header().unwrap().revision()),
                5 => {
                    let put = TxnOp::put(key.as_str(), value.as_str(), None);
                    let txn = Txn::new()
                        .when([Compare::version(key.as_str(), CompareOp::Greater, -1)])
                        .and_then([put]);
                    client.txn(txn).await.map(|r| r.header().unwrap().revision())
                }
                7 => {
                    let lease = client.lease_grant(1_000, None).await.map(|lease| lease.id());
                    match lease {
                        Ok(lease) => {
                            let options = PutOptions::new().with_lease(lease);
                            let put = client.put(key.as_str(), value.as_str(), Some(options)).await;
                            put.map(|r| r.header().unwrap().revision())
                        }
                        Err(error) => Err(error),
                    }
                }
                _ => client
                    .put(key.as_str(), value.as_str(), None)
                    .await
                    .map(|r| r.header().unwrap().revision()),
            };
            let Ok(revision) = done else { return };
            self.revision = revision;
            match self.unsure.take().unwrap() {
                (key, Some(value)) => drop(self.keys.insert(key, value)),
                (key, None) => drop(self.keys.remove(&key)),
            }
            if step == 40 {
                // Compaction is under way when the power goes, now and then.
                let _ = client.compact(revision, None).await;
            }
        }
    }

    /// Compares, and learns what became of the write that nobody was told of.
    async fn check(&mut self, client: &mut Client, cut: u64) {
        let all = client.get("", Some(etcd_client::GetOptions::new().with_all_keys())).await.unwrap();
        let found: BTreeMap<String, String> = all
            .kvs()
            .iter()
            .map(|kv| (kv.key_str().unwrap().to_owned(), kv.value_str().unwrap().to_owned()))
            .collect();
        assert!(all.header().unwrap().revision() >= self.revision, "after cut {cut} revisions went back");
        let mut done = self.keys.clone();
        if let Some((key, value)) = self.unsure.take() {
            match value {
                Some(value) => drop(done.insert(key, value)),
                None => drop(done.remove(&key)),
            }
        }
        let short = |keys: &BTreeMap<String, String>| -> Vec<String> {
            keys.iter().map(|(key, value)| format!("{key}={:.12}", value)).collect()
        };
        assert!(
            found == self.keys || found == done,
            "after cut {cut}: {:?}, acknowledged {:?}",
            short(&found),
            short(&self.keys)
        );
        self.keys = found;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_power_cuts() {
    let mut disk = SimulatedDisk::empty();
    let mut expected = Expected::default();
    for cut in 0..CUTS {
        // Some go while the server starts.
        disk.dies_after((cut * cut * 37 + cut * 11) % if cut % 5 == 0 { 30 } else { 700 });
        if let Ok(etcd) = start(&disk) {
            let mut client = etcd.client().await.unwrap();
            expected.write(&mut client, cut).await;
            drop(client);
            etcd.stop().await;
        }
        disk = disk.after_power_cut(cut);
        let etcd = start(&disk).unwrap_or_else(|e| panic!("after cut {cut}: {e}"));
        expected.check(&mut etcd.client().await.unwrap(), cut).await;
        etcd.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_and_answers_reads() {
    let disk = SimulatedDisk::empty();
    let etcd = start(&disk).unwrap();
    let mut client = etcd.client().await.unwrap();
    let large = "x".repeat(1_000_000);
    client.put("before", "1", None).await.unwrap();
    disk.becomes(Mood::Full);
    let mut kept = 0;
    let refused = loop {
        match client.put(format!("large{kept}"), large.as_str(), None).await {
            Ok(_) => kept += 1,
            Err(error) => break error.to_string(),
        }
        assert!(kept < 100, "it never gets full");
    };
    assert!(refused.contains("etcdserver: mvcc: database space exceeded"), "{refused}");
    assert_eq!(client.get("before", None).await.unwrap().kvs()[0].value(), b"1");
    let alarms =
        client.alarm(etcd_client::AlarmAction::Get, etcd_client::AlarmType::None, None).await.unwrap();
    assert_eq!(alarms.alarms().len(), 1, "NOSPACE is on");
    for n in 0..kept {
        assert_eq!(client.get(format!("large{n}"), None).await.unwrap().count(), 1, "acknowledged");
    }
    disk.becomes(Mood::Well);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    client.put("after", "1", None).await.expect_err("until the alarm is cleared");
    let nospace = etcd_client::AlarmType::Nospace;
    client.alarm(etcd_client::AlarmAction::Deactivate, nospace, None).await.unwrap();
    client.put("after", "1", None).await.unwrap();
    etcd.stop().await;
    let etcd = start(&disk).unwrap();
    assert_eq!(etcd.client().await.unwrap().get("after", None).await.unwrap().count(), 1);
    etcd.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_refuses_leaves_reads_and_leases_going() {
    let disk = SimulatedDisk::empty();
    let etcd = start(&disk).unwrap();
    let mut client = etcd.client().await.unwrap();
    client.put("before", "1", None).await.unwrap();
    let lease = client.lease_grant(60, None).await.unwrap().id();
    disk.becomes(Mood::Broken);
    let refused = client.put("during", "1", None).await.unwrap_err().to_string();
    assert!(refused.contains("the drive says no"), "{refused}");
    let refused = client.put("during", "1", None).await.unwrap_err().to_string();
    assert!(refused.contains("reads go on"), "{refused}");
    assert_eq!(client.get("before", None).await.unwrap().count(), 1);
    assert_eq!(client.get("during", None).await.unwrap().count(), 0);
    let (mut keeper, mut kept) = client.lease_keep_alive(lease).await.unwrap();
    keeper.keep_alive().await.unwrap();
    assert_eq!(kept.message().await.unwrap().unwrap().ttl(), 60);
    disk.becomes(Mood::Well);
    for _ in 0..50 {
        if client.put("after", "1", None).await.is_ok() {
            etcd.stop().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the disk is well again, and writes are still refused");
}
