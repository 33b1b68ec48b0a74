//! kube-rs as a client of a test's API server.

use crate::apiserver::Apiserver;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Controllers that have made nothing for so long hang.
const PATIENCE: Duration = Duration::from_secs(60);

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
    of(server, port, |_| {}).await
}

/// A client that shows a token in place of a certificate.
///
/// # Panics
/// When the server has written no kubeconfig.
pub async fn bearer(server: &Apiserver, token: &str) -> Client {
    let shown = serde_json::from_value(serde_json::json!({"token": token})).expect("credentials");
    of(server, server.port(), |read| read.auth_infos[0].auth_info = Some(shown)).await
}

async fn of(server: &Apiserver, port: u16, change: impl FnOnce(&mut Kubeconfig)) -> Client {
    let mut read = Kubeconfig::read_from(server.kubeconfig()).expect("the server writes a kubeconfig");
    change(&mut read);
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(read, &options).await.expect("a kubeconfig");
    config.cluster_url = format!("https://127.0.0.1:{port}").parse().expect("a URL");
    // What the server answers is what is looked at.
    config.default_retry = false;
    Client::try_from(config).expect("a client")
}

/// Waits until the controllers have made what each namespace has, so that nobody but the test changes anything.
///
/// # Panics
/// When they do not.
pub async fn settle(client: &Client) {
    let start = Instant::now();
    for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        loop {
            let (map, account) = (maps.get_opt("kube-root-ca.crt").await, accounts.get_opt("default").await);
            if map.is_ok_and(|map| map.is_some()) && account.is_ok_and(|account| account.is_some()) {
                break;
            }
            assert!(start.elapsed() < PATIENCE, "the controllers make nothing in {namespace}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
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
