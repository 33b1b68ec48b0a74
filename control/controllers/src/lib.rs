//! What a cluster's own objects need: namespaces that end, owners and what they own, accounts, the CA, roles.
//!
//! Controllers are clients of the Kubernetes API and of nothing else: any API server can be theirs. They watch metadata
//! alone and read an object when they look at it; a look brings one object to its goal whatever happened before, and
//! what fails is looked at again, later and later. Memory goes with the number of objects for the garbage collector's
//! graph (some 300 bytes each), and with what is at work for the others.

mod accounts;
mod bootstrap;
mod certificates;
mod clients;
mod collector;
mod error;
mod kinds;
mod lease;
mod namespace;
mod queue;
mod roles;
mod root_ca;
mod selection;
mod watch;

pub use certificates::{Asked, Sign, Unsigned};
pub use clients::{Clients, OfAccount};
pub use error::Error;
pub use lease::Election;
pub use queue::Step;
pub use selection::{Controller, Selection};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

use certificates::Duties;
use kinds::known;
use queue::{Queue, work};
use roles::Roles;
use watch::{Told, Which, follow};

/// How often all namespaces are looked at, whatever was told of them.
const RESYNC: Duration = Duration::from_secs(600);
/// How many objects a controller looks at at once.
const WORKERS: usize = 4;

/// What the controllers are to be.
#[derive(Clone)]
pub struct Config {
    /// Which of them run.
    pub controllers: Selection,
    /// The CA that pods know the API server by, in PEM; without, no namespace gets any.
    pub root_ca: Option<String>,
    /// Signs approved certificate signing requests; without, nobody here does.
    pub sign: Option<Sign>,
    /// Gives each controller's own client; without, all use the one that [`run`] is given.
    pub of_account: Option<OfAccount>,
    /// The lease that tells which of several managers is at work; without, this one is, always.
    pub leader_election: Option<Election>,
    /// How long the end of a namespace waits, so that every API server knows that nothing may be made in it any more
    /// (upstream's `namespaceDeletionGracePeriod`, 5 s).
    pub namespace_pause: Duration,
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let election = &self.leader_election;
        formatter
            .debug_struct("Config")
            .field("controllers", &self.controllers)
            .field("leader_election", election)
            .finish_non_exhaustive()
    }
}

/// Runs the controllers until `shutdown` is set.
pub async fn run(
    client: kube::Client,
    config: Config,
    mut shutdown: tokio::sync::watch::Receiver<bool>,
) -> Result<(), Error> {
    let clients = Clients::of(client, config.of_account.clone());
    let controllers = || all(clients.clone(), config.clone());
    match &config.leader_election {
        Some(election) => lease::lead(&clients.own, election, &mut shutdown, controllers).await,
        None => {
            tokio::select! {
                () = controllers() => {}
                _ = shutdown.wait_for(|end| *end) => {}
            }
        }
    }
    Ok(())
}

/// Who is told of namespaces.
type OnNamespace = Box<dyn Fn(&ObjectMeta) + Send>;

/// All controllers, until the future is dropped.
async fn all(clients: Clients, config: Config) {
    let mut running = JoinSet::new();
    let mut listeners: Vec<OnNamespace> = Vec::new();
    if config.controllers.has(Controller::Namespace) {
        listeners.push(namespaces(&mut running, &clients, config.namespace_pause));
    }
    if config.controllers.has(Controller::ServiceAccount) {
        listeners.push(service_accounts(&mut running, &clients));
    }
    match config.root_ca.filter(|_| config.controllers.has(Controller::RootCa)) {
        Some(ca) => listeners.push(root_cas(&mut running, &clients, ca.into())),
        None => tracing::info!("no CA is published to namespaces"),
    }
    if config.controllers.has(Controller::GarbageCollector) {
        running.spawn(collector::run(clients.clone()));
    }
    if config.controllers.has(Controller::ClusterRoleAggregation) {
        cluster_roles(&mut running, &clients);
    }
    let sign = config.sign.filter(|_| config.controllers.has(Controller::CsrSigning));
    let duties = Duties { sign, clean: config.controllers.has(Controller::CsrCleaner) };
    if duties.clean || duties.sign.is_some() {
        signing_requests(&mut running, &clients, duties);
    }
    bootstrap_tokens(&mut running, &clients, &config.controllers);
    if !listeners.is_empty() {
        let which = Which { resync: Some(RESYNC), ..Which::default() };
        let resource = known("", "v1", "Namespace", "namespaces");
        running.spawn(follow(clients.own.clone(), resource, which, move |told| {
            if let Told::There(namespace) = told {
                listeners.iter().for_each(|listener| listener(&namespace));
            }
        }));
    }
    tracing::info!(controllers = ?config.controllers, "controllers run");
    while let Some(ended) = running.join_next().await {
        if let Err(error) = ended
            && !error.is_cancelled()
        {
            tracing::error!(%error, "a controller broke off");
        }
    }
}

fn namespaces(running: &mut JoinSet<()>, clients: &Clients, pause: Duration) -> OnNamespace {
    let queue = Arc::new(Queue::default());
    let (clients, writer) = (clients.clone(), clients.account("namespace-controller"));
    running.spawn(work("namespace-controller", queue.clone(), WORKERS, move |name: String| {
        let (clients, writer) = (clients.clone(), writer.clone());
        async move { namespace::look(&clients, &writer, &name).await }
    }));
    Box::new(move |metadata| {
        if let Some(name) = metadata.name.clone().filter(|_| !accounts::is_live(metadata)) {
            queue.add_after(name, pause);
        }
    })
}

