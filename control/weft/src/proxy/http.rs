//! The proxy's listeners: health, metrics, and one for each `healthCheckNodePort`.
//!
//! Paths, codes and bodies are kube-proxy's (pkg/proxy/healthcheck/{proxy_health,service_health}.go).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::SystemTime;

use hyper::StatusCode;
use prometheus_client::registry::Registry;
use proxy_ebpf::{HealthCheck, ProxyStatus};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::health::{self, Answer, reply, typed};

const JSON: &str = "application/json";

/// Serves /healthz and /livez on one listener, /metrics and /proxyMode on the other.
pub fn serve(
    healthz: TcpListener,
    metrics: TcpListener,
    registry: Registry,
    shown: watch::Receiver<ProxyStatus>,
) {
    tokio::spawn(health::serve(healthz, move |path| match path {
        "/healthz" | "/livez" => healthy(&shown.borrow()),
        _ => reply(StatusCode::NOT_FOUND, "there are /healthz and /livez"),
    }));
    tokio::spawn(health::serve(metrics, move |path| match path {
        "/metrics" => health::metrics(&registry),
        "/proxyMode" => reply(StatusCode::OK, "ebpf"),
        "/healthz" => reply(StatusCode::OK, "ok"),
        _ => reply(StatusCode::NOT_FOUND, "there are /metrics, /proxyMode and /healthz"),
    }));
}

fn healthy(status: &ProxyStatus) -> Answer {
    let healthy = status.last_updated.is_some() && status.behind.is_none();
    let last = status.last_updated.map_or_else(|| "0001-01-01 00:00:00 +0000 UTC".to_owned(), go_time);
    let now = go_time(SystemTime::now());
    let text = format!(r#"{{"lastUpdated": "{last}","currentTime": "{now}", "nodeEligible": true}}"#);
    typed(if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &text, JSON)
}

/// As Go prints a time.
fn go_time(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_| String::new(), |time| time.strftime("%Y-%m-%d %H:%M:%S.%9f +0000 UTC").to_string())
}

/// Has a listener for each `healthCheckNodePort` there is, until the daemon ends.
pub async fn health_check_node_ports(mut shown: watch::Receiver<ProxyStatus>) {
    let mut listeners: BTreeMap<u16, JoinHandle<()>> = BTreeMap::new();
    loop {
        let wanted: Vec<u16> = shown.borrow_and_update().health_checks.keys().copied().collect();
        listeners.retain(|port, listener| {
            let stays = wanted.contains(port) && !listener.is_finished();
            if !stays {
                listener.abort();
            }
            stays
        });
        for port in wanted {
            if let std::collections::btree_map::Entry::Vacant(vacant) = listeners.entry(port) {
                vacant.insert(tokio::spawn(health_check(port, shown.clone())));
            }
        }
        if shown.changed().await.is_err() {
            return;
        }
    }
}

/// One listener; without the port it ends, and is tried again at the next change.
async fn health_check(port: u16, shown: watch::Receiver<ProxyStatus>) {
    let any: [SocketAddr; 2] = [(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()];
    // The first that there is: a kernel without IPv6 has the second alone.
    let listener = match TcpListener::bind(any.as_slice()).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(port, %error, "no health check on this healthCheckNodePort: is the port taken?");
            return;
        }
    };
    let answer = move |_: &str| {
        let status = shown.borrow();
        match status.health_checks.get(&port) {
            Some(check) => service_health(check, status.behind.is_none()),
            None => reply(StatusCode::NOT_FOUND, "the service is gone"),
        }
    };
    health::serve(listener, answer).await;
}

fn service_health(check: &HealthCheck, proxy_healthy: bool) -> Answer {
    let HealthCheck { service, local_endpoints } = check;
    let healthy = *local_endpoints > 0 && proxy_healthy;
    let text = format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": {:?},\n\t\t\"name\": {:?}\n\t}},\n\t\"localEndpoints\": \
         {local_endpoints},\n\t\"serviceProxyHealthy\": {proxy_healthy}\n}}",
        service.namespace, service.name
    );
    let mut answer =
        typed(if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &text, JSON);
    let headers = answer.headers_mut();
    headers.insert("x-content-type-options", hyper::header::HeaderValue::from_static("nosniff"));
    headers.insert("x-load-balancing-endpoint-weight", (*local_endpoints as u64).into());
    answer
}
