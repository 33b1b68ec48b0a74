//! Listeners: gRPC and etcd's HTTP pages on one port, with TLS or without.
//!
//! | path | answer |
//! | --- | --- |
//! | `/etcdserverpb.…` | gRPC |
//! | `/health`, `/livez`, `/readyz` | whether it serves; 503 with an alarm on |
//! | `/version` | as etcd's |
//! | `/metrics` | Prometheus |

use crate::authority::Tolerant;
use crate::error::StartError;
use crate::proto::alarm_type;
use crate::server::Etcd;
use crate::service::VERSION;
use crate::tls::{Tls, TlsFiles};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use prost::bytes::Bytes;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tonic::body::Body;
use tower::{ServiceExt, service_fn};

/// A handshake that takes longer is given up.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How long connections have to end when the server does.
const GOODBYE: Duration = Duration::from_secs(1);

/// HTTP/2 flow control: large answers need not wait for a window.
const WINDOW_BYTES: u32 = 1 << 20;

/// What a connection needs.
struct Shared {
    etcd: Etcd,
    registry: Arc<Registry>,
    tls: Option<Tls>,
}

/// Binds an address and serves it until the server ends. Gives the address (port 0 asks for any).
pub async fn listen(
    etcd: &Etcd,
    address: SocketAddr,
    tls: Option<TlsFiles>,
    registry: Arc<Registry>,
) -> Result<SocketAddr, StartError> {
    let refused = |source| StartError::Listen { address: address.to_string(), source };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let bound = listener.local_addr().map_err(refused)?;
    let shared = Shared { etcd: etcd.clone(), registry, tls: tls.map(Tls::of).transpose()? };
    tokio::spawn(accept(listener, Arc::new(shared)));
    Ok(bound)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut stopping = shared.etcd.server().stopping();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.stopped() => return,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: some are given back.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // Small answers are not to wait for more of them.
        let _ = stream.set_nodelay(true);
        let shared = shared.clone();
        tokio::spawn(async move {
            match &shared.tls {
                None => serve(stream, &shared).await,
                Some(tls) => {
                    let handshake =
                        tokio::time::timeout(HANDSHAKE_WITHIN, tls.acceptor().accept(stream)).await;
                    match handshake {
                        Ok(Ok(stream)) => serve(stream, &shared).await,
                        Ok(Err(error)) => tracing::debug!(%error, "a client's handshake failed"),
                        Err(_) => tracing::debug!("a client did not finish its handshake"),
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shared: &Arc<Shared>) {
    let routes = shared.etcd.routes();
    let pages = shared.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (routes, pages) = (routes.clone(), pages.clone());
        async move {
            match is_grpc(&request) {
                true => routes.oneshot(request).await,
                false => Ok::<_, Infallible>(page(&pages, request.uri().path())),
            }
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(4 * WINDOW_BYTES)
        .max_concurrent_streams(None);
    let connection =
        builder.serve_connection(TokioIo::new(Tolerant::of(stream)), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let mut stopping = shared.etcd.server().stopping();
    // A client that goes away in the middle is its own affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stopping.stopped() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(GOODBYE, connection).await;
}

fn is_grpc(request: &Request<Incoming>) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

fn page(shared: &Shared, path: &str) -> Response<Body> {
    match path {
        "/health" | "/livez" | "/readyz" => health(shared, path),
        "/version" => {
            let text = format!(r#"{{"etcdserver":"{VERSION}","etcdcluster":"3.5.0"}}"#);
            reply(StatusCode::OK, "application/json", text)
        }
        "/metrics" => metrics(shared),
        _ => reply(StatusCode::NOT_FOUND, "text/plain", "404 page not found\n".into()),
    }
}

fn health(shared: &Shared, path: &str) -> Response<Body> {
    let store = &shared.etcd.server().store;
    let alarms = crate::write::listed(store, alarm_type::NONE);
    let reason = match alarms.first() {
        Some(alarm) if alarm.alarm == alarm_type::NOSPACE => "ALARM NOSPACE",
        Some(_) => "ALARM CORRUPT",
        None if !store.writable.load(Ordering::Acquire) => "DISK REFUSES WRITES",
        None => "",
    };
    // Alive is what answers, whatever the alarm.
    let status =
        if reason.is_empty() || path == "/livez" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    if path == "/health" {
        let text = format!(r#"{{"health":"{}","reason":"{reason}"}}"#, reason.is_empty());
        return reply(status, "application/json", text);
    }
    reply(status, "text/plain", if reason.is_empty() { "ok\n".into() } else { format!("{reason}\n") })
}

fn metrics(shared: &Shared) -> Response<Body> {
    let server = shared.etcd.server();
    server.metrics.refresh(&server.store);
    let mut text = String::new();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match encode(&mut text, &shared.registry) {
        Ok(()) => reply(StatusCode::OK, kind, text),
        Err(_) => {
            reply(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the metrics cannot be written\n".into())
        }
    }
}

fn reply(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
