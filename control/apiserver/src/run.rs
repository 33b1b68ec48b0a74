//! The whole server: from its settings to a listener that serves.

use etcd_client::Client;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api::{Api, listener};
use crate::authn::{
    Authenticators, KeyError, ServiceAccountFlags, ServiceAccounts, StaticTokens, TokenFileError,
};
use crate::authz::Authorizer;
use crate::authz::inflight::{InFlight, Limits};
use crate::bootstrap::{self, Endpoint};
use crate::cache::Caches;
use crate::metrics::Metrics;
use crate::pki::{Names, Pki, PkiError, TlsFlags};
use crate::server::{self, Health, Server};
use crate::services::{Range, Services};
use crate::store::Store;

/// How often the Service `kubernetes` is looked at.
const SERVICE: Duration = Duration::from_secs(10);
/// How often history is forgotten, and how much of it stays (`--etcd-compaction-interval`).
pub const COMPACTION: Duration = Duration::from_secs(300);
/// How long after a failure the default objects are tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// How often the serving certificate's end is looked at.
const RENEWED_EACH: Duration = Duration::from_secs(24 * 3600);

/// What the server is to be.
#[derive(Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The addresses that others reach it at.
    pub advertise: Vec<IpAddr>,
    /// The folder of keys and certificates.
    pub cert_dir: PathBuf,
    /// Certificates by flags.
    pub tls: TlsFlags,
    /// More names of the serving certificate.
    pub names: Vec<String>,
    /// This machine's name.
    pub host: String,
    /// Cluster IPs.
    pub ranges: Vec<Range>,
    /// Node ports.
    pub node_ports: (u16, u16),
    /// `--token-auth-file`.
    pub token_file: Option<PathBuf>,
    /// Service accounts' tokens; without a signing key the folder's own.
    pub accounts: ServiceAccountFlags,
    /// `--authorization-mode`.
    pub authorization: String,
    /// `--anonymous-auth`.
    pub anonymous: bool,
    /// `--enable-bootstrap-token-auth`.
    pub bootstrap_tokens: bool,
    /// How many requests at once.
    pub limits: Limits,
    /// How often history is forgotten; zero for never.
    pub compaction: Duration,
}

/// Why the server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The folder of keys.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The keys of service accounts.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The file of tokens.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// The chain of authorizers.
    #[error("{0}")]
    Authorization(String),
    /// The listener.
    #[error("cannot listen on {0}: {1}; name another by --bind-address and --secure-port")]
    Listen(SocketAddr, std::io::Error),
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    /// The server.
    pub server: Arc<Server>,
    /// Its keys.
    pub pki: Arc<Pki>,
    /// Where it listens.
    pub address: SocketAddr,
    end: watch::Sender<bool>,
}

impl Running {
    /// Ends it: no new connections, and a moment for those that are open.
    pub async fn end(self) {
        self.server.health.end();
        self.end.send_replace(true);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    /// Waits until the default objects are there.
    pub async fn ready(&self) {
        while self.server.health.ready(&self.server.api).await.iter().any(|(_, wrong)| wrong.is_some()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Starts the server over a state.
pub async fn start(config: Config, client: Client) -> Result<Running, StartError> {
    let services = Arc::new(Services::of(config.ranges.clone(), config.node_ports));
    let authorizer = Arc::new(Authorizer::of(&config.authorization).map_err(StartError::Authorization)?);
    let names = Names {
        host: config.host.clone(),
        services: config.ranges.iter().map(|range| range.at(1)).collect(),
        advertised: config.advertise.clone(),
        more: config.names.clone(),
    };
    let pki = Arc::new(Pki::open(&config.cert_dir, &names)?);
    let listening = TcpListener::bind(config.listen).await;
    let listening = listening.map_err(|error| StartError::Listen(config.listen, error))?;
    let address = listening.local_addr().map_err(|error| StartError::Listen(config.listen, error))?;
    let accounts = Arc::new(accounts(&config, &pki)?);
    let authenticators = Authenticators {
        certificates: Some(pki.client_trust(&config.tls)?),
        tokens: config.token_file.as_deref().map(StaticTokens::open).transpose()?,
        accounts: Some(accounts.clone()),
        bootstrap: config.bootstrap_tokens,
        anonymous: config.anonymous,
        ..Authenticators::default()
    };
    let store = Store::of(client);
    let caches = Caches::start(store.clone(), listener(authorizer.clone(), services.clone()));
    let metrics = Metrics::default();
    let api = Arc::new(Api { store, caches, services, authenticators, authorizer, accounts, metrics });
    let server = Arc::new(Server { api, in_flight: InFlight::new(config.limits), health: Health::default() });
    let (end, ends) = watch::channel(false);
    let tls = pki.server_config(&config.tls)?;
    tokio::spawn(server::listen(server.clone(), listening, tls, ends.clone()));
    let port = address.port();
    let endpoint = Endpoint { addresses: config.advertise, port, client_ca: pki.authority.pem.clone() };
    tokio::spawn(keep(server.clone(), endpoint, ends.clone()));
    tokio::spawn(renew(pki.clone(), names, ends.clone()));
    if !config.compaction.is_zero() {
        tokio::spawn(compact(server.api.store.clone(), config.compaction, ends));
    }
    Ok(Running { server, pki, address, end })
}

fn accounts(config: &Config, pki: &Pki) -> Result<ServiceAccounts, StartError> {
    let mut flags = config.accounts.clone();
    if flags.signing_key_file.as_os_str().is_empty() {
        flags.signing_key_file = pki.path("sa.key");
    }
    Ok(ServiceAccounts::open(&flags)?)
}

/// Makes the default objects, and keeps the Service `kubernetes`.
async fn keep(server: Arc<Server>, endpoint: Endpoint, mut end: watch::Receiver<bool>) {
    server.api.caches.ready().await;
    let mut done = false;
    loop {
        let made = match done {
            false => bootstrap::everything(&server.api, &endpoint).await,
            true => bootstrap::service(&server.api, &endpoint).await,
        };
        match made {
            Ok(()) if !done => {
                done = true;
                server.health.bootstrapped();
                tracing::info!("ready");
            }
            Ok(()) => {}
            Err(failure) => {
                tracing::warn!(why = failure.message(), "a default object is not made; it is tried again")
            }
        }
        let pause = if done { SERVICE } else { AGAIN };
        if tokio::time::timeout(pause, end.wait_for(|end| *end)).await.is_ok() {
            return;
        }
    }
}

/// Makes the serving certificate again in time: a server may run for longer than it is good for. The listener shows the
/// new one at the next handshake.
async fn renew(pki: Arc<Pki>, names: Names, mut end: watch::Receiver<bool>) {
    while tokio::time::timeout(RENEWED_EACH, end.wait_for(|end| *end)).await.is_err() {
        match pki.serving(&names, SystemTime::now()) {
            Ok(true) => tracing::info!("the serving certificate is made again"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the serving certificate is not renewed; it is tried again"),
        }
    }
}

/// Forgets history that is older than an interval.
async fn compact(store: Store, interval: Duration, mut end: watch::Receiver<bool>) {
    let mut before = 0;
    loop {
        if tokio::time::timeout(interval, end.wait_for(|end| *end)).await.is_ok() {
            return;
        }
        let Ok(now) = store.revision().await else { continue };
        if before > 0
            && let Err(error) = store.compact(before).await
        {
            tracing::debug!(%error, "history is not compacted");
        }
        before = now;
    }
}
