//! A snapshot of the store, as the file that etcd's tools restore.
//!
//! Everything comes from one transaction of redb, so writes go on beside it. The file is made in the data folder
//! without a name: whatever happens, nothing of it stays.

use crate::config::Config;
use crate::error::{Error, Result};
use crate::lease::LEASE;
use crate::proto::{AlarmMember, alarm_type};
use crate::snapshot::trailer::{Chunk, Chunks};
use crate::snapshot::{self, Auth, Member, Meta};
use crate::storage::meta::{self, Fact, META};
use crate::store::{ReadRows, Store};
use prost::Message;
use redb::ReadableTable;
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek, SeekFrom};

/// Where restoring begins if it is not told otherwise.
const PEER_URL: &str = "http://localhost:2380";

/// The oldest version of etcd that takes the file; later ones raise it.
const CLUSTER_VERSION: &str = "3.4.0";

/// `leasepb.Lease`.
#[derive(Clone, PartialEq, Message)]
pub struct LeaseRow {
    /// The lease.
    #[prost(int64, tag = "1")]
    pub id: i64,
    /// Seconds, as granted.
    #[prost(int64, tag = "2")]
    pub ttl: i64,
    /// Seconds that are left; 0: all of them, as far as is written down.
    #[prost(int64, tag = "3")]
    pub remaining_ttl: i64,
}

/// The messages of a snapshot of now. Blocks: for the time of writing all data once.
pub fn chunks(store: &Store, config: &Config) -> Result<impl Iterator<Item = Result<Chunk>> + use<>> {
    let failed = |e: std::io::Error| Error::Storage(format!("a snapshot cannot be made: {e}"));
    let mut file = tempfile::tempfile_in(&config.data_dir).map_err(failed)?;
    let length = write(store, config, &file)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let chunks = Chunks::of(BufReader::new(file), length);
    Ok(chunks.map(|chunk| chunk.map_err(|e| Error::Storage(e.to_string()))))
}

fn write(store: &Store, config: &Config, file: &File) -> Result<u64> {
    let rows = store.rows()?;
    let meta = facts(store, config, &rows)?;
    let entries = rows.table.iter().map_err(Error::disk)?.map(|row| {
        let (key, value) = row?;
        Ok::<_, redb::StorageError>((key.value().to_vec(), value.value().to_vec()))
    });
    let leases = leases(&rows)?.into_iter().map(Ok::<_, redb::StorageError>);
    snapshot::write(BufWriter::new(file), entries, leases, &meta).map_err(|e| Error::Storage(e.to_string()))
}

fn facts(store: &Store, config: &Config, rows: &ReadRows<'_>) -> Result<Meta> {
    let table = rows.txn.open_table(META).map_err(Error::disk)?;
    let number = |fact| meta::get(&table, fact).map(Option::unwrap_or_default);
    let identity = store.identity();
    let bits = number(Fact::Alarms)?;
    let alarms = [alarm_type::NOSPACE, alarm_type::CORRUPT].into_iter().filter(|kind| bits >> kind & 1 == 1);
    let member_id = identity.member;
    Ok(Meta {
        consistent_index: store.raft_index(),
        term: identity.term,
        scheduled_compact_rev: number(Fact::ScheduledCompact)? as i64,
        finished_compact_rev: number(Fact::FinishedCompact)? as i64,
        cluster_version: Some(CLUSTER_VERSION.into()),
        members: vec![Member {
            id: member_id,
            name: config.name.clone(),
            peer_urls: vec![PEER_URL.into()],
            client_urls: config.advertise_client_urls.clone(),
        }],
        removed_members: Vec::new(),
        alarms: alarms.map(|alarm| AlarmMember { member_id, alarm }.encode_to_vec()).collect(),
        auth: Auth::default(),
    })
}

/// In etcd's form, and in the order of its keys: as unsigned numbers.
fn leases(rows: &ReadRows<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let table = rows.txn.open_table(LEASE).map_err(Error::disk)?;
    let facts = rows.txn.open_table(META).map_err(Error::disk)?;
    let age = meta::get(&facts, Fact::Clock)?.unwrap_or_default();
    let mut leases = Vec::new();
    for row in table.iter().map_err(Error::disk)? {
        let (id, value) = row.map_err(Error::disk)?;
        let (id, (ttl, expiry)) = (id.value(), value.value());
        let remaining_ttl = i64::try_from(expiry.saturating_sub(age).div_ceil(1000)).unwrap_or(ttl).min(ttl);
        leases.push((id.to_be_bytes().to_vec(), LeaseRow { id, ttl, remaining_ttl }.encode_to_vec()));
    }
    leases.sort();
    Ok(leases)
}
