//! State: objects as bytes under etcd's keys, each change a transaction that compares the object's revision.
//!
//! Nothing here knows what an object is. What it scales with: one call for each read or change; lists go by pages.

mod error;
mod watch;

pub use error::StoreError;
pub use watch::{Seen, Watch};

use etcd_client::{
    Client, Compare, CompareOp, GetOptions, KvClient, LeaseClient, PutOptions, Txn, TxnOp, TxnOpResponse,
};
use std::future::Future;
use std::time::Duration;

/// How long a call may take before it counts as not answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// What etcd sends is taken whatever its size, as by etcd's own clients (`clientv3`, `defaultMaxCallRecvMsgSize`): a page of
/// objects, and what a watch has to catch up with, may be far larger than one object, and a limit would be met again at
/// each attempt.
const ANY_SIZE: usize = i32::MAX as usize;

/// A value and the revision that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub bytes: Vec<u8>,
    /// The revision that wrote it.
    pub revision: i64,
}

/// An object that is made or removed beside a change of another one, in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// The key.
    pub key: String,
    /// The value of what is made, which must not be there; `None` removes it, if it is.
    pub bytes: Option<Vec<u8>>,
}

/// What became of a change that compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Done, by this revision.
    At(i64),
    /// The object is not as was expected: this is what is there.
    Differs(Option<Stored>),
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Page {
    /// Objects by key.
    pub items: Vec<Stored>,
    /// Whether there are more.
    pub more: bool,
    /// How many there are from the first one on.
    pub count: i64,
    /// The revision at which it was read.
    pub revision: i64,
}

/// The state. Clones share one connection.
#[derive(Clone)]
pub struct Store {
    client: Client,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, etcd_client::Error>>) -> Result<T, StoreError> {
    match tokio::time::timeout(PATIENCE, call).await {
        Ok(answer) => answer.map_err(StoreError::from),
        Err(_) => Err(StoreError::Unreachable(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

impl Store {
    /// A store over a client.
    pub fn of(client: Client) -> Store {
        Store { client }
    }

    fn kv(&self) -> KvClient {
        self.client.kv_client().max_decoding_message_size(ANY_SIZE)
    }

    /// The state's revision now: everything acknowledged before is in it.
    pub async fn revision(&self) -> Result<i64, StoreError> {
        let options = GetOptions::new().with_count_only();
        let answer = in_time(self.kv().get("/registry", Some(options))).await?;
        Ok(answer.header().map_or(0, |header| header.revision()))
    }

    /// The server's version and how many bytes its database has.
    pub async fn status(&self) -> Result<(String, i64), StoreError> {
        let mut maintenance = self.client.maintenance_client();
        let status = in_time(maintenance.status()).await?;
        Ok((status.version().to_owned(), status.db_size()))
    }

    /// An object.
    pub async fn get(&self, key: &str) -> Result<Option<Stored>, StoreError> {
        let answer = in_time(self.kv().get(key, None)).await?;
        Ok(answer.kvs().first().map(stored))
    }

    /// The revision that wrote an object, without its bytes.
    pub async fn revision_of(&self, key: &str) -> Result<Option<i64>, StoreError> {
        let answer = in_time(self.kv().get(key, Some(GetOptions::new().with_keys_only()))).await?;
        Ok(answer.kvs().first().map(|kv| kv.mod_revision()))
    }

    /// Objects from a key on, up to the end of a prefix; at a revision, or now for 0.
    pub async fn page(
        &self,
        prefix: &str,
        from: &[u8],
        limit: i64,
        revision: i64,
    ) -> Result<Page, StoreError> {
        let mut options = GetOptions::new().with_range(end_of(prefix)).with_limit(limit);
        if revision > 0 {
            options = options.with_revision(revision);
        }
        let answer = in_time(self.kv().get(from, Some(options))).await?;
        let now = answer.header().map_or(0, |header| header.revision());
        Ok(Page {
            items: answer.kvs().iter().map(stored).collect(),
            more: answer.more(),
            count: answer.count(),
            revision: if revision > 0 { revision } else { now },
        })
    }

    /// Makes an object, if there is none; with a time to live in seconds, or 0. And others beside it, all or none.
    pub async fn create_with(
        &self,
        key: &str,
        bytes: Vec<u8>,
        ttl: i64,
        beside: &[Beside],
    ) -> Result<Written, StoreError> {
        self.write(key, 0, Some((bytes, ttl)), beside).await
    }

    /// Replaces an object that a revision wrote, and makes others beside it, all or none.
    pub async fn update_with(
        &self,
        key: &str,
        bytes: Vec<u8>,
        revision: i64,
        ttl: i64,
        beside: &[Beside],
    ) -> Result<Written, StoreError> {
        self.write(key, revision, Some((bytes, ttl)), beside).await
    }

    /// Removes an object that a revision wrote, and others beside it, all or none.
    pub async fn delete_with(
        &self,
        key: &str,
        revision: i64,
        beside: &[Beside],
    ) -> Result<Written, StoreError> {
        self.write(key, revision, None, beside).await
    }

    async fn write(
        &self,
        key: &str,
        expected: i64,
        value: Option<(Vec<u8>, i64)>,
        beside: &[Beside],
    ) -> Result<Written, StoreError> {
        let mut ops = vec![match value {
            Some((bytes, ttl)) => {
                let options = match ttl {
                    0 => None,
                    ttl => Some(PutOptions::new().with_lease(self.lease(ttl).await?)),
                };
                TxnOp::put(key, bytes, options)
            }
            None => TxnOp::delete(key, None),
        }];
        let mut unchanged = vec![Compare::mod_revision(key, CompareOp::Equal, expected)];
        for other in beside {
            match &other.bytes {
                Some(bytes) => {
                    unchanged.push(Compare::mod_revision(other.key.as_str(), CompareOp::Equal, 0));
                    ops.push(TxnOp::put(other.key.as_str(), bytes.clone(), None));
                }
                None => ops.push(TxnOp::delete(other.key.as_str(), None)),
            }
        }
        let txn = Txn::new().when(unchanged).and_then(ops).or_else([TxnOp::get(key, None)]);
        let answer = in_time(self.kv().txn(txn)).await?;
        if answer.succeeded() {
            return Ok(Written::At(answer.header().map_or(0, |header| header.revision())));
        }
        let there = answer.op_responses().into_iter().find_map(|response| match response {
            TxnOpResponse::Get(got) => got.kvs().first().map(stored),
            _ => None,
        });
        Ok(Written::Differs(there))
    }

    async fn lease(&self, seconds: i64) -> Result<i64, StoreError> {
        let mut leases: LeaseClient = self.client.lease_client();
        Ok(in_time(leases.grant(seconds, None)).await?.id())
    }

    /// Forgets history before a revision.
    pub async fn compact(&self, revision: i64) -> Result<(), StoreError> {
        in_time(self.kv().compact(revision, None)).await.map(drop)
    }

    /// Changes of everything under a prefix from a revision on.
    pub async fn watch(&self, prefix: &str, from: i64) -> Result<Watch, StoreError> {
        let client = self.client.watch_client().max_decoding_message_size(ANY_SIZE);
        Watch::open(client, prefix, from).await
    }
}

fn stored(kv: &etcd_client::KeyValue) -> Stored {
    Stored { key: kv.key().to_vec(), bytes: kv.value().to_vec(), revision: kv.mod_revision() }
}

/// The first key after all that begin with a prefix: prefixes here end with `/`, which `0` follows.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}
