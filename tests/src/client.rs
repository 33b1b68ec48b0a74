//! kube-rs as a client of a test's API server.

use crate::apiserver::Apiserver;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::collections::BTreeMap;

/// The admin's client.
///
/// # Panics
/// When the server has written no kubeconfig.
pub async fn admin(server: &Apiserver) -> Client {
    at(server, server.port()).await
}

/// The admin's client of a port behind which the server is.
///
/// # Panics
/// When the server has written no kubeconfig.
pub async fn at(server: &Apiserver, port: u16) -> Client {
    let read = Kubeconfig::read_from(server.kubeconfig()).expect("the server writes a kubeconfig");
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(read, &options).await.expect("a kubeconfig");
    config.cluster_url = format!("https://127.0.0.1:{port}").parse().expect("a URL");
    // What the server answers is what is looked at.
    config.default_retry = false;
    Client::try_from(config).expect("a client")
}

/// A runtime of two threads, for tests that do more than ask.
///
/// # Panics
/// When there is no thread to be had.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// A ConfigMap of one value.
pub fn config_map(name: &str, value: &str) -> ConfigMap {
    let mut map = ConfigMap::default();
    map.metadata.name = Some(name.to_owned());
    map.data = Some(BTreeMap::from([("value".to_owned(), value.to_owned())]));
    map
}
