//! The one listener for health and metrics: `/healthz`, `/readyz`, `/metrics`.

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Bytes, service::service_fn};
use hyper_util::rt::TokioIo;
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::net::TcpListener;

/// What the listener shows.
pub struct Shown {
    /// The daemon's metrics.
    pub registry: Registry,
    /// `None` when ready, else what the daemon waits for.
    pub waiting: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

/// Binds now, so that a port in use is an error at start, and serves until the daemon ends.
pub async fn listen(address: SocketAddr, shown: Shown) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} for health checks: name another with --healthz-port")
    })?;
    tracing::info!(%address, "serving /healthz, /readyz and /metrics");
    let shown = Arc::new(shown);
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await; // out of descriptors
                continue;
            };
            let shown = shown.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let answer = answer(&request, &shown);
                    async move { Ok::<_, std::convert::Infallible>(answer) }
                });
                // A client that goes away in the middle is its own affair.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(())
}

fn answer(request: &Request<hyper::body::Incoming>, shown: &Shown) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/healthz" => reply(StatusCode::OK, "ok"),
        "/readyz" => match (shown.waiting)() {
            None => reply(StatusCode::OK, "ok"),
            Some(what) => reply(StatusCode::SERVICE_UNAVAILABLE, &what),
        },
        "/metrics" => {
            let mut text = String::new();
            match encode(&mut text, &shown.registry) {
                Ok(()) => {
                    let mut response = reply(StatusCode::OK, &text);
                    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                    response
                        .headers_mut()
                        .insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
                    response
                }
                Err(_) => reply(StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written"),
            }
        }
        _ => reply(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /metrics"),
    }
}

fn reply(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())));
    *response.status_mut() = status;
    response
}
