//! The overlay's loop.
//!
//! ```text
//! news of leases ──► peers ──► change ─┐
//! kernel changed ──► look, 20 ms later ┼─► kernel
//! every 30 s ──────► look ─────────────┘
//! ```
//!
//! A node that stops leaves everything as it is: traffic goes on, and the next start finds nothing
//! to do.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use etcd_client::Client;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    DesiredInput, Error, Metrics, Options, Uplink,
    dataplane::Dataplane,
    follow::{Keeper, News, follow},
    peers::{Leases, Ourselves, Peer, Rejected, peers},
    setup::{Node, configuration, set_up},
    store::Store,
    subnet_env,
};

/// A look follows an event after this, so that a burst is one look.
const SETTLE: Duration = Duration::from_millis(20);
/// A look without an event.
const RESYNC: Duration = Duration::from_secs(30);
/// After a look that could not put everything right.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// At least this lies between two looks, and nine times what a look takes (a tenth of a core at most).
const BREATH: Duration = Duration::from_millis(50);

/// Whether the daemon is ready, and if not, what it waits for.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Option<String>>>);

impl Health {
    /// Not ready yet.
    pub fn starting() -> Self {
        let health = Self::default();
        health.waits_for("starting");
        health
    }

    /// `None` when ready, else what it waits for.
    pub fn waiting(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn waits_for(&self, what: impl Into<String>) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(what.into());
    }

    fn is_ready(&self) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }
}

/// How a session ended without an error.
enum End {
    Shutdown,
    /// The interface was wrong or changed; a peer's address, if that is why.
    Uplink(Option<IpAddr>),
}

/// Runs the overlay until `shutdown` is done. `ready` is called once, after the first subnet file.
pub async fn run(
    options: Options,
    client: Client,
    metrics: Metrics,
    health: Health,
    ready: impl FnOnce(),
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let store = Store::new(client, &options.etcd_prefix);
    let mut dataplane = Dataplane::open(metrics.clone())?;
    let mut ready = Some(ready);
    let mut peer = None;
    tokio::pin!(shutdown);
    loop {
        let node = tokio::select! {
            () = &mut shutdown => return Ok(()),
            node = start(&store, &options, peer, &mut dataplane, &metrics, &health) => node?,
        };
        let mut on_ready = || {
            if let Some(ready) = ready.take() {
                ready()
            }
        };
        let mut session = Session::new(node, &options, &metrics, &health);
        let end = session.run(&store, &mut dataplane, &mut on_ready, &mut shutdown).await?;
        // The public IP may be another machine's next: do not make it wait 30 s.
        let _ = timeout(TRY_AGAIN, store.revoke(session.identity_lease)).await;
        match end {
            End::Shutdown => return Ok(()),
            End::Uplink(hint) => peer = hint.or(peer),
        }
    }
}

/// Comes to a lease, however long the state or its configuration is away.
async fn start(
    store: &Store,
    options: &Options,
    peer: Option<IpAddr>,
    dataplane: &mut Dataplane,
    metrics: &Metrics,
    health: &Health,
) -> Result<Node, Error> {
    let mut told = String::new();
    loop {
        let waiting = match configuration(store).await {
            Ok(Some(config)) => match set_up(store, options, config, peer, dataplane).await {
                Ok(node) => {
                    metrics.state_up.set(1);
                    return Ok(node);
                }
                Err(error) if error.is_transient() => format!("the state is away: {error}"),
                Err(Error::Uplink(reason)) => format!("no interface for the overlay: {reason}"),
                Err(error) => return Err(error),
            },
            Ok(None) => format!("no network configuration: put flannel's JSON at {}", store.config_key()),
            Err(error) if error.is_transient() => format!("the state is away: {error}"),
            Err(error) => return Err(error),
        };
        metrics.state_errors.inc();
        if told != waiting {
            tracing::warn!("waiting: {waiting}");
            health.waits_for(waiting.clone());
            told = waiting;
        }
        sleep(if told.starts_with("no network") { Duration::from_millis(250) } else { TRY_AGAIN }).await;
    }
}

/// One node with one lease on one interface.
struct Session<'a> {
    options: &'a Options,
    metrics: &'a Metrics,
    health: &'a Health,
    node: Option<Node>,
    identity_lease: i64,
    ours: Ourselves,
    uplink: Uplink,
    leases: Leases,
    malformed: BTreeMap<String, String>,
    peers: Vec<Peer>,
    rejected: Vec<Rejected>,
    tracked: Option<String>,
    uplink_checked: bool,
    wrong: Arc<Notify>,
}

