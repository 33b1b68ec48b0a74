//! A watch for each kind, for as long as the kind is there; and the workers, once all is known.

use kube::api::ApiResource;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::{Collector, Hands, Uid, is_collected};
use crate::Clients;
use crate::error::said;
use crate::kinds::{Found, Kind, discover};
use crate::queue::work;
use crate::watch::{Told, Which, follow};

/// How often it is asked which kinds there are (upstream's `syncPeriod`).
const PERIOD: Duration = Duration::from_secs(30);
/// The first answer may fail while the server starts.
const AGAIN: Duration = Duration::from_secs(1);
/// After this, work begins though some kind cannot be listed (upstream's `initialSyncTimeout`).
const SYNCS_WITHIN: Duration = Duration::from_secs(30);
/// How many objects are looked at at once (upstream's `--concurrent-gc-syncs` is 20).
const WORKERS: usize = 8;

struct Monitors {
    collector: Arc<Collector>,
    client: kube::Client,
    running: HashMap<ApiResource, (Arc<Kind>, AbortHandle)>,
    tasks: JoinSet<()>,
    /// How many kinds were not listed yet.
    pending: watch::Sender<usize>,
}

/// Collects until the future is dropped.
pub async fn run(clients: Clients) {
    let collector = Arc::new(Collector::default());
    let mut monitors = Monitors {
        collector: collector.clone(),
        client: clients.own.clone(),
        running: HashMap::new(),
        tasks: JoinSet::new(),
        pending: watch::Sender::new(0),
    };
    while !monitors.look_for_kinds().await {
        tokio::time::sleep(AGAIN).await;
    }
    let mut pending = monitors.pending.subscribe();
    if tokio::time::timeout(SYNCS_WITHIN, pending.wait_for(|left| *left == 0)).await.is_err() {
        tracing::warn!("not all kinds could be listed: garbage is collected by what is known");
    }
    let (queue, hands) = (collector.queue.clone(), Hands::of(clients.account("generic-garbage-collector")));
    monitors.tasks.spawn(work("garbage-collector-controller", queue, WORKERS, move |uid: Uid| {
        let (collector, hands) = (collector.clone(), hands.clone());
        async move { collector.look(&hands, &uid).await }
    }));
    loop {
        tokio::time::sleep(PERIOD).await;
        monitors.look_for_kinds().await;
    }
}

impl Monitors {
    /// Starts watches of new kinds, and ends those of kinds that are gone. Whether the server told its kinds.
    async fn look_for_kinds(&mut self) -> bool {
        let found = match discover(&self.client).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(error = said(&error), "the server does not tell its kinds; asked again");
                return false;
            }
        };
        let wanted = |resource: &ApiResource| {
            let there = found.kinds.iter().any(|kind| kind.resource == *resource && is_collected(kind));
            there || found.stale.contains(&resource.api_version)
        };
        let ended: Vec<ApiResource> = self.running.keys().filter(|one| !wanted(one)).cloned().collect();
        for resource in ended {
            if let Some((kind, task)) = self.running.remove(&resource) {
                task.abort();
                self.collector.forget(&kind);
            }
        }
        self.start(found);
        true
    }

    fn start(&mut self, found: Found) {
        let kinds: Vec<Arc<Kind>> = found.kinds.into_iter().map(Arc::new).collect();
        for kind in kinds.iter().filter(|kind| is_collected(kind)) {
            if !self.running.contains_key(&kind.resource) {
                self.pending.send_modify(|left| *left += 1);
                let task = self.tasks.spawn(self.monitor(kind.clone()));
                self.running.insert(kind.resource.clone(), (kind.clone(), task));
            }
        }
        self.collector.kinds.set(&kinds);
    }

    fn monitor(&self, kind: Arc<Kind>) -> impl Future<Output = ()> + Send + use<> {
        let (collector, pending) = (self.collector.clone(), self.pending.clone());
        let (mut list, mut listed) = (0, false);
        follow(self.client.clone(), kind.resource.clone(), Which::default(), move |told| {
            let first = matches!(told, Told::Complete) && !std::mem::replace(&mut listed, true);
            collector.told(&kind, &mut list, told);
            if first {
                pending.send_modify(|left| *left = left.saturating_sub(1));
            }
        })
    }
}
