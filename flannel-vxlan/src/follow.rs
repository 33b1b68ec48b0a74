//! The two tasks that talk with the state, so that the loop that heals the kernel never waits for it.
//!
//! ```text
//! follower   list ─► watch ─► changes ─┐
//! keeper     identity, lease, renewal ─┴─► one channel ─► the loop
//! ```

use std::{sync::Arc, time::Duration};

use etcd_client::{EventType, WatchResponse};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep},
};

use crate::{
    Error, Metrics, Options,
    acquire::{Held, Request, acquire},
    config::NetworkConfig,
    identity::Identity,
    lease::{Lease, LeaseValue, Subnets},
    peers::Rejected,
    store::{SUBNET_TTL, Snapshot, Store},
};

/// How often the identity is held: a third of its time.
const HOLD_EVERY: Duration = Duration::from_secs(10);
/// Between tries while the state is away.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What the tasks tell the loop.
pub(crate) enum News {
    /// All leases.
    Leases(Snapshot),
    /// A lease came or changed.
    Put(String, Lease),
    /// A lease went.
    Gone(String),
    /// A key that is no lease.
    Malformed(Rejected),
    /// Our lease, after it had to be taken again.
    Held(Held),
    /// The daemon cannot go on.
    Fatal(Error),
}

/// Follows the leases from `revision` on; lists again whenever the watch cannot go on.
pub(crate) async fn follow(
    store: Store,
    mut revision: Option<i64>,
    news: mpsc::Sender<News>,
    metrics: Metrics,
) {
    loop {
        let done = match revision.take() {
            Some(from) => watch(&store, from, &news, &metrics).await,
            None => match store.list().await {
                Ok(snapshot) => {
                    revision = Some(snapshot.revision);
                    metrics.state_up.set(1);
                    if news.send(News::Leases(snapshot)).await.is_err() {
                        return;
                    }
                    continue;
                }
                Err(error) => Err(error),
            },
        };
        if news.is_closed() {
            return;
        }
        if let Err(error) = done {
            metrics.state_errors.inc();
            if metrics.state_up.set(0) != 0 {
                tracing::warn!("the state is away: {error}; the overlay stays as it is, trying again");
            }
            sleep(TRY_AGAIN).await;
        }
    }
}

/// Passes changes on until the watch ends: by an error, or (`Ok`) because history was compacted.
async fn watch(
    store: &Store,
    from: i64,
    news: &mpsc::Sender<News>,
    metrics: &Metrics,
) -> Result<(), etcd_client::Error> {
    let mut stream = store.watch(from).await?;
    while let Some(response) = stream.message().await? {
        if response.canceled() {
            tracing::info!(
                reason = response.cancel_reason(),
                compacted = response.compact_revision(),
                "watch cancelled: listing again"
            );
            return Ok(());
        }
        metrics.state_up.set(1);
        for item in read_events(store, &response) {
            if news.send(item).await.is_err() {
                return Ok(());
            }
        }
    }
    Err(etcd_client::Error::WatchError("the stream ended".into()))
}

fn read_events(store: &Store, response: &WatchResponse) -> Vec<News> {
    let read = |event: &etcd_client::Event| {
        let kv = event.kv()?;
        if event.event_type() == EventType::Delete {
            let key = String::from_utf8_lossy(kv.key()).into_owned();
            return Some(News::Gone(key.trim_start_matches(&store.subnets_prefix()).to_owned()));
        }
        Some(match store.read(kv.key(), kv.value(), kv.lease(), kv.create_revision()) {
            Ok((key, lease)) => News::Put(key, lease),
            Err(rejected) => News::Malformed(rejected),
        })
    };
    response.events().iter().filter_map(read).collect()
}

/// Keeps identity and lease.
pub(crate) struct Keeper {
    pub store: Store,
    pub options: Options,
    pub config: NetworkConfig,
    pub value: LeaseValue,
    pub identity: Identity,
    pub held: Held,
    pub news: mpsc::Sender<News>,
    pub metrics: Metrics,
    /// The loop saw that our lease is not as it should be.
    pub wrong: Arc<Notify>,
}

impl Keeper {
    /// Runs until the loop is gone.
    pub async fn run(mut self) {
        let mut renew_at = self.next_renewal().await;
        let mut wait = HOLD_EVERY;
        loop {
            let wrong = tokio::select! {
                () = sleep(wait) => false,
                () = self.wrong.notified() => true,
            };
            let renew = Instant::now() >= renew_at;
            wait = match self.step(wrong || wait == TRY_AGAIN, renew).await {
                Ok(()) => HOLD_EVERY,
                Err(error) if error.is_transient() => {
                    self.metrics.state_errors.inc();
                    tracing::debug!("lease and identity not renewed: {error}");
                    TRY_AGAIN
                }
                Err(error) => {
                    let _ = self.news.send(News::Fatal(error)).await;
                    return;
                }
            };
            if renew && wait == HOLD_EVERY {
                renew_at = self.next_renewal().await;
            }
        }
    }

    async fn step(&mut self, check: bool, renew: bool) -> Result<(), Error> {
        if !self.identity.hold(&self.store).await? {
            let public = self.value.public_address();
            tracing::warn!(public_ip = %public, "the identity expired while the state was away: claiming it again");
            self.identity = Identity::claim(&self.store, &public, &self.options).await?;
        }
        let lost = renew
            && self.held.lease.etcd_lease != 0
            && !self.store.keep_alive(self.held.lease.etcd_lease).await?;
        if check || lost {
            self.take_again().await?;
        }
        Ok(())
    }

    /// Brings the lease back to what it should be: flanneld exits when its own key is deleted.
    async fn take_again(&mut self) -> Result<(), Error> {
        let mut snapshot = self.store.list().await?;
        let earlier: Option<Subnets> = Some(self.held.lease.subnets);
        let request = Request {
            store: &self.store,
            config: &self.config,
            options: &self.options,
            value: self.value.clone(),
            earlier,
        };
        let held = acquire(&request, &mut snapshot).await?;
        if held.lease.subnets != self.held.lease.subnets {
            tracing::error!(before = %self.held.key(), now = %held.key(), "this node's subnet was taken: pods with old addresses must be made again");
        }
        self.held = held.clone();
        let _ = self.news.send(News::Held(held)).await;
        Ok(())
    }

    /// When the lease is to be renewed: the margin before its end.
    async fn next_renewal(&self) -> Instant {
        let left = match self.held.lease.etcd_lease {
            0 => SUBNET_TTL,
            id => match self.store.time_left(id).await {
                Ok(seconds) => Duration::from_secs(seconds.max(0).unsigned_abs()),
                Err(_) => Duration::ZERO,
            },
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.metrics.renewed_at.set(now.as_secs_f64() - (SUBNET_TTL.as_secs_f64() - left.as_secs_f64()));
        Instant::now() + left.saturating_sub(self.options.renew_margin).max(HOLD_EVERY)
    }
}
