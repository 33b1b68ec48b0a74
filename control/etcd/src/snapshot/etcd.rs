//! Which buckets etcd's database has, and what is in them.
//!
//! As etcd 3.4.23 and 3.5.1 write them (mvcc/kvstore.go, lease/lessor.go, etcdserver/cindex, membership/
//! store.go, auth/store.go); [m]: only 3.5 writes it, 3.4 passes over it.
//!
//! ```text
//! bucket           key                                  value
//! key              revision: main '_' sub, 't' if       mvccpb.KeyValue
//!                  a tombstone (8+1+8[+1], big endian)
//! lease            id: 8, big endian                    leasepb.Lease
//! meta             consistent_index, term [m]           8, big endian
//!                  scheduledCompactRev,                 a revision as in `key`; not there before the
//!                  finishedCompactRev                   first compaction
//!                  confState [m]                        JSON of raftpb.ConfState
//! members          id in hex                            JSON
//! members_removed  id in hex                            "removed"
//! cluster          clusterVersion                       "3.4.0"
//! alarm            etcdserverpb.AlarmMember             nothing
//! auth             authEnabled                          1 byte
//!                  authRevision                         8, big endian
//! authUsers        name                                 authpb.User
//! authRoles        name                                 authpb.Role
//! ```
//!
//! All buckets are there even if empty, as in every database that an etcd made.

use super::{BoltWriter, Error};
use std::io::{Seek, Write};

/// All that is in the database beside keys and leases.
#[derive(Debug, Clone, Default)]
pub struct Meta {
    /// Index of the last entry of the log that is in the database. Restoring begins a log of its own.
    pub consistent_index: u64,
    /// Raft's term; one node alone stays in its first.
    pub term: u64,
    /// Revision up to which compaction was asked for; 0 if never.
    pub scheduled_compact_rev: i64,
    /// Revision up to which it was done; 0 if never.
    pub finished_compact_rev: i64,
    /// An etcd refuses a database whose version of the cluster is above its own, and raises a lower one by
    /// itself: "3.4.0" is taken by 3.4 and all later ones. None leaves it out.
    pub cluster_version: Option<String>,
    /// The members, of which restoring makes new ones.
    pub members: Vec<Member>,
    /// Ids of former members.
    pub removed_members: Vec<u64>,
    /// Alarms that are on, as etcdserverpb.AlarmMember.
    pub alarms: Vec<Vec<u8>>,
    /// Users and roles.
    pub auth: Auth,
}

/// A member of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// What `--name` said.
    pub name: String,
    /// Where the other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}

/// Users and roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// Whether requests are checked.
    pub enabled: bool,
    /// Rises with each change of users and roles; 1 before the first.
    pub revision: u64,
    /// Name, and authpb.User.
    pub users: Vec<(String, Vec<u8>)>,
    /// Name, and authpb.Role.
    pub roles: Vec<(String, Vec<u8>)>,
}

type Entry = (Vec<u8>, Vec<u8>);

/// Writes etcd's database: revisions and leases as they come, in ascending order of their keys, and `meta`.
///
/// Gives the file's length; [`append`](super::trailer::append) puts the hash behind it.
pub fn write<F: Write + Seek, E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    file: F,
    key_entries: impl IntoIterator<Item = Result<Entry, E>>,
    leases: impl IntoIterator<Item = Result<Entry, E>>,
    meta: &Meta,
) -> Result<u64, Error> {
    let mut bolt = BoltWriter::create(file)?;
    stream(&mut bolt, "key", key_entries)?;
    stream(&mut bolt, "lease", leases)?;
    for (name, entries) in small_buckets(meta) {
        let mut bucket = bolt.bucket(name.as_bytes())?;
        for (key, value) in entries {
            bucket.push(&key, &value)?;
        }
        bucket.finish()?;
    }
    bolt.finish()
}

fn stream<F: Write + Seek, E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    bolt: &mut BoltWriter<F>,
    name: &str,
    entries: impl IntoIterator<Item = Result<Entry, E>>,
) -> Result<(), Error> {
    let mut bucket = bolt.bucket(name.as_bytes())?;
    for entry in entries {
        let (key, value) =
            entry.map_err(|source| Error::Source { bucket: name.to_owned(), source: source.into() })?;
        bucket.push(&key, &value)?;
    }
    bucket.finish()
}

/// What comes from `meta`, each bucket's entries sorted.
fn small_buckets(meta: &Meta) -> [(&'static str, Vec<Entry>); 8] {
    let named = |pairs: &[(String, Vec<u8>)]| -> Vec<Entry> {
        pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.clone())).collect()
    };
    let version = meta.cluster_version.iter().map(|v| entry("clusterVersion", v.as_bytes())).collect();
    let removed = meta.removed_members.iter().map(|id| entry(&format!("{id:x}"), b"removed")).collect();
    let mut buckets = [
        ("alarm", meta.alarms.iter().map(|alarm| (alarm.clone(), Vec::new())).collect()),
        ("auth", auth_entries(&meta.auth)),
        ("authRoles", named(&meta.auth.roles)),
        ("authUsers", named(&meta.auth.users)),
        ("cluster", version),
        ("members", meta.members.iter().map(member_entry).collect()),
        ("members_removed", removed),
        ("meta", meta_entries(meta)),
    ];
    for (_, entries) in &mut buckets {
        entries.sort();
    }
    buckets
}

fn meta_entries(meta: &Meta) -> Vec<Entry> {
    let mut entries = vec![
        entry("consistent_index", &meta.consistent_index.to_be_bytes()),
        entry("term", &meta.term.to_be_bytes()),
    ];
    for (name, revision) in [
        ("scheduledCompactRev", meta.scheduled_compact_rev),
        ("finishedCompactRev", meta.finished_compact_rev),
    ] {
        if revision > 0 {
            entries.push(entry(name, &revision_key(revision)));
        }
    }
    if !meta.members.is_empty() {
        let voters: Vec<u64> = meta.members.iter().map(|member| member.id).collect();
        let state = serde_json::json!({"voters": voters, "auto_leave": false});
        entries.push(entry("confState", state.to_string().as_bytes()));
    }
    entries
}

fn auth_entries(auth: &Auth) -> Vec<Entry> {
    let mut entries = vec![entry("authRevision", &auth.revision.max(1).to_be_bytes())];
    // A database in which it was never on has no such key.
    if auth.enabled {
        entries.push(entry("authEnabled", &[1]));
    }
    entries
}

fn member_entry(member: &Member) -> Entry {
    let mut json = serde_json::json!({"id": member.id, "peerURLs": member.peer_urls});
    // Left out when empty, as by Go's omitempty.
    if !member.name.is_empty() {
        json["name"] = member.name.as_str().into();
    }
    if !member.client_urls.is_empty() {
        json["clientURLs"] = member.client_urls.as_slice().into();
    }
    entry(&format!("{:x}", member.id), json.to_string().as_bytes())
}

fn entry(key: &str, value: &[u8]) -> Entry {
    (key.as_bytes().to_vec(), value.to_vec())
}

/// The key of a revision that stands for a whole transaction.
fn revision_key(main: i64) -> [u8; 17] {
    let mut key = [0; 17];
    key[..8].copy_from_slice(&main.to_be_bytes());
    key[8] = b'_';
    key
}
