//! The server: store, writer and settings, and the ways in.
//!
//! [`Etcd`] is what a daemon holds. Its gRPC service is one value ([`Etcd::routes`]): listeners put HTTP/2 and TLS in
//! front of it, [`Etcd::client`] hands it to etcd-client without a socket. So a client in the same process speaks to
//! the same code as one from outside, and cannot tell it from a real etcd.

use crate::compactor;
use crate::config::Config;
use crate::error::StartError;
use crate::metrics::Metrics;
use crate::service;
use crate::storage::Place;
use crate::store::{Disk, Store};
use crate::write::Writer;
use etcd_client::{Channel, Client};
use http::Request;
use prometheus_client::registry::Registry;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::watch;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt;
use tower::util::BoxCloneSyncService;

/// What all services share.
#[derive(Debug)]
pub struct Server {
    /// Settings.
    pub config: Config,
    /// Data.
    pub store: Arc<Store>,
    /// Changes to them.
    pub writer: Writer,
    /// Counts.
    pub metrics: Metrics,
    stop: watch::Sender<bool>,
}

impl Server {
    /// To wait for the server's end.
    pub fn stopping(&self) -> Stopping {
        Stopping(self.stop.subscribe())
    }
}

/// Told when the server ends.
#[derive(Debug)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Waits for it.
    pub async fn stopped(&mut self) {
        // The sender being gone is the end as well.
        drop(self.0.wait_for(|stop| *stop).await);
    }
}

/// A running server.
#[derive(Clone, Debug)]
pub struct Etcd {
    server: Arc<Server>,
}

impl Etcd {
    /// Opens the data folder and serves it in this process. Needs a tokio runtime.
    pub fn open(config: Config, registry: &mut Registry) -> Result<Etcd, StartError> {
        let place = Place::claim(&config.data_dir)?;
        Etcd::on(Box::new(place), config, registry)
    }

    /// The same on any disk.
    pub fn on(disk: Box<dyn Disk>, config: Config, registry: &mut Registry) -> Result<Etcd, StartError> {
        let metrics = Metrics::register(registry, config.quota());
        let (store, loaded) = Store::open(disk)?;
        let store = Arc::new(store);
        let commits = metrics.commits.clone();
        let observe = Box::new(move |took: std::time::Duration| commits.observe(took.as_secs_f64()));
        let writer = Writer::start(store.clone(), loaded, config.quota(), observe);
        let path = config.data_dir.clone();
        let writer =
            writer.map_err(|source| StartError::File { what: "start the writer of", path, source })?;
        let server = Arc::new(Server { config, store, writer, metrics, stop: watch::Sender::new(false) });
        tokio::spawn(compactor::run(server.clone()));
        Ok(Etcd { server })
    }

    /// What all services share.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The gRPC service.
    pub fn routes(&self) -> Routes {
        service::routes(&self.server)
    }

    /// A channel to it, without a socket.
    pub fn channel(&self) -> Channel {
        let routes = ServiceExt::<Request<Body>>::map_err(self.routes(), |never: Infallible| match never {});
        Channel::Custom(BoxCloneSyncService::new(routes))
    }

    /// A client of it, without a socket.
    pub async fn client(&self) -> Result<Client, etcd_client::Error> {
        Client::from_channel(self.channel(), None).await
    }

    /// Ends: streams are told, writes that wait are done, time is written down, the file is closed.
    pub async fn stop(&self) {
        self.server.stop.send_replace(true);
        let server = self.server.clone();
        // It joins a thread that may be waiting for the disk.
        drop(tokio::task::spawn_blocking(move || server.writer.stop()).await);
    }
}