impl<'a> Session<'a> {
    fn new(mut node: Node, options: &'a Options, metrics: &'a Metrics, health: &'a Health) -> Self {
        let lease = &node.held.lease;
        let vni = node.config.backend.vni;
        let ours =
            Ourselves { key: lease.subnets.key(), value: lease.value.clone(), subnets: lease.subnets, vni };
        let malformed = node.snapshot.malformed.drain(..).map(|r| (r.key, r.reason)).collect();
        Self {
            options,
            metrics,
            health,
            identity_lease: node.identity.etcd_lease,
            ours,
            uplink: node.uplink.clone(),
            leases: std::mem::take(&mut node.snapshot.leases),
            malformed,
            peers: Vec::new(),
            rejected: Vec::new(),
            tracked: None,
            // A named interface is what somebody wants, whatever the routes say.
            uplink_checked: node.uplink.named,
            wrong: Arc::new(Notify::new()),
            node: Some(node),
        }
    }

    async fn run(
        &mut self,
        store: &Store,
        dataplane: &mut Dataplane,
        on_ready: &mut impl FnMut(),
        shutdown: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<End, Error> {
        let node = self.node.take().expect("a session runs once");
        let (macs, config) = (node.macs, node.config.clone());
        self.judge_leases();
        if let Some(end) = self.check_uplink(dataplane, &config)? {
            return Ok(end);
        }
        let mut look_at = self.look(dataplane, &config, macs)?;
        self.health.is_ready();
        on_ready();
        let (sender, mut news) = mpsc::channel(256);
        let _tasks = self.spawn(store, node, sender);
        let mut last_look = Instant::now();
        loop {
            tokio::select! {
                () = &mut *shutdown => return Ok(End::Shutdown),
                item = news.recv() => {
                    let Some(item) = item else { return Ok(End::Uplink(None)) };
                    self.hear(item)?;
                    while let Ok(more) = news.try_recv() {
                        self.hear(more)?;
                    }
                    if self.take_news(dataplane, &config, macs)? {
                        look_at = Instant::now();
                    }
                    if let Some(end) = self.check_uplink(dataplane, &config)? {
                        return Ok(end);
                    }
                }
                changed = dataplane.changed() => {
                    changed?;
                    look_at = look_at.min((Instant::now() + SETTLE).max(last_look));
                }
                () = sleep_until(look_at) => {
                    let Some(uplink) = dataplane.refreshed(&self.uplink)? else {
                        tracing::warn!(dev = %self.uplink.dev, "the interface or its address is gone: choosing again");
                        return Ok(End::Uplink(None));
                    };
                    self.uplink = uplink;
                    let started = Instant::now();
                    look_at = self.look(dataplane, &config, macs)?;
                    last_look = Instant::now() + (started.elapsed() * 9).clamp(BREATH, Duration::from_millis(500));
                }
            }
        }
    }

    fn spawn(&self, store: &Store, node: Node, sender: mpsc::Sender<News>) -> [Task; 2] {
        let follower =
            follow(store.clone(), Some(node.snapshot.revision), sender.clone(), self.metrics.clone());
        let keeper = Keeper {
            store: store.clone(),
            options: self.options.clone(),
            config: node.config,
            value: node.held.lease.value.clone(),
            identity: node.identity,
            held: node.held,
            news: sender,
            metrics: self.metrics.clone(),
            wrong: self.wrong.clone(),
        };
        [Task(tokio::spawn(follower)), Task(tokio::spawn(keeper.run()))]
    }

    /// Notes one piece of news.
    fn hear(&mut self, item: News) -> Result<(), Error> {
        match item {
            News::Leases(snapshot) => {
                self.leases = snapshot.leases;
                self.malformed = snapshot.malformed.into_iter().map(|r| (r.key, r.reason)).collect();
                self.check_own();
            }
            News::Put(key, lease) => {
                self.malformed.remove(&key);
                let own = key == self.ours.key;
                self.leases.insert(key, lease);
                if own {
                    self.check_own();
                }
            }
            News::Gone(key) => {
                self.malformed.remove(&key);
                self.leases.remove(&key);
                if key == self.ours.key {
                    self.check_own();
                }
            }
            // What the key held before is no longer true.
            News::Malformed(rejected) => {
                self.leases.remove(&rejected.key);
                self.malformed.insert(rejected.key, rejected.reason);
            }
            News::Held(held) => {
                (self.ours.key, self.ours.subnets) = (held.key(), held.lease.subnets);
                self.leases.insert(held.key(), held.lease);
            }
            News::Fatal(error) => return Err(error),
        }
        Ok(())
    }

    /// The lease in the state must say what the device is.
    fn check_own(&self) {
        if self.leases.get(&self.ours.key).is_none_or(|lease| lease.value != self.ours.value) {
            tracing::warn!(subnet = %self.ours.key, "this node's lease was deleted or changed: putting it right");
            self.wrong.notify_one();
        }
    }

    /// Programs what the leases now say; answers whether a look is needed besides.
    fn take_news(
        &mut self,
        dataplane: &mut Dataplane,
        config: &crate::config::NetworkConfig,
        macs: Macs,
    ) -> Result<bool, Error> {
        let old = self.judge_leases();
        let input = self.input(config, macs);
        let failures = dataplane.change(&input, &old, &self.peers);
        // A new subnet of our own is a new device address, table and file: only a look does all that.
        Ok(failures > 0 || self.subnet_file_is_old())
    }

    fn subnet_file_is_old(&self) -> bool {
        subnet_env::read(&self.options.subnet_file) != Some(self.ours.subnets)
    }

    /// Brings peers and rejected leases up to date; answers the peers before.
    fn judge_leases(&mut self) -> Vec<Peer> {
        let (now, mut rejected) = peers(&self.leases, &self.ours);
        rejected.extend(
            self.malformed.iter().map(|(key, reason)| Rejected { key: key.clone(), reason: reason.clone() }),
        );
        for lease in rejected.iter().filter(|lease| !self.rejected.contains(lease)) {
            tracing::error!(key = %lease.key, "lease not programmed: {}", lease.reason);
        }
        self.metrics.peers.set(now.len() as i64);
        self.metrics.rejected.set(rejected.len() as i64);
        self.rejected = rejected;
        std::mem::replace(&mut self.peers, now)
    }

    /// Checks an interface that nobody named against the way to the first peer.
    fn check_uplink(
        &mut self,
        dataplane: &mut Dataplane,
        config: &crate::config::NetworkConfig,
    ) -> Result<Option<End>, Error> {
        let Some(first) = self.peers.first().filter(|_| !self.uplink_checked) else { return Ok(None) };
        self.uplink_checked = true;
        let better =
            dataplane.uplink(self.options, Some(first.public_ip), (config.v4.is_some(), config.v6.is_some()));
        match better {
            Ok(better) if better.dev != self.uplink.dev => {
                tracing::warn!(was = %self.uplink.dev, now = %better.dev, "the interface does not lead to the first peer: {}", better.reason);
                Ok(Some(End::Uplink(Some(first.public_ip))))
            }
            _ => Ok(None),
        }
    }

    fn input<'b>(&'b self, config: &'b crate::config::NetworkConfig, macs: Macs) -> DesiredInput<'b> {
        DesiredInput {
            config,
            subnets: self.ours.subnets,
            macs,
            uplink: &self.uplink,
            peers: &self.peers,
            ip_masq: self.options.ip_masq,
            tracked: self.tracked.is_some(),
        }
    }

    /// Looks at everything, writes the subnet file; answers when to look again.
    fn look(
        &mut self,
        dataplane: &mut Dataplane,
        config: &crate::config::NetworkConfig,
        macs: Macs,
    ) -> Result<Instant, Error> {
        let tracked = dataplane.tracking()?;
        if tracked != self.tracked {
            match &tracked {
                Some(who) => {
                    tracing::info!("pod traffic is tracked, because {who} needs connection tracking")
                }
                None => tracing::info!("pod traffic is no longer tracked: nothing needs it"),
            }
            self.tracked = tracked;
        }
        let input = self.input(config, macs);
        let look = dataplane.look(&input)?;
        tracing::debug!(operations = look.operations, failures = look.failures, took = ?look.took, "looked");
        let text = subnet_env::render(config, &self.ours.subnets, input.mtu(), self.options.ip_masq);
        if subnet_env::write(&self.options.subnet_file, &text)? {
            tracing::info!(file = %self.options.subnet_file.display(), mtu = input.mtu(), "subnet file written");
        }
        Ok(Instant::now() + if look.failures > 0 { TRY_AGAIN } else { RESYNC })
    }
}

type Macs = (netstate::Mac, netstate::Mac);

/// A task that ends with its owner.
struct Task(tokio::task::JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
