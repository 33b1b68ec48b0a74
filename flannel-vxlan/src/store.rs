//! All that is asked of etcd. One request each; retries are the daemon's.
//!
//! ```text
//! <prefix>/config                 flannel's network configuration
//! <prefix>/subnets/<subnet>       leases, 24 h
//! <prefix>/weft/nodes/<public ip> who is this public IP now, 30 s   (ours; flanneld never looks here)
//! ```

use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, GetOptions, PutOptions, Txn, TxnOp, WatchOptions, WatchStream,
};

use crate::{
    lease::{Lease, LeaseValue, Subnets},
    peers::{Leases, Rejected},
};

/// flannel's lease time.
pub(crate) const SUBNET_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an identity outlives its node.
pub(crate) const IDENTITY_TTL: Duration = Duration::from_secs(30);
/// A request that takes longer has failed: the connection is dead or the state has no leader.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Leases per list request: some 2.5 MB.
const PAGE: i64 = 8_000;
/// Bytes of one message of etcd: what a watch has to catch up with comes in one, and the default of 4 MiB is some
/// ten thousand changes.
const LARGEST: usize = 64 << 20;

type Result<T> = std::result::Result<T, etcd_client::Error>;

/// The state, seen by the overlay.
#[derive(Clone)]
pub(crate) struct Store {
    client: Client,
    prefix: String,
}

/// All leases at one revision.
pub(crate) struct Snapshot {
    pub leases: Leases,
    pub malformed: Vec<Rejected>,
    pub revision: i64,
}

/// What became of a compare-and-swap.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Swap {
    Won,
    Lost,
}

impl Store {
    pub fn new(client: Client, prefix: &str) -> Self {
        Self { client, prefix: prefix.trim_end_matches('/').to_owned() }
    }

    pub fn config_key(&self) -> String {
        format!("{}/config", self.prefix)
    }

    pub fn subnets_prefix(&self) -> String {
        format!("{}/subnets/", self.prefix)
    }

    pub fn identity_key(&self, public_ip: &str) -> String {
        format!("{}/weft/nodes/{public_ip}", self.prefix)
    }

    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let mut kv = self.client.kv_client();
        let mut response = timed(kv.get(key, None)).await?;
        Ok(response.take_kvs().into_iter().next().map(|kv| kv.value().to_vec()))
    }

    /// All leases. Pages are read at one revision, so that a change between them is not missed.
    pub async fn list(&self) -> Result<Snapshot> {
        let prefix = self.subnets_prefix();
        let mut kv = self.client.kv_client().max_decoding_message_size(LARGEST);
        let mut found = Snapshot { leases: Leases::new(), malformed: Vec::new(), revision: 0 };
        let mut from = prefix.clone().into_bytes();
        let mut end = prefix.clone().into_bytes();
        if let Some(last) = end.last_mut() {
            *last += 1; // the slash's successor: the end of the prefix
        }
        loop {
            let options =
                GetOptions::new().with_range(end.clone()).with_limit(PAGE).with_revision(found.revision);
            let mut response = timed(kv.get(from.clone(), Some(options))).await?;
            if found.revision == 0 {
                found.revision = response.header().map_or(0, |header| header.revision());
            }
            let more = response.more();
            for item in response.take_kvs() {
                from = item.key().to_vec();
                match self.read(item.key(), item.value(), item.lease(), item.create_revision()) {
                    Ok((key, lease)) => drop(found.leases.insert(key, lease)),
                    Err(rejected) => found.malformed.push(rejected),
                }
            }
            if !more {
                return Ok(found);
            }
            from.push(0);
        }
    }

    /// One lease out of a key and its value.
    pub fn read(
        &self,
        key: &[u8],
        value: &[u8],
        etcd_lease: i64,
        created: i64,
    ) -> std::result::Result<(String, Lease), Rejected> {
        let text = String::from_utf8_lossy(key);
        let name = text.strip_prefix(&self.subnets_prefix()).unwrap_or(&text).to_owned();
        match Lease::parse(&name, value, etcd_lease, created) {
            Ok(lease) => Ok((name, lease)),
            Err(reason) => Err(Rejected { key: name, reason }),
        }
    }

    /// Changes of leases after `revision`.
    pub async fn watch(&self, revision: i64) -> Result<WatchStream> {
        let options = WatchOptions::new().with_prefix().with_start_revision(revision + 1);
        let mut client = self.client.watch_client().max_decoding_message_size(LARGEST);
        timed(client.watch(self.subnets_prefix(), Some(options))).await
    }

    /// A new etcd lease.
    pub async fn grant(&self, ttl: Duration) -> Result<i64> {
        Ok(timed(self.client.lease_client().grant(ttl.as_secs() as i64, None)).await?.id())
    }

    /// Starts an etcd lease's time again; `false` where it has ended.
    pub async fn keep_alive(&self, id: i64) -> Result<bool> {
        match timed(self.client.lease_client().keep_alive(id)).await {
            Ok(_) => Ok(true),
            Err(etcd_client::Error::LeaseKeepAliveError(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Seconds that an etcd lease has left; 0 or less where it has ended.
    pub async fn time_left(&self, id: i64) -> Result<i64> {
        Ok(timed(self.client.lease_client().time_to_live(id, None)).await?.ttl())
    }

    /// Ends an etcd lease and what hangs on it.
    pub async fn revoke(&self, id: i64) -> Result<()> {
        timed(self.client.lease_client().revoke(id)).await.map(drop)
    }

    /// Takes a subnet if nobody has it.
    pub async fn create(&self, subnets: &Subnets, value: &LeaseValue, etcd_lease: i64) -> Result<Swap> {
        let key = format!("{}{}", self.subnets_prefix(), subnets.key());
        let free = Compare::version(key.clone(), CompareOp::Equal, 0);
        self.swap(free, key, value.to_json(), etcd_lease).await
    }

    /// Rewrites a lease of ours, unless it is no longer as it was when we read it.
    pub async fn update(&self, lease: &Lease, value: &LeaseValue, etcd_lease: i64) -> Result<Swap> {
        let key = format!("{}{}", self.subnets_prefix(), lease.subnets.key());
        let same = Compare::create_revision(key.clone(), CompareOp::Equal, lease.created);
        self.swap(same, key, value.to_json(), etcd_lease).await
    }

    /// Writes an identity if it is still `before` (`None`: nobody's).
    pub async fn put_identity(
        &self,
        key: &str,
        before: Option<&[u8]>,
        value: &str,
        etcd_lease: i64,
    ) -> Result<Swap> {
        let expected = match before {
            None => Compare::version(key, CompareOp::Equal, 0),
            Some(before) => Compare::value(key, CompareOp::Equal, before),
        };
        self.swap(expected, key.to_owned(), value.to_owned(), etcd_lease).await
    }

    async fn swap(&self, when: Compare, key: String, value: String, etcd_lease: i64) -> Result<Swap> {
        let options = PutOptions::new().with_lease(etcd_lease);
        self.commit(Txn::new().when([when]).and_then([TxnOp::put(key, value, Some(options))])).await
    }

    async fn commit(&self, txn: Txn) -> Result<Swap> {
        let done = timed(self.client.kv_client().txn(txn)).await?.succeeded();
        Ok(if done { Swap::Won } else { Swap::Lost })
    }
}

async fn timed<T>(request: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(answer) => answer,
        Err(_) => Err(etcd_client::Error::IoError(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()),
        ))),
    }
}