fn service_accounts(running: &mut JoinSet<()>, clients: &Clients) -> OnNamespace {
    let queue = Arc::new(Queue::default());
    let resource = known("", "v1", "ServiceAccount", "serviceaccounts");
    running.spawn(gone(clients, resource, accounts::NAME, queue.clone()));
    let (clients, writer) = (clients.clone(), clients.account("service-account-controller"));
    running.spawn(work("serviceaccount-controller", queue.clone(), WORKERS, move |name: String| {
        let (clients, writer) = (clients.clone(), writer.clone());
        async move { accounts::look(&clients, &writer, &name).await }
    }));
    live(queue)
}

fn root_cas(running: &mut JoinSet<()>, clients: &Clients, ca: Arc<str>) -> OnNamespace {
    let queue = Arc::new(Queue::default());
    let resource = known("", "v1", "ConfigMap", "configmaps");
    running.spawn(gone(clients, resource, root_ca::NAME, queue.clone()));
    let (clients, writer) = (clients.clone(), clients.account("root-ca-cert-publisher"));
    let what = "root-ca-certificate-publisher-controller";
    running.spawn(work(what, queue.clone(), WORKERS, move |name: String| {
        let (clients, writer, ca) = (clients.clone(), writer.clone(), ca.clone());
        async move { root_ca::look(&clients, &writer, &ca, &name).await }
    }));
    live(queue)
}

/// Asks for a look at each namespace that lives.
fn live(queue: Arc<Queue<String>>) -> OnNamespace {
    Box::new(move |metadata| {
        if let Some(name) = metadata.name.clone().filter(|_| accounts::is_live(metadata)) {
            queue.add(name);
        }
    })
}

/// Asks for a look at a namespace when its object of this name is changed or deleted.
fn gone(
    clients: &Clients,
    resource: kube::api::ApiResource,
    name: &str,
    queue: Arc<Queue<String>>,
) -> impl Future<Output = ()> + Send + use<> {
    let which = Which { fields: Some(format!("metadata.name={name}")), ..Which::default() };
    follow(clients.own.clone(), resource, which, move |told| {
        if let Told::There(metadata) | Told::Gone(metadata) = told
            && let Some(namespace) = metadata.namespace
        {
            queue.add(namespace);
        }
    })
}

fn cluster_roles(running: &mut JoinSet<()>, clients: &Clients) {
    let roles = Arc::new(Roles::default());
    let resource = known("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles");
    let told = roles.clone();
    running.spawn(follow(clients.own.clone(), resource, Which::default(), move |what| told.told(what)));
    let (queue, client) = (roles.queue.clone(), clients.account("clusterrole-aggregation-controller"));
    running.spawn(work("clusterrole-aggregation-controller", queue, WORKERS, move |name: String| {
        let (roles, client) = (roles.clone(), client.clone());
        async move { roles.look(&client, &name).await }
    }));
}

fn signing_requests(running: &mut JoinSet<()>, clients: &Clients, duties: Duties) {
    let queue = Arc::new(Queue::<String>::default());
    let resource =
        known("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests");
    running.spawn(follow(clients.own.clone(), resource, Which::default(), asking(queue.clone())));
    let client = clients.account("certificate-controller");
    running.spawn(timed("certificatesigningrequest-controllers", queue, move |name: String| {
        let (client, duties) = (client.clone(), duties.clone());
        async move { certificates::look(&client, &duties, &name).await }
    }));
}

fn bootstrap_tokens(running: &mut JoinSet<()>, clients: &Clients, controllers: &Selection) {
    let secrets = || known("", "v1", "Secret", "secrets");
    let tokens = || Which {
        namespace: Some(bootstrap::SECRETS.into()),
        fields: Some(bootstrap::TYPE.into()),
        ..Which::default()
    };
    if controllers.has(Controller::BootstrapSigner) {
        // One name for all: there is one config map.
        let queue = Arc::new(Queue::<&'static str>::default());
        let info = Which {
            namespace: Some(bootstrap::PUBLIC.into()),
            fields: Some(format!("metadata.name={}", bootstrap::NAME)),
            ..Which::default()
        };
        for (resource, which) in [(secrets(), tokens()), (known("", "v1", "ConfigMap", "configmaps"), info)] {
            let asks = queue.clone();
            running.spawn(follow(clients.own.clone(), resource, which, move |_| asks.add(bootstrap::NAME)));
        }
        let client = clients.account("bootstrap-signer");
        running.spawn(timed("bootstrap-signer-controller", queue, move |_| {
            let client = client.clone();
            async move { bootstrap::look(&client).await }
        }));
    }
    if controllers.has(Controller::TokenCleaner) {
        let queue = Arc::new(Queue::<String>::default());
        running.spawn(follow(clients.own.clone(), secrets(), tokens(), asking(queue.clone())));
        let client = clients.account("token-cleaner");
        running.spawn(timed("token-cleaner-controller", queue, move |name: String| {
            let client = client.clone();
            async move { bootstrap::clean(&client, &name).await }
        }));
    }
}

/// Asks for a look at each object by its name.
fn asking(queue: Arc<Queue<String>>) -> impl FnMut(Told) + Send {
    move |told| {
        if let Told::There(metadata) = told
            && let Some(name) = metadata.name
        {
            queue.add(name);
        }
    }
}

/// Works on what tells itself when it is to be looked at again.
async fn timed<K, F, R>(what: &'static str, queue: Arc<Queue<K>>, look: F)
where
    K: Clone + Eq + std::hash::Hash + fmt::Display + Send + Sync + 'static,
    F: Fn(K) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Result<Option<Duration>, Error>> + Send + 'static,
{
    let asks = queue.clone();
    work(what, queue, 1, move |key: K| {
        let (asks, looked) = (asks.clone(), look(key.clone()));
        async move {
            if let Some(later) = looked.await? {
                asks.add_after(key, later);
            }
            Ok(Step::Done)
        }
    })
    .await;
}
